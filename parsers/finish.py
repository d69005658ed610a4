"""What every report gets, whichever detector made it: tidy and bounded text, evidence, cause."""

from parsers.causes.classify import classify
from parsers.report import MAX_DIAGNOSTIC, Evidence, Kind, Report
from parsers.tidy import MAX_LINE, MAX_WORD, tidy

MAX_REPORTS = 10_000
"""Reports taken from one mail: a hundred times the recipients that every server takes (RFC 5321 §4.5.3.1.8)."""


def finish(reports: tuple[Report, ...], evidence: Evidence) -> tuple[Report, ...]:
    """`reports` made fit to be stored and shown: tidy, bounded, each statement once, with evidence and cause.

    evidence  what the mail says for all of them, tidy already
    """
    if len(reports) == 1:
        return (_finish(reports[0], evidence),)
    finished: dict[tuple[str | None, ...], Report] = {}
    for raw in reports[:MAX_REPORTS]:
        report = _finish(raw, evidence)
        finished.setdefault(_statement(report), report)
    return tuple(finished.values())


def _statement(report: Report) -> tuple[str | None, ...]:
    """What makes two reports of one mail the same: Exim names a recipient twice when two of its aliases fail."""
    if report.recipient is None:
        return report.kind, report.status, report.diagnostic
    return report.kind, report.recipient.lower()


def _finish(report: Report, evidence: Evidence) -> Report:
    envelope_id = tidy(report.evidence.envelope_id, MAX_LINE)
    diagnostic, remote_mta = tidy(report.diagnostic, MAX_DIAGNOSTIC), tidy(report.remote_mta, MAX_WORD)
    verdict = None
    if report.kind in (Kind.BOUNCE, Kind.DELAY):
        verdict = classify(
            text=diagnostic,
            status=report.status,
            smtp_code=report.smtp_code,
            kind=report.kind,
            remote_mta=remote_mta,
        )
    # Named one by one: _replace takes longer, and this is done for each recipient.
    return Report(
        kind=report.kind,
        recipient=tidy(report.recipient, MAX_WORD),
        original_recipient=tidy(report.original_recipient, MAX_WORD),
        final_recipient=tidy(report.final_recipient, MAX_WORD),
        action=tidy(report.action, MAX_WORD),
        status=report.status,
        smtp_code=report.smtp_code,
        diagnostic=diagnostic,
        remote_mta=remote_mta,
        reporting_mta=tidy(report.reporting_mta, MAX_WORD),
        feedback_type=tidy(report.feedback_type, MAX_WORD),
        cause=verdict.cause if verdict else None,
        permanent=verdict.permanent if verdict else None,
        rule=verdict.rule if verdict else None,
        evidence=evidence._replace(envelope_id=envelope_id) if envelope_id else evidence,
    )
