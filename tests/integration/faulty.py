"""The program `bounced` with faults in it: `python -m tests.integration.faulty FAULT,FAULT ARGUMENTS...`.

What is too slow, too rare or too broken to be had from outside is put into the process before it starts.
"""

import logging
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Literal

from imapclient import SocketTimeout

import parsers
from bounced import log
from bounced.cli import main
from bounced.inbox import imap
from bounced.service import daemon, lease
from bounced.store import engine
from parsers import order
from parsers.message import Mail
from parsers.report import Report


def impatient() -> None:
    """Waits are a second or two where they are minutes, and polls follow each other without delay."""
    daemon._interval = lambda _box, _config: timedelta(seconds=0.2)
    imap.Session.__init__.__kwdefaults__["timeouts"] = SocketTimeout(connect=1.0, read=1.0)
    daemon.MAX_BACK_OFF = timedelta(seconds=2)
    daemon.GRACE = timedelta(seconds=2)
    engine.LOCK_WAIT_SECONDS = 1
    engine.CONNECT_TIMEOUT_SECONDS = 2


def short_grace() -> None:
    """At the end, connections are cut after a second."""
    daemon.GRACE = timedelta(seconds=1)


def small_batches() -> None:
    """Batches of 20 messages."""
    imap.BATCH_MESSAGES = 20


def short_leases() -> None:
    """A daemon that is not heard of for a second loses its mailboxes."""
    lease.LENGTH = timedelta(seconds=1)


def soon_stuck() -> None:
    """A poll without progress for a second is a bug."""
    daemon.STUCK = timedelta(seconds=1)


def purges_often() -> None:
    """The purge comes every half a second."""
    daemon.PURGE_INTERVAL = timedelta(seconds=0.5)


def logs_everything() -> None:
    """Every library's log is written, at every level."""
    configure = log.configure

    def verbose(style: Literal["auto", "console", "json"]) -> None:
        configure(style)
        for name in (None, "apscheduler", *logging.root.manager.loggerDict):
            logging.getLogger(name).setLevel(logging.DEBUG)

    log.configure = verbose


def cannot_act() -> None:
    """The connection breaks whenever something is to be done in the mailbox."""

    def act(session: imap.Session, *_: object) -> None:
        session.abort()
        session.select()

    imap.Session.act = act


def parser_crashes() -> None:
    """A message with X-Poison cannot be taken apart."""
    read = parsers.read

    def poisoned(raw: bytes) -> Mail:
        if raw.startswith(b"X-Poison"):
            raise RecursionError("poison")
        return read(raw)

    parsers.read = poisoned


def detector_crashes() -> None:
    """Every detector fails on a message with X-Poison."""

    def poisoned(detect: order.Detector, mail: Mail) -> tuple[Report, ...]:
        if "x-poison" in mail.headers:
            raise KeyError("poison")
        return detect(mail)

    parsers.ORDER = tuple((name, partial(poisoned, detect)) for name, detect in order.ORDER)


FAULTS: dict[str, Callable[[], None]] = {
    "impatient": impatient,
    "short-grace": short_grace,
    "small-batches": small_batches,
    "short-leases": short_leases,
    "soon-stuck": soon_stuck,
    "purges-often": purges_often,
    "logs-everything": logs_everything,
    "cannot-act": cannot_act,
    "parser-crashes": parser_crashes,
    "detector-crashes": detector_crashes,
}

if __name__ == "__main__":
    for name in filter(None, sys.argv[1].split(",")):
        FAULTS[name]()
    del sys.argv[1]
    main()
