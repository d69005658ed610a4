"""Gmail without a delivery status part: what it wrote until 2016, and its newer text where the report is lost.

Recognised by: "Delivery to the following recipient", or one of the headlines of the newer text ("** Address not found
    **"), at the start of a line, from a mail server's address.
Shape: the recipients stand indented under the sentence, or in the sentence under the headline; one reason for all
    follows "Technical details of permanent failure:" or "The response was:".
Source: Google, Bounced emails; the notices themselves
Fixtures: fixtures/layouts/gmail-*.eml
"""

import re

from parsers import address
from parsers.message import Mail
from parsers.report import Kind, Report
from parsers.said import line_at, refusal, unfold
from parsers.sender import is_mailer

MAX_RECIPIENTS = 100
"""Recipients under one reason; Gmail sends a notice for each."""
OLD = "Delivery to the following recipient"
NEW = ("** Address not found **", "** Message not delivered **", "** Message blocked **", "** Delivery incomplete **")
DELAY = re.compile(r"Delivery to the following recipients? has been delayed|\*\* Delivery incomplete")
REASON = re.compile(r"^(?:Technical details of [^\n]*:|The response(?: from the remote server)? was:)", re.M)
RETURNED = "\n\n----- "
IN_SENTENCE = re.compile(r"(?:delivered to|delivering your message to)\s+([^\s@]{1,320}@[^\s@]{1,320})\s")
REMOTE = re.compile(r"\b(?:relay|by|server) (\S{1,255}) by (\S{1,255})\. \[")


def parse(mail: Mail) -> tuple[Report, ...]:
    """One Report per recipient named, in body order; () where the text is not Gmail's."""
    text = mail.text
    start = line_at(text, OLD, *NEW)
    if start < 0 or not is_mailer(mail):
        return ()
    kind = Kind.DELAY if DELAY.match(text, start) else Kind.BOUNCE
    reason = REASON.search(text, start)
    head = text[start : reason.start() if reason else len(text)]
    words = unfold(text[reason.end() if reason else start :].partition(RETURNED)[0])
    remote = REMOTE.search(words)
    return tuple(
        refusal(kind, recipient, words, remote_mta=remote[2] if remote else None) for recipient in _recipients(head)
    )


def _recipients(head: str) -> list[str]:
    lines = [line for line in head.split("\n") if line.startswith((" ", "\t")) and "@" in line]
    found = [recipient for line in lines if (recipient := address.bare(line))]
    if not found and (named := IN_SENTENCE.search(head)):
        found = [recipient for recipient in [address.bare(named[1])] if recipient]
    return found[:MAX_RECIPIENTS]
