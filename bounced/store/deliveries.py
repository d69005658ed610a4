"""Deliveries: claimed by one process at a time, tried, and what a server said of each recipient.

Each is one SMTP transaction: queued -> claimed (a lease) -> sending (committed right before DATA) -> done, or
uncertain where nobody can know whether the server took it.  What is claimed by a process that is gone goes back to the
queue; what it was sending does not.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Text,
    Update,
    bindparam,
    case,
    exists,
    literal,
    or_,
    select,
    update,
)

from bounced.errors import LeaseLostError
from bounced.store import tables
from bounced.store.outbound import HELD, Outbound, RecipientState, State

MAX_TEXT = 2_000
"""Characters kept of a server's reply."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient that is still to be tried."""

    row: int
    address: str  # as written to
    delayed: bool  # it was refused for now before


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """One delivery that this process may try."""

    id: int  # what its token signs
    tries: int  # before this one
    message: Outbound
    recipients: tuple[Recipient, ...]


def claim(
    connection: Connection, owner: str, now: datetime, until: datetime, limit: int, *, excluded: Iterable[int] = ()
) -> list[Claimed]:
    """Take deliveries that are due, the longest due first; each is this owner's until `until`.

    excluded  sender configs that nothing is taken of
    """
    chosen = (
        select(tables.Delivery.id)
        .join(tables.Outbound, tables.Outbound.id == tables.Delivery.outbound_id)
        .where(
            tables.Delivery.state == State.QUEUED.value,
            tables.Delivery.due_at <= now,
            tables.Outbound.sender_config_id.not_in(list(excluded)),
        )
        .order_by(tables.Delivery.due_at, tables.Delivery.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=tables.Delivery)  # SQLite has one writer, and leaves this out
    )
    numbers = list(connection.scalars(chosen))
    if not numbers:
        return []
    connection.execute(
        update(tables.Delivery)
        .where(tables.Delivery.id.in_(numbers))
        .values(state=State.CLAIMED.value, lease_owner=owner, lease_until=until)
    )
    return _claimed(connection, numbers)


def _claimed(connection: Connection, numbers: Sequence[int]) -> list[Claimed]:
    recipients: dict[int, list[Recipient]] = {number: [] for number in numbers}
    table = tables.OutboundRecipient
    for delivery_id, row, address, state in connection.execute(
        select(table.delivery_id, table.id, table.address, table.state)
        .where(tables.OutboundRecipient.delivery_id.in_(numbers), tables.OutboundRecipient.to_send)
        .order_by(tables.OutboundRecipient.id)
    ):
        recipients[delivery_id].append(Recipient(row, address, state == RecipientState.DELAYED))
    rows = connection.execute(
        select(tables.Delivery.id.label("number"), tables.Delivery.tries, *tables.Outbound.__table__.columns)
        .join(tables.Outbound, tables.Outbound.id == tables.Delivery.outbound_id)
        .where(tables.Delivery.id.in_(numbers))
        .order_by(tables.Delivery.due_at, tables.Delivery.id)
    )
    return [
        Claimed(id=row.number, tries=row.tries, message=_outbound(row), recipients=tuple(recipients[row.number]))
        for row in rows
    ]


def _outbound(row: Row[Any]) -> Outbound:
    return Outbound(**{name: row._mapping[name] for name in Outbound.__slots__})


def begin_sending(connection: Connection, number: int, owner: str, until: datetime) -> None:
    """Note that DATA comes next: from now on only the server's reply tells what became of it.

    until    by then the server has answered, or the connection was given up
    raises   LeaseLostError: the delivery is not this owner's any more; nothing must be sent
    """
    _change(connection, number, owner, State.CLAIMED, tried=False, state=State.SENDING.value, lease_until=until)


def renew(connection: Connection, owner: str, until: datetime) -> None:
    """Prolong the leases of what this owner has claimed and does not send yet."""
    connection.execute(
        update(tables.Delivery)
        .where(tables.Delivery.state == State.CLAIMED.value, tables.Delivery.lease_owner == owner)
        .values(lease_until=until)
    )


def finish(
    connection: Connection, number: int, owner: str, state: State, now: datetime, *, error: str | None = None
) -> None:
    """Note how a delivery of this owner ended: DONE or UNCERTAIN.

    One that was taken for uncertain meanwhile, and not decided on, is still its owner's: who has the answer knows.
    """
    ended = now if state is State.DONE else None
    _change(
        connection, number, owner, State.CLAIMED, State.SENDING, State.UNCERTAIN,
        state=state.value, lease_owner=None, lease_until=None, last_error=error, ended_at=ended,
        tried=True,
    )  # fmt: skip


def postpone(connection: Connection, number: int, owner: str, due_at: datetime, *, error: str | None) -> None:
    """Put a delivery of this owner back into the queue, after a try."""
    _change(
        connection, number, owner, State.CLAIMED, State.SENDING,
        state=State.QUEUED.value, lease_owner=None, lease_until=None, due_at=due_at, last_error=error,
        tried=True,
    )  # fmt: skip


def give_back(connection: Connection, numbers: Iterable[int], owner: str, *, due_at: datetime | None = None) -> None:
    """Queue again what this owner has claimed and did not try.  What is not its own any more is left alone.

    due_at   not to be tried before; None: as it was
    """
    due = {} if due_at is None else {"due_at": due_at}
    connection.execute(
        update(tables.Delivery)
        .where(
            tables.Delivery.id.in_(list(numbers)),
            tables.Delivery.lease_owner == owner,
            tables.Delivery.state == State.CLAIMED.value,
        )
        .values(state=State.QUEUED.value, lease_owner=None, lease_until=None, **due)
    )


