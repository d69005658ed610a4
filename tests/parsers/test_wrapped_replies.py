"""A remote server's reply says the same, whichever sending server passes it on."""

import re
from collections.abc import Callable
from textwrap import wrap

import pytest

from parsers import parse
from parsers.causes.classify import classify
from parsers.reply import find_reply
from parsers.report import Kind
from parsers.status import find_status
from tests.parsers.causes.test_replies import REPLIES

RECIPIENT = "joe@example.com"
TEXTS = sorted({text for _, text in REPLIES if re.match(r"[45]\d\d[ -]", text) and text.isprintable()})
RETURNED = f"""\
Received: from erp.example.net by mail.example.net; Mon, 23 Nov 2026 06:57:17 +0200
From: Sales <sales@example.org>
To: {RECIPIENT}
Subject: Invoice 1201
Date: Mon, 23 Nov 2026 06:57:17 +0200
Message-ID: <1201@erp.example.net>

Invoice
"""


def notice(subject: str, body: str, content_type: str = "text/plain; charset=utf-8") -> str:
    """A mail from a mail server."""
    return (
        f"From: Mail Delivery System <MAILER-DAEMON@mail.example.net>\nTo: sales@example.org\nSubject: {subject}\n"
        f"Message-ID: <bounce@mail.example.net>\nMIME-Version: 1.0\nContent-Type: {content_type}\n\n{body}"
    )


def report(text: str, fields: str) -> str:
    """A delivery status notification (RFC 3464)."""
    parts = (
        f"Content-Type: text/plain; charset=utf-8\n\n{text}\n",
        f"Content-Type: message/delivery-status\n\nReporting-MTA: dns; mail.example.net\n\n{fields}\n",
        f"Content-Type: message/rfc822\n\n{RETURNED}",
    )
    body = "".join(f"--b\n{part}\n" for part in parts) + "--b--\n"
    return notice("Undelivered Mail", body, 'multipart/report; report-type=delivery-status; boundary="b"')


def folded(text: str, indent: str) -> str:
    """On lines of 70 characters, further ones indented."""
    return f"\n{indent}".join(wrap(text, 70, break_long_words=False, break_on_hyphens=False))


def postfix(reply: str) -> str:
    """Postfix folds the reply in both parts, and repeats its status."""
    said = folded(f"<{RECIPIENT}>: host mx.example.com[192.0.2.1] said: {reply} (in reply to RCPT TO command)", "    ")
    status = find_status(reply) or f"{reply[0]}.0.0"
    return report(
        f"This is the mail system at host mail.example.net.\n\n{said}\n",
        f"Final-Recipient: rfc822; {RECIPIENT}\nAction: failed\nStatus: {status}\n"
        + folded(f"Diagnostic-Code: smtp; {reply}", "    "),
    )


def exim(reply: str) -> str:
    """Exim never says more than 5.0.0 by itself."""
    return report(
        "This message was created automatically by mail delivery software.\n\nThe following address(es) failed:\n\n"
        f"  {RECIPIENT}\n    host mx.example.com [192.0.2.1]\n    SMTP error from remote mail server after RCPT TO:\n"
        f"    {folded(reply, '    ')}\n",
        f"Action: failed\nFinal-Recipient: rfc822;{RECIPIENT}\nStatus: 5.0.0\nDiagnostic-Code: smtp; {reply}",
    )


def qmail(reply: str) -> str:
    """The words of qmail stand around the reply."""
    return notice(
        "failure notice",
        "Hi. This is the qmail-send program at mail.example.net.\nI'm afraid I wasn't able to deliver your message to "
        "the following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n"
        f"<{RECIPIENT}>:\n192.0.2.1 does not like recipient.\nRemote host said: {reply}\nGiving up on 192.0.2.1.\n\n"
        f"--- Below this line is a copy of the message.\n\n{RETURNED}",
    )


def sendmail(reply: str) -> str:
    """Sendmail's own 554 stands beside the reply."""
    return report(
        f"   ----- The following addresses had permanent fatal errors -----\n<{RECIPIENT}>\n\n"
        f"   ----- Transcript of session follows -----\n... while talking to mx.example.com.:\n>>> DATA\n<<< {reply}\n"
        "554 5.0.0 Service unavailable\n",
        f"Final-Recipient: RFC822; {RECIPIENT}\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: SMTP; {reply}",
    )


