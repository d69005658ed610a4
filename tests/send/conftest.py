"""The servers that mail is handed to."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.send.script import Reply, Script
from tests.servers.fixtures import (
    authority,
    dns,
    dovecot,
    mailbox,
    new_folder,
    servers_folder,
    sink,
    start_dovecot,
    start_postfix,
    start_proxy,
)

__all__ = [
    "authority",
    "dns",
    "dovecot",
    "mailbox",
    "new_folder",
    "servers_folder",
    "sink",
    "start_dovecot",
    "start_postfix",
    "start_proxy",
]


@pytest.fixture
def start_script() -> Iterator[Callable[..., Script]]:
    """Starts scripted servers."""
    with ExitStack() as stack:

        def start(replies: dict[str, Reply] | None = None, *, greeting: Reply = b"220 script.example\r\n") -> Script:
            server = Script(replies, greeting=greeting)
            stack.callback(server.close)
            return server

        yield start