def _change(connection: Connection, number: int, owner: str, *states: State, tried: bool, **values: Any) -> None:
    changed = connection.execute(
        _change_statement(states, tuple(values), tried=tried), {"number": number, "owner": owner} | values
    )
    if changed.rowcount != 1:
        raise LeaseLostError(f"delivery {number} was taken over by another daemon")


@cache
def _change_statement(states: tuple[State, ...], names: tuple[str, ...], *, tried: bool) -> Update:
    """Composed once for each change: at a message or two a millisecond it would cost more than its execution."""
    table = tables.Delivery
    values: dict[str, Any] = {name: bindparam(name) for name in names}
    if tried:
        values["tries"] = table.tries + 1
    return (
        update(table)
        .where(
            table.id == bindparam("number"),
            table.lease_owner == bindparam("owner"),
            or_(*(table.state == state.value for state in states)),
        )
        .values(**values)
    )


def set_recipients(
    connection: Connection, rows: Iterable[int], state: RecipientState, reply: str | None, now: datetime
) -> None:
    """Note what became of recipients at an attempt; only those who are DELAYED will be tried again.

    What a notice has said already stays: a bounce may be here before the reply that the message was taken is noted.
    """
    values = {
        "new_state": state.value,
        "to_send": state is RecipientState.DELAYED,
        "reply": reply[:MAX_TEXT] if reply else None,
        "changed_at": now,
    }
    if changes := [{"row": row} | values for row in rows]:
        connection.execute(_SET_RECIPIENTS, changes)


def _unless_noticed(state: ColumnElement[str]) -> ColumnElement[str]:
    table = tables.OutboundRecipient
    return case((table.noticed_at.is_(None), state), else_=table.state)


_SET_RECIPIENTS = (
    update(tables.OutboundRecipient)
    .where(tables.OutboundRecipient.id == bindparam("row"))
    .values(
        {name: bindparam(name) for name in ("to_send", "reply", "changed_at")}
        | {"state": _unless_noticed(bindparam("new_state", type_=Text()))}
    )
)


def recover(
    connection: Connection, now: datetime, *, gone: Iterable[str], owner: str, held: Set[int]
) -> tuple[int, list[int]]:
    """Take back what nobody is at any more.

    gone     owners that are known to run no more, whatever their leases say
    owner    who asks; what is its own but not among `held` has slipped from its hands
    returns  how many deliveries went back to the queue, and the numbers of those that are uncertain from now on
    """
    mine = tables.Delivery.lease_owner == owner
    slipped = set(connection.scalars(select(tables.Delivery.id).where(tables.Delivery.state.in_(HELD), mine))) - held
    lost = (
        (tables.Delivery.lease_until < now)
        | tables.Delivery.lease_owner.in_(list(gone))
        | (mine & tables.Delivery.id.in_(slipped))
    )
    back = connection.execute(
        update(tables.Delivery)
        .where(tables.Delivery.state == State.CLAIMED.value, lost)
        .values(state=State.QUEUED.value, lease_owner=None, lease_until=None)
    ).rowcount
    uncertain = list(
        connection.scalars(
            update(tables.Delivery)
            .where(tables.Delivery.state == State.SENDING.value, lost)
            .values(
                state=State.UNCERTAIN.value,
                lease_until=None,
                last_error="the process ended, or lost its database, between DATA and the reply",
            )
            .returning(tables.Delivery.id)
        )
    )
    if uncertain:
        connection.execute(
            update(tables.OutboundRecipient)
            .where(tables.OutboundRecipient.delivery_id.in_(uncertain), tables.OutboundRecipient.to_send)
            .values(state=_unless_noticed(literal(RecipientState.UNCERTAIN.value)), to_send=False, changed_at=now)
        )
    return back, uncertain


def owners(connection: Connection) -> set[str]:
    """Who holds deliveries now."""
    chosen = select(tables.Delivery.lease_owner).where(tables.Delivery.state.in_(HELD)).distinct()
    return {owner for owner in connection.scalars(chosen) if owner}


def decide(connection: Connection, number: int, now: datetime, *, release: bool) -> bool:
    """A person's word on an uncertain or queued delivery: send it again, or drop it.

    returns  False: there is no such one; or nobody to send it to again, since notices have told what became of each
    """
    uncertain = (
        tables.OutboundRecipient.delivery_id == number,
        tables.OutboundRecipient.state == RecipientState.UNCERTAIN.value,
    )
    if release and not connection.scalar(select(exists().where(*uncertain))):
        return False
    if release:
        states, values = [State.UNCERTAIN.value], {"state": State.QUEUED.value, "due_at": now}
    else:
        states, values = [State.UNCERTAIN.value, State.QUEUED.value], {"state": State.DROPPED.value, "ended_at": now}
    changed = connection.execute(
        update(tables.Delivery)
        .where(tables.Delivery.id == number, tables.Delivery.state.in_(states))
        .values(lease_owner=None, **values)
    )
    if changed.rowcount and release:
        connection.execute(
            update(tables.OutboundRecipient)
            .where(*uncertain)
            .values(state=RecipientState.QUEUED.value, to_send=True, changed_at=now)
        )
    return changed.rowcount == 1
