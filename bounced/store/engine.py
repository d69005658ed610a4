"""Opens the database and gives transactions.  The one file that knows drivers, pools and their errors.

SQLite runs in WAL mode with synchronous=FULL: a commit that was answered survives a power cut.
Every error of the database leaves here as one line, a StoreError, without the password of the URL.
"""

import json
import os
import pwd
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bounced.errors import StoreError
from bounced.store.tables import SCHEMA

LOCK_WAIT_SECONDS = 30
"""How long a transaction waits for another one before it gives up."""
POOL_SIZE = 5
CONNECT_TIMEOUT_SECONDS = 10
STATEMENT_TIMEOUT_SECONDS = 120
IDLE_WRITER_SECONDS = 60
"""A writer that hangs this long in its transaction is cut off, so that another daemon can take its mailbox over."""

# What begins a transaction of each kind.  SQLite's driver is in autocommit mode, so that it never begins one by itself.
BEGIN_WRITING = {
    "sqlite": "BEGIN IMMEDIATE",  # the lock is taken at once: no transaction fails half-way for want of it
    "postgresql": f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_WRITER_SECONDS}s'",
}
BEGIN_READING = {"sqlite": "BEGIN", "postgresql": "SET TRANSACTION READ ONLY"}

# SQLite: busy, locked, out of memory, disk I/O, full, cannot open (a journal cannot be made on a full disk).
SQLITE_RETRY = {5, 6, 7, 10, 13, 14}
# PostgreSQL, by SQLSTATE: connection lost, rolled back for another's sake, no resources, operator's doing, system
# error; lock or statement timeout, a server that became a standby, a writer that hung.
POSTGRESQL_RETRY = ("08", "40", "53", "57", "58", "55P03", "25006", "25P03")
# A failed connection has no SQLSTATE; these words of the server tell what waiting does not mend.
POSTGRESQL_HOPELESS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password supplied")

MIGRATION_LOCK = 0x626F756E  # any number, the same in every `bounced`


class Store:
    """An open database whose schema is this program's.  Threads may share it."""

    def __init__(self, engine: Engine, place: str) -> None:
        self._engine = engine
        self._place = place  # how errors name the database

    @classmethod
    def open(cls, url: str, *, migrate: bool = False) -> Self:
        """Open the database at `url`.

        url      sqlite:///PATH (made if it does not exist, mode 0600) or postgresql+psycopg://USER:PASSWORD@HOST/NAME
        migrate  bring PostgreSQL's schema to this program's; SQLite's always is
        raises   StoreError: it cannot be opened, belongs to another user, or its schema is not this program's
        """
        parsed = _parse(url)
        sqlite = parsed.get_backend_name() == "sqlite"
        if sqlite:
            _prepare_file(Path(parsed.database or ""))
        store = cls(_sqlite_engine(parsed) if sqlite else _postgresql_engine(parsed), _place(parsed))
        try:
            if sqlite:
                store._use_wal()
            store._check_schema(migrate=migrate or sqlite)
        except BaseException:
            store.close()
            raise
        return store

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that may write: committed at the end of the block, rolled back by any exception."""
        with self._transaction(BEGIN_WRITING) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that only reads; a long one never stops a writer."""
        with self._transaction(BEGIN_READING) as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _transaction(self, begin: dict[str, str]) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                connection.exec_driver_sql(begin[self._engine.dialect.name])
                yield connection
        except SQLAlchemyError as error:
            raise self._failed(error) from error

    def _failed(self, error: SQLAlchemyError) -> StoreError:
        """The error in one line for the operator."""
        if isinstance(error, PoolTimeoutError):
            return StoreError(f"{self._place}: all connections are in use", retry=True)
        if not isinstance(error, DBAPIError):
            return StoreError(f"{self._place}: {_line(str(error))}", retry=False)
        cause: Any = error.orig
        if isinstance(cause, sqlite3.Error):
            code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
            return StoreError(f"{self._place}: {_line(str(cause))}", retry=code in SQLITE_RETRY)
        state = getattr(cause, "sqlstate", None)
        words = _line((getattr(cause, "diag", None) and cause.diag.message_primary) or str(cause))
        if self._engine.url.password:
            words = words.replace(str(self._engine.url.password), "***")
        retry = (
            state.startswith(POSTGRESQL_RETRY)
            if state
            else type(cause).__name__ == "OperationalError" and not any(hint in words for hint in POSTGRESQL_HOPELESS)
        )
        return StoreError(f"{self._place}: {words}", retry=retry or error.connection_invalidated)

    def _use_wal(self) -> None:
        """Switch a new file to WAL mode.

        SQLite does not wait for its lock here, so that two programs that meet on a new file must.
        """
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while True:
            try:
                with self._engine.connect() as connection:
                    connection.exec_driver_sql("PRAGMA journal_mode = WAL")
                return
            except SQLAlchemyError as error:
                failed = self._failed(error)
                if not failed.retry or time.monotonic() > deadline:
                    raise failed from error
            time.sleep(0.05)

    def _check_schema(self, *, migrate: bool) -> None:
        with self.reading() as connection:
            schema = _schema_of(connection)
        if schema == SCHEMA:
            return
        if schema is not None and schema > SCHEMA:
            what = f"its schema {schema} is newer than this program's ({SCHEMA}): install a newer bounced"
            raise StoreError(f"{self._place}: {what}", retry=False)
        if not migrate:
            what = "it has no tables yet" if schema is None else f"its schema {schema} is older than this program's"
            raise StoreError(f"{self._place}: {what}: run `bounced migrate`", retry=False)
        from bounced.store.migrations import upgrade  # slow to import and seldom needed

        with self.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
            if _schema_of(connection) == schema:  # else another program was quicker
                upgrade(connection)


