"""Messages to be sent: handed over, claimed by one process at a time, and what became of each recipient.

A delivery is one SMTP transaction: queued -> claimed (a lease) -> sending (committed right before DATA) -> done, or
uncertain where nobody can know whether the server took it.  What is claimed by a process that is gone goes back to the
queue; what it was sending does not.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Text,
    Update,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)

from bounced.errors import LeaseLostError
from bounced.store import tables
from bounced.store.mails import pack
from bounced.store.people import email_key
from bounced.store.upsert import upsert

MAX_TEXT = 2_000
"""Characters kept of a server's reply or of an error."""
EMPTY: Set[int] = frozenset()


class State(StrEnum):
    """Where a delivery is on its way."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    SENDING = "sending"
    DONE = "done"
    UNCERTAIN = "uncertain"
    DROPPED = "dropped"


class RecipientState(StrEnum):
    """What is known of one recipient of a message."""

    QUEUED = "queued"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    DELAYED = "delayed"
    BOUNCED = "bounced"
    DELIVERED = "delivered"
    COMPLAINED = "complained"
    UNCERTAIN = "uncertain"
    SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """One message that was handed over; the times are aware UTC."""

    id: UUID
    company_id: int
    user_id: int
    sender_config_id: int
    document: str | None
    subject: str | None
    message_id: str  # without angle brackets
    mass: bool
    created_at: datetime


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


def keep_sender_config(connection: Connection, company_id: int, digest: str, snapshot: Mapping[str, object]) -> int:
    """The row of a sender config, which is made at its first use and never changed."""
    chosen = select(tables.SenderConfig.id).where(
        tables.SenderConfig.company_id == company_id, tables.SenderConfig.digest == digest
    )
    found = connection.scalar(chosen)
    if found is None:
        connection.execute(
            upsert(connection, tables.SenderConfig)
            .values(company_id=company_id, digest=digest, snapshot=dict(snapshot))
            .on_conflict_do_nothing()
        )
        found = connection.execute(chosen).scalar_one()
    return found


def put(
    connection: Connection,
    message: Outbound,
    raw: bytes,
    transactions: Sequence[Sequence[str]],
    suppressed: Sequence[str] = (),
) -> list[int]:
    """Queue a message.

    transactions  the recipients of each delivery
    suppressed    recipients that are left out; the first delivery remembers them
    returns       the numbers of the deliveries
    """
    connection.execute(insert(tables.Outbound), _outbound_row(message))
    connection.execute(insert(tables.RawOutbound), {"outbound_id": message.id, "data": pack(raw)})
    add_keys(connection, message.company_id, message.id, [message.message_id])
    numbers: list[int] = []
    for addresses in transactions:
        queued = {"outbound_id": message.id, "state": State.QUEUED.value, "due_at": message.created_at, "tries": 0}
        number = connection.execute(insert(tables.Delivery).values(queued).returning(tables.Delivery.id)).scalar_one()
        numbers.append(number)
        _put_recipients(connection, message, number, addresses, RecipientState.QUEUED)
    _put_recipients(connection, message, numbers[0], suppressed, RecipientState.SUPPRESSED)
    return numbers


def _outbound_row(message: Outbound) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__slots__}


def _put_recipients(
    connection: Connection, message: Outbound, number: int, addresses: Iterable[str], state: RecipientState
) -> None:
    rows = [
        {
            "delivery_id": number,
            "company_id": message.company_id,
            "address": address,
            "address_key": email_key(address),
            "state": state.value,
            "to_send": state is RecipientState.QUEUED,
            "changed_at": message.created_at,
        }
        for address in addresses
    ]
    if rows:
        connection.execute(insert(tables.OutboundRecipient), rows)


def add_keys(connection: Connection, company_id: int, outbound_id: UUID, keys: Iterable[str]) -> None:
    """Note ids that a bounce may name the message by."""
    rows = [{"company_id": company_id, "key": key, "outbound_id": outbound_id} for key in dict.fromkeys(keys)]
    if rows:
        connection.execute(upsert(connection, tables.OutboundKey).on_conflict_do_nothing(), rows)


def raw(connection: Connection, outbound_id: UUID) -> bytes | None:
    """The bytes of a message, as they were handed over; None: they were purged."""
    packed = connection.scalar(select(tables.RawOutbound.data).where(tables.RawOutbound.outbound_id == outbound_id))
    return None if packed is None else zlib.decompress(packed)


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
            table.state.in_([state.value for state in states]),
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
        "rows": list(rows),
        "new_state": state.value,
        "to_send": state is RecipientState.DELAYED,
        "reply": reply[:MAX_TEXT] if reply else None,
        "changed_at": now,
    }
    connection.execute(_SET_RECIPIENTS, values)


def _unless_noticed(state: ColumnElement[str]) -> ColumnElement[str]:
    table = tables.OutboundRecipient
    return case((table.noticed_at.is_(None), state), else_=table.state)


_SET_RECIPIENTS = (
    update(tables.OutboundRecipient)
    .where(tables.OutboundRecipient.id.in_(bindparam("rows", expanding=True)))
    .values(
        {name: bindparam(name) for name in ("to_send", "reply", "changed_at")}
        | {"state": _unless_noticed(bindparam("new_state", type_=Text()))}
    )
)


def recover(
    connection: Connection, now: datetime, *, gone: Iterable[str] = (), owner: str | None = None, held: Set[int] = EMPTY
) -> tuple[int, list[int]]:
    """Take back what nobody is at any more.

    gone     owners that are known to run no more, whatever their leases say
    owner    who asks; what is its own but not among `held` has slipped from its hands
    returns  how many deliveries went back to the queue, and the numbers of those that are uncertain from now on
    """
    mine = tables.Delivery.lease_owner == owner
    open_ones = tables.Delivery.state.in_((State.CLAIMED.value, State.SENDING.value))
    slipped = set(connection.scalars(select(tables.Delivery.id).where(open_ones, mine))) - held
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
    held = tables.Delivery.state.in_((State.CLAIMED.value, State.SENDING.value))
    return {owner for owner in connection.scalars(select(tables.Delivery.lease_owner).where(held).distinct()) if owner}


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
    states = (State.UNCERTAIN,) if release else (State.UNCERTAIN, State.QUEUED)
    values: dict[str, Any] = {"due_at": now, "state": State.QUEUED.value}
    if not release:
        values = {"ended_at": now, "state": State.DROPPED.value}
    values["lease_owner"] = None
    changed = connection.execute(
        update(tables.Delivery)
        .where(tables.Delivery.id == number, tables.Delivery.state.in_([state.value for state in states]))
        .values(**values)
    )
    if changed.rowcount and release:
        connection.execute(
            update(tables.OutboundRecipient)
            .where(*uncertain)
            .values(state=RecipientState.QUEUED.value, to_send=True, changed_at=now)
        )
    return changed.rowcount == 1


def sender_snapshot(connection: Connection, sender_config_id: int) -> dict[str, Any]:
    """A sender config as it was kept."""
    chosen = select(tables.SenderConfig.snapshot).where(tables.SenderConfig.id == sender_config_id)
    kept: dict[str, Any] = connection.execute(chosen).scalar_one()
    return kept


def sender_digest(connection: Connection, sender_config_id: int) -> str:
    """What tells a sender config from all others."""
    return connection.execute(
        select(tables.SenderConfig.digest).where(tables.SenderConfig.id == sender_config_id)
    ).scalar_one()


def paused(connection: Connection, now: datetime) -> list[int]:
    """The sender configs that nothing is sent with for now."""
    return list(connection.scalars(select(tables.SenderPause.sender_config_id).where(tables.SenderPause.until > now)))


def pause(connection: Connection, sender_config_id: int, now: datetime, wait: Callable[[int], timedelta]) -> int:
    """Pause a sender config, or prolong its pause; how often in a row it failed.

    wait   how long the pause is after so many failures before
    """
    table = tables.SenderPause
    chosen = table.sender_config_id == sender_config_id
    before = connection.scalar(select(table.failures).where(chosen)) or 0
    until = now + wait(before)
    if before:
        connection.execute(update(table).where(chosen).values(until=until, failures=before + 1))
    else:
        row = {"sender_config_id": sender_config_id, "since": now, "until": until, "failures": 1}
        connection.execute(upsert(connection, table).on_conflict_do_nothing(), row)
    return before + 1


def resume(connection: Connection, sender_config_ids: Iterable[int]) -> None:
    """End the incidents of sender configs: they work again."""
    connection.execute(
        delete(tables.SenderPause).where(tables.SenderPause.sender_config_id.in_(list(sender_config_ids)))
    )


def waiting_users(connection: Connection, sender_config_ids: Iterable[int]) -> list[tuple[int, int, int]]:
    """Whose messages wait for these sender configs: (sender config, user, company)."""
    chosen = (
        select(tables.Outbound.sender_config_id, tables.Outbound.user_id, tables.Outbound.company_id)
        .join(tables.Delivery, tables.Delivery.outbound_id == tables.Outbound.id)
        .where(
            tables.Delivery.state == State.QUEUED.value,
            tables.Outbound.sender_config_id.in_(list(sender_config_ids)),
        )
        .distinct()
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(chosen)]


def use_sender_config(connection: Connection, before: int, user_id: int, after: int, now: datetime) -> None:
    """Have a user's queued messages go out with another sender config, at once: the card was changed."""
    queued = tables.Delivery.state.in_((State.QUEUED.value, State.CLAIMED.value))
    chosen = select(tables.Delivery.outbound_id).where(queued)
    mine = (tables.Outbound.sender_config_id == before, tables.Outbound.user_id == user_id)
    moved = connection.scalars(
        update(tables.Outbound)
        .where(*mine, tables.Outbound.id.in_(chosen))
        .values(sender_config_id=after)
        .returning(tables.Outbound.id)
    ).all()
    connection.execute(
        update(tables.Delivery)
        .where(tables.Delivery.state == State.QUEUED.value, tables.Delivery.outbound_id.in_(moved))
        .values(due_at=now)
    )


