"""One poll of one mailbox: what a crash left undone first, then every new message, then those that stayed open.

The order is the promise: fetch, store and commit, only then act in the mailbox.
"""

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Connection

from bounced import log as logs
from bounced.config import Config, Mailbox
from bounced.errors import BouncedError, LeaseLostError, MailboxError, StoreError
from bounced.inbox.imap import Fetched, Session
from bounced.keys import Keyring
from bounced.service import lease
from bounced.service.ingest import Place, Taken, ingest
from bounced.store import mailboxes, mails, people
from bounced.store.engine import Store

log = logs.get(__name__)

ACTIONS_AT_A_TIME = 500
"""Actions left undone that are read from the database and done at once."""


@dataclass(slots=True)
class Found:
    """What one poll brought, and why it ended early, if it did."""

    mailbox: str
    taken: Taken = field(default_factory=Taken)
    error: str | None = None
    elsewhere: bool = False  # another process polls this mailbox


def owner_of(connection: Connection, box: Mailbox) -> people.User | None:
    """The user whose own mailbox it is; None: there is no such card."""
    company = people.find_company(connection, box.company) if box.company else None
    return people.find_user(connection, company.id, box.user) if company and box.user else None


def nobody(box: Mailbox) -> str:
    """What is wrong where the owner of a mailbox has no card."""
    return f"there is no user {box.user} in company {box.company}: add the card with `bounced users add`"


