"""Exchange and Microsoft 365 without a delivery status part.

Recognised by: "did not reach the following recipient(s):" or "... could not be reached:" (5.5 to 2003), or "Delivery
    has failed to these recipients", "Delivery is delayed to these recipients" (2007 on), at the start of a line.
Shape: 2003: "address on DATE" opens one recipient, indented lines are the reason; 2007 on: under "Diagnostic
    information for administrators:", "Generating server: HOST", then an address on a line of its own and the reason
    ("#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##", "Remote Server returned '550 5.1.1 ...'") on the next ones.
Source: Microsoft, Non-delivery reports in Exchange Online; the notices themselves
Fixtures: fixtures/layouts/exchange-*.eml
"""

import re

from parsers import address
from parsers.message import Mail
from parsers.report import Kind, Report
from parsers.said import line_at, refusal
from parsers.sender import is_passed_on

OLD = ("did not reach the following recipient(s):", "The following recipient(s) could not be reached:")
FAILED = "Delivery has failed to these "
DELAYED = "Delivery is delayed to these "
SERVER = re.compile(r"^Generating server: *(\S{1,255})", re.M)
ON_DATE = re.compile(r"([^\s@]{1,320}@[^\s@]{1,320}|[^:@]{1,200}?) on (?:\w{3}, )?\d{1,2}[ ./]\S.{4,40}")
REMOTE = re.compile(
    r"^(?:Remote Server(?: at (\S{1,255}))?|([\w-]{1,63}(?:\.[\w-]{1,63}){1,10})) (?:\([\d.:a-fA-F]{2,45}\) )?"
    r"(?:returned|#)"
)
END = ("Original message headers", "----", "________", "Received:")


def parse(mail: Mail) -> tuple[Report, ...]:
    """One Report per recipient named, in body order; () where the text is not Exchange's."""
    text = mail.text
    reports: tuple[Report, ...] = ()
    if (start := line_at(text, *OLD)) >= 0:
        return _old(text[start:].partition(":")[2]) if not is_passed_on(mail) else ()  # behind a summary of the mail
    if (start := line_at(text, FAILED)) >= 0:
        reports = _new(text, Kind.BOUNCE)
    elif (start := line_at(text, DELAYED)) >= 0:
        reports = _new(text, Kind.DELAY)
    return reports if reports and not is_passed_on(mail, text[:start]) else ()


def _old(text: str) -> tuple[Report, ...]:
    found: list[tuple[str | None, list[str]]] = []
    for line in text.split("\n"):
        if opened := ON_DATE.fullmatch(line.strip()):
            found.append((address.bare(opened[1]), []))
        elif found and line.strip():
            found[-1][1].append(line)
    return tuple(refusal(Kind.BOUNCE, recipient, " ".join(lines)) for recipient, lines in found)


def _new(text: str, kind: Kind) -> tuple[Report, ...]:
    server = SERVER.search(text)
    if server is None:
        return ()
    found: list[tuple[str, list[str]]] = []
    for line in text[server.end() :].split("\n"):
        if line.startswith(END):
            break
        if recipient := address.bare(line) if "@" in line and " " not in line.strip() else None:
            found.append((recipient, []))
        elif found:
            found[-1][1].append(line)
    reports = []
    for recipient, lines in found:
        reason = " ".join(lines).strip()
        remote = REMOTE.match(reason)
        reports.append(
            refusal(
                kind,
                recipient,
                reason.strip("# "),
                remote_mta=(remote[1] or remote[2]) if remote else None,
                reporting_mta=server[1],
            )
        )
    return tuple(reports)