STRONGER = (
    RecipientState.QUEUED,
    RecipientState.UNCERTAIN,
    RecipientState.ACCEPTED,
    RecipientState.DELAYED,
    RecipientState.REFUSED,
    RecipientState.DELIVERED,
    RecipientState.BOUNCED,
    RecipientState.COMPLAINED,
)
"""What is known of a recipient, each stronger than all before it.

A notice changes only what is weaker: so notices that come late, twice or in another order lead to the same.  Where a
server tells of a delivery and of a bounce (the message was passed on to several), a person should look at the bounce.
"""


def learn(connection: Connection, row: int, state: RecipientState, at: datetime) -> None:
    """Note what a notice says of a recipient, unless more is known already.

    at   when the notice came
    """
    table = tables.OutboundRecipient
    weaker = [known.value for known in STRONGER[: STRONGER.index(state)]]
    connection.execute(
        update(table).where(table.id == row, table.state.in_(weaker)).values(state=state.value, noticed_at=at)
    )


def delivered_since(connection: Connection, company_id: int, address: str, at: datetime) -> bool:
    """Whether a notice that came later than `at` says that a message was delivered to that address."""
    table = tables.OutboundRecipient
    chosen = exists().where(
        table.company_id == company_id,
        table.address_key == email_key(address),
        table.state == RecipientState.DELIVERED.value,
        table.noticed_at > at,
    )
    return bool(connection.scalar(select(chosen)))


