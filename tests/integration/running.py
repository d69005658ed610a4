"""`bounced` as a process of its own, its mail, and what it leaves in the database."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import func, select

from bounced.store import mails, tables
from bounced.store.engine import Store
from bounced.store.mailboxes import Mailbox, all_mailboxes
from tests.servers import require
from tests.servers.dovecot import Dovecot
from tests.servers.postgres import Postgres
from tests.servers.process import Process, wait_for

PROJECT = Path(__file__).parents[2]
SECONDS = 30.0
"""How long a test waits for what must come, on a machine that has other things to do."""

Line = dict[str, Any]


def recipients(number: int) -> list[str]:
    """Whom message `number` is about: mostly one address, now and then two, now and then nobody (it is no bounce)."""
    match number % 10:
        case 3:
            return [f"r{number}a@customer.example.com", f"r{number}b@customer.example.com"]
        case 7:
            return []
        case _:
            return [f"r{number}@customer.example.com"]


def bounce(number: int, *, size: int = 0) -> bytes:
    """Message `number`, which no other is equal to, filled up to about `size` octets."""
    statements = "".join(
        f"\nFinal-Recipient: rfc822; {address}\nAction: failed\nStatus: 5.1.1\n"
        f"Remote-MTA: dns; mx.customer.example.com\nDiagnostic-Code: smtp; 550 5.1.1 {address}: User unknown\n"
        for address in recipients(number)
    )
    filling = "x" * 70 + "\n"
    text = f"""\
From: Mail Delivery System <MAILER-DAEMON@relay.example.net>
To: acme@event.data.example.net
Subject: number {number}
Message-ID: <bounce-{number}@relay.example.net>
"""
    if not statements:
        return (text + "\nHello.\n" + filling * (size // 71)).replace("\n", "\r\n").encode()
    text += f"""\
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b