def _schema_of(connection: Connection) -> str | None:
    """The revision that the database is at; None: it has no tables yet."""
    if connection.dialect.has_table(connection, "alembic_version"):
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")))
    return None


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        driver = f"{parsed.get_backend_name()}+{parsed.get_driver_name()}"
    except (ArgumentError, ValueError, SQLAlchemyError) as error:
        raise StoreError(f"the URL cannot be read: {_FORMS}", retry=False) from error
    if driver not in ("sqlite+pysqlite", "postgresql+psycopg"):
        raise StoreError(f"{parsed.drivername} is not supported: {_FORMS}", retry=False)
    if driver.startswith("sqlite") and (not parsed.database or parsed.database.startswith((":", "file:"))):
        raise StoreError("the URL names no file: write sqlite:///PATH", retry=False)
    if "@" in (parsed.host or ""):
        raise StoreError('the URL has more than one "@": write those of the password as %40', retry=False)
    return parsed


_FORMS = "write sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/NAME"


def _place(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return f"{url.host or 'local'}:{url.port or 5432}/{url.database or url.username}"


def _line(words: str) -> str:
    """The first line of a driver's message."""
    return words.strip().partition("\n")[0]


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_size=POOL_SIZE,
        connect_args={"timeout": LOCK_WAIT_SECONDS, "isolation_level": None},
        json_serializer=partial(json.dumps, ensure_ascii=False, separators=(",", ":")),
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    return engine


def _postgresql_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_size=POOL_SIZE,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": "bounced",
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        },
        json_serializer=partial(json.dumps, ensure_ascii=False, separators=(",", ":")),
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT_SECONDS}s'")
        connection.execute(f"SET lock_timeout = '{LOCK_WAIT_SECONDS}s'")
        connection.execute("SET timezone = 'UTC'")
        connection.commit()

    return engine


def _prepare_file(path: Path) -> None:
    """Make the SQLite file if there is none, and see that it is ours.

    Run as another user, SQLite would leave files beside the database that the daemon cannot write.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        _create_file(path)
        return
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", retry=False) from error
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"{path}: is not a file", retry=False)
    _check_owner(path, found.st_uid)
    if not os.access(path, os.R_OK | os.W_OK):
        raise StoreError(f"{path}: cannot be written: {os.strerror(13)}", retry=False)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise StoreError(f"{path.parent}: cannot be written: {os.strerror(13)}", retry=False)


def _create_file(path: Path) -> None:
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    if os.geteuid() == 0:
        _check_owner(path, existing.stat().st_uid)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return  # another program was quicker
    except OSError as error:
        raise StoreError(f"{path}: cannot be made: {error.strerror}", retry=False) from error


def _check_owner(path: Path, owner: int) -> None:
    if owner == os.geteuid():
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"#{owner}"
    raise StoreError(f"{path} belongs to user {name}: run this as that user (sudo -u {name} ...)", retry=False)
