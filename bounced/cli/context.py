"""What most commands need first: the configuration, the log, the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bounced.cli.output import plain
from bounced.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bounced.config import Config
    from bounced.store.engine import Store


def configuration(context: typer.Context) -> "Config":
    """The configuration named by --config, BOUNCED_CONFIG or the usual places; sets up the log as it says.

    raises   ConfigError with all its problems
    """
    from bounced import config, log

    path: Path | None = context.find_root().params.get("config")
    loaded = config.load(path)
    log.configure(loaded.log.format)
    return loaded


@contextmanager
def database(context: typer.Context) -> "Iterator[Store]":
    """The configured database, for commands that only need that.

    raises   ConfigError, StoreError
    """
    loaded = configuration(context)
    from bounced.store.engine import Store

    store = Store.open(loaded.database.url)
    try:
        yield store
    finally:
        store.close()


def company_named(connection: "Connection", name: str) -> int:
    """The row of a company that is known.

    raises   InputError: there is none of that name
    """
    from bounced.store import people

    company = people.find_company(connection, name)
    if company is None:
        raise InputError(f"there is no company {plain(name)}")
    return company.id
