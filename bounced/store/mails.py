"""Messages: which were taken in, their raw bytes, what is still to do with them in the mailbox.

A message is known by mailbox, UIDVALIDITY and UID (RFC 9051 §2.3.1.1); only when UIDVALIDITY has changed, by its bytes.
"""

import zlib
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, exists, insert, or_, select, update

from bounced.store import tables
from bounced.store.ids import new_id
from bounced.store.upsert import upsert

CHUNK = 500
"""Values in one IN list."""
COMPRESSION_LEVEL = 6

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMail:
    """A message as it is taken in.  A replayed file has no mailbox, UIDVALIDITY and UID."""

    id: UUID
    mailbox_id: int | None
    uidvalidity: int | None
    uid: int | None
    sha256: bytes  # of the bytes that were fetched
    size: int  # bytes of the whole message
    truncated: bool
    received_at: datetime
    stored_at: datetime
    action: str | None  # still to do in the mailbox: seen | move:FOLDER | delete


class Fingerprint(NamedTuple):
    """What tells a message again under another UIDVALIDITY."""

    uid: int
    sha256: bytes
    size: int


class PendingAction(NamedTuple):
    """What is still to do with a message in its mailbox."""

    mail_id: UUID
    uid: int
    action: str


def insert_stored(connection: Connection, mails: Iterable[StoredMail]) -> None:
    """Take messages in; a UID that was open must be closed before (`close_open`)."""
    rows = [
        {
            "id": mail.id,
            "mailbox_id": mail.mailbox_id,
            "uidvalidity": mail.uidvalidity,
            "uid": mail.uid,
            "sha256": mail.sha256,
            "size": mail.size,
            "truncated": mail.truncated,
            "received_at": mail.received_at,
            "stored_at": mail.stored_at,
            "tries": 0,
            "action": mail.action,
        }
        for mail in mails
    ]
    if rows:
        connection.execute(insert(tables.Mail), rows)


def pack(raw: bytes) -> bytes:
    """The bytes of a message as `insert_raw` wants them; slow, and so done before the transaction begins."""
    return zlib.compress(raw, COMPRESSION_LEVEL)


def insert_raw(connection: Connection, packed: Iterable[tuple[UUID, bytes]]) -> None:
    """Keep the bytes of messages: (mail id, `pack`ed bytes)."""
    rows = [{"mail_id": mail_id, "data": data} for mail_id, data in packed]
    if rows:
        connection.execute(insert(tables.RawMail), rows)


def raw(connection: Connection, mail_id: UUID) -> bytes | None:
    """The bytes of a message; None: they were purged, or never kept."""
    data = connection.scalar(select(tables.RawMail.data).where(tables.RawMail.mail_id == mail_id))
    return None if data is None else zlib.decompress(data)


def known_uids(connection: Connection, mailbox_id: int, uidvalidity: int, uids: Collection[int]) -> set[int]:
    """Those of `uids` that were taken in already."""
    known: set[int] = set()
    for first, last in _ranges(uids):  # one, as a rule; a list of all UIDs is slow to plan and to send
        known.update(
            uid
            for uid in connection.scalars(
                select(tables.Mail.uid).where(
                    tables.Mail.mailbox_id == mailbox_id,
                    tables.Mail.uidvalidity == uidvalidity,
                    tables.Mail.uid.between(first, last),
                    tables.Mail.stored_at.is_not(None),
                )
            )
            if uid is not None
        )
    return known.intersection(uids)


def known_files(connection: Connection, hashes: Sequence[bytes]) -> set[bytes]:
    """Those of the SHA-256 `hashes` whose bytes were taken in from a replayed file already."""
    known: set[bytes] = set()
    for some in chunks(hashes):
        known.update(
            connection.scalars(
                select(tables.Mail.sha256).where(tables.Mail.sha256.in_(some), tables.Mail.mailbox_id.is_(None))
            )
        )
    return known


def has_other_uidvalidity(connection: Connection, mailbox_id: int, uidvalidity: int) -> bool:
    """Whether messages of this mailbox are known under another UIDVALIDITY: only then is there something to adopt."""
    here = exists().where(tables.Mail.mailbox_id == mailbox_id)
    below, above = here.where(tables.Mail.uidvalidity < uidvalidity), here.where(tables.Mail.uidvalidity > uidvalidity)
    return bool(connection.scalar(select(or_(below, above))))  # two looks into the index; "<>" would read all of it


