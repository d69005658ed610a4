"""Events: inserted in bulk, found newest first.  What is inserted comes back equal."""

import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, insert, or_, select

from bounced.model import Event, Match
from bounced.store import mails, tables
from bounced.store.people import company_key
from parsers.causes.cause import Cause
from parsers.report import Evidence, Kind, Report

ROWS_AT_ONCE = 500
"""Rows of a long answer that are in memory together."""

REFUSED = re.compile("[\0\ud800-\udfff]")
"""What the databases refuse in a text: a NUL, half of a surrogate pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are wanted; None: all."""

    company: str | None = None
    user: str | None = None  # the user's code
    recipient: str | None = None  # as written to, or as stated by the notice; any case
    domain: str | None = None  # of the recipient
    cause: Cause | None = None
    kind: Kind | None = None
    document: str | None = None
    since: datetime | None = None  # received then or later
    until: datetime | None = None  # received before
    text: str | None = None  # somewhere in subject, diagnostic or recipient; any case
    limit: int | None = None


def domain_of(address: str | None) -> str | None:
    """The domain of an address, in lower case; None: it has none."""
    _, at, domain = (address or "").rpartition("@")
    return domain.rstrip(".").lower() or None if at else None


def insert_events(
    connection: Connection, mailbox_id: int | None, rows: Iterable[tuple[UUID | None, int, Event]]
) -> None:
    """Insert events that came by one mailbox: (mail id, position of the report in the mail, event).

    An event must have its id and the time at which it was received.
    """
    values = [_row(event, mail_id, position, mailbox_id) for mail_id, position, event in rows]
    if values:
        connection.execute(insert(tables.Event), values)


def find(connection: Connection, wanted: EventFilter) -> Generator[Event]:
    """The wanted events, newest first, read as they are asked for: an export of any length takes bounded memory."""
    options = {"yield_per": ROWS_AT_ONCE}
    with connection.execute(_statement(wanted), execution_options=options) as rows:
        yield from map(_event, rows)


def of_message(connection: Connection, outbound_id: UUID, limit: int) -> list[Event]:
    """The first events about a message that was sent, the oldest first."""
    oldest_first = (tables.Event.received_at, tables.Event.id)
    chosen = _EVENTS.where(tables.Event.outbound_id == outbound_id).order_by(*oldest_first).limit(limit)
    return [_event(row) for row in connection.execute(chosen)]


def get(connection: Connection, event_id: UUID) -> Event | None:
    """The event with that id."""
    row = connection.execute(_EVENTS.where(tables.Event.id == event_id)).one_or_none()
    return _event(row) if row else None


def raw(connection: Connection, event_id: UUID) -> bytes | None:
    """The bytes of the mail that the event came from; None: they were purged, or there was no mail."""
    mail_id = connection.scalar(select(tables.Event.mail_id).where(tables.Event.id == event_id))
    return None if mail_id is None else mails.raw(connection, mail_id)


_EVENTS = (
    select(
        tables.Event.id,
        tables.Event.source,
        tables.Event.received_at,
        tables.Event.truncated,
        tables.Event.kind,
        tables.Event.cause,
        tables.Event.permanent,
        tables.Event.recipient,
        tables.Event.original_recipient,
        tables.Event.final_recipient,
        tables.Event.action,
        tables.Event.status,
        tables.Event.smtp_code,
        tables.Event.diagnostic,
        tables.Event.remote_mta,
        tables.Event.reporting_mta,
        tables.Event.feedback_type,
        tables.Event.rule,
        tables.Event.occurred_at,
        tables.Event.message_id,
        tables.Event.original_message_id,
        tables.Event.envelope_id,
        tables.Event.subject,
        tables.Event.original_subject,
        tables.Event.evidence,
        tables.Event.matched_by,
        tables.Event.forged,
        tables.Event.company_id,
        tables.Event.user_id,
        tables.Event.document,
        tables.Event.mode,
        tables.Event.sender_config,
        tables.Event.outbound_id,
        tables.Event.tried_ids,
        tables.Company.name.label("company"),
        tables.User.code.label("user"),
        tables.Mailbox.name.label("mailbox"),
    )
    .outerjoin(tables.Company, tables.Company.id == tables.Event.company_id)
    .outerjoin(tables.User, tables.User.id == tables.Event.user_id)
    .outerjoin(tables.Mailbox, tables.Mailbox.id == tables.Event.mailbox_id)
)


def _statement(wanted: EventFilter) -> Select[*tuple[Any, ...]]:
    newest_first = (tables.Event.received_at.desc(), tables.Event.id.desc())
    return _EVENTS.where(*_conditions(wanted)).order_by(*newest_first).limit(wanted.limit)


