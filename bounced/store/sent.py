"""Messages that were sent, found again by what a bounce carries.  Every query is limited to one company."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, Connection, bindparam, exists, func, select

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
    subject: str | None
    snapshot: Mapping[str, object]  # of the sender config
    recipients: Mapping[str, int]  # rows, by address as it is compared


def any_of(connection: Connection, company_id: int) -> bool:
    """Whether there is any message of that company."""
    return bool(connection.scalar(_ANY, {"company": company_id}))


def by_delivery(connection: Connection, company_id: int, number: int) -> Sent | None:
    """The message of that delivery, which a token names."""
    return _sent(connection, company_id, tables.Delivery.id == number)


def by_keys(connection: Connection, company_id: int, keys: Iterable[str], addresses: Iterable[str] = ()) -> Sent | None:
    """The one message that some of these ids name; of several, the one that went to one of `addresses`."""
    given = {"company": company_id, "ids": list(keys)[:MAX_KEYS]}
    found = list(connection.scalars(_BY_KEYS, given))
    if len(found) > 1 and (address_keys := [email_key(one) for one in addresses]):
        found = list(connection.scalars(_BY_KEYS_AND_ADDRESS, given | {"addresses": address_keys}))
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
    given = {
        "company": company_id,
        "address": email_key(address),
        "senders": [email_key(sender) for sender in senders],
        "since": since,
        "until": until,
    }
    return list(connection.scalars(_TAKEN_FOR, given))


# Composed once: each of them is asked for every event, and composing takes longer than asking.
_COMPANY: BindParameter[int] = bindparam("company")
_ANY = select(exists().where(tables.OutboundKey.company_id == _COMPANY))
_BY_KEYS = (
    select(tables.OutboundKey.outbound_id)
    .where(tables.OutboundKey.company_id == _COMPANY, tables.OutboundKey.key.in_(bindparam("ids", expanding=True)))
    .distinct()
    .limit(2)
)
_BY_KEYS_AND_ADDRESS = (
    _BY_KEYS.join(tables.Delivery, tables.Delivery.outbound_id == tables.OutboundKey.outbound_id)
    .join(tables.OutboundRecipient, tables.OutboundRecipient.delivery_id == tables.Delivery.id)
    .where(
        tables.OutboundRecipient.address_key.in_(bindparam("addresses", expanding=True)),
        tables.OutboundRecipient.state != RecipientState.SUPPRESSED.value,
    )
)
_TAKEN_FOR = (
    select(tables.Outbound.id)
    .join(tables.Delivery, tables.Delivery.outbound_id == tables.Outbound.id)
    .join(tables.OutboundRecipient, tables.OutboundRecipient.delivery_id == tables.Delivery.id)
    .join(tables.SenderConfig, tables.SenderConfig.id == tables.Outbound.sender_config_id)
    .where(
        tables.OutboundRecipient.company_id == _COMPANY,
        tables.OutboundRecipient.address_key == bindparam("address"),
        tables.OutboundRecipient.state.not_in(NOT_TAKEN),
        tables.Outbound.created_at.between(
            bindparam("since", type_=tables.Outbound.created_at.type),
            bindparam("until", type_=tables.Outbound.created_at.type),
        ),
        func.lower(tables.SenderConfig.snapshot["envelope_sender"].as_string()).in_(
            bindparam("senders", expanding=True)
        ),
    )
    .distinct()
    .limit(2)
)


def _sent(connection: Connection, company_id: int, condition: ColumnElement[bool]) -> Sent | None:
    recipient = tables.OutboundRecipient
    rows = connection.execute(
        select(
            tables.Outbound.id,
            tables.Outbound.user_id,
            tables.User.code,
            tables.Outbound.document,
            tables.Outbound.subject,
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
        subject=first.subject,
        snapshot=first.snapshot,
        recipients={row.address_key: row.row for row in rows},
    )
