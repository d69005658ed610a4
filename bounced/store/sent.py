"""Messages that were sent, found again by what a bounce carries.  Every query is limited to one company."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, select

from bounced.store import tables
from bounced.store.people import email_key

MAX_KEYS = 200
"""Ids of one bounce that are looked up: a thread's References may name many."""


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


def by_keys(connection: Connection, company_id: int, keys: Iterable[str]) -> Sent | None:
    """The one message that some of these ids name; None where none or several do."""
    chosen = select(tables.OutboundKey.outbound_id).where(
        tables.OutboundKey.company_id == company_id, tables.OutboundKey.key.in_(list(keys)[:MAX_KEYS])
    )
    found = set(connection.scalars(chosen.limit(MAX_KEYS)))
    return _sent(connection, company_id, tables.Outbound.id == found.pop()) if len(found) == 1 else None


def by_recipient(connection: Connection, company_id: int, address: str, since: datetime) -> Sent | None:
    """The one message sent to that address since then; None where there were none or several."""
    recipient = tables.OutboundRecipient
    chosen = (
        select(tables.Delivery.outbound_id)
        .join(recipient, recipient.delivery_id == tables.Delivery.id)
        .where(
            recipient.company_id == company_id,
            recipient.address_key == email_key(address),
            recipient.changed_at >= since,
            recipient.state.not_in(("queued", "suppressed")),
        )
        .distinct()
        .limit(2)
    )
    found = list(connection.scalars(chosen))
    return _sent(connection, company_id, tables.Outbound.id == found[0]) if len(found) == 1 else None


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
        .where(tables.Outbound.company_id == company_id, recipient.state != "suppressed", condition)
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
