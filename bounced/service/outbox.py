"""The outbox: claims what is due and hands it to the servers, several connections at a time.

Deliveries that go the same way (server and login) share their connections.  A way that cannot connect, encrypt or log
in is paused as a whole: one event for the incident, its messages stay queued, and nobody else waits for it.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic

from sqlalchemy import Connection

from bounced import log as logs
from bounced.config import Config
from bounced.errors import BouncedError, LeaseLostError, StoreError
from bounced.keys import Keyring
from bounced.send.failure import ConnectError, ConnectionLostError, LoginError, TlsError, TransportError, WornOutError
from bounced.send.limiter import Limiter
from bounced.send.record import record
from bounced.send.smtp import Route, Session
from bounced.service import lease
from bounced.service.deliver import Job, attempt, back_off, noting, queue_again
from bounced.service.incident import incident
from bounced.service.login import Account, open_session
from bounced.service.prepare import Preparation, Way, mended, use_mended
from bounced.store import deliveries, sender_configs
from bounced.store.engine import Store
from bounced.store.joint import Joint

log = logs.get(__name__)

AT_A_TIME = 500
"""Deliveries claimed together."""
ENOUGH = 100
"""Deliveries that one way has in hand when more are claimed for it, so that its connections go on."""
MOST_HELD = 20_000
"""Deliveries in hand; of each only what is said of it is in memory, the message itself while it is sent."""
CONNECTIONS = 12
"""Of one way at a time."""
PER_CONNECTION = 20
"""Deliveries for which another connection is worth its while."""
WORKERS = 400
"""So many connections: hundreds of servers that hardly answer, each with one, leave some for the others."""
LEASE = timedelta(minutes=10)
"""How long a delivery stays with a daemon that is not heard of."""
LONGEST_TURN = 60.0
"""Seconds that a worker waits for a server's limit; what waits longer goes back to the queue."""
LIMIT_PAUSE = 5.0
"""Seconds until a connection is asked for again where others use all that the server allows."""
SHARE = 10.0
"""Seconds that a connection is kept where another way waits for one of those that the server allows."""
LOST_PAUSE = 10.0
"""Seconds until another connection is made where one did not outlast its first message."""
LOOK_AGAIN = 5.0
"""Seconds between two looks at the cards of those whose sender config is paused."""
TICK = 0.1
INTERVAL, LONGEST_INTERVAL = 1.0, 10.0
"""Seconds between two looks at the queue; after each that fails twice as many, up to the longest."""


