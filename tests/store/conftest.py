"""Every test that asks for `store` runs on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bounced.store import mailboxes
from bounced.store.engine import Store
from tests.servers.fixtures import database_url, new_folder, postgres, servers_folder

__all__ = ["database_url", "new_folder", "postgres", "servers_folder"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that does not exist yet, or is empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/bounced.db"
    return request.getfixturevalue("database_url")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An open store without any row."""
    with Store.open(url, migrate=True) as opened:
        yield opened


@pytest.fixture
def box(store: Store) -> mailboxes.Mailbox:
    """A known mailbox."""
    with store.writing() as connection:
        return mailboxes.ensure(connection, "acme")
