"""Postfix's notice where the delivery status part is missing: stripped on the way, or pasted as text.

Recognised by: "This is the mail system at host", before 2.3 "This is the Postfix program at host" (or whatever the
    server calls itself), at the start of a line, from a mail server's address.
Shape: "<address>: reason" at the start of a line opens one recipient, "<address> (expanded from <other>): reason" one
    that was written to as <other>; indented lines go on with it.
Source: Postfix, bounce(5) and bounce_notify_util.c
Fixtures: fixtures/layouts/postfix-*.eml
"""

import re

from parsers.message import Mail
from parsers.report import Kind, Report
from parsers.said import line_at, refusal
from parsers.sender import is_mailer

SENTENCE = re.compile(r"This is the (?:mail system|[^\n]{1,60} program) at host (\S{1,255}?)\.?$", re.M)
RECIPIENT = re.compile(r"<([^<>\n]{1,320})>(?: \(expanded from <([^<>\n]{1,320})>\))?: *(.*)")
KINDS = (
    (re.compile(r"THIS IS A WARNING ONLY|has been delayed|could not be delivered for more than", re.I), Kind.DELAY),
    (re.compile(r"successfully delivered|was delivered", re.I), Kind.DELIVERED),
)
FOLDED = re.compile(r"(?<=\(expanded from)\n[ \t]{1,8}<")
REMOTE = re.compile(r"host (\S{1,255}?)\[")


def parse(mail: Mail) -> tuple[Report, ...]:
    """One Report per recipient named, in body order; () where the text is not Postfix's."""
    text = mail.text
    at = line_at(text, "This is the ")
    if at < 0 or not (start := SENTENCE.match(text, at)) or not is_mailer(mail):
        return ()
    found: list[tuple[str, str | None, list[str]]] = []
    first = len(text)
    for line in FOLDED.sub(" <", text[start.end() :]).split("\n"):
        if opened := RECIPIENT.match(line):
            first = first if found else text.find(f"<{opened[1]}>", start.end())
            found.append((opened[1], opened[2], [opened[3]]))
        elif found and line.startswith((" ", "\t")):
            found[-1][2].append(line)
        elif line.startswith("--"):
            break
    kind = next((kind for words, kind in KINDS if words.search(text, 0, first)), Kind.BOUNCE)
    return tuple(_report(kind, *one, host=start[1]) for one in found)


def _report(kind: Kind, recipient: str, original: str | None, lines: list[str], *, host: str) -> Report:
    reason = " ".join(lines).strip()
    remote = REMOTE.match(reason)
    return refusal(
        kind, recipient, reason, original=original, remote_mta=remote[1] if remote else None, reporting_mta=host
    )
