"""Opening, transactions, and errors in one line."""

import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from bounced.errors import InputError, StoreError
from bounced.store import engine, people
from bounced.store.engine import Store
from tests.servers import require
from tests.servers.postgres import Postgres

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def one_line(error: StoreError) -> str:
    """The error's text, which is one short line."""
    assert "\n" not in str(error)
    assert len(str(error)) < 300
    return str(error)


def failure(url: str) -> StoreError:
    """Why the URL cannot be opened."""
    with pytest.raises(StoreError) as caught:
        Store.open(url).close()
    one_line(caught.value)
    return caught.value


def test_block_is_one_transaction(store: Store) -> None:
    """What a block wrote is there when it ends, and not when it was left by an exception."""
    with store.writing() as connection:
        people.ensure_company(connection, "kept")
    with pytest.raises(InputError), store.writing() as connection:
        people.put_users(connection, people.ensure_company(connection, "lost"), [{"code": ""}])
    with store.reading() as connection:
        assert [company.name for company in people.companies(connection)] == ["kept"]


def test_reader_sees_one_state(store: Store) -> None:
    """A reader neither stops a writer nor sees what is not committed."""
    with store.writing() as writer:
        people.ensure_company(writer, "acme")
        with store.reading() as reader:
            assert people.companies(reader) == []


def test_reopening_keeps_the_rows(url: str) -> None:
    """The second start finds what the first one stored, and nothing to migrate."""
    with Store.open(url, migrate=True) as store, store.writing() as connection:
        people.ensure_company(connection, "acme")
    with Store.open(url) as store, store.reading() as connection:
        assert people.find_company(connection, "acme")


def test_wrong_statement_is_one_line(store: Store) -> None:
    """A statement that can never work is an error for good, without its values."""
    with pytest.raises(StoreError) as caught, store.reading() as connection:
        connection.execute(text("SELECT :secret FROM nowhere"), {"secret": "hunter2"})
    assert not caught.value.retry
    assert "nowhere" in one_line(caught.value)
    assert "hunter2" not in str(caught.value) + repr(caught.value.__cause__)


def test_sqlite_survives_power_cuts(tmp_path: Path) -> None:
    """WAL with synchronous=FULL and foreign keys, in a file that is ours alone."""
    path = tmp_path / "new" / "folder" / "bounced.db"
    with Store.open(f"sqlite:///{path}") as store, store.reading() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert pragmas == ["wal", 2, 1, 30_000]
    assert modes == {"bounced.db": 0o600, "bounced.db-wal": 0o600, "bounced.db-shm": 0o600}


def test_postgresql_survives_crashes(database_url: str) -> None:
    """The server's configuration may say that commits are not waited for; one that waits for more is left alone."""
    kept = {}
    for configured in ("off", "remote_apply"):
        url = f"{database_url}?options=-c%20synchronous_commit%3D{configured}"
        with Store.open(url, migrate=True) as store, store.reading() as connection:
            kept[configured] = connection.exec_driver_sql("SHOW synchronous_commit").scalar()
    assert kept == {"off": "on", "remote_apply": "remote_apply"}