def _conditions(wanted: EventFilter) -> Iterator[ColumnElement[bool]]:
    event = tables.Event
    if wanted.company is not None:
        company = select(tables.Company.id).where(tables.Company.name == company_key(wanted.company))
        yield event.company_id == company.scalar_subquery()
    if wanted.user is not None:
        yield event.user_id.in_(select(tables.User.id).where(tables.User.code == wanted.user))
    if wanted.recipient is not None:
        address = func.lower(wanted.recipient)
        yield or_(
            func.lower(event.recipient) == address,
            *(
                and_(func.lower(stated) == address, stated.is_distinct_from(event.recipient))  # as its index has it
                for stated in (event.original_recipient, event.final_recipient)
            ),
        )
    if wanted.domain is not None:
        yield event.recipient_domain == wanted.domain.lower()
    if wanted.cause is not None:
        yield event.cause == wanted.cause.value
    if wanted.kind is not None:
        yield event.kind == wanted.kind.value
    if wanted.document is not None:
        yield event.document == wanted.document
    if wanted.since is not None:
        yield event.received_at >= wanted.since
    if wanted.until is not None:
        yield event.received_at < wanted.until
    if wanted.text is not None:
        searched = (
            event.subject,
            event.original_subject,
            event.diagnostic,
            event.recipient,
            event.original_recipient,
            event.final_recipient,
        )
        words = wanted.text.upper()
        yield or_(*(func.upper(column).contains(words, autoescape=True) for column in searched))


def _row(event: Event, mail_id: UUID | None, position: int, mailbox_id: int | None) -> dict[str, Any]:
    report, evidence, match = event.report, event.report.evidence, event.match
    row = {
        "id": event.id,
        "mail_id": mail_id,
        "position": position,
        "source": event.source,
        "mailbox_id": mailbox_id,
        "received_at": event.received_at,
        "truncated": event.truncated,
        "kind": report.kind.value,
        "cause": report.cause.value if report.cause else None,
        "permanent": report.permanent,
        "recipient": report.recipient,
        "original_recipient": report.original_recipient,
        "final_recipient": report.final_recipient,
        "recipient_domain": domain_of(report.recipient),
        "action": report.action,
        "status": report.status,
        "smtp_code": report.smtp_code,
        "diagnostic": report.diagnostic,
        "remote_mta": report.remote_mta,
        "reporting_mta": report.reporting_mta,
        "feedback_type": report.feedback_type,
        "rule": report.rule,
        "occurred_at": evidence.date,
        "message_id": evidence.message_id,
        "original_message_id": evidence.original_message_id,
        "envelope_id": evidence.envelope_id,
        "subject": evidence.subject,
        "original_subject": evidence.original_subject,
        "evidence": _other_evidence(evidence),
        "matched_by": match.matched_by,
        "forged": match.forged,
        "company_id": match.company_id,
        "user_id": match.user_id,
        "document": match.document,
        "mode": match.mode,
        "sender_config": dict(match.sender_config) if match.sender_config is not None else None,
        "outbound_id": match.outbound_id,
        "tried_ids": list(match.tried_ids) or None,
    }
    return {name: _clean(v) if type(v) is str and not v.isprintable() else v for name, v in row.items()}


def _other_evidence(evidence: Evidence) -> dict[str, Any] | None:
    """What of the evidence has no column of its own, without what is not there."""
    other = {
        "related_ids": evidence.related_ids,
        "failed_recipients": evidence.failed_recipients,
        "delivered_to": evidence.delivered_to,
        "original_from": evidence.original_from,
        "original_reply_to": evidence.original_reply_to,
        "original_to": evidence.original_to,
        "original_date": evidence.original_date.isoformat() if evidence.original_date else None,
    }
    return {name: value for name, value in other.items() if value} or None


def _clean(value: str) -> str:
    """`value` with U+FFFD for what the databases refuse: one mail must not keep a whole batch out."""
    return REFUSED.sub("\ufffd", value)


def _event(row: Row[*tuple[Any, ...]]) -> Event:
    other: Mapping[str, Any] = row.evidence or {}
    original_date = other.get("original_date")
    evidence = Evidence(
        message_id=row.message_id,
        original_message_id=row.original_message_id,
        envelope_id=row.envelope_id,
        related_ids=tuple(other.get("related_ids", ())),
        failed_recipients=tuple(other.get("failed_recipients", ())),
        delivered_to=tuple(other.get("delivered_to", ())),
        original_from=other.get("original_from"),
        original_reply_to=other.get("original_reply_to"),
        original_to=tuple(other.get("original_to", ())),
        original_subject=row.original_subject,
        original_date=datetime.fromisoformat(original_date) if original_date else None,
        subject=row.subject,
        date=row.occurred_at,
    )
    report = Report(
        kind=Kind(row.kind),
        recipient=row.recipient,
        original_recipient=row.original_recipient,
        final_recipient=row.final_recipient,
        action=row.action,
        status=row.status,
        smtp_code=row.smtp_code,
        diagnostic=row.diagnostic,
        remote_mta=row.remote_mta,
        reporting_mta=row.reporting_mta,
        feedback_type=row.feedback_type,
        cause=Cause(row.cause) if row.cause else None,
        permanent=row.permanent,
        rule=row.rule,
        evidence=evidence,
    )
    match = Match(
        matched_by=row.matched_by,
        forged=row.forged,
        company_id=row.company_id,
        company=row.company,
        user_id=row.user_id,
        user=row.user,
        document=row.document,
        mode=row.mode,
        sender_config=row.sender_config,
        outbound_id=row.outbound_id,
        tried_ids=tuple(row.tried_ids or ()),
    )
    return Event(
        id=row.id,
        source=row.source,
        report=report,
        received_at=row.received_at,
        truncated=row.truncated,
        mailbox=row.mailbox,
        match=match,
    )