def adopt(
    connection: Connection, mailbox_id: int, uidvalidity: int, mails: Iterable[Fingerprint], action: str | None
) -> set[int]:
    """Tell messages again that are known under another UIDVALIDITY; they get `action` to do.

    mails    none of them known under `uidvalidity`
    returns  the UIDs that were told again.  Each known message is taken once: of two equal mails with one known, one
             is adopted and the other is new.
    """
    ordered = sorted(mails)
    known: dict[tuple[bytes | None, int | None], deque[UUID]] = defaultdict(deque)
    for some in chunks(ordered):
        found = connection.execute(
            select(tables.Mail.id, tables.Mail.sha256, tables.Mail.size)
            .where(
                tables.Mail.sha256.in_({mail.sha256 for mail in some}),
                tables.Mail.mailbox_id == mailbox_id,
                tables.Mail.uidvalidity != uidvalidity,
            )
            .order_by(tables.Mail.uidvalidity, tables.Mail.uid)
        )
        fresh: dict[tuple[bytes | None, int | None], deque[UUID]] = defaultdict(deque)
        for mail_id, sha256, size in found:
            fresh[sha256, size].append(mail_id)
        known.update((key, ids) for key, ids in fresh.items() if key not in known)
    adopted = [(known[mail.sha256, mail.size].popleft(), mail.uid) for mail in ordered if known[mail.sha256, mail.size]]
    if adopted:
        connection.execute(
            update(tables.Mail)
            .where(tables.Mail.id == bindparam("mail_id"))
            .values(uidvalidity=uidvalidity, uid=bindparam("new_uid"), action=action),
            [{"mail_id": mail_id, "new_uid": uid} for mail_id, uid in adopted],
        )
    return {uid for _, uid in adopted}


def set_aside(connection: Connection, mailbox_id: int, uidvalidity: int) -> None:
    """The mailbox's UIDVALIDITY is now `uidvalidity`: what was left to do under another one names nothing any more."""
    others = (
        tables.Mail.mailbox_id == mailbox_id,
        or_(tables.Mail.uidvalidity < uidvalidity, tables.Mail.uidvalidity > uidvalidity),
    )
    connection.execute(delete(tables.Mail).where(*others, tables.Mail.stored_at.is_(None)))
    connection.execute(update(tables.Mail).where(*others, tables.Mail.action.is_not(None)).values(action=None))


def pending_actions(connection: Connection, mailbox_id: int, uidvalidity: int, limit: int) -> list[PendingAction]:
    """What is still to do in the mailbox, lowest UIDs first, at most `limit`."""
    rows = connection.execute(
        select(tables.Mail.id, tables.Mail.uid, tables.Mail.action)
        .where(
            tables.Mail.mailbox_id == mailbox_id,
            tables.Mail.uidvalidity == uidvalidity,
            tables.Mail.action.is_not(None),
        )
        .order_by(tables.Mail.uid)
        .limit(limit)
    )
    return [PendingAction(mail_id, uid, action) for mail_id, uid, action in rows if uid is not None and action]


def clear_actions(connection: Connection, mail_ids: Sequence[UUID]) -> None:
    """What was to do with these messages is done."""
    for some in chunks(mail_ids):
        connection.execute(update(tables.Mail).where(tables.Mail.id.in_(some)).values(action=None))


def mark_open(connection: Connection, mailbox_id: int, uidvalidity: int, uid: int, reason: str) -> int:
    """A message that is there could not be fetched; returns how often that was so."""
    statement = upsert(connection, tables.Mail).values(
        id=new_id(),
        mailbox_id=mailbox_id,
        uidvalidity=uidvalidity,
        uid=uid,
        truncated=False,
        tries=1,
        reason=reason,
    )
    statement = statement.on_conflict_do_update(
        index_elements=[tables.Mail.mailbox_id, tables.Mail.uidvalidity, tables.Mail.uid],
        set_={"tries": tables.Mail.tries + 1, "reason": reason},
        where=tables.Mail.stored_at.is_(None),
    )
    return connection.execute(statement.returning(tables.Mail.tries)).scalar_one()


def open_uids(connection: Connection, mailbox_id: int, uidvalidity: int) -> dict[int, int]:
    """The UIDs that could not be fetched yet, lowest first, and how often each was tried."""
    rows = connection.execute(
        select(tables.Mail.uid, tables.Mail.tries)
        .where(
            tables.Mail.mailbox_id == mailbox_id,
            tables.Mail.uidvalidity == uidvalidity,
            tables.Mail.stored_at.is_(None),
        )
        .order_by(tables.Mail.uid)
    )
    return {uid: tries for uid, tries in rows if uid is not None}


def close_open(connection: Connection, mailbox_id: int, uidvalidity: int, uids: Sequence[int]) -> None:
    """These UIDs are open no longer: they are gone, or about to be stored in this transaction."""
    for some in chunks(uids):
        connection.execute(
            delete(tables.Mail).where(
                tables.Mail.mailbox_id == mailbox_id,
                tables.Mail.uidvalidity == uidvalidity,
                tables.Mail.uid.in_(some),
                tables.Mail.stored_at.is_(None),
            )
        )


def chunks(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """The values in lists that every database takes."""
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def _ranges(uids: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of `uids` without a gap of CHUNK or more."""
    ordered = sorted(uids)
    starts = [0, *(i for i in range(1, len(ordered)) if ordered[i] - ordered[i - 1] >= CHUNK)]
    for start, end in zip(starts, [*starts[1:], len(ordered)], strict=True):
        if start < end:
            yield ordered[start], ordered[end - 1]
