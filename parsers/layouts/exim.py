"""Exim's notices without a delivery status part: what it wrote before 4.86, still writes when told to, and its kin.

Recognised by: "This message was created automatically by" at the start of a line, and the sentence that opens the list:
    "address(es) failed:", or "not yet been delivered:" in a delay notice.
Shape: an address indented by two blanks opens one recipient; lines indented further are the reason, for a command or
    a file with "(generated from a@example.com)", the address before forwarding.  Relatives do not indent.  A
    line of dashes ends the list, the original message follows.  An address may lack its domain: X-Failed-Recipients
    has it.
Source: Exim, deliver.c; its specification's chapter on customizing bounce and warning messages
Fixtures: fixtures/layouts/exim-*.eml
"""

import re

from parsers import address
from parsers.message import Mail
from parsers.report import Kind, Report
from parsers.said import line_at, refusal
from parsers.sender import is_passed_on

SENTENCE = "This message was created automatically by"
LIST = re.compile(
    r"address(?:\(es\)|es)?\s(?:failed|(?:have|to\swhich\sthe\smessage\shas)\snot\syet\sbeen\sdelivered(?:\s(?:is|are))?)"
    r":[ \t]*\n"
)
DELAY = re.compile(r"not yet been delivered|has not been delivered to", re.I)
GENERATED = re.compile(r"\(?(?:ultimately )?generated (?:from|by) ([^\s()]{1,320})\)?")
END = ("--", "The following text was generated")
REMOTE = re.compile(r"\bhost:? (\S{1,255}?)[ :]?[\[(]")


def parse(mail: Mail) -> tuple[Report, ...]:
    """One Report per recipient named, in body order; () where the text is not Exim's."""
    text = mail.text
    start = line_at(text, SENTENCE)
    if start < 0 or not (head := LIST.search(text, start)) or is_passed_on(mail, text[:start]):
        return ()
    kind = Kind.DELAY if DELAY.search(text, start, head.end()) else Kind.BOUNCE
    failed = address.all_of(mail.headers.all("x-failed-recipients"))
    by_local_part: dict[str, str] = {}
    for one in failed:
        by_local_part.setdefault(one.rpartition("@")[0], one)
    return tuple(_report(kind, name, reason, failed, by_local_part) for name, reason in _recipients(text[head.end() :]))


def _recipients(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, list[str]]] = []
    complete = indented = False
    for line in text.split("\n"):
        if line.startswith(END):
            break
        name, _, reason = line.strip().partition(" ")
        name = name.rstrip(":").strip('"')
        indent = len(line) - len(line.lstrip())
        if (indent == 2 and (indented or not found)) or (indent == 0 and not reason and address.bare(name)):
            indented = indent == 2
            opened = (name, [reason]) if address.bare(name) else (line.strip(), [])
            found.append(opened)
            complete = False
        elif not name:
            # "For the following reason:" is followed by it
            complete = bool(found and any(found[-1][1]) and not found[-1][1][-1].endswith(":"))
        elif found and not complete:
            found[-1][1].append(line)
    return [(name, " ".join(lines)) for name, lines in found]


def _report(kind: Kind, name: str, reason: str, failed: tuple[str, ...], by_local_part: dict[str, str]) -> Report:
    """`name` is an address, a local part, or the command or file that an address leads to."""
    generated = GENERATED.search(reason) if "generated " in reason else None
    remote = REMOTE.search(reason)
    recipient = address.bare(name)
    if recipient is None:
        recipient = by_local_part.get(name)
    if recipient is None and generated is None and len(failed) == 1:
        recipient = failed[0]
    words = GENERATED.sub("", reason) if generated else reason
    return refusal(
        kind,
        recipient,
        words if words.strip() or "@" in name[:1] or address.bare(name) else name,
        original=generated[1] if generated else None,
        remote_mta=remote[1] if remote else None,
    )
