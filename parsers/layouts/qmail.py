"""qmail's own bounce, QSBMF, and its relatives: plain text, not a delivery status notification.

Recognised by: the text begins "Hi. This is the" (QSBMF §2), or, under an introduction of the operator's own, the list
    ends with qmail's line and comes from a mail server's address.
Shape: "<address>:" at the start of a line opens one recipient, its reason follows up to a blank line; a line that
    begins "-" ends the list, the original message follows.
Source: D. J. Bernstein, The qmail-send Bounce Message Format
Fixtures: fixtures/layouts/qmail-*.eml
"""

import re

from parsers.message import Mail
from parsers.report import Kind, Report
from parsers.said import line_at, refusal
from parsers.sender import is_mailer

FIRST_WORDS = "Hi. This is the "
LAST_LINE = "--- Below this line is a copy of the message."
HOST = re.compile(r"Hi\. This is the \S{1,60} program at (\S{1,255}?)\.?$", re.M)
RECIPIENT = re.compile(r"<([^<>\n]{1,320})>:[ \t]*(.*)")


def parse(mail: Mail) -> tuple[Report, ...]:
    """One Report per failed recipient, in body order; () where the text is not qmail's."""
    text = mail.text
    if not text.startswith(FIRST_WORDS) and (line_at(text, LAST_LINE) < 0 or not is_mailer(mail)):
        return ()
    host = HOST.match(text)
    reports = []
    for recipient, reason in _recipients(text):
        report = refusal(Kind.BOUNCE, recipient, reason, reporting_mta=host[1] if host else None)
        reports.append(report)
    return tuple(reports)


def _recipients(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, list[str]]] = []
    open_ = False
    for line in text.split("\n"):
        if line.startswith("-"):  # --- Below this line is a copy of the message.
            break
        if start := RECIPIENT.match(line):
            found.append((start[1], [start[2]]))
            open_ = True
        elif not line.strip():
            open_ = open_ and not any(found[-1][1])
        elif open_:
            found[-1][1].append(line)
    return [(recipient, " ".join(lines)) for recipient, lines in found]
