"""What the parsers promise of every outcome, whatever the mail was."""

import re
import unicodedata
from collections.abc import Iterator

from parsers.causes.cause import Cause
from parsers.causes.rule import load_rules
from parsers.finish import MAX_REPORTS
from parsers.original import MAX_ADDRESSES, MAX_IDS
from parsers.report import MAX_DIAGNOSTIC, Evidence, Kind, Outcome, Report
from parsers.tidy import MAX_LINE, MAX_WORD

STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}", re.ASCII)
A_BOUND_WAS_MET = "only "
"""How each problem begins that is none of ours; all others tell of an exception: "dsn: KeyError: ..."."""
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")
"""What turns the direction of the text behind it, or ends the line for some readers."""
REFUSALS = {Kind.BOUNCE, Kind.DELAY}
LIMITS = {
    "diagnostic": MAX_DIAGNOSTIC,
    "message_id": MAX_LINE,
    "original_message_id": MAX_LINE,
    "envelope_id": MAX_LINE,
    "related_ids": MAX_LINE,
    "original_subject": MAX_LINE,
    "subject": MAX_LINE,
}
"""Characters of a field; of every other one MAX_WORD."""

CAUSE_BY_RULE: dict[str, Cause] = {rule.name: rule.cause for rule in load_rules()}


def texts_of(thing: Report | Evidence) -> Iterator[tuple[str, str]]:
    """Every text of a report or its evidence with the name of its field."""
    for name in thing._fields:
        value = getattr(thing, name)
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, tuple) and not isinstance(value, Evidence):
            yield from ((name, one) for one in value)


def check_text(name: str, text: str) -> None:
    """Not empty, on one line, bounded, and nothing in it that steers a terminal, a log or a reader."""
    assert text, name
    assert text == text.strip(), name
    assert len(text) <= LIMITS.get(name, MAX_WORD), name
    if not text.isprintable():
        for character in text:
            assert unicodedata.category(character) not in {"Cc", "Cs"}, (name, character)
            assert character not in TURNING, (name, character)


def check_report(report: Report) -> None:
    """What holds of each report by itself, but for its evidence."""
    for name, text in texts_of(report):
        check_text(name, text)
    assert report.status is None or STATUS.fullmatch(report.status), report.status
    assert report.smtp_code is None or 200 <= report.smtp_code <= 599
    if report.kind in REFUSALS:
        assert report.rule is not None
        assert report.cause is CAUSE_BY_RULE[report.rule]
        assert isinstance(report.permanent, bool)
    else:
        assert (report.cause, report.permanent, report.rule) == (None, None, None)


def check_evidence(evidence: Evidence) -> None:
    """Tidy texts, no more ids and addresses than are taken, moments that know their zone."""
    for name, text in texts_of(evidence):
        check_text(name, text)
    assert len(evidence.related_ids) <= MAX_IDS
    for addresses in (evidence.failed_recipients, evidence.delivered_to, evidence.original_to):
        assert len(addresses) <= MAX_ADDRESSES
    for moment in (evidence.date, evidence.original_date):
        assert moment is None or moment.utcoffset() is not None


def check_outcome(outcome: Outcome) -> None:
    """All that holds of every outcome."""
    assert 1 <= len(outcome.reports) <= MAX_REPORTS
    for problem in outcome.problems:
        assert problem.startswith(A_BOUND_WAS_MET), problem
        check_text("problem", problem)
    for report in outcome.reports:
        check_report(report)
        if report.kind is Kind.OTHER:
            assert len(outcome.reports) == 1
            assert report.recipient is None
    for evidence in {report.evidence for report in outcome.reports}:
        check_evidence(evidence)
