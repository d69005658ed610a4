"""Complaints, dispositions and automatic replies, and what is none of them."""

import pytest

from parsers import parse
from parsers.report import Kind


def mail(head: str, text: str = "hello") -> bytes:
    """A plain mail from a person."""
    return f"From: Joe <joe@example.com>\n{head}\n\n{text}\n".encode()


@pytest.mark.parametrize(
    "head",
    [
        "Subject: x\nAuto-Submitted: auto-replied",
        "Subject: x\nX-Autoreply: yes",
        "Subject: Automatic reply: Invoice 1",
        "Subject: =?utf-8?q?Automaatvastus=3A_Arve?=\nX-Auto-Response-Suppress: All",
        "Subject: Out of office: Undelivered Mail Returned to Sender",
        "Subject: Automatische Antwort: Rechnung",
        "Subject: x\nPrecedence: auto_reply",
    ],
)
def test_auto_reply(head: str):
    """An answering machine is known by its headers or the words that its subject begins with."""
    (report,) = parse(mail(head)).reports
    assert (report.kind, report.recipient, report.cause) == (Kind.AUTO_REPLY, "joe@example.com", None)


@pytest.mark.parametrize(
    "head",
    [
        "Subject: Re: Invoice 1",
        "Subject: about your automatic reply",
        "Subject: x\nAuto-Submitted: auto-replied\nList-Id: <l.example.com>",
        "Subject: x\nAuto-Submitted: auto-generated",
        "Subject: x\nAuto-Submitted: no",
    ],
)
def test_no_auto_reply(head: str):
    """People, lists and other programs are none."""
    assert [report.kind for report in parse(mail(head)).reports] == [Kind.OTHER]


def test_an_unknown_notice_is_no_vacation():
    """What a mail server sends is never a vacation reply, whatever it calls itself."""
    raw = b"From: MAILER-DAEMON@example.com\nSubject: x\nAuto-Submitted: auto-replied\n\nsomething\n"
    assert [report.kind for report in parse(raw).reports] == [Kind.OTHER]


def disposition(mode: str, text: str) -> bytes:
    """A disposition notification."""
    return (
        "From: joe@example.com\nSubject: x\n"
        "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n"
        f"\n--b\n\n{text}\n--b\nContent-Type: message/disposition-notification\n\n"
        f"Final-Recipient: rfc822; joe@example.com\nDisposition: {mode}\n--b--\n"
    ).encode()


def test_read_receipts():
    """A receipt says nothing about delivery, a deletion unread neither."""
    for mode in ("manual-action/MDN-sent-manually; displayed", "automatic-action/MDN-sent-automatically; deleted"):
        assert [report.kind for report in parse(disposition(mode, "It was not read.")).reports] == [Kind.OTHER]


def test_rejecting_filter():
    """A filter that rejects what was accepted says so in a disposition: that is a bounce."""
    raw = disposition(
        "automatic-action/MDN-sent-automatically; deleted", "Your message was automatically rejected: no bills"
    )
    (report,) = parse(raw).reports
    assert (report.kind, report.recipient) == (Kind.BOUNCE, "joe@example.com")


def complaint(fields: str) -> bytes:
    """A feedback report."""
    return (
        "From: fbl@example.com\nSubject: x\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n"
        f"\n--b\n\nhello\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: Abuse\n{fields}\n"
        "--b\nContent-Type: message/rfc822\n\nTo: c@example.com\nMessage-ID: <1@x>\n\nx\n--b--\n"
    ).encode()


def test_complaints():
    """One report for each recipient that is named; else the one that the message was for."""
    reports = parse(complaint("Original-Rcpt-To: <a@example.com>\nOriginal-Rcpt-To: b@example.com")).reports
    assert [(report.kind, report.recipient, report.feedback_type) for report in reports] == [
        (Kind.COMPLAINT, "a@example.com", "abuse"),
        (Kind.COMPLAINT, "b@example.com", "abuse"),
    ]
    (report,) = parse(complaint("Version: 1")).reports
    assert (report.recipient, report.evidence.original_message_id) == ("c@example.com", "1@x")


def test_sns_tells_both_ids():
    """Amazon replaces the Message-ID by its own; whichever was stored, the notification ties to it."""
    told = '{"messageId": "0102-ses", "commonHeaders": {"messageId": "<1@x>", "from": ["A <a@example.com>"]}}'
    text = f'{{"notificationType": "Complaint", "complaint": {{"complainedRecipients": [{{}}]}}, "mail": {told}}}'
    (report,) = parse(f"From: no-reply@sns.example.net\n\n{text}".encode()).reports
    assert report.kind is Kind.COMPLAINT
    assert (report.evidence.original_message_id, report.evidence.related_ids) == ("1@x", ("0102-ses",))
    assert report.evidence.original_from == "a@example.com"


@pytest.mark.parametrize("head", ["Subject: Fwd: Undelivered", "Subject: WG: x", "In-Reply-To: <1@x>", "Subject: help"])
def test_passed_on_by_a_person(head: str):
    """The same words are a notice from a mail server's address, and a question from a person's."""
    text = (
        "This message was created automatically by mail delivery software.\n\n"
        "The following address(es) failed:\n\n  a@example.com\n    Unrouteable address\n"
    )
    person = f"Return-Path: <p@example.com>\nFrom: P <p@example.com>\n{head}\n\nWhat is this?\n\n{text}"
    server = f"Return-Path: <>\nFrom: Mailer-Daemon@example.com\n{head}\n\n{text}"
    assert [parse(mail.encode()).reports[0].kind for mail in (person, server)] == [Kind.OTHER, Kind.BOUNCE]
