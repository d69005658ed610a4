"""Addresses that a company does not write to any more."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, select

from bounced.store import tables
from bounced.store.mails import chunks
from bounced.store.people import email_key
from bounced.store.upsert import upsert
from parsers.report import Kind

COMPLAINT = Kind.COMPLAINT.value
"""The cause where the owner of the address complained: such notices have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """One address of one company's list."""

    company: str
    address: str
    cause: str | None  # None: added by hand
    event_id: UUID | None
    created_at: datetime


def add(
    connection: Connection,
    company_id: int,
    address: str,
    at: datetime,
    *,
    cause: str | None = None,
    event_id: UUID | None = None,
) -> bool:
    """Put an address on the list; False: it is there already, and for no lesser reason.

    at      when it was decided, or the notice came
    cause   what the event says; None: a person decided
    """
    values = {
        "company_id": company_id,
        "address": address,
        "address_key": email_key(address),
        "cause": cause,
        "event_id": event_id,
        "created_at": at,
    }
    table = tables.Suppression
    statement = upsert(connection, table).values(values)
    if cause == COMPLAINT:  # it outlasts a bounce
        bounced = {name: statement.excluded[name] for name in ("cause", "event_id", "created_at")}
        statement = statement.on_conflict_do_update(
            index_elements=[table.company_id, table.address_key], set_=bounced, where=table.cause != COMPLAINT
        )
    else:
        statement = statement.on_conflict_do_nothing()
    return connection.scalar(statement.returning(table.address_key)) is not None  # an insert's row count is not told


def remove(connection: Connection, company_id: int, address: str) -> bool:
    """Take an address off the list; False: it is not there."""
    table = tables.Suppression
    chosen = (table.company_id == company_id, table.address_key == email_key(address))
    return connection.execute(delete(table).where(*chosen)).rowcount == 1


def clear(connection: Connection, company_id: int, address: str, at: datetime) -> None:
    """A message was delivered to an address: take it off the list, if it bounced before.

    Who complained, or was put there by a person, stays: that mail arrives is no reason to write again.
    at   when the notice came
    """
    table = tables.Suppression
    chosen = (table.company_id == company_id, table.address_key == email_key(address), table.created_at < at)
    connection.execute(delete(table).where(*chosen, table.cause != COMPLAINT))


def listed(connection: Connection, company_id: int | None = None) -> list[Suppression]:
    """The lists of all companies, or one's, the newest first."""
    table = tables.Suppression
    chosen = (
        select(tables.Company.name.label("company"), table.address, table.cause, table.event_id, table.created_at)
        .join(tables.Company, tables.Company.id == table.company_id)
        .order_by(table.created_at.desc(), table.address_key)
    )
    if company_id is not None:
        chosen = chosen.where(table.company_id == company_id)
    return [Suppression(**row._mapping) for row in connection.execute(chosen)]


def among(connection: Connection, company_id: int, addresses: Iterable[str]) -> set[str]:
    """Those of `addresses` that are on the list."""
    by_key = {email_key(address): address for address in addresses}
    table = tables.Suppression
    found: set[str] = set()
    for keys in chunks(list(by_key)):
        chosen = (table.company_id == company_id, table.address_key.in_(keys))
        found.update(by_key[key] for key in connection.scalars(select(table.address_key).where(*chosen)))
    return found
