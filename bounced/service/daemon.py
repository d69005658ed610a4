"""The daemon: polls mailboxes, delivers the outbox, purges by retention, obeys signals, and keeps systemd informed.

SIGTERM, SIGINT  finish the batches in hand, then end
SIGHUP           read the configuration again; a wrong one is logged and the old one stays
"""

import random
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from bounced import log as logs
from bounced.config import Config, Mailbox, Poll
from bounced.errors import BouncedError, ConfigError
from bounced.keys import Keyring
from bounced.service import notify
from bounced.service.outbox import Outbox
from bounced.service.poll import Poller
from bounced.store import retention
from bounced.store.engine import Store

log = logs.get(__name__)

POLLS_AT_A_TIME = 10
PURGE_INTERVAL = timedelta(hours=1)
MAX_BACK_OFF = timedelta(minutes=5)
"""A failing mailbox is tried again after its interval, doubled with each failure, up to this."""

GRACE = timedelta(seconds=20)
"""At the end, how long a batch in hand may take before its connection is cut; what is not committed comes again.
Only a server that has a whole message, and has not said whether it takes it, is waited for longer."""

STUCK = timedelta(minutes=30)
"""A poll without progress for so long is a bug that only a restart mends: the watchdog is left to bite."""


class Daemon:
    """One running service."""

    def __init__(self, load: Callable[[], Config]) -> None:
        """Reads the configuration with `load`, at once and at every SIGHUP.

        raises   ConfigError, StoreError: nothing was started
        """
        self._load = load
        self._config = self._read()
        self._store = Store.open(self._config.database.url)
        self._stop = threading.Event()
        self._poller = Poller(self._store, self._stop)
        self._outbox = Outbox(self._store, self._stop)
        self._sending = threading.Thread(target=self._outbox.run, args=(lambda: self._config,), name="outbox")
        self._failures: dict[str, int] = {}  # polls that failed since the last good one, by mailbox
        self._jobs: dict[str, tuple[Mailbox, Poll]] = {}  # what each job was scheduled for
        self._pool = ThreadPoolExecutor(POLLS_AT_A_TIME)
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": self._pool},
            # one poll of a mailbox at a time; polls that were missed meanwhile are made up for by one
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def run(self) -> None:
        """Runs until SIGTERM or SIGINT."""
        signals, wakeup = socket.socketpair()
        with signals, wakeup:
            # a handler in Python runs between two instructions: one more wait would have begun before it
            wakeup.setblocking(False)
            signal.set_wakeup_fd(wakeup.fileno())
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, lambda *_: None)
            self._scheduler.start()
            self._sending.start()
            self._schedule(self._config)
            self._scheduler.add_job(
                self._purge,
                "interval",
                seconds=PURGE_INTERVAL.total_seconds(),
                id="purge",
                next_run_time=datetime.now(UTC),
            )
            log.info("started", mailboxes=len(self._config.mailbox))
            notify.notify("READY=1", self._status())
            try:
                while self._heed(signals):
                    pass
            finally:
                self._end()
                signal.set_wakeup_fd(-1)

    def _heed(self, signals: socket.socket) -> bool:
        """Waits for a signal or for the watchdog's time; False when it is time to end."""
        received = None
        signals.settimeout(notify.watchdog_interval() or 60)
        with suppress(TimeoutError):
            received = signals.recv(1)[0]
        if received == signal.SIGHUP:
            self._reload()
        elif received is not None:
            log.info("stopping", signal=signal.Signals(received).name)
            return False
        notify.notify(self._status())
        if not self._poller.is_stuck(STUCK):
            notify.notify("WATCHDOG=1")
        return True

    def _read(self) -> Config:
        config = self._load()
        config.read_secrets()
        Keyring.find(config)
        if not config.mailbox:
            raise ConfigError("no mailbox is configured: add a [[mailbox]] to bounced.toml")
        return config

    def _reload(self) -> None:
        notify.reloading()
        try:
            fresh = self._read()
        except BouncedError as error:
            log.error("configuration not read again: the old one stays", error=str(error))
        else:
            if fresh.database != self._config.database:
                log.warning("another database needs a restart: the old one stays")
            self._config = fresh
            self._schedule(fresh)
            log.info("configuration read again", mailboxes=len(fresh.mailbox))
        notify.notify("READY=1", self._status())

    def _schedule(self, config: Config) -> None:
        """Gives every mailbox its job; one that fares well and did not change keeps its place in time."""
        wanted = {_job(box): (box, config.poll) for box in config.mailbox}
        before, self._jobs = self._jobs, wanted
        for job in before.keys() - wanted.keys():
            self._scheduler.remove_job(job)
        failing, self._failures = self._failures, {}  # a failing one is tried at once: it may be what was mended
        for job, (box, _) in wanted.items():
            if before.get(job) == wanted[job] and box.name not in failing:
                self._scheduler.modify_job(job, args=(box, config))
                continue
            self._scheduler.add_job(
                self._poll,
                "interval",
                seconds=_interval(box, config).total_seconds(),
                args=(box, config),
                id=job,
                next_run_time=datetime.now(UTC),
                replace_existing=True,
            )

    def _poll(self, box: Mailbox, config: Config) -> None:
        try:
            error = self._poller.poll(box, config).error
        except Exception as bug:
            log.exception("poll failed", mailbox=box.name)  # a bug that one mailbox shows must not stop its polls
            error = f"unexpected {type(bug).__name__}"
        if error is None:
            self._failures.pop(box.name, None)
            return
        if _job(box) not in self._jobs:  # taken out of the configuration meanwhile
            return
        failures = self._failures[box.name] = self._failures.get(box.name, 0) + 1
        wait = back_off(_interval(box, config), failures)
        log.warning("poll failed", mailbox=box.name, error=error, failures=failures, again_in_s=round(wait, 1))
        with suppress(JobLookupError):  # taken out of the configuration meanwhile
            self._scheduler.modify_job(_job(box), next_run_time=datetime.now(UTC) + timedelta(seconds=wait))

    def _purge(self) -> None:
        now, keep, stop = datetime.now(UTC), self._config.retention, self._stop.is_set
        try:
            raw = retention.purge_raw(self._store, now - keep.raw, stop)
            raw += retention.purge_raw_outbound(self._store, now - keep.raw, stop)
            events = retention.purge_events(self._store, now - keep.events, stop)
        except BouncedError as error:
            log.warning("purge failed", error=str(error))
            return
        if raw or events:
            log.info("purged", raw=raw, events=events)

    def _status(self) -> str:
        failing = f", {len(self._failures)} failing" if self._failures else ""
        return f"STATUS={len(self._config.mailbox)} mailboxes{failing}, {self._poller.events} events since the start"

    def _end(self) -> None:
        notify.notify("STOPPING=1")
        self._stop.set()
        cut = threading.Timer(GRACE.total_seconds(), self._abort)
        cut.start()
        self._scheduler.remove_all_jobs()
        self._sending.join()
        self._pool.shutdown(wait=True)  # not by the scheduler: it would hold a lock that a failing poll waits for
        cut.cancel()
        self._scheduler.shutdown()
        self._store.close()
        log.info("stopped")

    def _abort(self) -> None:
        self._poller.abort()
        self._outbox.abort()


def back_off(interval: timedelta, failures: int) -> float:
    """Seconds to wait after so many failures in a row: doubled each time, capped, and spread."""
    longest = max(MAX_BACK_OFF, interval).total_seconds()
    wait = min(longest, interval.total_seconds() * 2.0 ** min(failures, 30))
    return wait * random.uniform(0.5, 1.0)  # noqa: S311  no secret hangs on it


def _job(box: Mailbox) -> str:
    return f"poll:{box.name}"


def _interval(box: Mailbox, config: Config) -> timedelta:
    return box.interval or config.poll.interval
