"""Opens the database and gives transactions.  The one file that knows drivers and pools.

SQLite runs in WAL mode with synchronous=FULL: a commit that was answered survives a power cut.
Every error of the database leaves here as one line, a StoreError, without the password of the URL.
"""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from bounced.errors import StoreError
from bounced.store import sqlite_file
from bounced.store.failures import store_error
from bounced.store.tables import SCHEMA

LOCK_WAIT_SECONDS = 30
"""How long a transaction waits for another one before it gives up."""
POOL_SIZE = 5
CONNECT_TIMEOUT_SECONDS = 10
SILENCE_SECONDS = 60
"""How long a server may acknowledge nothing that is sent to it; keepalives tell of a silent one only while it is asked
nothing, and the system goes on sending for a quarter of an hour."""
STATEMENT_TIMEOUT_SECONDS = 120
IDLE_WRITER_SECONDS = 60
"""A writer that hangs this long in its transaction is cut off, so that another daemon can take its mailbox over."""
# SQLite, more than its defaults (2,000 KiB, 1,000 pages): in a large database the pages of the indexes by address and
# by hash are met at random; a larger WAL copies each of them into the database less often.
CACHE_KIB = 8_000
CHECKPOINT_PAGES = 8_000  # 32 MiB of WAL before it is copied into the database

# What begins a transaction of each kind.  SQLite's driver is in autocommit mode, so that it never begins one by itself.
BEGIN_WRITING = {
    "sqlite": "BEGIN IMMEDIATE",  # the lock is taken at once: no transaction fails half-way for want of it
    "postgresql": f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_WRITER_SECONDS}s'",
}
BEGIN_READING = {"sqlite": "BEGIN", "postgresql": "SET TRANSACTION READ ONLY"}

NEVER_ASYNCHRONOUS = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
"""PostgreSQL, whatever its configuration: a commit that a crash may undo would have mail lost, or sent twice."""

JSON_TEXT = json.JSONEncoder(separators=(",", ":")).encode
"""In ASCII: a text that a database would refuse (NUL, half of a surrogate pair) is stored as its escape."""

URL_FORMS = "write sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/NAME"

MIGRATION_LOCK = 0x626F756E  # any number, the same in every `bounced`


class Store:
    """An open database whose schema is this program's.  Threads may share it."""

    def __init__(self, engine: Engine, place: str) -> None:
        self._engine = engine
        self._place = place  # how errors name the database
        # SQLite's writers take turns; left to SQLite, they sleep and try, and an unlucky thread may wait for long.
        self.has_one_writer = engine.dialect.name == "sqlite"
        self._turn = RLock() if self.has_one_writer else nullcontext()
        self._file = Path(engine.url.database or "") if self.has_one_writer else None
        self._identity = sqlite_file.identity(self._file) if self._file else None

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
            sqlite_file.prepare(Path(parsed.database or ""))
        store = cls(_sqlite_engine(parsed) if sqlite else _postgresql_engine(parsed), _place(parsed))
        try:
            if not store._is_current(may_migrate=migrate or sqlite):
                store._migrate()
        except BaseException:
            store.close()
            raise
        return store

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that may write: committed at the end of the block, rolled back by any exception."""
        with self._turn, self._transaction(BEGIN_WRITING) as connection:
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
        if self._file and sqlite_file.identity(self._file) != self._identity:  # what is written there, nobody will see
            what = "the file was removed or replaced while it was open: put it back, or restart"
            raise StoreError(f"{self._place}: {what}", retry=True)
        try:
            with self._engine.begin() as connection:
                connection.exec_driver_sql(begin[self._engine.dialect.name])
                yield connection
        except SQLAlchemyError as error:
            raise self._failed(error) from error

    def _failed(self, error: SQLAlchemyError) -> StoreError:
        password = self._engine.url.password
        return store_error(error, self._place, secret=None if password is None else str(password))

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

    def _is_current(self, *, may_migrate: bool) -> bool:
        """Whether the schema is this program's; StoreError where it cannot be made so."""
        with self.reading() as connection:
            schema = _schema_of(connection)
            foreign = schema is None and connection.dialect.name == "sqlite" and inspect(connection).get_table_names()
        if foreign:
            raise StoreError(f"{self._place}: is another program's database", retry=False)
        if schema is not None and schema > SCHEMA:
            what = f"its schema {schema} is newer than this program's ({SCHEMA}): install a newer bounced"
            raise StoreError(f"{self._place}: {what}", retry=False)
        if schema != SCHEMA and not may_migrate:
            what = "it has no tables yet" if schema is None else f"its schema {schema} is older than this program's"
            raise StoreError(f"{self._place}: {what}: run `bounced migrate`", retry=False)
        return schema == SCHEMA

    def _migrate(self) -> None:
        """Bring the schema to this program's; of two programs that meet here, one does it and the other waits."""
        from bounced.store.migrations import upgrade  # slow to import and seldom needed

        if self._engine.dialect.name == "sqlite":
            self._use_wal()
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
            upgrade(connection)


def _schema_of(connection: Connection) -> str | None:
    """The revision that the database is at; None: it has no tables yet."""
    if inspect(connection).has_table("alembic_version"):
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")))
    return None


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        driver = f"{parsed.get_backend_name()}+{parsed.get_driver_name()}"
    except (ArgumentError, ValueError, SQLAlchemyError) as error:
        raise StoreError(f"the URL cannot be read: {URL_FORMS}", retry=False) from error
    if driver not in ("sqlite+pysqlite", "postgresql+psycopg"):
        raise StoreError(f"{parsed.drivername} is not supported: {URL_FORMS}", retry=False)
    if driver.startswith("sqlite") and (not parsed.database or parsed.database.startswith((":", "file:"))):
        raise StoreError("the URL names no file: write sqlite:///PATH", retry=False)
    if "@" in (parsed.host or ""):
        raise StoreError('the URL has more than one "@": write those of the password as %40', retry=False)
    return parsed


def _place(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return f"{url.host or 'local'}:{url.port or 5432}/{url.database or url.username}"


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_size=POOL_SIZE,
        pool_use_lifo=True,  # a cache per connection: better a few warm ones than many
        connect_args={"timeout": LOCK_WAIT_SECONDS, "isolation_level": None},
        json_serializer=JSON_TEXT,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.create_function("upper", 1, _upper, deterministic=True)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")

    return engine


def _upper(value: Any) -> Any:
    """SQLite's own knows ASCII only.  Unlike lower(), no index holds what it says."""
    return value.upper() if isinstance(value, str) else value


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
            "tcp_user_timeout": SILENCE_SECONDS * 1_000,
        },
        json_serializer=JSON_TEXT,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT_SECONDS}s'")
        connection.execute(f"SET lock_timeout = '{LOCK_WAIT_SECONDS}s'")
        connection.execute(NEVER_ASYNCHRONOUS)
        connection.execute("SET timezone = 'UTC'")
        connection.execute("SET cursor_tuple_fraction = 1")  # a long answer is read to its end, not just begun
        connection.commit()

    return engine
