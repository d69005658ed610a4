"""Rows to store."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from bounced.model import Event, Match
from bounced.store import mails
from bounced.store.ids import new_id
from parsers.causes.cause import Cause
from parsers.report import Evidence, Kind, Report

NOW = datetime(2026, 11, 23, 4, 35, 31, 250_000, tzinfo=UTC)
UIDVALIDITY = 1_700_000_000


def stored_mail(uid: int | None, *, raw: bytes | None = None, **fields: Any) -> mails.StoredMail:
    """A message of mailbox 1 as it is taken in; its bytes are its UID unless they are given."""
    raw = b"mail %d" % (uid or 0) if raw is None else raw
    values: dict[str, Any] = {
        "id": new_id(),
        "mailbox_id": 1,
        "uidvalidity": UIDVALIDITY,
        "uid": uid,
        "sha256": hashlib.sha256(raw).digest(),
        "size": len(raw),
        "truncated": False,
        "received_at": NOW,
        "stored_at": NOW,
        "action": None,
    }
    return mails.StoredMail(**(values | fields))


def insert_mails(connection: Connection, uids: Iterable[int], **fields: Any) -> list[mails.StoredMail]:
    """Take messages in."""
    rows = [stored_mail(uid, **fields) for uid in uids]
    mails.insert_stored(connection, rows)
    return rows


def event(
    recipient: str | None = "mari@example.org",
    *,
    age: timedelta = timedelta(),
    match: Match | None = None,
    evidence: Evidence | None = None,
    mailbox: str | None = "acme",
    **report: Any,
) -> Event:
    """A bounce of mailbox "acme", received `age` before NOW."""
    values: dict[str, Any] = {"kind": Kind.BOUNCE, "cause": Cause.USER_UNKNOWN, "permanent": True}
    return Event(
        id=new_id(),
        source=f"imap:acme/{UIDVALIDITY}/1",
        report=Report(recipient=recipient, evidence=evidence or Evidence(), **(values | report)),
        received_at=NOW - age,
        truncated=False,
        mailbox=mailbox,
        match=match or Match(),
    )
