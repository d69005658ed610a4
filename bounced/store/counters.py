"""Counters of events per UTC day.  They survive the purge of what they count."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, cast, func, select
from sqlalchemy.orm import InstrumentedAttribute

from bounced.model import Event, digest_of
from bounced.store import tables
from bounced.store.events import domain_of
from bounced.store.people import company_key
from bounced.store.upsert import upsert
from parsers.report import Kind


class Key(NamedTuple):
    """What is counted apart.  Not known is 0 or ''."""

    day: date  # UTC
    company_id: int
    mailbox_id: int
    user_id: int
    sender_config: str
    kind: str
    cause: str
    recipient_domain: str


class By(StrEnum):
    """What counts are broken down by."""

    CAUSE = "cause"
    DOMAIN = "domain"
    USER = "user"
    DAY = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterFilter:
    """Which events are counted; None: all."""

    company: str | None = None
    user: str | None = None  # the user's code
    mailbox: str | None = None
    kind: Kind | None = None
    since: date | None = None  # the first day
    until: date | None = None  # the first day that is not counted


class Total(NamedTuple):
    """One line of a breakdown."""

    name: str | None  # the cause, domain, user's code or day (ISO 8601); None: not known
    company: str | None  # the user's company, in a breakdown by user
    events: int


def key_of(event: Event, mailbox_id: int | None) -> Key:
    """Where `event` is counted.  Only a matched event that is not forged counts for its user and sender config."""
    match, report = event.match, event.report
    counts = match.matched_by is not None and not match.forged
    if event.received_at is None:
        raise ValueError("a stored event has a time")
    return Key(
        day=event.received_at.astimezone(UTC).date(),
        company_id=match.company_id or 0,
        mailbox_id=mailbox_id or 0,
        user_id=(match.user_id or 0) if counts else 0,
        sender_config=digest_of(match.sender_config) if counts and match.sender_config else "",
        kind=report.kind.value,
        cause=report.cause.value if report.cause else "",
        recipient_domain=domain_of(report.recipient) or "",
    )


def add(connection: Connection, counts: Mapping[Key, int]) -> None:
    """Add to the counters; a negative number takes away.

    The rows are written in sorted order, so that two daemons never wait for each other in a ring.
    """
    rows = [{**key._asdict(), "count": count} for key, count in sorted(counts.items())]
    if not rows:
        return
    statement = upsert(connection, tables.Counter)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(tables.Counter.__table__.primary_key),
            set_={"count": tables.Counter.count + statement.excluded.count},
        ),
        rows,
    )


def totals(connection: Connection, by: By, chosen: CounterFilter) -> list[Total]:
    """The counts broken down: days in their order, all else the highest count first."""
    columns = _COLUMNS[by]
    events = func.sum(tables.Counter.count)
    rows = connection.execute(
        select(cast(events, BigInteger), *columns)
        .outerjoin(tables.Company, tables.Company.id == tables.Counter.company_id)
        .outerjoin(tables.User, tables.User.id == tables.Counter.user_id)
        .outerjoin(tables.Mailbox, tables.Mailbox.id == tables.Counter.mailbox_id)
        .where(*_conditions(chosen))
        .group_by(*columns)
        .having(events != 0)
    )
    found = [_total(*row) for row in rows]
    if by is By.DAY:
        return sorted(found, key=lambda total: total.name or "")
    return sorted(found, key=lambda total: (-total.events, total.name is None, total.name or "", total.company or ""))


_COLUMNS: dict[By, tuple[InstrumentedAttribute[Any], ...]] = {
    By.CAUSE: (tables.Counter.cause,),
    By.DOMAIN: (tables.Counter.recipient_domain,),
    By.USER: (tables.User.code, tables.Company.name),
    By.DAY: (tables.Counter.day,),
}


def _total(events: int, name: str | date | None, company: str | None = None) -> Total:
    return Total(name.isoformat() if isinstance(name, date) else name or None, company, events)


def _conditions(chosen: CounterFilter) -> Iterator[ColumnElement[bool]]:
    if chosen.company is not None:
        yield tables.Company.name == company_key(chosen.company)
    if chosen.user is not None:
        yield tables.User.code == chosen.user
    if chosen.mailbox is not None:
        yield tables.Mailbox.name == chosen.mailbox
    if chosen.kind is not None:
        yield tables.Counter.kind == chosen.kind.value
    if chosen.since is not None:
        yield tables.Counter.day >= chosen.since
    if chosen.until is not None:
        yield tables.Counter.day < chosen.until
