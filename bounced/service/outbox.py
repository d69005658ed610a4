"""The outbox: claims what is due and hands it to the servers, several connections at a time.

Deliveries that go the same way (server and login) share their connections.  A way that cannot connect, encrypt or log
in is paused as a whole: one event for the incident, its messages stay queued, and nobody else waits for it.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from time import monotonic

from bounced import log as logs
from bounced.config import Config, Limit
from bounced.errors import BouncedError, LeaseLostError
from bounced.keys import Keyring
from bounced.send.failure import ConnectError, ConnectionLostError, LoginError, TlsError, TransportError
from bounced.send.limiter import Limiter
from bounced.send.record import record
from bounced.send.refusal import refused
from bounced.send.smtp import Session
from bounced.service import lease
from bounced.service.deliver import Job, attempt, back_off, put_back
from bounced.service.prepare import Preparation, Way
from bounced.store import outbound
from bounced.store.engine import Store
from parsers.causes.cause import Cause
from parsers.report import Report

log = logs.get(__name__)

AT_A_TIME = 500
"""Deliveries claimed together: so many messages are in memory."""
CONNECTIONS = 4
"""To one server at a time, where its limit says nothing."""
PER_CONNECTION = 20
"""Deliveries for which another connection is worth its while."""
WORKERS = 20
LEASE = timedelta(minutes=10)
MARGIN = timedelta(minutes=1)
"""So long before its lease ends a delivery is not begun any more."""
LONGEST_TURN = 5.0
"""Seconds that a worker waits for a server's limit; what waits longer goes back to the queue."""
TICK = 0.1
INTERVAL = 1.0
"""Seconds between two looks at the queue."""
CAUSES = {TlsError: Cause.TLS_FAILED, LoginError: Cause.LOGIN_FAILED, ConnectError: Cause.NETWORK_FAILURE}
"""Why a way is paused, where the server's words do not say it."""


