"""One message on its way into the database, wherever it came from: parsed first, stored in the caller's transaction."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from bounced.model import Event
from bounced.service import consequences
from bounced.service.correlate import Correlator
from bounced.store import counters, events, mails
from bounced.store.ids import new_id
from parsers import parse
from parsers.report import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A message that was read and parsed; its bytes are kept once, packed."""

    source: str
    outcome: Outcome
    size: int  # bytes of the whole message
    truncated: bool  # not all of it was read
    received_at: datetime | None
    sha256: bytes = b""  # of the bytes that were read
    packed: bytes | None = None  # None: nothing could be read
    uid: int | None = None  # None: a file


def read(
    source: str, raw: bytes, *, size: int, truncated: bool, received_at: datetime | None, uid: int | None
) -> Parsed:
    """Parses and packs one message: all the slow work, before any transaction."""
    return Parsed(
        source=source,
        outcome=parse(raw),
        size=size,
        truncated=truncated,
        received_at=received_at,
        sha256=hashlib.sha256(raw).digest(),
        packed=mails.pack(raw),
        uid=uid,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """The mailbox that messages came from."""

    id: int
    name: str
    uidvalidity: int


def put(
    connection: Connection,
    parsed: Sequence[tuple[Parsed, str | None]],
    correlator: Correlator,
    box: Box | None,
    now: datetime,
) -> list[Event]:
    """Stores messages, their bytes, events and counters.

    parsed  each with the action that is to be done in its mailbox later; None: none
    box     None: they came from files
    """
    stored: list[mails.StoredMail] = []
    rows: list[tuple[UUID | None, int, Event]] = []
    raw: list[tuple[UUID, bytes]] = []
    for message, action in parsed:
        mail_id = new_id()
        stored.append(
            mails.StoredMail(
                id=mail_id,
                mailbox_id=box.id if box else None,
                uidvalidity=box.uidvalidity if box else None,
                uid=message.uid,
                sha256=message.sha256,
                size=message.size,
                truncated=message.truncated,
                received_at=message.received_at or now,
                stored_at=now,
                action=action,
            )
        )
        if message.packed is not None:
            raw.append((mail_id, message.packed))
        for position, report in enumerate(message.outcome.reports):
            event = Event(
                id=new_id(),
                source=message.source,
                report=report,
                received_at=message.received_at or now,
                truncated=message.truncated or message.outcome.truncated,
                mailbox=box.name if box else None,
                match=correlator.match(report, message.received_at),
            )
            rows.append((mail_id, position, event))
    mailbox_id = box.id if box else None
    mails.insert_stored(connection, stored)
    mails.insert_raw(connection, raw)
    events.insert_events(connection, mailbox_id, rows)
    counters.add(connection, Counter(counters.key_of(event, mailbox_id) for _, _, event in rows))
    consequences.draw(connection, [event for _, _, event in rows])
    return [event for _, _, event in rows]
