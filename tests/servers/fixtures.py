"""Fixtures: the real servers that a test asks for by name.

A conftest.py imports those that its tests need, and those that these need.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers import require
from tests.servers.authority import Authority
from tests.servers.dns import Dns
from tests.servers.dovecot import Dovecot, Message, Options
from tests.servers.folders import session_folder
from tests.servers.postfix import Postfix
from tests.servers.postgres import Postgres
from tests.servers.proxy import Proxy
from tests.servers.sink import Sink


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A user of the shared Dovecot whom no other test knows."""

    dovecot: Dovecot
    user: str

    def deliver(self, *raws: bytes, folder: str = "INBOX") -> None:
        """Put messages into a folder; their UIDs follow the given order."""
        self.dovecot.deliver(self.user, *raws, folder=folder)

    def messages(self, folder: str = "INBOX") -> list[Message]:
        """All messages of a folder in order of their UIDs."""
        return self.dovecot.messages(self.user, folder)


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """A folder that servers without root's rights can use; tmp_path is closed to them."""
    with session_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def new_folder(servers_folder: Path) -> Callable[[str], Path]:
    """Name a folder that is not there yet, for one server."""
    numbers = itertools.count(1)
    return lambda name: servers_folder / f"{name}-{next(numbers)}"


@pytest.fixture(scope="session")
def authority(servers_folder: Path) -> Authority:
    """The private certificate authority that issues every server's certificate."""
    return Authority(servers_folder)


@pytest.fixture(scope="session")
def dovecot(new_folder: Callable[[str], Path], authority: Authority) -> Iterator[Dovecot]:
    """A Dovecot that all tests share: take a `mailbox` of it, and do not stop, kill or pause it."""
    server = require(lambda: Dovecot(new_folder("dovecot"), authority))
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def mailbox(dovecot: Dovecot) -> Mailbox:
    """An empty mailbox."""
    return Mailbox(dovecot, dovecot.new_user())


@pytest.fixture
def start_dovecot(new_folder: Callable[[str], Path], authority: Authority) -> Iterator[Callable[..., Dovecot]]:
    """Start an own Dovecot with the given Options, to do anything with."""
    with ExitStack() as stack:

        def start(**options: Any) -> Dovecot:
            server = require(lambda: Dovecot(new_folder("dovecot"), authority, Options(**options)))
            stack.callback(server.close)
            server.start()
            return server

        yield start


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A scripted SMTP server."""
    server = Sink()
    yield server
    server.close()


@pytest.fixture
def start_postfix(new_folder: Callable[[str], Path]) -> Iterator[Callable[..., Postfix]]:
    """Start an own Postfix with the given arguments of Postfix()."""
    with ExitStack() as stack:

        def start(**arguments: Any) -> Postfix:
            server = require(lambda: Postfix(new_folder("postfix"), **arguments))
            stack.callback(server.stop)
            server.start()
            return server

        yield start


@pytest.fixture
def postfix(start_postfix: Callable[..., Postfix], sink: Sink, dovecot: Dovecot) -> Postfix:
    """A Postfix that relays to `sink`, and delivers what is for event.data.example.net to `dovecot`."""
    return start_postfix(relay_port=sink.port, lmtp_port=dovecot.lmtp_port)


@pytest.fixture(scope="session")
def postgres(new_folder: Callable[[str], Path]) -> Iterator[Postgres]:
    """A PostgreSQL that all tests share."""
    server = require(lambda: Postgres(new_folder("postgres")))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, removed after the test."""
    url = postgres.database()
    yield url
    postgres.drop(url)


@pytest.fixture
def start_proxy() -> Iterator[Callable[[int], Proxy]]:
    """Put a Proxy before a port of 127.0.0.1."""
    with ExitStack() as stack:

        def start(port: int) -> Proxy:
            proxy = Proxy(port)
            stack.callback(proxy.close)
            return proxy

        yield start


@pytest.fixture
def dns() -> Iterator[Dns]:
    """A DNS server that knows nothing yet."""
    server = Dns()
    yield server
    server.close()