class Outbox:
    """Delivers, within one process."""

    def __init__(self, store: Store, stop: threading.Event) -> None:
        """`stop`: set when no other message is to be begun."""
        self._store, self._stop = store, stop
        self._owner = lease.owner()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="send")
        self._lock = threading.Lock()
        self._busy: set[int] = set()  # rows of sender configs that workers are at
        self._wake = threading.Event()
        self._limits: dict[str, Limit] | None = None
        self._limiter = Limiter({}, monotonic)

    def run(self, config: Callable[[], Config]) -> None:
        """Delivers what is due until `stop`; `config`: the present one."""
        while not self._stop.is_set():
            self._wake.clear()
            more = False
            try:
                if keyring := Keyring.find(config()):  # without one nothing can have been queued
                    more = self.step(config(), keyring)
            except BouncedError as error:
                log.warning("outbox failed", error=str(error))
            except Exception:
                log.exception("outbox failed")  # a bug that one message shows must not stop the others
            if not more:
                self._wait()
        self._pool.shutdown(wait=True)

    def _wait(self) -> None:
        """Until a worker has ended, the time is over, or it is time to end."""
        deadline = monotonic() + INTERVAL
        while not self._wake.wait(TICK) and not self._stop.is_set() and monotonic() < deadline:
            pass

    def drain(self, config: Config, keyring: Keyring) -> None:
        """Delivers what is due now, and waits for it."""
        while True:
            more = self.step(config, keyring)
            while self._busy and not self._stop.is_set():
                self._wake.wait(INTERVAL)
                self._wake.clear()
            if not more:
                return

    def step(self, config: Config, keyring: Keyring) -> bool:
        """Claims what is due and gives it to the workers; whether there may be more."""
        now = datetime.now(UTC)
        if config.send.limits != self._limits:
            self._limiter, self._limits = Limiter(config.send.limits, monotonic), config.send.limits
        with self._store.writing() as connection:
            gone = {owner for owner in outbound.owners(connection) if lease.is_gone(owner)}
            back, uncertain = outbound.recover(connection, now, gone)
            with self._lock:
                busy = list(self._busy)
            excluded = (*outbound.paused(connection, now), *busy)
            claimed = outbound.claim(connection, self._owner, now, now + LEASE, AT_A_TIME, excluded=excluded)
            ways = Preparation(connection, config, keyring, self._owner).ways(claimed)
        if back or uncertain:
            log.warning("outbox recovered", queued=back, uncertain=len(uncertain))
        for way in ways:
            self._begin(way, config.send.retry_for)
        return len(claimed) == AT_A_TIME

    def _begin(self, way: Way, retry_for: timedelta) -> None:
        way.workers = min(CONNECTIONS, -(-len(way.jobs) // PER_CONNECTION))
        ends = monotonic() + (LEASE - MARGIN).total_seconds()
        with self._lock:
            self._busy.update(way.configs)
        for _ in range(way.workers):
            self._pool.submit(self._work, way, retry_for, ends).add_done_callback(lambda done: self._end(way, done))

    def _end(self, way: Way, done: Future[None]) -> None:
        """A worker has ended; with the last one the way is free, and what is left of it back in the queue."""
        if error := done.exception():
            log.error("sending failed", server=way.route.host, error=str(error))
        with self._lock:
            way.workers -= 1
            last = not way.workers
        if last:
            try:
                self._postpone(_rest(way), datetime.now(UTC))
            except BouncedError as error:
                log.error("sending failed", server=way.route.host, error=str(error))  # the lease ends it
            with self._lock:
                self._busy.difference_update(way.configs)
        self._wake.set()

    def _work(self, way: Way, retry_for: timedelta, ends: float) -> None:
        """One connection's share of a way."""
        host = way.route.host
        if not self._limiter.connect(host):
            return
        session = Session(way.route)
        try:
            while not self._stop.is_set() and monotonic() < ends and (job := _next(way)):
                wait = self._limiter.reserve(host)
                if wait > LONGEST_TURN or self._stop.wait(wait):
                    self._postpone([job], datetime.now(UTC) + timedelta(seconds=wait))
                elif self._ready(session, way, job, retry_for):
                    try:
                        attempt(self._store, self._owner, session, job, retry_for)
                    except (LeaseLostError, ConnectionLostError) as error:
                        log.warning("message not sent", outbound=str(job.about.outbound_id), error=str(error))
        finally:
            session.close()
            self._limiter.disconnect(host)

    def _ready(self, session: Session, way: Way, job: Job, retry_for: timedelta) -> bool:
        """Whether there is a connection; where there cannot be one, the way is paused."""
        if session.is_usable:
            return True
        try:
            session.open()
        except TransportError as error:
            self._pause(way, [job, *_rest(way)], error, retry_for)
            return False
        with self._store.writing() as connection:
            outbound.resume(connection, way.configs)
        return True

    def _pause(self, way: Way, jobs: list[Job], error: TransportError, retry_for: timedelta) -> None:
        """Nothing goes this way for a while; one event tells of it, however often it fails."""
        now = datetime.now(UTC)
        log.warning("sending paused", server=way.route.host, error=str(error), messages=len(jobs))
        by_config = {job.sender_config_id: job for job in jobs}
        with self._store.writing() as connection:
            for config, job in by_config.items():
                failures = outbound.pause(connection, config, now, back_off)
                if failures == 1:
                    record(connection, job.about, [incident(error, job)], now)
        for job in jobs:
            put_back(self._store, self._owner, job, retry_for, last=str(error))

    def _postpone(self, jobs: Iterable[Job], due_at: datetime) -> None:
        with self._store.writing() as connection:
            for job in jobs:
                outbound.postpone(connection, job.claimed.id, self._owner, due_at, error=None, counts=False)


def _next(way: Way) -> Job | None:
    try:
        return way.jobs.popleft()
    except IndexError:
        return None


def _rest(way: Way) -> list[Job]:
    jobs = []
    while job := _next(way):
        jobs.append(job)
    return jobs


def incident(error: TransportError, job: Job) -> Report:
    """The one event about a way that does not work: no recipient's fault, so without one."""
    reply = error.reply
    challenge = getattr(error, "challenge", None)
    text = f"{reply.code} {reply.text}" if reply else error.what
    return refused(
        None,
        code=reply.code if reply else None,
        text=f"{text} ({challenge})" if challenge and reply else text,
        host=job.about.snapshot["server"]["host"],
        evidence=job.evidence(),
        final=not error.retry,
        otherwise=CAUSES.get(type(error), Cause.UNKNOWN),
    )
