"""Messages that were handed over to be sent: their bytes, whom each delivery is for, and the ids that name them.

A delivery is one SMTP transaction; what becomes of it is in `deliveries`.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection, bindparam, insert, select

from bounced.store import tables
from bounced.store.mails import pack
from bounced.store.people import email_key
from bounced.store.upsert import upsert


class State(StrEnum):
    """Where a delivery is on its way."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    SENDING = "sending"
    DONE = "done"
    UNCERTAIN = "uncertain"
    DROPPED = "dropped"


HELD = (State.CLAIMED.value, State.SENDING.value)
"""States of a delivery that a process has in hand."""
OPEN = (State.QUEUED.value, *HELD, State.UNCERTAIN.value)
"""States of a delivery that is not done."""


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


def put(
    connection: Connection,
    message: Outbound,
    raw: bytes,
    transactions: Sequence[Sequence[str]],
    suppressed: Sequence[str] = (),
) -> list[int]:
    """Queue a message.

    transactions  the recipients of each delivery; none: there is nobody left to send it to
    suppressed    recipients that are left out; the first delivery remembers them
    returns       the numbers of the deliveries
    """
    connection.execute(insert(tables.Outbound), asdict(message))
    connection.execute(insert(tables.RawOutbound), {"outbound_id": message.id, "data": pack(raw)})
    add_keys(connection, message.company_id, message.id, [message.message_id])
    numbers: list[int] = []
    for addresses in transactions or [()]:
        state, ended_at = (State.QUEUED, None) if addresses else (State.DONE, message.created_at)
        at = {"due_at": message.created_at, "ended_at": ended_at, "tries": 0}
        values = {"outbound_id": message.id, "state": state.value, **at}
        number = connection.execute(insert(tables.Delivery).values(values).returning(tables.Delivery.id)).scalar_one()
        numbers.append(number)
        _put_recipients(connection, message, number, addresses, RecipientState.QUEUED)
    _put_recipients(connection, message, numbers[0], suppressed, RecipientState.SUPPRESSED)
    return numbers


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
    packed = connection.scalar(_RAW, {"outbound_id": outbound_id})
    return None if packed is None else zlib.decompress(packed)


_RAW = select(tables.RawOutbound.data).where(tables.RawOutbound.outbound_id == bindparam("outbound_id"))
