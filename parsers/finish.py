"""What every report gets, whichever detector made it: clean and bounded text, evidence, cause.

Nothing of a mail leaves the parsers but through here.
"""

import re
from dataclasses import replace

from parsers.causes.classify import classify
from parsers.report import MAX_DIAGNOSTIC, Evidence, Kind, Report

MAX_REPORTS = 1_000
"""Reports taken from one mail: a message may go to that many recipients at once, and each may bounce."""
MAX_WORD = 320
"""Characters of an address, a host or an action: the longest address (RFC 5321 §4.5.3.1); no longer one is real."""
MAX_LINE = 998
"""Characters of a subject or an id: the longest line of a header (RFC 5322 §2.1.1)."""

BLANKS = re.compile(r"[\t\v\f\r\x85\u2028\u2029]")
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""Control characters but "\\n", lone surrogates, and what turns the direction of all text that follows it."""


def finish(reports: tuple[Report, ...], found: Evidence) -> tuple[Report, ...]:
    """`reports` made fit to be stored and shown: cleaned, bounded, each statement once, with evidence and cause."""
    evidence = _clean_evidence(found)
    finished: dict[tuple[str | None, ...], Report] = {}
    for raw in reports[:MAX_REPORTS]:
        report = _clean_report(raw, evidence)
        key = _statement(report)
        if key not in finished:
            finished[key] = _with_cause(report)
    return tuple(finished.values())


def clean(text: str | None, limit: int) -> str | None:
    """At most `limit` characters of `text` without what no text field may hold; None where nothing is left."""
    if text is None:
        return None
    if not text.isprintable():
        text = UNSEEN.sub("", BLANKS.sub(" ", text[: 2 * limit]))
    return text[:limit].strip() or None


def _statement(report: Report) -> tuple[str | None, ...]:
    """What makes two reports of one mail the same: Exim names a recipient twice when two of its aliases fail."""
    if report.recipient is None:
        return report.kind, report.status, report.diagnostic
    return report.kind, report.recipient.lower()


def _clean_report(report: Report, evidence: Evidence) -> Report:
    if envelope_id := clean(report.evidence.envelope_id, MAX_LINE):
        evidence = replace(evidence, envelope_id=envelope_id)
    return replace(
        report,
        recipient=clean(report.recipient, MAX_WORD),
        original_recipient=clean(report.original_recipient, MAX_WORD),
        final_recipient=clean(report.final_recipient, MAX_WORD),
        action=clean(report.action, MAX_WORD),
        diagnostic=clean(report.diagnostic, MAX_DIAGNOSTIC),
        remote_mta=clean(report.remote_mta, MAX_WORD),
        reporting_mta=clean(report.reporting_mta, MAX_WORD),
        feedback_type=clean(report.feedback_type, MAX_WORD),
        evidence=evidence,
    )


def _clean_evidence(found: Evidence) -> Evidence:
    return replace(
        found,
        message_id=clean(found.message_id, MAX_LINE),
        original_message_id=clean(found.original_message_id, MAX_LINE),
        related_ids=_clean_all(found.related_ids, MAX_LINE),
        failed_recipients=_clean_all(found.failed_recipients, MAX_WORD),
        delivered_to=_clean_all(found.delivered_to, MAX_WORD),
        original_from=clean(found.original_from, MAX_WORD),
        original_reply_to=clean(found.original_reply_to, MAX_WORD),
        original_to=_clean_all(found.original_to, MAX_WORD),
        original_subject=clean(found.original_subject, MAX_LINE),
        subject=clean(found.subject, MAX_LINE),
    )


def _clean_all(texts: tuple[str, ...], limit: int) -> tuple[str, ...]:
    return tuple(one for text in texts if (one := clean(text, limit)))


def _with_cause(report: Report) -> Report:
    if report.kind not in (Kind.BOUNCE, Kind.DELAY):
        return report
    verdict = classify(
        text=report.diagnostic,
        status=report.status,
        smtp_code=report.smtp_code,
        kind=report.kind,
        remote_mta=report.remote_mta,
    )
    return replace(report, cause=verdict.cause, permanent=verdict.permanent, rule=verdict.rule)