def test_locked_database_may_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that another program keeps out gives up in time, and goes on afterwards."""
    monkeypatch.setattr(engine, "LOCK_WAIT_SECONDS", 0.1)
    path = tmp_path / "bounced.db"
    with Store.open(f"sqlite:///{path}") as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="database is locked") as caught, store.writing():
            pass
        assert caught.value.retry
        other.close()
        with store.writing() as connection:
            people.ensure_company(connection, "acme")


def test_file_that_was_moved_away(tmp_path: Path) -> None:
    """Nothing is written where nobody will see it; with the file back in its place it goes on."""
    path, away = tmp_path / "bounced.db", tmp_path / "away.db"
    with Store.open(f"sqlite:///{path}") as store:
        path.rename(away)
        for is_another in (False, True):
            if is_another:
                path.write_bytes(away.read_bytes())
            with pytest.raises(StoreError, match="removed or replaced") as caught, store.writing() as connection:
                people.ensure_company(connection, "lost")
            one_line(caught.value)
        away.rename(path)
        with store.writing() as connection:
            people.ensure_company(connection, "kept")
            assert [company.name for company in people.companies(connection)] == ["kept"]


def test_full_database_may_be_tried_again(tmp_path: Path) -> None:
    """A transaction that finds no room leaves nothing behind, and works when there is room."""
    with Store.open(f"sqlite:///{tmp_path}/bounced.db") as store:
        with store.reading() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="full") as caught, store.writing() as connection:
            people.set_mail_sending_user(connection, people.ensure_company(connection, "acme"), "x" * 100_000)
        assert caught.value.retry
        with store.writing() as connection:
            assert people.companies(connection) == []
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
            people.ensure_company(connection, "acme")


@root_only
def test_full_disk_may_be_tried_again(tmp_path: Path) -> None:
    """The same on a disk that is really full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("needs the right to mount")
    try:
        with Store.open(f"sqlite:///{disk}/bounced.db") as store:
            filler = disk / "filler"
            with pytest.raises(OSError, match="No space"):
                filler.write_bytes(bytes(2**21))
            with pytest.raises(StoreError) as caught, store.writing() as connection:
                people.set_mail_sending_user(connection, people.ensure_company(connection, "acme"), "x" * 10_000)
            assert caught.value.retry
            filler.unlink()
            with store.writing() as connection:
                assert people.companies(connection) == []
                people.ensure_company(connection, "acme")
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "the URL cannot be read"),
        ("bounced.db", "the URL cannot be read"),
        ("postgresql://u:hunter2@host:port/x", "the URL cannot be read"),
        ("blah://u:hunter2@host/x", "the URL cannot be read"),
        ("mysql://u:hunter2@host/x", "mysql is not supported"),
        ("postgresql+psycopg2://u:hunter2@host/x", "postgresql+psycopg2 is not supported"),
        ("postgresql://u:hunter@2@host/x", "%40"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_wrong_url_is_one_clear_line(url: str, words: str) -> None:
    """A URL that cannot be used says so, and never its password."""
    error = failure(url)
    assert words in str(error)
    assert not error.retry
    assert "hunter" not in str(error)


def test_wrong_file_is_one_clear_line(tmp_path: Path) -> None:
    """A folder, a text, another program's database: each is told from ours."""
    (tmp_path / "text").write_text("This is not a database.\n" * 100)
    foreign = sqlite3.connect(tmp_path / "foreign")
    foreign.execute("CREATE TABLE company (x)")
    foreign.close()
    for name, words in {
        "": "is not a file",
        "text": "file is not a database",
        "text/below": "Not a directory",
        "foreign": "another program's",
    }.items():
        error = failure(f"sqlite:///{tmp_path}/{name}")
        assert words in str(error)
        assert not error.retry


@root_only
@pytest.mark.parametrize("exists", [True, False])
def test_other_users_database_is_refused(tmp_path: Path, exists: bool) -> None:
    """Run as another user than the service, a command says as whom to run it, and leaves no file behind."""
    folder = tmp_path / "state"
    folder.mkdir()
    if exists:
        Store.open(f"sqlite:///{folder}/bounced.db").close()
        os.chown(folder / "bounced.db", 65534, 65534)
    os.chown(folder, 65534, 65534)
    before = sorted(folder.iterdir())
    error = failure(f"sqlite:///{folder}/bounced.db")
    assert "belongs to user nobody: run this as that user (sudo -u nobody ...)" in str(error)
    assert sorted(folder.iterdir()) == before


OPEN = """
import sys
from bounced.errors import StoreError
from bounced.store.engine import Store
try:
    Store.open(sys.argv[1]).close()
except StoreError as error:
    sys.exit(str(error))
"""


@root_only
@pytest.mark.parametrize(
    ("mode", "file_mode", "words"),
    [
        (0o500, None, "cannot be made: Permission denied"),
        (0o500, 0o600, "cannot be written: Permission denied"),
        (0o700, 0o400, "cannot be written: Permission denied"),
    ],
)
def test_closed_folder_is_one_clear_line(
    new_folder: Callable[[str], Path], mode: int, file_mode: int | None, words: str
) -> None:
    """An ordinary user without the right to write is told which path it is."""
    folder = new_folder("closed")
    folder.mkdir()
    path = folder / "bounced.db"
    if file_mode is not None:
        path.touch(file_mode)
        os.chown(path, 65534, 65534)
    folder.chmod(mode)
    os.chown(folder, 65534, 65534)
    os.seteuid(65534)
    try:
        error = failure(f"sqlite:///{path}")
    finally:
        os.seteuid(0)
    assert words in str(error)
    assert str(folder) in str(error)
    assert not error.retry


def test_two_programs_may_meet_on_a_new_file(tmp_path: Path) -> None:
    """Whoever comes second waits for the first one's migration and finds the tables."""
    for attempt in range(2):
        command = [sys.executable, "-c", OPEN, f"sqlite:///{tmp_path}/new-{attempt}/bounced.db"]
        programs = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
        assert [program.communicate()[1] for program in programs] == [""] * 3


def test_threads_may_meet_on_a_new_database(url: str) -> None:
    """Programs that migrate at once agree who does it."""
    with ThreadPoolExecutor(4) as threads:
        for store in threads.map(lambda _: Store.open(url, migrate=True), range(4)):
            store.close()


def test_postgresql_is_not_migrated_unasked(database_url: str) -> None:
    """The daemon leaves the schema of a shared database alone, and says what to do."""
    error = failure(database_url)
    assert "run `bounced migrate`" in str(error)
    assert not error.retry
    Store.open(database_url, migrate=True).close()
    Store.open(database_url).close()


def test_newer_schema_is_refused(url: str) -> None:
    """An old program does not touch a newer one's tables."""
    with Store.open(url, migrate=True) as store, store.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    error = failure(url)
    assert re.search(r"schema 9999 is newer than this program's \(\d{4}\)", str(error))
    assert not error.retry


def test_unknown_postgresql_database(database_url: str) -> None:
    """A database that is not there names itself."""
    error = failure(database_url + "_missing")
    assert "_missing" in str(error)
    assert not error.retry


def test_unreachable_server_may_be_tried_again() -> None:
    """A server that does not answer is named with its port; its password is not."""
    error = failure("postgresql+psycopg://bounced:hunter2@127.0.0.1:1/bounced")
    assert "127.0.0.1:1/bounced" in str(error)
    assert "refused" in str(error)
    assert error.retry
    assert "hunter2" not in str(error)


def test_server_that_hangs_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes a connection and says nothing: what waits to be noted is not given up for it."""
    monkeypatch.setattr(engine, "CONNECT_TIMEOUT_SECONDS", 2)  # the shortest that the driver knows
    with socket.create_server(("127.0.0.1", 0)) as server:
        error = failure(f"postgresql+psycopg://bounced@127.0.0.1:{server.getsockname()[1]}/bounced")
    assert error.retry


def test_silent_server_is_left(database_url: str) -> None:
    """A server whose host is gone in the middle of a question is not waited for any longer than an idle one."""
    with Store.open(database_url, migrate=True) as store, store.reading() as connection:
        driver = connection.connection.driver_connection
        assert driver
        with socket.socket(fileno=os.dup(driver.fileno())) as line:
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000  # milliseconds


def test_lost_connection_may_be_tried_again(database_url: str) -> None:
    """A connection that the server cuts rolls back, and the next transaction gets a new one."""

    def cut(connection: Connection) -> None:
        people.ensure_company(connection, "lost")
        process = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with store.reading() as other:
            other.exec_driver_sql(f"SELECT pg_terminate_backend({process})")

    with Store.open(database_url, migrate=True) as store:
        with pytest.raises(StoreError) as caught, store.writing() as connection:
            cut(connection)
        assert caught.value.retry
        one_line(caught.value)
        with store.writing() as connection:
            assert people.companies(connection) == []


def test_hanging_writer_is_cut_off(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that stands still in its transaction loses it, so that another one can go on."""

    def hang(connection: Connection) -> None:
        people.ensure_company(connection, "lost")
        time.sleep(0.5)
        people.companies(connection)

    with Store.open(database_url, migrate=True) as store:
        short = "SET LOCAL idle_in_transaction_session_timeout = '100ms'"  # too short for a migration on a busy machine
        monkeypatch.setitem(engine.BEGIN_WRITING, "postgresql", short)
        with pytest.raises(StoreError) as caught, store.writing() as connection:
            hang(connection)
        assert caught.value.retry
        with store.reading() as connection:
            assert people.companies(connection) == []


@pytest.fixture
def own_postgres(new_folder: Callable[[str], Path]) -> Iterator[tuple[Postgres, Path]]:
    """A server that a test may stop, and its folder."""
    folder = new_folder("own-postgres")
    server = require(lambda: Postgres(folder))
    try:
        server.start()
        yield server, folder
    finally:
        server.stop()


def test_server_may_restart(own_postgres: tuple[Postgres, Path]) -> None:
    """While the server is down a transaction may be tried again, and works as soon as it is up."""
    server, _ = own_postgres
    with Store.open(server.database(), migrate=True) as store:
        server.stop()
        with pytest.raises(StoreError) as caught, store.reading() as connection:
            people.companies(connection)
        assert caught.value.retry
        one_line(caught.value)
        server.start()
        with store.reading() as connection:
            assert people.companies(connection) == []


def test_wrong_password_is_one_clear_line(own_postgres: tuple[Postgres, Path]) -> None:
    """A login that is refused will be refused again, and its password is not shown."""
    server, folder = own_postgres
    url = server.database()
    rules = folder / "data" / "pg_hba.conf"
    rules.write_text("host all locked 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
    with Store.open(url, migrate=True) as store, store.writing() as connection:
        connection.exec_driver_sql("CREATE ROLE locked LOGIN PASSWORD 'right'")
    server.stop()
    server.start()
    error = failure(url.replace("postgres@", "locked:hunter2@"))
    assert "password authentication failed" in str(error)
    assert not error.retry
    assert "hunter2" not in str(error)