Your message could not be delivered.
{filling * (size // 71)}
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example.net
{statements}
--b
Content-Type: message/rfc822

From: acme@event.data.example.net
To: {recipients(number)[0]}
Subject: Invoice {number}
Message-ID: <invoice-{number}@erp.example.net>

Hello.
--b--
"""
    return text.replace("\n", "\r\n").encode()


def number_of(raw: bytes) -> int:
    """Which message this is."""
    found = re.search(rb"Subject: number (\d+)", raw)
    assert found, raw
    return int(found[1])


class Stored(NamedTuple):
    """One event, and the UID of the message that it came from."""

    uid: int
    position: int
    recipient: str | None


def events_of(numbers: Sequence[int]) -> list[Stored]:
    """What must be stored when messages with these numbers were delivered in this order: UID 1 is the first of them."""
    return [
        Stored(uid, position, recipient)
        for uid, number in enumerate(numbers, 1)
        for position, recipient in enumerate(recipients(number) or [None])
    ]


def box(dovecot: Dovecot, name: str, **changes: object) -> dict[str, object]:
    """A [[mailbox]] called as its login, over implicit TLS; None takes a key away."""
    table: dict[str, object] = {
        "name": name,
        "company": "acme",
        "host": dovecot.host,
        "port": dovecot.tls_port,
        "ca_file": str(dovecot.ca_file),
        "username": name,
        "password": "env:IMAP_PASSWORD",
        "interval": "1s",
    }
    table |= changes
    return {key: value for key, value in table.items() if value is not None}


@contextmanager
def unreadable(dovecot: Dovecot, user: str, number: int) -> Iterator[None]:
    """Meanwhile the server cannot read message `number` of a user's INBOX, though it lists it."""
    maildir = dovecot.folder / "home" / user / "Maildir"
    (file,) = [path for path in maildir.glob("[cn]*/*") if b"Subject: number %d\r\n" % number in path.read_bytes()]
    mode = file.stat().st_mode
    file.chmod(0)
    yield
    (file,) = maildir.glob(f"[cn]*/{file.name.partition(':')[0]}*")  # in another folder, with other flags
    file.chmod(mode)


class Service:
    """`bounced` with a bounced.toml of its own.  At most one daemon at a time."""

    def __init__(self, folder: Path, *, database: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.url = database or f"sqlite:///{folder / 'bounced.db'}"
        self.environment = {**os.environ, "IMAP_PASSWORD": Dovecot.password, "SIGNING_KEY": "0123456789abcdef" * 2}
        self._log = folder / "log"
        self._process: Process | None = None

    def configure(self, *boxes: dict[str, object], **further: dict[str, object]) -> None:
        """Write bounced.toml: `boxes`, and a table for each name in `further`."""
        values = {"database": {"url": self.url}, **further}
        text = "".join(f"[{name}]\n{_keys(table)}\n" for name, table in values.items())
        text += "".join(f"[[mailbox]]\n{_keys(table)}\n" for table in boxes)
        (self.folder / "bounced.toml").write_text(text)

    def command(self, *arguments: str, faults: str = "", text: bool = True) -> subprocess.CompletedProcess[Any]:
        """What one command prints, as text or as bytes, and how it ends."""
        return subprocess.run(
            [*self._program(faults), *arguments],
            env=self.environment,
            cwd=PROJECT,
            capture_output=True,
            text=text,
            timeout=120,
        )

    @contextmanager
    def running_command(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command that waits for somebody; it has to end well."""
        with subprocess.Popen(
            [*self._program(""), *arguments],
            env=self.environment,
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
                assert process.wait(60) == 0, process.stderr and process.stderr.read()
            finally:
                process.kill()

    def listed(self, *filters: str) -> list[dict[str, Any]]:
        """What `bounced events` lists."""
        answer = self.command("events", *filters, "--format", "jsonl")
        assert (answer.returncode, answer.stderr) == (0, "")
        return [json.loads(line) for line in answer.stdout.splitlines()]

    def start(self, *, faults: str = "", ready: bool = True) -> None:
        """Start the daemon, and wait until it says so."""
        seen = len(self.log())
        self._process = Process(
            [*self._program(faults), "run"], output=self._log, environment=self.environment, folder=PROJECT
        )
        if ready:
            self.wait_for_line("started", since=seen)

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        return self._daemon.pid

    @property
    def running(self) -> bool:
        """Whether the daemon is alive."""
        return self._process is not None and self._process.running

    def send(self, number: int) -> None:
        """Send the daemon a signal."""
        self._daemon.send(number)

    def kill(self) -> None:
        """End the daemon with SIGKILL; nothing where there is none."""
        if self._process:
            self._process.kill()

    def end(self, number: int = signal.SIGTERM, *, seconds: float = SECONDS) -> int:
        """End the daemon with a signal; its exit status."""
        self.send(number)
        self.wait_until(lambda: not self.running, "the daemon's end", seconds=seconds)
        status = self._daemon.status
        self.kill()
        assert status is not None
        return status

    def log_text(self) -> str:
        """All that was logged."""
        return self._log.read_text() if self._log.exists() else ""

    def log(self, since: int = 0) -> list[Line]:
        """The lines of the log, each an object."""
        return [json.loads(line) for line in self.log_text().splitlines(keepends=True)[since:] if line.endswith("\n")]

    def wait_for_line(self, event: str, *, since: int = 0, seconds: float = SECONDS, **facts: object) -> Line:
        """The first line with these words and facts."""

        def look() -> Line | None:
            assert self.running or event in {"stopped"}, f"the daemon has ended\n{self.log_text()[-3000:]}"
            wanted = {"event": event, **facts}
            return next((line for line in self.log(since) if wanted.items() <= line.items()), None)

        try:
            return wait_for(look, seconds=seconds, what=f"{event!r} {facts}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log_text()[-3000:]}") from None

    def wait_until(self, look: Callable[[], object], what: str, *, seconds: float = SECONDS) -> None:
        """Until `look` is true; the log's end is told otherwise."""
        try:
            wait_for(look, seconds=seconds, what=what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log_text()[-3000:]}") from None

    def wait_for_events(self, count: int, *, seconds: float = SECONDS) -> None:
        """Until at least so many events are stored."""
        self.wait_until(lambda: self.count() >= count, f"{count} events", seconds=seconds)

    def wait_until_quiet(self, *names: str, seconds: float = SECONDS) -> None:
        """Until every mailbox (or those named) was polled twice from now on without an error: nothing is left to do."""
        for _ in range(2):  # the first may have begun before now
            now = datetime.now(UTC)
            self.wait_until(lambda now=now: self._polled_since(now, names), "good polls", seconds=seconds)

    def count(self) -> int:
        """How many events are stored."""
        with self.store() as store, store.reading() as connection:
            return connection.scalar(select(func.count()).select_from(tables.Event)) or 0

    def events(self, mailbox: str) -> list[Stored]:
        """The events of a mailbox, by UID."""
        with self.store() as store, store.reading() as connection:
            rows = connection.execute(
                select(tables.Mail.uid, tables.Event.position, tables.Event.recipient)
                .join_from(tables.Event, tables.Mail, tables.Mail.id == tables.Event.mail_id)
                .join(tables.Mailbox, tables.Mailbox.id == tables.Event.mailbox_id)
                .where(tables.Mailbox.name == mailbox)
                .order_by(tables.Mail.uid, tables.Event.position)
            ).all()
        return [Stored(*row) for row in rows]

    def raws(self, mailbox: str) -> dict[int, bytes | None]:
        """The bytes kept of each message of a mailbox, by UID."""
        with self.store() as store, store.reading() as connection:
            rows = connection.execute(
                select(tables.Mail.uid, tables.Mail.id)
                .join(tables.Mailbox, tables.Mailbox.id == tables.Mail.mailbox_id)
                .where(tables.Mailbox.name == mailbox, tables.Mail.stored_at.is_not(None))
            ).all()
            return {uid: mails.raw(connection, mail_id) for uid, mail_id in rows}

    def stored_uids(self, mailbox: str) -> set[int]:
        """The UIDs of the messages of a mailbox that were taken in."""
        with self.store() as store, store.reading() as connection:
            rows = connection.scalars(
                select(tables.Mail.uid)
                .join(tables.Mailbox, tables.Mailbox.id == tables.Mail.mailbox_id)
                .where(tables.Mailbox.name == mailbox, tables.Mail.stored_at.is_not(None))
            )
            return {uid for uid in rows if uid is not None}

    def open(self) -> int:
        """How many messages could not be fetched yet."""
        with self.store() as store, store.reading() as connection:
            not_stored = select(func.count()).select_from(tables.Mail).where(tables.Mail.stored_at.is_(None))
            return connection.scalar(not_stored) or 0

    def pending(self) -> int:
        """How many actions are still to be done in mailboxes."""
        with self.store() as store, store.reading() as connection:
            pending = select(func.count()).select_from(tables.Mail).where(tables.Mail.action.is_not(None))
            return connection.scalar(pending) or 0

    def mailboxes(self) -> dict[str, Mailbox]:
        """The mailboxes' rows, by name."""
        with self.store() as store, store.reading() as connection:
            return {row.name: row for row in all_mailboxes(connection)}

    def store(self) -> Store:
        """The database, opened."""
        return Store.open(self.url)

    @property
    def _daemon(self) -> Process:
        assert self._process, "the daemon was not started"
        return self._process

    def _program(self, faults: str) -> list[str]:
        module = ["tests.integration.faulty", faults] if faults else ["bounced"]
        return [sys.executable, "-m", *module, "--config", str(self.folder / "bounced.toml")]

    def _polled_since(self, moment: datetime, names: Sequence[str]) -> bool:
        rows = self.mailboxes()
        successes = [rows[name].last_success_at if name in rows else None for name in names or rows]
        return all(success is not None and success > moment for success in successes)


@pytest.fixture
def new_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Make services, each in a folder of its own; their daemons are killed at the end."""
    with ExitStack() as stack:
        numbers = itertools.count(1)

        def make(*boxes: dict[str, object], database: str | None = None, **further: dict[str, object]) -> Service:
            service = Service(tmp_path / f"service-{next(numbers)}", database=database)
            stack.callback(service.kill)
            service.configure(*boxes, **further)
            return service

        yield make


@pytest.fixture
def own_postgres(new_folder) -> Iterator[Postgres]:
    """A PostgreSQL to do anything with."""
    server = require(lambda: Postgres(new_folder("postgres")))
    server.start()
    yield server
    server.stop()


def _keys(table: dict[str, object]) -> str:
    return "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)
