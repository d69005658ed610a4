"""What became of messages and of their recipients: what notices change of it, and what people are shown."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, exists, func, select, update

from bounced.store import tables
from bounced.store.outbound import OPEN, RecipientState
from bounced.store.people import email_key

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
        .where(tables.Delivery.state.in_(OPEN))
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
        .where(tables.Delivery.state.in_(OPEN), recipient.state != RecipientState.SUPPRESSED.value)
        .order_by(recipient.id)
    )
    for number, address in connection.execute(named):
        if number in people:
            people[number].append(address)
    return [Waiting(**row, recipients=tuple(people[row["delivery"]])) for row in rows]


def sizes(connection: Connection) -> dict[str, int]:
    """How many deliveries are not done, by state."""
    chosen = select(tables.Delivery.state, func.count()).where(tables.Delivery.state.in_(OPEN))
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
    chosen = select(table.state, table.tries, table.due_at, table.ended_at, table.last_error)
    of_message = chosen.where(table.outbound_id == outbound_id).order_by(table.id)
    return [Tried(*row) for row in connection.execute(of_message)]