class Outbox:
    """Delivers, within one process."""

    def __init__(self, store: Store, stop: threading.Event) -> None:
        """`stop`: set when no other message is to be begun."""
        self._store, self._stop = store, stop
        self._joint = Joint(store)
        self._owner = lease.owner()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="send")
        self._lock = threading.Lock()
        self._held: set[int] = set()  # deliveries that are claimed and in hand
        self._ways: dict[tuple[Route, Account | None], Way] = {}  # those that workers are at
        self._sessions: set[Session] = set()  # of all workers
        self._resting: dict[int, float] = {}  # rows of sender configs -> when their server's limit lets them go on
        self._wake = threading.Event()
        self._limiter = Limiter({}, monotonic)
        self._renewed = self._looked = monotonic()

    def run(self, config: Callable[[], Config]) -> None:
        """Delivers what is due until `stop`; `config`: the present one."""
        failures = 0  # in a row
        while not self._stop.is_set():
            self._wake.clear()
            more = False
            try:
                if keyring := Keyring.find(config()):  # without one nothing can have been queued
                    more = self.step(config(), keyring)
                failures = 0
            except BouncedError as error:
                failures += 1
                log.warning("outbox failed", error=str(error))
            except Exception:
                failures += 1
                log.exception("outbox failed")  # a bug must not end it
            if not more:
                self._wait(min(INTERVAL * 2.0 ** min(failures, 10), LONGEST_INTERVAL))
        with self._lock:
            self._pool.shutdown(wait=False)  # nobody is hired any more
        self._pool.shutdown(wait=True)

    def abort(self) -> None:
        """At the end: cuts the connections of servers that do not answer.  What nobody knows yet is waited for."""
        with self._lock:
            for session in self._sessions:
                session.cut()

    def _wait(self, seconds: float) -> None:
        """Until a worker has ended, the time is over, or it is time to end."""
        deadline = monotonic() + seconds
        while not self._wake.wait(TICK) and not self._stop.is_set() and monotonic() < deadline:
            pass

    def drain(self, config: Config, keyring: Keyring) -> None:
        """Delivers what is due now, and waits for it."""
        while not self._stop.is_set():
            self._wake.clear()
            busy = bool(self._ways)  # before the look at the queue: it left out what these have enough of
            if self.step(config, keyring):
                continue
            if not (busy or self._ways):
                return
            self._wait(INTERVAL)

    def step(self, config: Config, keyring: Keyring) -> bool:
        """Claims what is due and gives it to the workers; whether there may be more."""
        now, elapsed = datetime.now(UTC), monotonic()
        self._limiter.use(config.send.limits)
        if elapsed - self._looked >= LOOK_AGAIN:
            self._look_for_mended_cards(config, now)
            self._looked = elapsed
        with self._store.writing() as connection:
            gone = {owner for owner in deliveries.owners(connection) if lease.is_gone(owner)}
            with self._lock:
                held = set(self._held)
                excluded = {row for row, until in self._resting.items() if until > elapsed}
                excluded.update(*(way.configs for way in self._ways.values() if len(way.jobs) >= ENOUGH))
            limit = min(AT_A_TIME, MOST_HELD - len(held))
            back, uncertain = deliveries.recover(connection, now, gone=gone, owner=self._owner, held=held)
            if elapsed - self._renewed >= LEASE.total_seconds() / 4:
                deliveries.renew(connection, self._owner, now + LEASE)
                self._renewed = elapsed
            excluded |= set(sender_configs.paused(connection, now))
            claimed = deliveries.claim(connection, self._owner, now, now + LEASE, limit, excluded=excluded)
            # another daemon took it from a worker of ours that is still at it: when that is over, it is tried again
            twice = {one.id for one in claimed} & held
            deliveries.give_back(connection, twice, self._owner, due_at=now + LEASE)
            ways = Preparation(connection, config, keyring, self._owner).ways(
                one for one in claimed if one.id not in twice
            )
        if back or uncertain:
            log.warning("outbox recovered", queued=back, uncertain=len(uncertain))
        for way in ways:
            self._begin(way, config, keyring)
        return len(claimed) == AT_A_TIME

    def _look_for_mended_cards(self, config: Config, now: datetime) -> None:
        """What waits for a pause to end is tried at once when the card says something else by now."""
        with self._store.reading() as connection:
            waiting = sender_configs.paused(connection, now)
            changed = mended(connection, config, waiting) if waiting else []
        if changed:
            with self._store.writing() as connection:
                use_mended(connection, config, changed, now)

    def _begin(self, new: Way, config: Config, keyring: Keyring) -> None:
        """Gives what was claimed to those who are at this way already, and to as many more as it is worth."""
        with self._lock:
            self._held.update(job.claimed.id for job in new.jobs)
            way = self._ways.setdefault((new.route, new.account), new)
            if way is not new:
                way.jobs.extend(new.jobs)
                way.configs |= new.configs
                way.works = False  # nobody knows of these yet
            hired = self._hire(way, config, keyring)
        self._heed(way, hired)

    def _hire(self, way: Way, config: Config, keyring: Keyring) -> list[Future[None]]:
        """Begins more workers of a way, to be called under the lock: but one until there is a connection.

        A server may leave it waiting for minutes, and hundreds of them at a time all workers.
        """
        most = min(CONNECTIONS, self._limiter.worth(way.route.host)) if way.answers else 1
        more = max(0, min(most, -(-len(way.jobs) // PER_CONNECTION)) - way.workers)
        way.workers += more
        return [self._pool.submit(self._work, way, config, keyring) for _ in range(more)]

    def _heed(self, way: Way, hired: list[Future[None]]) -> None:
        """Not under the lock: who has ended already is heeded at once."""
        for worker in hired:
            worker.add_done_callback(lambda done: self._end(way, done))

    def _end(self, way: Way, done: Future[None]) -> None:
        """A worker has ended; with the last one the way is free, and what is left of it back in the queue."""
        if error := done.exception():
            log.error("sending failed", server=way.route.host, error=f"{type(error).__name__}: {error}")
        rest = []
        with self._lock:
            way.workers -= 1
            if not way.workers:
                del self._ways[way.route, way.account]
                rest = [job.claimed.id for job in _rest(way)]
        try:
            if rest:
                noting(self._joint, lambda connection: deliveries.give_back(connection, rest, self._owner))
        except BouncedError as error:
            log.error("sending failed", server=way.route.host, error=str(error))  # it is recovered
        with self._lock:
            self._held.difference_update(rest)
        self._wake.set()

    def _work(self, way: Way, config: Config, keyring: Keyring) -> None:
        """One connection's share of a way."""
        host = way.route.host
        if not self._limiter.connect(host):
            with self._lock:
                has_none = not way.sessions
            if has_none:
                self._limiter.want(host)
            self._let_rest(way, LIMIT_PAUSE)
            return
        session = Session(way.route)
        with self._lock:
            way.sessions.add(session)
            self._sessions.add(session)
        kept_until = monotonic() + SHARE
        try:
            while way.jobs:
                if monotonic() > kept_until and self._limiter.is_wanted(host):
                    self._let_rest(way, 2 * LIMIT_PAUSE)  # by then who waits for it has asked again
                    return
                if not self._has_turn(way):
                    return
                is_new = not session.is_usable
                if is_new and not self._open(session, way, config, keyring):
                    return
                if not way.answers:
                    with self._lock:
                        way.answers = True
                        hired = [] if self._stop.is_set() else self._hire(way, config, keyring)
                    self._heed(way, hired)
                if job := self._next(way):
                    if not self._try(session, way, job, config.send.retry_for):
                        return
                    if is_new and not session.is_usable:  # connections for nothing are what gets an address blocked
                        self._let_rest(way, LOST_PAUSE)
                        return
        finally:
            with self._lock:
                way.sessions.discard(session)
                self._sessions.discard(session)
            session.close()
            self._limiter.disconnect(host)

    def _next(self, way: Way) -> Job | None:
        with self._lock:
            if len(way.jobs) == ENOUGH:
                self._wake.set()
            return way.jobs.popleft() if way.jobs else None

    def _has_turn(self, way: Way) -> bool:
        """Waits until the server's limit lets another message go; False: that is too far away, or it is time to end."""
        wait = self._limiter.reserve(way.route.host, patience=LONGEST_TURN)
        if wait > LONGEST_TURN:
            self._let_rest(way, wait)
            return False
        return not self._stop.wait(wait)

    def _let_rest(self, way: Way, seconds: float) -> None:
        """Claim nothing for this way so soon."""
        with self._lock:
            now = monotonic()
            self._resting = {row: until for row, until in self._resting.items() if until > now}
            self._resting |= dict.fromkeys(way.configs, now + seconds)

    def _try(self, session: Session, way: Way, job: Job, retry_for: timedelta) -> bool:
        """Whether the way is open for another one, whatever became of this one."""
        held = False  # for another connection
        try:
            attempt(self._store, self._joint, self._owner, session, job, retry_for)
            if not way.works:
                noting(self._joint, lambda connection: sender_configs.resume(connection, way.configs))
                way.works = True
        except WornOutError as error:
            held = True
            way.jobs.appendleft(job)
            log.info("connection worn out", server=way.route.host, error=str(error))
        except (LoginError, TlsError) as error:
            held = True
            way.jobs.appendleft(job)
            self._fail(session, way, error, retry_for)
            return False
        except (LeaseLostError, ConnectionLostError) as error:
            log.warning("message not sent", outbound=str(job.about.message.id), error=str(error))
        finally:
            if not held:
                with self._lock:
                    self._held.discard(job.claimed.id)
        return True

    def _open(self, session: Session, way: Way, config: Config, keyring: Keyring) -> bool:
        """Whether there is a connection."""
        try:
            open_session(session, way.account, self._store, config, keyring)
        except TransportError as error:
            failed = error
        except StoreError:
            raise  # no fault of the way's, which is tried again at once
        except BouncedError as error:  # the card's login is gone, or cannot be read
            failed = LoginError(way.route.host, str(error), retry=False)
        except Exception as bug:
            log.exception("connecting failed", server=way.route.host)  # must not stop the other ways
            failed = ConnectError(way.route.host, f"unexpected {type(bug).__name__}", retry=True)
        else:
            return True
        self._fail(session, way, failed, config.send.retry_for)
        return False

    def _fail(self, session: Session, way: Way, error: TransportError, retry_for: timedelta) -> None:
        """Pauses a way over which nothing goes; not where that is one connection too many."""
        with self._lock:
            way.sessions.discard(session)
            alone = not way.sessions  # of several that fail at the same time the last one is
            stopped = self._stop.is_set()  # then it may have been cut: that is no incident
            rest = _rest(way) if alone and not stopped else []
        if rest:
            self._pause(way, rest, error, retry_for)
        elif not stopped:
            log.info("one connection less", server=way.route.host, error=str(error))

    def _pause(self, way: Way, jobs: list[Job], error: TransportError, retry_for: timedelta) -> None:
        """Nothing goes this way for a while; one event tells of it, however often it fails."""
        now = datetime.now(UTC)
        log.warning("sending paused", server=way.route.host, error=str(error), messages=len(jobs))
        by_config = {job.sender_config_id: job for job in jobs}

        def note(connection: Connection) -> None:
            for config, job in sorted(by_config.items()):
                if sender_configs.pause(connection, config, now, back_off) == 1:
                    record(connection, job.about, [incident(error, job.about)], now)
            for job in jobs:
                left = job.claimed.recipients
                with suppress(LeaseLostError):  # then it is another daemon's, and nothing was changed
                    queue_again(connection, self._owner, job.claimed, job.about, left, now, retry_for, last=str(error))

        try:
            noting(self._joint, note)
        finally:
            with self._lock:
                self._held.difference_update(job.claimed.id for job in jobs)


def _rest(way: Way) -> list[Job]:
    """What is left of a way, to be called under the lock."""
    rest = list(way.jobs)
    way.jobs.clear()
    return rest
