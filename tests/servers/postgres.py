"""PostgreSQL in its own folder, run by an unprivileged user."""

import itertools
import os
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from tests.servers.debian import environment, fetch
from tests.servers.missing import Missing
from tests.servers.process import Process, free_ports, wait_for

PACKAGES = ("postgresql",)
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "fsync": "off",  # a test's data need not survive the machine
    "full_page_writes": "off",
    "synchronous_commit": "off",
}


class Postgres:
    """One server; every database() is a new one."""

    def __init__(self, folder: Path) -> None:
        """Lay out a cluster in `folder`, which must be open to every user.  Raises Missing."""
        self._folder = folder
        self._user = "nobody" if os.geteuid() == 0 else None
        folder.mkdir()
        if self._user:
            shutil.chown(folder, self._user)
        self._programs, self._environment = _programs()
        subprocess.run(
            [
                self._programs / "initdb",
                "-D",
                folder / "data",
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
            ],
            user=self._user,
            cwd=folder,
            env=self._environment,
            check=True,
            capture_output=True,
        )
        self._names = itertools.count(1)
        (self.port,) = free_ports(1)
        self._process: Process | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        for _ in range(5):
            if self._try_start():
                return
            (self.port,) = free_ports(1)  # somebody else took it in the meantime
        raise RuntimeError(f"postgres does not start:\n{self.log_text()[-2000:]}")

    def stop(self) -> None:
        """End it, its clients' connections with it."""
        if self._process:
            self._process.stop(signal.SIGINT)

    def database(self) -> str:
        """The URL of a new and empty database."""
        name = f"test_{next(self._names)}"
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def drop(self, url: str) -> None:
        """Remove a database, the connections to it with it."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(url.rpartition("/")[2])))

    def log_text(self) -> str:
        """All that it has logged."""
        return (self._folder / "output").read_text(errors="replace")

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)

    def _try_start(self) -> bool:
        settings = {**SETTINGS, "port": str(self.port), "unix_socket_directories": str(self._folder)}
        self._process = process = Process(
            [
                self._programs / "postgres",
                "-D",
                self._folder / "data",
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            output=self._folder / "output",
            environment=self._environment,
            folder=self._folder,
            user=self._user,
        )
        wait_for(lambda: not process.running or self._answers(), seconds=30, what="postgres")
        return process.running

    def _answers(self) -> bool:
        try:
            self._execute(sql.SQL("SELECT 1").format())
        except psycopg.OperationalError:
            return False
        return True


def installed(root: Path = Path("/")) -> Path | None:
    """The folder of the newest PostgreSQL's programs below `root`."""
    found = sorted(root.glob("usr/lib/postgresql/*/bin/initdb"))
    return found[-1].parent if found else None


def _programs() -> tuple[Path, dict[str, str]]:
    """The folder of PostgreSQL's programs, installed or else unpacked, and the environment to run them in."""
    if here := installed():
        return here, {"PATH": os.environ["PATH"], "LANG": "C"}
    root = fetch(*PACKAGES)
    if unpacked := installed(root):
        return unpacked, environment(root)
    raise Missing(f"postgresql: no initdb in Debian's packages {' '.join(PACKAGES)}")
