"""Takes a batch of a mailbox in: parsed before the transaction, stored in one.

One transaction holds the lease's check, the messages, their raw bytes, the events, the counters and the cursor.
Only when it is committed may the mailbox be touched.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sqlalchemy import Connection

from bounced import log as logs
from bounced.config import Config, Mailbox
from bounced.inbox.imap import Fetched
from bounced.keys import Keyring
from bounced.model import is_recognised
from bounced.service import intake, lease
from bounced.service.correlate import Correlator
from bounced.service.intake import Parsed
from bounced.store import mailboxes, mails, people
from bounced.store.engine import Store
from parsers.report import Kind, Outcome, Report

log = logs.get(__name__)

MAX_TRIES = 5
"""A message that could not be fetched in so many polls becomes an event that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the batches of one poll come from, and how they are kept."""

    box: Mailbox
    mailbox_id: int
    uidvalidity: int
    user: people.User | None  # whose own mailbox it is
    config: Config
    keyring: Keyring | None
    owner: str  # of the lease
    adopt: bool  # messages are known under another UIDVALIDITY: bytes decide

    def source(self, uid: int) -> str:
        """How an event names the message that it came from."""
        return f"imap:{self.box.name}/{self.uidvalidity}/{uid}"


@dataclass(slots=True)
class Taken:
    """What one batch or one poll brought."""

    messages: int = 0
    events: Counter[tuple[Kind, str | None]] = field(default_factory=Counter)  # by kind and cause
    to_do: list[mails.PendingAction] = field(default_factory=list)  # in the mailbox, now that the events are committed

    def add(self, more: "Taken") -> None:
        """Counts what another batch brought."""
        self.messages += more.messages
        self.events.update(more.events)


def ingest(store: Store, place: Place, batch: Sequence[Fetched], *, cursor: int, backlog: int) -> Taken:
    """Stores a batch and moves the cursor.

    cursor   the last UID that this batch deals with
    backlog  how many messages are known to wait above it
    raises   LeaseLostError, StoreError: nothing of the batch is stored, and nothing may be done in the mailbox
    """
    parsed = [_read(place, mail, mail.raw) for mail in batch if mail.raw is not None]
    if place.box.user is not None:  # a user's own mailbox: what is no bounce is none of our business
        parsed = [kept for message in parsed if (kept := _recognised(message))]
    now = datetime.now(UTC)
    with store.writing() as connection:
        mailboxes.renew_lease(connection, place.mailbox_id, place.owner, now + lease.LENGTH)
        mails.close_open(
            connection, place.mailbox_id, place.uidvalidity, [mail.uid for mail in batch if mail.raw is not None]
        )
        known = mails.known_uids(connection, place.mailbox_id, place.uidvalidity, [mail.uid for mail in batch])
        unread = [mail for mail in batch if mail.raw is None and mail.uid not in known]
        given_up = [mail for mail in unread if _tried_enough(connection, place, mail)]
        if place.box.user is None:
            parsed += [_unreadable(place, mail) for mail in given_up]
        taken = _store(connection, place, [message for message in parsed if message.uid not in known], now)
        mailboxes.advance(
            connection,
            place.mailbox_id,
            uidvalidity=place.uidvalidity,
            cursor=cursor,
            backlog=backlog,
            waiting_since=batch[-1].received_at if backlog else None,
        )
    for message in parsed:
        if message.outcome.problems:
            log.warning("mail read with problems", uid=message.uid, problems=message.outcome.problems)
    return taken


def _read(place: Place, mail: Fetched, raw: bytes) -> Parsed:
    return intake.read(
        place.source(mail.uid),
        raw,
        size=mail.size,
        truncated=mail.truncated,
        received_at=mail.received_at,
        uid=mail.uid,
    )


def _recognised(message: Parsed) -> Parsed | None:
    reports = tuple(report for report in message.outcome.reports if is_recognised(report))
    return replace(message, outcome=message.outcome._replace(reports=reports)) if reports else None


def _tried_enough(connection: Connection, place: Place, mail: Fetched) -> bool:
    """Notes one more failure to fetch; True when it was the last."""
    reason = mail.problem or "it could not be fetched"
    tries = mails.mark_open(connection, place.mailbox_id, place.uidvalidity, mail.uid, reason)
    if tries < MAX_TRIES:
        return False
    mails.close_open(connection, place.mailbox_id, place.uidvalidity, [mail.uid])
    log.error("mail given up", uid=mail.uid, reason=reason, tries=tries)
    return True


def _unreadable(place: Place, mail: Fetched) -> Parsed:
    """A message that nobody can fetch is an event, too: the reason is its diagnostic, and it stays in the mailbox."""
    report = Report(kind=Kind.OTHER, diagnostic=f"The message could not be fetched: {mail.problem}")
    return Parsed(
        source=place.source(mail.uid),
        outcome=Outcome(reports=(report,)),
        size=mail.size,
        truncated=True,
        received_at=mail.received_at,
        uid=mail.uid,
    )


def _store(connection: Connection, place: Place, parsed: list[Parsed], now: datetime) -> Taken:
    """Stores messages whose UIDs are not known yet."""
    adopted = _adopt(connection, place, parsed) if place.adopt else set()
    fresh = [message for message in parsed if message.uid not in adopted]
    events = intake.put(
        connection,
        [(message, _action(place, truncated=message.truncated) if message.packed else None) for message in fresh],
        Correlator(
            connection,
            place.config,
            place.keyring,
            company=place.box.company,
            user=place.user,
            login=place.box.username,
        ),
        intake.Box(id=place.mailbox_id, name=place.box.name, uidvalidity=place.uidvalidity),
        now,
    )
    return Taken(
        messages=len(fresh),
        events=Counter((event.report.kind, event.report.cause) for event in events),
        to_do=mails.pending_actions(connection, place.mailbox_id, place.uidvalidity, len(parsed)),
    )


def _adopt(connection: Connection, place: Place, parsed: list[Parsed]) -> set[int]:
    """The UIDs of messages that are known under another UIDVALIDITY; they are not taken in again."""
    adopted: set[int] = set()
    for truncated in (False, True):
        prints = [
            mails.Fingerprint(message.uid, message.sha256, message.size)
            for message in parsed
            if message.uid is not None and message.packed and message.truncated == truncated
        ]
        action = _action(place, truncated=truncated)
        adopted |= mails.adopt(connection, place.mailbox_id, place.uidvalidity, prints, action)
    return adopted


def _action(place: Place, *, truncated: bool) -> str | None:
    """What is to be done with a message in the mailbox; what was not read whole is never deleted."""
    after = place.box.after
    if after.kind == "keep" or (after.kind == "delete" and truncated):
        return None
    return str(after)
