"""A refusal at sending time as a report: the same classifier as for a bounce, the server's reply verbatim.

Sources: RFC 5321 §4.2 (replies), RFC 3463 (status).
"""

from parsers.causes.cause import Cause
from parsers.causes.classify import classify
from parsers.report import MAX_DIAGNOSTIC, Evidence, Kind, Report
from parsers.status import find_status
from parsers.tidy import MAX_WORD, tidy

AT_SENDING = "sending"
"""In the place of a rule: no text decided, but the step at which it failed."""
UNREACHABLE, NO_TOKEN, GIVEN_UP = "sending-unreachable", "sending-no-token", "sending-given-up"
"""The same, of steps that have a remedy of their own (texts.*.toml)."""


def refused(
    recipient: str | None,
    *,
    code: int | None,
    text: str,
    host: str | None,
    evidence: Evidence,
    final: bool,
) -> Report:
    """What a server's reply, or a failure to reach it, says about one recipient; None: about the sender config.

    code   of the reply; None: there was none
    text   the reply with its code, lines parted by LF; or the failure in words
    final  whether it is not tried again
    """
    kind = Kind.BOUNCE if final else Kind.DELAY
    words = " ".join(text.split())
    status = find_status(words)
    verdict = classify(text=words, status=status, smtp_code=code, kind=kind, remote_mta=host)
    return Report(
        kind=kind,
        recipient=recipient,
        status=status,
        smtp_code=code,
        diagnostic=tidy(text.replace("\n", " "), MAX_DIAGNOSTIC),
        remote_mta=tidy(host, MAX_WORD),
        cause=verdict.cause,
        permanent=verdict.permanent,
        rule=verdict.rule,
        evidence=evidence,
    )


def given_up(recipient: str, *, last: str | None, evidence: Evidence) -> Report:
    """That a message was tried for as long as it may be; `last`: what the last attempt said."""
    words = tidy(last, MAX_DIAGNOSTIC)
    return Report(
        kind=Kind.BOUNCE,
        recipient=recipient,
        status=find_status(words or ""),
        diagnostic=words,
        cause=Cause.DELIVERY_EXPIRED,
        permanent=False,
        rule=GIVEN_UP,
        evidence=evidence,
    )


def suppressed(recipient: str, evidence: Evidence) -> Report:
    """That a recipient was left out, because the company does not write to that address any more."""
    return Report(
        kind=Kind.BOUNCE,
        recipient=recipient,
        cause=Cause.SUPPRESSED,
        permanent=False,
        rule=AT_SENDING,
        evidence=evidence,
    )
