"""Exim's notices without a delivery status part: what it wrote before 4.86, and still writes when told to.

Recognised by: "This message was created automatically by mail delivery software" at the start of a line.
Shape: after "address(es) failed:", or "not yet been delivered:" in a delay notice, an address indented by two blanks
    opens one recipient; "(generated from a@example.com)" names the address before forwarding; lines indented further
    are the reason.  A line of dashes ends the list, the original message follows.
Source: Exim, deliver.c and the specification's chapter on customizing bounce and warning messages
Fixtures: fixtures/layouts/exim-*.eml
"""

import re

from parsers import address
from parsers.message import Mail
from parsers.report import Kind, Report
from parsers.said import refusal

SENTENCE = re.compile(r"^This message was created automatically by (?:the )?mail delivery (?:software|system)", re.M)
LIST = re.compile(
    r"^.*?(?:address(?:\(es\)|es)? (?:failed|has|have|to which)|not (?:yet )?been delivered|(?:still )?undelivered address)"
    r".*?:[ \t]*$",
    re.M,
)
DELAY = re.compile(r"has not been delivered to|not yet been delivered|No action is required on your part", re.I)
RECIPIENT = re.compile(r"[ \t]{1,4}(\S.*)")
GENERATED = re.compile(r"\((?:ultimately )?generated from ([^()]{1,320})\)")
REMOTE = re.compile(r"\bhost (\S{1,255}) \[")


def parse(mail: Mail) -> tuple[Report, ...]:
    """One Report per recipient named, in body order; () where the text is not Exim's."""
    text = mail.text
    if not (start := SENTENCE.search(text)) or not (head := LIST.search(text, start.end())):
        return ()
    kind = Kind.DELAY if DELAY.search(text, 0, head.end()) else Kind.BOUNCE
    return tuple(_report(kind, recipient, reason) for recipient, reason in _recipients(text[head.end() :]))


def _report(kind: Kind, recipient: str, reason: str) -> Report:
    generated, remote = GENERATED.search(reason), REMOTE.search(reason)
    return refusal(
        kind,
        recipient,
        GENERATED.sub("", reason),
        original=generated[1] if generated else None,
        remote_mta=remote[1] if remote else None,
    )


def _recipients(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, list[str]]] = []
    for line in text.split("\n"):
        if line.startswith("--"):  # ------ This is a copy of the message, including all the headers. ------
            break
        opened = RECIPIENT.fullmatch(line)
        if opened and not line.startswith("    ") and (recipient := address.bare(opened[1].partition(" ")[0])):
            found.append((recipient, [opened[1].partition(" ")[2]]))
        elif found and line.startswith(" "):
            found[-1][1].append(line)
        elif found and line.strip():
            break
    return [(recipient, " ".join(lines)) for recipient, lines in found]
