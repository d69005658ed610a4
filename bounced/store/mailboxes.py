"""Polled mailboxes: made known, leased to one daemon at a time, their cursor and their health."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, or_, select, update

from bounced.errors import LeaseLostError
from bounced.store import tables
from bounced.store.upsert import upsert

MAX_ERROR = 500
"""Characters kept of a mailbox's last error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """One row; the times are aware UTC."""

    id: int
    name: str
    company_id: int | None
    company: str | None
    user_id: int | None
    user: str | None  # the user's code
    uidvalidity: int | None  # None: never read
    cursor: int  # the last UID taken
    lease_owner: str | None
    lease_until: datetime | None
    last_poll_at: datetime | None
    last_success_at: datetime | None
    last_error: str | None  # of the last poll; None: it went well
    failures: int  # polls that failed since the last good one
    backlog: int  # messages above the cursor, at the last poll
    waiting_since: datetime | None  # about when the oldest of them came: the lag is now less this


_MAILBOXES = (
    select(
        tables.Mailbox.id,
        tables.Mailbox.name,
        tables.Mailbox.company_id,
        tables.Company.name.label("company"),
        tables.Mailbox.user_id,
        tables.User.code.label("user"),
        tables.Mailbox.uidvalidity,
        tables.Mailbox.cursor,
        tables.Mailbox.lease_owner,
        tables.Mailbox.lease_until,
        tables.Mailbox.last_poll_at,
        tables.Mailbox.last_success_at,
        tables.Mailbox.last_error,
        tables.Mailbox.failures,
        tables.Mailbox.backlog,
        tables.Mailbox.waiting_since,
    )
    .outerjoin(tables.Company, tables.Company.id == tables.Mailbox.company_id)
    .outerjoin(tables.User, tables.User.id == tables.Mailbox.user_id)
)


def ensure(connection: Connection, name: str, *, company_id: int | None = None, user_id: int | None = None) -> Mailbox:
    """Make the mailbox known, or set whom it belongs to."""
    owners = {"company_id": company_id, "user_id": user_id}
    connection.execute(
        upsert(connection, tables.Mailbox)
        .values(name=name, cursor=0, failures=0, backlog=0, **owners)
        .on_conflict_do_update(index_elements=[tables.Mailbox.name], set_=owners)
    )
    return _mailbox(connection.execute(_MAILBOXES.where(tables.Mailbox.name == name)).one())


def load(connection: Connection, mailbox_id: int) -> Mailbox:
    """The mailbox as it is now."""
    return _mailbox(connection.execute(_MAILBOXES.where(tables.Mailbox.id == mailbox_id)).one())


def all_mailboxes(connection: Connection) -> list[Mailbox]:
    """Every mailbox that was ever polled, by name."""
    return [_mailbox(row) for row in connection.execute(_MAILBOXES.order_by(tables.Mailbox.name))]


def acquire_lease(connection: Connection, mailbox_id: int, owner: str, now: datetime, until: datetime) -> bool:
    """Take the mailbox for `owner` until `until`; False: another owner's lease has not run out."""
    free = or_(
        tables.Mailbox.lease_owner.is_(None),
        tables.Mailbox.lease_owner == owner,
        tables.Mailbox.lease_until < now,
    )
    taken = connection.execute(
        update(tables.Mailbox).where(tables.Mailbox.id == mailbox_id, free).values(lease_owner=owner, lease_until=until)
    )
    return taken.rowcount == 1


def renew_lease(connection: Connection, mailbox_id: int, owner: str, until: datetime) -> None:
    """Prolong the lease, first thing in a transaction that writes for this mailbox.

    The row stays locked until that transaction ends: nobody can take the mailbox over before it is committed.
    raises  LeaseLostError: somebody has taken it over already
    """
    renewed = connection.execute(
        update(tables.Mailbox)
        .where(tables.Mailbox.id == mailbox_id, tables.Mailbox.lease_owner == owner)
        .values(lease_until=until)
    )
    if renewed.rowcount == 0:
        raise LeaseLostError(f"the lease of mailbox {load(connection, mailbox_id).name} was lost to another daemon")


def release_lease(connection: Connection, mailbox_id: int, owner: str) -> None:
    """Give the mailbox back; nothing happens when it is not `owner`'s any more."""
    connection.execute(
        update(tables.Mailbox)
        .where(tables.Mailbox.id == mailbox_id, tables.Mailbox.lease_owner == owner)
        .values(lease_owner=None, lease_until=None)
    )


def advance(
    connection: Connection,
    mailbox_id: int,
    *,
    uidvalidity: int,
    cursor: int,
    backlog: int,
    waiting_since: datetime | None,
) -> None:
    """Note how far the mailbox was read and what still waits above `cursor` (None: nothing does)."""
    connection.execute(
        update(tables.Mailbox)
        .where(tables.Mailbox.id == mailbox_id)
        .values(uidvalidity=uidvalidity, cursor=cursor, backlog=backlog, waiting_since=waiting_since)
    )


def succeeded(connection: Connection, mailbox_id: int, now: datetime) -> None:
    """A poll went well."""
    connection.execute(
        update(tables.Mailbox)
        .where(tables.Mailbox.id == mailbox_id)
        .values(last_poll_at=now, last_success_at=now, last_error=None, failures=0)
    )


def failed(connection: Connection, mailbox_id: int, now: datetime, error: str) -> None:
    """A poll failed."""
    connection.execute(
        update(tables.Mailbox)
        .where(tables.Mailbox.id == mailbox_id)
        .values(last_poll_at=now, last_error=error[:MAX_ERROR], failures=tables.Mailbox.failures + 1)
    )


def _mailbox(row: Row[*tuple[object, ...]]) -> Mailbox:
    return Mailbox(**row._mapping)
