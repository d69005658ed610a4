"""Messages that were sent, found again by what a bounce carries.  Every query is limited to one company."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, select

from bounced.store import tables
from bounced.store.outbound import RecipientState
from bounced.store.people import email_key

MAX_KEYS = 200
"""Ids of one bounce that are looked up: a thread's References may name many."""
NOT_TAKEN = (RecipientState.QUEUED.value, RecipientState.REFUSED.value, RecipientState.SUPPRESSED.value)
"""Whom no server has taken a message for: it cannot have bounced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message and whom it went to."""

    outbound_id: UUID
    user_id: int
    user: str  # the user's code
    document: str | None
    snapshot: Mapping[str, object]  # of the sender config
    recipients: Mapping[str, int]  # rows, by address as it is compared


def by_delivery(connection: Connection, company_id: int, number: int) -> Sent | None:
    """The message of that delivery, which a token names."""
    return _sent(connection, company_id, tables.Delivery.id == number)


def by_keys(connection: Connection, company_id: int, keys: Iterable[str], addresses: Iterable[str] = ()) -> Sent | None:
    """The one message that some of these ids name; of several, the one that went to one of `addresses`."""
    key, delivery, recipient = tables.OutboundKey, tables.Delivery, tables.OutboundRecipient
    named = (
        select(key.outbound_id)
        .where(key.company_id == company_id, key.key.in_(list(keys)[:MAX_KEYS]))
        .distinct()
        .limit(2)
    )
    found = list(connection.scalars(named))
    if len(found) > 1 and (address_keys := [email_key(one) for one in addresses]):
        named = (
            named.join(delivery, delivery.outbound_id == key.outbound_id)
            .join(recipient, recipient.delivery_id == delivery.id)
            .where(recipient.address_key.in_(address_keys), recipient.state != RecipientState.SUPPRESSED.value)
        )
        found = list(connection.scalars(named))
    return by_id(connection, company_id, found[0]) if len(found) == 1 else None


def by_id(connection: Connection, company_id: int, outbound_id: UUID) -> Sent | None:
    """That message."""
    return _sent(connection, company_id, tables.Outbound.id == outbound_id)


def taken_for(
    connection: Connection, company_id: int, address: str, senders: Iterable[str], since: datetime, until: datetime
) -> list[UUID]:
    """The messages that a server has taken for that address, handed over within that time; of several, two.

    senders  the addresses that their bounces come to
    """
    message, recipient = tables.Outbound, tables.OutboundRecipient
    envelope_sender = func.lower(tables.SenderConfig.snapshot["envelope_sender"].as_string())
    chosen = (
        select(message.id)
        .join(tables.Delivery, tables.Delivery.outbound_id == message.id)
        .join(recipient, recipient.delivery_id == tables.Delivery.id)
        .join(tables.SenderConfig, tables.SenderConfig.id == message.sender_config_id)
        .where(
            recipient.company_id == company_id,
            recipient.address_key == email_key(address),
            recipient.state.not_in(NOT_TAKEN),
            message.created_at.between(since, until),
            envelope_sender.in_([email_key(sender) for sender in senders]),
        )
        .distinct()
        .limit(2)
    )
    return list(connection.scalars(chosen))


def _sent(connection: Connection, company_id: int, condition: ColumnElement[bool]) -> Sent | None:
    recipient = tables.OutboundRecipient
    rows = connection.execute(
        select(
            tables.Outbound.id,
            tables.Outbound.user_id,
            tables.User.code,
            tables.Outbound.document,
            tables.SenderConfig.snapshot,
            recipient.address_key,
            recipient.id.label("row"),
        )
        .join(tables.Delivery, tables.Delivery.outbound_id == tables.Outbound.id)
        .join(recipient, recipient.delivery_id == tables.Delivery.id)
        .join(tables.User, tables.User.id == tables.Outbound.user_id)
        .join(tables.SenderConfig, tables.SenderConfig.id == tables.Outbound.sender_config_id)
        .where(tables.Outbound.company_id == company_id, recipient.state != RecipientState.SUPPRESSED.value, condition)
        .order_by(recipient.id)
    ).all()
    if not rows:
        return None
    first = rows[0]
    return Sent(
        outbound_id=first.id,
        user_id=first.user_id,
        user=first.code,
        document=first.document,
        snapshot=first.snapshot,
        recipients={row.address_key: row.row for row in rows},
    )