def nobody_in_particular(reply: str) -> str:
    """A gateway that has no parser of its own."""
    return notice(
        "Undeliverable: Invoice 1201",
        f"Your message could not be delivered.\n\nRecipient: {RECIPIENT}\nReason: {reply}\n\n{RETURNED}",
    )


@pytest.mark.parametrize("wrapped", [postfix, exim, qmail, sendmail, nobody_in_particular])
def test_the_reply_counts(wrapped: Callable[[str], str]):
    """Recipient, reply code, status and cause are those of the reply alone."""
    assert len(TEXTS) > 300
    wrong = []
    for reply in TEXTS:
        code, status = find_reply(reply), find_status(reply)
        alone = classify(text=reply, status=status, smtp_code=code, kind=Kind.BOUNCE)
        found = parse(wrapped(reply).encode()).reports
        told = [(one.recipient, one.smtp_code, one.cause, one.permanent) for one in found]
        if told != [(RECIPIENT, code, alone.cause, alone.permanent)] or status not in (None, found[0].status):
            wrong.append((reply, told))
    assert not wrong


SECOND = "ann@second.example.org"
UNADDRESSED = [text for text in TEXTS if "@" not in text and "in reply to" not in text]


def returned_to_both() -> str:
    """The returned message, written to both."""
    return RETURNED.replace(f"To: {RECIPIENT}", f"To: {RECIPIENT}, {SECOND}")


def qmail_to_two(replies: dict[str, str]) -> str:
    """Paragraphs."""
    said = "<{0}>:\n192.0.2.1 does not like recipient.\nRemote host said: {1}\nGiving up on 192.0.2.1.\n\n"
    return notice(
        "failure notice",
        "Hi. This is the qmail-send program at mail.example.net.\nI'm afraid I wasn't able to deliver your message.\n\n"
        f"{''.join(map(said.format, *zip(*replies.items(), strict=True)))}"
        f"--- Below this line is a copy of the message.\n\n{returned_to_both()}",
    )


def exim_to_two(replies: dict[str, str]) -> str:
    """A list, with the host in front of the reply."""
    said = (
        "  {0}\n    SMTP error from remote mail server after RCPT TO:<{0}>:\n    host mx.example.com [192.0.2.1]: {1}\n"
    )
    return notice(
        "Mail delivery failed: returning message to sender",
        "This message was created automatically by mail delivery software.\n\nThe following address(es) failed:\n\n"
        f"{''.join(map(said.format, *zip(*replies.items(), strict=True)))}"
        f"\n------ This is a copy of the message, including all the headers. ------\n\n{returned_to_both()}",
    )


def sendmail_to_two(replies: dict[str, str]) -> str:
    """A transcript, in which the server's answers are followed by Sendmail's own reading of them."""
    said = "... while talking to mx.example.com.:\n>>> RCPT To:<{0}>\n<<< {1}\n550 5.1.1 <{0}>... User unknown\n"
    return notice(
        "Returned mail: see transcript for details",
        "   ----- The following addresses had permanent fatal errors -----\n"
        f"<{RECIPIENT}>\n<{SECOND}>\n\n   ----- Transcript of session follows -----\n"
        f"{''.join(map(said.format, *zip(*replies.items(), strict=True)))}"
        f"\n   ----- Original message follows -----\n\n{returned_to_both()}",
    )


@pytest.mark.parametrize("wrapped", [qmail_to_two, exim_to_two, sendmail_to_two])
def test_each_recipient_has_a_reply_of_its_own(wrapped: Callable[[dict[str, str]], str]):
    """In a text without any report, too, nobody gets the words about somebody else."""
    wrong = []
    for first, second in zip(UNADDRESSED, reversed(UNADDRESSED), strict=True):
        replies = {RECIPIENT: first, SECOND: second}
        found = {one.recipient: one for one in parse(wrapped(replies).encode()).reports}
        assert set(found) == set(replies)
        for recipient, reply in replies.items():
            code = find_reply(reply)
            alone = classify(text=reply, status=find_status(reply), smtp_code=code, kind=Kind.BOUNCE)
            told = found[recipient]
            if (told.smtp_code, told.cause) != (code, alone.cause):
                wrong.append((reply, told))
    assert not wrong
