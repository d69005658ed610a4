"""bounced demo: a complete run without any outside server.

An IMAP server of its own (pymap) is filled with fixtures, the real daemon polls it into SQLite, and the command line
reads the events back.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import typer

from bounced.cli.output import progress
from bounced.errors import BouncedError, InputError

FOLDER = Path("var/demo")
PASSWORD = "demo"  # noqa: S105  of the demo's own server, on loopback, for as long as it lasts
APPENDED_AT_ONCE = 50
PATIENCE = 60.0  # seconds to wait for a server or the daemon

CONFIG = """\
# Made by `bounced demo`.
[database]
url = "sqlite:///bounced.db"

[poll]
interval = "1s"

[[mailbox]]
name = "acme"
company = "acme"
host = "127.0.0.1"
port = {port}
tls = "none"
username = "acme"
password = "env:DEMO_PASSWORD"
"""


def demo() -> None:
    """Show the service at work: an IMAP server full of bounces, the daemon, and the events."""
    paths = sorted(_fixtures().rglob("*.eml"))
    Random(len(paths)).shuffle(paths)  # noqa: S311  mixed, as mail comes in, and each time alike
    mails = [path.read_bytes() for path in paths if path.parent.name != "hostile"]  # pymap stumbles over some of those
    if not mails:
        raise InputError("the demo needs the fixtures of bounced, and they are not here")
    shutil.rmtree(FOLDER, ignore_errors=True)
    try:
        FOLDER.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{FOLDER}: cannot be made: {error.strerror}") from None
    config = FOLDER / "bounced.toml"
    with _imap_server() as port:
        _deliver(port, mails)
        config.write_text(CONFIG.format(port=port), encoding="utf-8")
        typer.echo(f"The daemon polls {len(mails)} messages from an IMAP server on 127.0.0.1:{port} ...")
        with _daemon(config):
            _await_polled(config)
    typer.echo("\nThe events:\n")
    _bounced(config, "events", "--limit", "40")
    typer.echo("\nWhy mail did not arrive:\n")
    _bounced(config, "stats", "--by", "cause")
    typer.echo(f"""
Next:
  bounced --config {config} events --cause user-unknown
  bounced --config {config} events show ID
  bounced --config {config} stats --by domain
  bounced replay MAIL.eml
  bounced causes""")


def _fixtures() -> Path:
    """The fixtures: of the checkout that this program runs from, or those installed with it."""
    checkout = Path(__file__).parents[2] / "fixtures"
    return checkout if checkout.exists() else Path(sys.prefix) / "share/bounced/fixtures"


@contextmanager
def _imap_server() -> Iterator[int]:
    """An IMAP server that keeps its mail in memory; yields its port."""
    try:
        import pymap  # noqa: F401
    except ImportError:
        raise InputError("the demo needs an IMAP server of its own: pip install 'bounced[demo]'") from None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--no-tls", "dict", "--demo-user", "acme"]
    command = [sys.executable, "-c", "from pymap.main import main; main()", *arguments, "--demo-password", PASSWORD]
    with (FOLDER / "imap.log").open("wb") as log, _running(command, log.fileno()) as server:
        _await_listening(server, port)
        yield port


@contextmanager
def _daemon(config: Path) -> Iterator[None]:
    """The daemon, ended by SIGTERM as systemd would."""
    with (FOLDER / "daemon.log").open("wb") as log:
        command = [sys.executable, "-m", "bounced", "--config", str(config), "run"]
        with _running(command, log.fileno()) as daemon:
            yield
            daemon.send_signal(signal.SIGTERM)
            if daemon.wait(PATIENCE) != 0:
                raise BouncedError(f"the daemon failed: see {FOLDER / 'daemon.log'}")


@contextmanager
def _running(command: list[str], log: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = _environment()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)  # noqa: S603
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE)


def _environment() -> dict[str, str]:
    """Ours without BOUNCED_ variables: they would turn the demo to the user's own database."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("BOUNCED_")}
    return others | {"DEMO_PASSWORD": PASSWORD}


def _await_listening(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise BouncedError(f"the demo's IMAP server did not start: see {FOLDER / 'imap.log'}")


def _deliver(port: int, mails: list[bytes]) -> None:
    from imapclient import IMAPClient

    with IMAPClient("127.0.0.1", port, ssl=False) as client, progress("delivered", len(mails)) as advance:
        client.login("acme", PASSWORD)
        for first in range(0, len(mails), APPENDED_AT_ONCE):
            some = mails[first : first + APPENDED_AT_ONCE]
            client.multiappend("INBOX", some)
            advance(len(some))


def _await_polled(config: Path) -> None:
    """Waits until the daemon has taken in all messages, and so noted its first success."""
    from bounced import config as configuration
    from bounced.store.engine import Store
    from bounced.store.mailboxes import all_mailboxes

    deadline = time.monotonic() + PATIENCE
    with Store.open(configuration.load(config, {}).database.url) as store:
        while time.monotonic() < deadline:
            with store.reading() as connection:
                if any(row.last_success_at for row in all_mailboxes(connection)):
                    return
            time.sleep(0.2)
    raise BouncedError(f"the daemon did not take in all messages: see {FOLDER / 'daemon.log'}")


def _bounced(config: Path, *arguments: str) -> None:
    sys.stdout.flush()
    command = [sys.executable, "-m", "bounced", "--config", str(config), *arguments]
    if subprocess.run(command, env=_environment(), check=False).returncode != 0:  # noqa: S603
        raise BouncedError(f"bounced {' '.join(arguments)} failed")