class Poller:
    """Polls mailboxes, each by one thread at a time; `abort` and the stop event work from any thread."""

    def __init__(
        self, store: Store, stop: threading.Event, advance: Callable[[int], None] = lambda _messages: None
    ) -> None:
        """What all polls share.

        stop     once set, every poll ends after the batch in hand
        advance  told how many messages each batch had
        """
        self.events = 0  # stored since the start
        self._store = store
        self._stop = stop
        self._advance = advance
        self._owner = lease.owner()
        self._sessions: dict[str, Session] = {}
        self._aborted = False
        self._beats: dict[str, float] = {}  # when each running poll made progress last, monotonic seconds

    def poll(self, box: Mailbox, config: Config) -> Found:
        """Polls one mailbox; never raises a BouncedError: a sick mailbox is its own business."""
        found = Found(box.name)
        if self._stop.is_set():
            return found
        started = time.monotonic()
        with structlog.contextvars.bound_contextvars(mailbox=box.name):
            self._beats[box.name] = started
            try:
                row = self._take_lease(box)
                if row is None:
                    found.elsewhere = True
                else:
                    self._leased(row, box, config, found)
            except LeaseLostError:
                found.elsewhere = True
            except BouncedError as error:
                found.error = str(error)
            finally:
                del self._beats[box.name]
            if found.taken.messages or found.elsewhere:
                log.info(
                    "polled" if not found.elsewhere else "polled elsewhere",
                    mails=found.taken.messages,
                    events=found.taken.events.total(),
                    took_ms=round((time.monotonic() - started) * 1_000),
                )
        return found

    def abort(self) -> None:
        """Cuts the connections of all polls for good; what they have not committed comes again."""
        self._aborted = True
        for session in list(self._sessions.values()):
            session.abort()

    def is_stuck(self, longer_than: timedelta) -> bool:
        """Whether a running poll has made no progress for so long."""
        oldest = min(list(self._beats.values()), default=None)
        return oldest is not None and time.monotonic() - oldest > longer_than.total_seconds()

    def _leased(self, row: mailboxes.Mailbox, box: Mailbox, config: Config, found: Found) -> None:
        try:
            if box.user is not None and row.user_id is None:
                raise MailboxError(box.name, nobody(box), retry=False)
            session = self._sessions[box.name] = Session(box, max_message_size=config.poll.max_message_size)
            if self._aborted:
                session.abort()
            with session:
                self._drain(session, row, box, config, found)
        except LeaseLostError:
            raise
        except BouncedError as error:
            self._give_back(row.id, str(error))
            raise
        except Exception as bug:
            with suppress(LeaseLostError):
                self._give_back(row.id, f"unexpected {type(bug).__name__}")
            raise
        finally:
            self._sessions.pop(box.name, None)
        self._give_back(row.id, None)

    def _take_lease(self, box: Mailbox) -> mailboxes.Mailbox | None:
        """The mailbox's row, leased to this process; None: somebody else has it."""
        now = datetime.now(UTC)
        with self._store.writing() as connection:
            if box.user is None:
                company_id = people.ensure_company(connection, box.company) if box.company else None
                row = mailboxes.ensure(connection, box.name, company_id=company_id)
            else:  # a mistyped company must not be made known
                owner = owner_of(connection, box)
                ids = (owner.company_id, owner.id) if owner else (None, None)
                row = mailboxes.ensure(connection, box.name, company_id=ids[0], user_id=ids[1])
            if row.lease_owner and row.lease_owner != self._owner and lease.is_gone(row.lease_owner):
                mailboxes.release_lease(connection, row.id, row.lease_owner)
            if not mailboxes.acquire_lease(connection, row.id, self._owner, now, now + lease.LENGTH):
                return None
        return row

    def _give_back(self, mailbox_id: int, error: str | None) -> None:
        """Notes how the poll went and ends the lease; if the database fails, the lease runs out by itself.

        raises   LeaseLostError: how the mailbox is, another daemon knows better by now
        """
        now = datetime.now(UTC)
        try:
            with self._writing(mailbox_id) as connection:
                if error is None:
                    mailboxes.succeeded(connection, mailbox_id, now)
                else:
                    mailboxes.failed(connection, mailbox_id, now, error)
                mailboxes.release_lease(connection, mailbox_id, self._owner)
        except StoreError as failed:
            log.warning("mailbox not given back", error=str(failed))

    def _drain(self, session: Session, row: mailboxes.Mailbox, box: Mailbox, config: Config, found: Found) -> None:
        folder = session.select()
        session.check_action()
        cursor = row.cursor if row.uidvalidity == folder.uidvalidity else 0
        if row.uidvalidity not in (None, folder.uidvalidity):
            log.warning("UIDVALIDITY has changed", before=row.uidvalidity, now=folder.uidvalidity)
            with self._writing(row.id) as connection:
                mails.set_aside(connection, row.id, folder.uidvalidity)
        with self._store.reading() as connection:
            adopt = mails.has_other_uidvalidity(connection, row.id, folder.uidvalidity)
            still_open = mails.open_uids(connection, row.id, folder.uidvalidity)
            user = people.user_by_id(connection, row.user_id) if row.user_id is not None else None
        place = Place(
            box=box,
            mailbox_id=row.id,
            uidvalidity=folder.uidvalidity,
            user=user,
            config=config,
            keyring=Keyring.find(config),
            owner=self._owner,
            adopt=adopt,
        )
        self._finish_actions(session, place)
        for uids in session.uids_above(cursor):
            for batch in session.fetch(uids):
                cursor = batch[-1].uid
                self._take(session, place, batch, found, cursor, backlog=len(uids) - bisect_right(uids, cursor))
                if self._stop.is_set():
                    return
                del batch  # or it would live on while the next one is fetched
        self._retry_open(session, place, list(still_open), found, cursor)
        with self._writing(row.id) as connection:
            mailboxes.advance(
                connection, row.id, uidvalidity=folder.uidvalidity, cursor=cursor, backlog=0, waiting_since=None
            )

    def _take(
        self, session: Session, place: Place, batch: list[Fetched], found: Found, cursor: int, *, backlog: int
    ) -> None:
        taken = ingest(self._store, place, batch, cursor=cursor, backlog=backlog)
        found.taken.add(taken)
        self._advance(len(batch))
        self.events += taken.events.total()
        self._act(session, place, taken.to_do)

    def _finish_actions(self, session: Session, place: Place) -> None:
        """Does what was committed but not done in the mailbox, because something broke between the two."""
        while True:
            with self._store.reading() as connection:
                left = mails.pending_actions(connection, place.mailbox_id, place.uidvalidity, ACTIONS_AT_A_TIME)
            if not left or self._stop.is_set():
                return
            self._act(session, place, left)

    def _act(self, session: Session, place: Place, to_do: list[mails.PendingAction]) -> None:
        """Acts in the mailbox, then notes that it is done.  Lost in between, it is done again: that changes nothing.

        What was left undone under another `after` than is configured now is not wanted any more.
        """
        self._beats[place.box.name] = time.monotonic()
        if not to_do:
            return
        after = place.box.after
        session.act(after, [item.uid for item in to_do if item.action == str(after)])
        with self._writing(place.mailbox_id) as connection:
            mails.clear_actions(connection, [item.mail_id for item in to_do])

    def _retry_open(self, session: Session, place: Place, uids: list[int], found: Found, cursor: int) -> None:
        """Tries again what an earlier poll could not fetch; what is gone by now is forgotten."""
        seen: set[int] = set()
        for batch in session.fetch(uids):
            seen.update(mail.uid for mail in batch)
            self._take(session, place, batch, found, cursor, backlog=0)
            if self._stop.is_set():
                return
        if gone := [uid for uid in uids if uid not in seen]:
            with self._writing(place.mailbox_id) as connection:
                mails.close_open(connection, place.mailbox_id, place.uidvalidity, gone)

    @contextmanager
    def _writing(self, mailbox_id: int) -> Iterator[Connection]:
        """A transaction that holds the lease.

        raises   LeaseLostError, StoreError: nothing was changed
        """
        with self._store.writing() as connection:
            mailboxes.renew_lease(connection, mailbox_id, self._owner, datetime.now(UTC) + lease.LENGTH)
            yield connection
