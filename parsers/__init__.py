"""Bytes in, dataclasses out: what a mail says about messages that were sent before.

`parse` is the only door.  Nothing here knows a database, a network, a clock or the service above.
"""

from pathlib import PurePath

from parsers.finish import MAX_REPORTS, finish
from parsers.message import Mail, read
from parsers.order import ORDER
from parsers.original import evidence
from parsers.part import MAX_REPORT
from parsers.report import Kind, Outcome, Report

__all__ = ["parse"]


def parse(raw: bytes) -> Outcome:
    """What `raw` says about each recipient, classified.

    raw      one message as it was fetched; any size, any line ends
    returns  at least one report; a single one of kind `other` where nothing is recognised
    raises   nothing
    cost     linear in len(raw), of which parsers.scan.MAX_BYTES are looked at
    """
    try:
        return _parse(raw)
    except Exception as error:  # noqa: BLE001  the door's promise: whatever a mail does, it becomes an event
        return Outcome(reports=(Report(kind=Kind.OTHER),), problems=(_problem("parse", error),))


def _parse(raw: bytes) -> Outcome:
    mail = read(raw)
    problems = list(mail.problems)
    detector, reports = _detect(mail, problems)
    truncated = mail.truncated
    if len(reports) > MAX_REPORTS:
        problems.append(f"only the first {MAX_REPORTS} reports were read")
        truncated = True
    if mail.is_report_cut:
        problems.append(f"only the first {MAX_REPORT} bytes of the delivery reports were read")
        truncated = True
    return Outcome(
        reports=finish(reports, evidence(mail)), detector=detector, problems=tuple(problems), truncated=truncated
    )


def _detect(mail: Mail, problems: list[str]) -> tuple[str | None, tuple[Report, ...]]:
    for name, detect in ORDER:
        try:
            reports = detect(mail)
        except Exception as error:  # noqa: BLE001  a detector's bug must not lose the mail
            problems.append(_problem(name, error))
            continue
        if reports:
            return name, reports
    return None, (Report(kind=Kind.OTHER),)


def _problem(where: str, error: Exception) -> str:
    """What went wrong, for the log: the kind of error and its place, without its words, which may quote the mail."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f" ({PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})" if trace else ""
    return f"{where}: {type(error).__name__}{place}"