def address_of(connection: Connection, row: int) -> str:
    """Whom that row is about."""
    return connection.execute(
        select(tables.OutboundRecipient.address).where(tables.OutboundRecipient.id == row)
    ).scalar_one()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A delivery that is not done."""

    delivery: int
    state: str
    company: str
    user: str  # code
    document: str | None
    recipients: tuple[str, ...]
    due_at: datetime
    tries: int
    last_error: str | None


def waiting(connection: Connection, company_id: int | None = None) -> list[Waiting]:
    """The outbox: what is queued, being sent or uncertain, the longest due first; of all companies or one."""
    open_ones = [state.value for state in (State.QUEUED, State.CLAIMED, State.SENDING, State.UNCERTAIN)]
    chosen = (
        select(
            tables.Delivery.id.label("delivery"),
            tables.Delivery.state,
            tables.Company.name.label("company"),
            tables.User.code.label("user"),
            tables.Outbound.document,
            tables.Delivery.due_at,
            tables.Delivery.tries,
            tables.Delivery.last_error,
        )
        .join(tables.Outbound, tables.Outbound.id == tables.Delivery.outbound_id)
        .join(tables.Company, tables.Company.id == tables.Outbound.company_id)
        .join(tables.User, tables.User.id == tables.Outbound.user_id)
        .where(tables.Delivery.state.in_(open_ones))
        .order_by(tables.Delivery.due_at, tables.Delivery.id)
    )
    if company_id is not None:
        chosen = chosen.where(tables.Outbound.company_id == company_id)
    rows = [row._mapping for row in connection.execute(chosen)]
    people: dict[int, list[str]] = {row["delivery"]: [] for row in rows}
    recipient = tables.OutboundRecipient
    named = (
        select(recipient.delivery_id, recipient.address)
        .join(tables.Delivery, tables.Delivery.id == recipient.delivery_id)
        .where(tables.Delivery.state.in_(open_ones), recipient.state != RecipientState.SUPPRESSED.value)
        .order_by(recipient.id)
    )
    for number, address in connection.execute(named):
        if number in people:
            people[number].append(address)
    return [Waiting(**row, recipients=tuple(people[row["delivery"]])) for row in rows]


def sizes(connection: Connection) -> dict[str, int]:
    """How many deliveries are not done, by state."""
    states = [state.value for state in (State.QUEUED, State.CLAIMED, State.SENDING, State.UNCERTAIN)]
    chosen = select(tables.Delivery.state, func.count()).where(tables.Delivery.state.in_(states))
    return dict(row._tuple() for row in connection.execute(chosen.group_by(tables.Delivery.state)))


@dataclass(frozen=True, slots=True)
class Fate:
    """What is known of one recipient."""

    address: str
    state: str
    reply: str | None
    changed_at: datetime  # when it was queued, or the reply was noted
    noticed_at: datetime | None  # when the notice came that the state is from

    @property
    def answer(self) -> str:
        """What the server said, whatever a notice has said since."""
        if self.noticed_at is None:
            return self.state
        if self.reply is None:
            return RecipientState.UNCERTAIN.value
        return (RecipientState.ACCEPTED if self.reply.startswith("2") else RecipientState.REFUSED).value


def fate(connection: Connection, outbound_id: UUID) -> list[Fate]:
    """What is known of each recipient of a message, in its order."""
    recipient = tables.OutboundRecipient
    chosen = (
        select(recipient.address, recipient.state, recipient.reply, recipient.changed_at, recipient.noticed_at)
        .join(tables.Delivery, tables.Delivery.id == recipient.delivery_id)
        .where(tables.Delivery.outbound_id == outbound_id)
        .order_by(recipient.id)
    )
    return [Fate(*row) for row in connection.execute(chosen)]


@dataclass(frozen=True, slots=True)
class Tried:
    """How far one delivery of a message has come."""

    delivery: int
    state: str
    tries: int
    due_at: datetime  # not to be tried before
    ended_at: datetime | None
    last_error: str | None


def submitted_at(connection: Connection, outbound_id: UUID) -> datetime | None:
    """When a message was handed over; None: there is no such message."""
    return connection.scalar(select(tables.Outbound.created_at).where(tables.Outbound.id == outbound_id))


def tried(connection: Connection, outbound_id: UUID) -> list[Tried]:
    """How far the deliveries of a message have come, in their order."""
    table = tables.Delivery
    chosen = select(table.id, table.state, table.tries, table.due_at, table.ended_at, table.last_error)
    return [
        Tried(*row) for row in connection.execute(chosen.where(table.outbound_id == outbound_id).order_by(table.id))
    ]
