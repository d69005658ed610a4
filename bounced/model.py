"""The event: one report, where it came from, and what it was matched to.

`as_json` and `golden` hold the contract of the event's JSON: these keys, in this order, `None` where not known.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from parsers.report import Kind, Outcome, Report

KEYS = (
    "id", "source", "kind", "cause", "permanent", "recipient", "original_recipient", "action", "status", "smtp_code",
    "diagnostic", "remote_mta", "reporting_mta", "occurred_at", "received_at", "message_id", "original_message_id",
    "envelope_id", "subject", "feedback_type", "truncated", "matched_by", "forged", "company", "user", "document",
    "mode", "sender_config", "outbound_id", "mailbox", "rule", "tried_ids",
)  # fmt: skip
"""The keys of an event's JSON.  They are only ever appended, never renamed."""

STORED_KEYS = frozenset({
    "id", "source", "received_at", "matched_by", "forged", "company", "user", "document", "mode", "sender_config",
    "outbound_id", "mailbox", "tried_ids",
})  # fmt: skip
"""The keys that only storing gives; an expected fixture JSON has the others."""

NO_COMPLAINTS = frozenset({"not-spam", "auth-failure", "virus"})
"""Feedback by which nobody asks for no more mail: RFC 6430 (the contrary), RFC 6591 (of a program), RFC 5965 §3.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What correlation found for one report.  All None: nothing was found."""

    matched_by: str | None = None  # verp | envid | message-id | recipient | reply-to
    forged: bool = False
    company_id: int | None = None
    company: str | None = None
    user_id: int | None = None
    user: str | None = None  # the user's code
    document: str | None = None
    mode: str | None = None
    sender_config: Mapping[str, object] | None = None
    outbound_id: UUID | None = None
    tried_ids: tuple[str, ...] = ()
    recipient_row: int | None = None  # of the outbound message; what is known of it changes with the event
    proven: bool = False  # the message was sent to the very recipient that the report names, or to one alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One row of the event table."""

    id: UUID | None
    source: str  # PATH, PATH#N, imap:MAILBOX/UIDVALIDITY/UID or smtp:OUTBOUND_ID
    report: Report
    received_at: datetime | None  # aware UTC
    truncated: bool
    mailbox: str | None
    match: Match


def as_json(event: Event) -> dict[str, Any]:
    """The event as the contract wants it: every key of KEYS, in that order."""
    report, match, evidence = event.report, event.match, event.report.evidence
    values: dict[str, Any] = {
        "id": str(event.id) if event.id else None,
        "source": event.source,
        "kind": report.kind.value,
        "cause": report.cause.value if report.cause else None,
        "permanent": report.permanent,
        "recipient": report.recipient,
        "original_recipient": report.original_recipient,
        "action": report.action,
        "status": report.status,
        "smtp_code": report.smtp_code,
        "diagnostic": report.diagnostic,
        "remote_mta": report.remote_mta,
        "reporting_mta": report.reporting_mta,
        "occurred_at": iso(evidence.date),
        "received_at": iso(event.received_at),
        "message_id": evidence.message_id,
        "original_message_id": evidence.original_message_id,
        "envelope_id": evidence.envelope_id,
        "subject": evidence.original_subject or evidence.subject,
        "feedback_type": report.feedback_type,
        "truncated": event.truncated,
        "matched_by": match.matched_by,
        "forged": match.forged,
        "company": match.company,
        "user": match.user,
        "document": match.document,
        "mode": match.mode,
        "sender_config": match.sender_config,
        "outbound_id": str(match.outbound_id) if match.outbound_id else None,
        "mailbox": event.mailbox,
        "rule": report.rule,
        "tried_ids": list(match.tried_ids),
    }
    return {key: values[key] for key in KEYS}


def golden(outcome: Outcome) -> list[dict[str, Any]]:
    """What a fixture's expected JSON holds: the outcome's events without the keys that only storing gives."""
    events = (
        Event(
            id=None,
            source="",
            report=report,
            received_at=None,
            truncated=outcome.truncated,
            mailbox=None,
            match=Match(),
        )
        for report in outcome.reports
    )
    return [{k: v for k, v in as_json(event).items() if k not in STORED_KEYS} for event in events]


def iso(moment: datetime | None) -> str | None:
    """UTC as ISO 8601 with Z, to the second: 2026-11-23T04:35:31Z."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z" if moment else None


def digest_of(snapshot: Mapping[str, object]) -> str:
    """What tells a sender config from every other: SHA-256 over its snapshot, in hexadecimal."""
    return hashlib.sha256(json.dumps(snapshot, sort_keys=True).encode("ascii")).hexdigest()


def complains(report: Report) -> bool:
    """Whether the notice is a person's complaint, and not merely in the format of one."""
    return report.kind is Kind.COMPLAINT and report.feedback_type not in NO_COMPLAINTS


def is_recognised(report: Report) -> bool:
    """Whether a report is a statement about mail that was sent: all that is taken from a user's own mailbox."""
    return report.kind not in (Kind.OTHER, Kind.AUTO_REPLY)
