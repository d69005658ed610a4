"""Each layout is known by its own words, where a mail server says them, and nowhere else."""

import pytest

from parsers import parse
from parsers.report import Kind

QMAIL = (
    "Hi. This is the qmail-send program at mx.example.org.\n\n"
    "<a@example.com>:\n550 5.1.1 no\n\n--- Below\n\n<x@example.com>:\n"
)
EXIM = """This message was created automatically by mail delivery software.

A message that you sent could not be delivered. The
following address(es) failed:

  a@example.com
    (generated from b@example.com)
    host mx.example.com [192.0.2.1]: 550 5.1.1 no

------ This is a copy of the message ------
"""
EXIM_DELAY = EXIM.replace(
    "could not be delivered. The\nfollowing address(es) failed:",
    "has not been delivered.\nThe address to which the message has not yet been delivered is:",
)
POSTFIX = (
    "This is the mail system at host mx.example.org.\n\nI'm sorry.\n\n"
    "<a@example.com> (expanded from <b@example.com>): host\n    mx.example.com[192.0.2.1] said: 550 5.1.1 no\n"
)
EXCHANGE_2003 = (
    "Your message\n\n  Subject: x\n\ndid not reach the following recipient(s):\n\n"
    "a@example.com on Mon, 23 Nov 2026 07:34:38 +0200\n    The recipient name is not recognized (#5.1.1)\n"
)
EXCHANGE_2010 = """Delivery has failed to these recipients or groups:

Joe (a@example.com)

Diagnostic information for administrators:

Generating server: ex.example.org

a@example.com
#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##

Original message headers:

Received: from b@example.com
"""
GMAIL = """Delivery to the following recipient failed permanently:

     a@example.com

Technical details of permanent failure:
The error was: 550 550 5.1.1 no (state 14).

----- Original message -----

From: x@example.com
"""
DMA = (
    "This is the DragonFly Mail Agent v0.13 at mx.example.org.\n\n"
    "There was an error delivering your mail to <a@example.com>.\n\n"
    "mx.example.com [192.0.2.1] did not like our RCPT TO:\n550 5.1.1 no\n\nMessage headers follow.\n"
)
UNLISTED = (
    "Teie kiri ei jõudnud kohale:\n\n  a@example.com\n\nServer vastas: 550 5.1.1 no\n\nKontakt: abi@mx.example.org\n"
)

ALL = [
    ("qmail", QMAIL, "a@example.com"),
    ("exim", EXIM, "b@example.com"),
    ("exim", EXIM_DELAY, "b@example.com"),
    ("postfix", POSTFIX, "b@example.com"),
    ("exchange", EXCHANGE_2003, "a@example.com"),
    ("exchange", EXCHANGE_2010, "a@example.com"),
    ("gmail", GMAIL, "a@example.com"),
    ("dma", DMA, "a@example.com"),
    ("unlisted", UNLISTED, "a@example.com"),
]


@pytest.mark.parametrize(("detector", "text", "recipient"), ALL)
def test_layout(detector: str, text: str, recipient: str):
    """Each is found by its own detector, with one recipient, the one that was written to, and the status."""
    outcome = parse(f"Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.org\nSubject: x\n\n{text}".encode())
    assert outcome.detector == detector
    (report,) = outcome.reports
    assert (report.recipient, report.status) == (recipient, "5.1.1")
    assert report.kind is (Kind.DELAY if text is EXIM_DELAY else Kind.BOUNCE)


@pytest.mark.parametrize(("detector", "text", "recipient"), ALL)
def test_quoted(detector: str, text: str, recipient: str):
    """A person who quotes a notice has not bounced."""
    quoted = "\n".join(f"> {line}" for line in text.split("\n"))
    raw = f"Return-Path: <joe@example.net>\nFrom: Joe <joe@example.net>\nSubject: Re: x\n\nWhat is this?\n\n{quoted}\n"
    assert [report.kind for report in parse(raw.encode()).reports] == [Kind.OTHER]
