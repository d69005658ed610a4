"""`bounced run` as systemd and an administrator see it: signals, notices, log, purge, unit."""

import base64
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import func, select

from bounced.store import tables
from tests.integration.running import PROJECT, bounce, box, events_of
from tests.integration.trap import Turnstile
from tests.servers import Missing, require
from tests.servers.process import wait_for

UNIT = PROJECT / "deploy/bounced.service"


# Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_batch_in_hand_is_finished(dovecot, mailbox, new_service, number):
    """Told to end in the middle of a backlog, the daemon finishes a batch, its action included, and exits with 0."""
    mailbox.deliver(*map(bounce, range(1_000)))
    service = new_service(box(dovecot, mailbox.user, after="delete"))
    service.start(faults="small-batches")
    service.wait_for_events(1)
    assert service.end(number, seconds=10) == 0
    assert [line["event"] for line in service.log()][-1] == "stopped"
    taken = service.stored_uids(mailbox.user)
    assert len(taken) % 20 == 0
    assert 0 < len(taken) < 1_000
    assert service.pending() == 0
    assert {message.uid for message in mailbox.messages()} == set(range(1, 1_001)) - taken
    row = service.mailboxes()[mailbox.user]
    assert (row.lease_owner, row.failures, row.cursor) == (None, 0, len(taken))
    service.start()
    service.wait_until(lambda: len(service.stored_uids(mailbox.user)) == 1_000, "the rest")
    service.wait_until_quiet()
    assert service.events(mailbox.user) == events_of(range(1_000))


@pytest.mark.parametrize("hanging", ["connect", "middle"])
def test_it_ends_although_servers_hang(dovecot, mailbox, new_service, start_proxy, hanging):
    """More mailboxes hang than are polled at a time; after the grace their connections are cut, none is begun anew."""
    proxy = start_proxy(dovecot.tls_port)
    mailbox.deliver(*map(bounce, range(40)))
    if hanging == "connect":
        proxy.stall()
    else:
        proxy.cut_after(10**9)
    boxes = [box(dovecot, f"{mailbox.user}+{number}", port=proxy.port) for number in range(25)]
    service = new_service(*boxes)
    service.start(faults="short-grace")
    if hanging == "middle":
        wait_for(lambda: proxy.connections >= 5, seconds=20, what="connections")
        proxy.stall()
    else:
        wait_for(lambda: proxy.connections >= 10, seconds=20, what="connections")
    begun, connections = time.monotonic(), proxy.connections
    assert service.end(seconds=20) == 0
    assert time.monotonic() - begun < 8
    assert hanging == "middle" or proxy.connections == connections
    proxy.resume()
    assert all(row.lease_owner is None for row in service.mailboxes().values())


def test_sighup_reads_the_configuration_again(dovecot, new_service):
    """A new mailbox is polled, a removed one is not, a changed interval holds."""
    old, new, changed = dovecot.new_user(), dovecot.new_user(), dovecot.new_user()
    service = new_service(box(dovecot, old), box(dovecot, changed, interval="1h"))
    service.start()
    service.wait_until_quiet(old)
    service.configure(box(dovecot, new), box(dovecot, changed))
    service.send(signal.SIGHUP)
    service.wait_for_line("configuration read again", mailboxes=2)
    for user in (old, new, changed):
        dovecot.deliver(user, bounce(1))
    service.wait_until_quiet(new, changed)
    assert [len(service.events(user)) for user in (old, new, changed)] == [0, 1, 1]
    polled = service.mailboxes()[old].last_poll_at
    service.wait_until_quiet(new)
    assert service.mailboxes()[old].last_poll_at == polled
    assert service.end() == 0


WRONG = {
    "toml": "[[mailbox]\n",
    "key": '[pol]\ninterval = "1s"\n',
    "secret": '[[mailbox]]\nname = "x"\nhost = "x"\nusername = "x"\npassword = "env:NOT_THERE"\n',
    "nothing": "",
}


def test_sighup_with_a_wrong_file(dovecot, mailbox, new_service):
    """What is wrong is logged in one line that names the file or the key, and the old configuration stays."""
    service = new_service(box(dovecot, mailbox.user))
    service.start()
    path = service.folder / "bounced.toml"
    for number, text in enumerate(WRONG.values()):
        seen = len(service.log())
        path.write_text(text)
        service.send(signal.SIGHUP)
        line = service.wait_for_line("configuration not read again: the old one stays", since=seen)
        assert line["level"] == "error"
        assert re.search(r"bounced\.toml|NOT_THERE", line["error"])
        assert "\n" not in line["error"]
        mailbox.deliver(bounce(number))
        service.wait_for_events(len(events_of(range(number + 1))))
    assert service.end() == 0


def test_sighup_tries_failing_mailboxes_at_once(dovecot, mailbox, new_service, tmp_path):
    """An administrator who mended a password need not wait for the next time."""
    password = tmp_path / "password"
    password.write_text("wrong")
    mailbox.deliver(bounce(1))
    service = new_service(box(dovecot, mailbox.user, password=f"file:{password}", interval="1h"))
    service.start()
    service.wait_for_line("poll failed", mailbox=mailbox.user)
    password.write_text(dovecot.password)
    service.send(signal.SIGHUP)
    service.wait_for_events(1, seconds=10)


def test_never_two_polls_of_one_mailbox(dovecot, mailbox, new_service):
    """A poll that outlasts its interval, and a reload in the middle of it, begin no second one; nor are they logged."""
    turnstile = Turnstile(dovecot.tls_port)
    try:
        turnstile.delay = 0.1
        mailbox.deliver(*map(bounce, range(10)))
        service = new_service(box(dovecot, mailbox.user, port=turnstile.port))
        service.start()
        for interval in ("2s", "1s"):
            connections = turnstile.connections
            wait_for(lambda before=connections: turnstile.connections > before, seconds=30, what="a poll")
            service.configure(box(dovecot, mailbox.user, port=turnstile.port, interval=interval))
            service.send(signal.SIGHUP)
        service.wait_until_quiet()
        assert turnstile.connections >= 3
        assert turnstile.most == 1
        assert {line["event"] for line in service.log()} == {"started", "configuration read again", "polled"}
        assert service.end() == 0
    finally:
        turnstile.close()


# Notices to systemd


class Listener:
    """What systemd hears on its notify socket."""

    def __init__(self, path: str) -> None:
        self.notices: list[tuple[float, dict[str, str]]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.settimeout(0)

    def heard(self, key: str) -> list[tuple[float, dict[str, str]]]:
        """The notices that hold `key`, each with the time at which it was read."""
        while True:
            try:
                text = self._socket.recv(4096).decode()
            except BlockingIOError:
                break
            self.notices.append((time.monotonic(), dict(line.split("=", 1) for line in text.splitlines())))
        return [(moment, notice) for moment, notice in self.notices if key in notice]

    def wait_for(self, key: str, count: int = 1) -> list[tuple[float, dict[str, str]]]:
        """The same, once there are `count`."""
        return wait_for(
            lambda: found if len(found := self.heard(key)) >= count else [], seconds=20, what=f"{count} x {key}"
        )

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def listener(request, tmp_path_factory) -> Iterator[tuple[Listener, str]]:
    """A notify socket, and its name as systemd writes it."""
    name = f"{tmp_path_factory.mktemp('n')}/s"
    server = Listener(name if request.param == "path" else f"\0{name}")
    yield server, name if request.param == "path" else f"@{name}"
    server.close()


def test_notices(listener, dovecot, mailbox, new_service):
    """The daemon tells systemd when it is ready, how it fares, that it lives, that it reloads, and that it ends."""
    heard, name = listener
    service = new_service(box(dovecot, mailbox.user))
    service.environment |= {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"}
    service.start()
    ((_, ready),) = heard.wait_for("READY")
    assert ready == {"READY": "1", "STATUS": "1 mailboxes, 0 events since the start"}
    mailbox.deliver(bounce(1))
    service.wait_for_events(1)
    beats = [moment for moment, _ in heard.wait_for("WATCHDOG", len(heard.heard("WATCHDOG")) + 4)][-4:]
    assert max(later - earlier for earlier, later in pairwise(beats)) < 1.0
    assert heard.heard("STATUS")[-1][1]["STATUS"] == "1 mailboxes, 1 events since the start"
    before = time.monotonic_ns() // 1_000
    service.send(signal.SIGHUP)
    (_, (_, again)) = heard.wait_for("READY", 2)
    assert again["READY"] == "1"
    ((_, reloading),) = heard.heard("RELOADING")
    assert reloading["RELOADING"] == "1"
    assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1_000
    assert service.end() == 0
    assert heard.heard("STOPPING")[-1][1] == {"STOPPING": "1"}
    assert [notice for _, notice in heard.notices][-1] == {"STOPPING": "1"}


def test_watchdog_bites_a_stuck_poll(tmp_path, dovecot, new_service, start_proxy):
    """A poll that makes no progress for too long, and no watchdog that is meant for another process, gets no sign."""
    proxy = start_proxy(dovecot.tls_port)
    proxy.stall()
    heard = Listener(str(tmp_path / "s"))
    try:
        service = new_service(box(dovecot, "acme", port=proxy.port))
        service.environment |= {"NOTIFY_SOCKET": str(tmp_path / "s"), "WATCHDOG_USEC": "400000"}
        service.start(faults="soon-stuck")
        heard.wait_for("WATCHDOG")
        statuses = len(heard.wait_for("STATUS", 12))  # told at each beat of 0.2 s
        beats = len(heard.heard("WATCHDOG"))
        heard.wait_for("STATUS", statuses + 4)
        assert len(heard.heard("WATCHDOG")) == beats
        service.kill()
        service.environment |= {"WATCHDOG_PID": "1"}
        service.start()
        time.sleep(1)
        assert len(heard.heard("WATCHDOG")) == beats
    finally:
        heard.close()


# The log


def test_the_log_in_a_pipe(start_dovecot, new_service):
    """Every line is JSON, and every line of a poll carries its mailbox, whatever happens to it."""
    dovecot = start_dovecot()
    dovecot.deliver("acme", b"X-Poison: yes\r\n\r\n", *map(bounce, range(1, 30)))
    service = new_service(box(dovecot, "acme"), box(dovecot, "closed", port=1))
    command = [sys.executable, "-m", "tests.integration.faulty", "impatient,parser-crashes"]
    command += ["--config", str(service.folder / "bounced.toml"), "run"]
    daemon = subprocess.Popen(
        command, env=service.environment, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: (service.folder / "bounced.db").exists(), seconds=20, what="the database")
        wait_for(lambda: len(service.stored_uids("acme")) == 30, seconds=20, what="events")
        dovecot.reset_uidvalidity("acme")
        service.wait_until_quiet("acme")
        dovecot.stop()
        wait_for(lambda: service.mailboxes()["acme"].failures, seconds=20, what="a failure")
    finally:
        daemon.terminate()
        out, err = daemon.communicate(timeout=30)
    assert daemon.returncode == 0
    assert out == ""
    lines = [json.loads(line) for line in err.splitlines()]
    of_the_daemon = {"started", "stopping", "stopped"}
    seen = {line["event"] for line in lines} - of_the_daemon
    assert seen >= {"polled", "poll failed", "mail read with problems", "UIDVALIDITY has changed"}
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    assert [line for line in lines if line["event"] not in of_the_daemon and "mailbox" not in line] == []


def test_secrets_are_never_told(start_dovecot, new_service, tmp_path):
    """Passwords and tokens are in no line of the log, at no level, in no answer of a command, not in the database."""
    secrets = {"password": "Tr0mbone-unlikely", "token": "t0ken-Unlikely-too", "file": "f1le-Unlikely-as-well"}
    dovecot = start_dovecot(extra="auth_debug = yes")
    dovecot.tokens[secrets["token"]] = "token"
    (tmp_path / "password").write_text(secrets["file"])
    service = new_service(
        box(dovecot, "wrong", password="env:WRONG_PASSWORD"),
        box(dovecot, "wrong-too", password=f"file:{tmp_path / 'password'}", tls="starttls", port=dovecot.port),
        box(dovecot, "token", password=None, oauth={"token_command": f"echo {secrets['token']}"}),
        box(dovecot, "old-token", password=None, oauth={"token_command": f"echo {secrets['token']}-old"}),
        box(dovecot, "right"),
    )
    service.environment["WRONG_PASSWORD"] = secrets["password"]
    for user in ("token", "right"):
        dovecot.deliver(user, bounce(1))
    service.start(faults="impatient,logs-everything")
    service.wait_for_events(2)
    for user in ("wrong", "wrong-too", "old-token"):
        service.wait_for_line("poll failed", mailbox=user)
    said = [service.command(*words) for words in (["check"], ["poll", "--once"], ["status"])]
    dovecot.stop()
    service.wait_for_line("poll failed", mailbox="token")
    said.append(service.command("poll", "--once", faults="impatient,logs-everything"))
    assert service.end() == 0
    told = service.log_text() + "".join(answer.stdout + answer.stderr for answer in said)
    told += "".join(path.read_text("latin-1") for path in service.folder.glob("bounced.db*"))
    assert "Running job" in told, "the libraries say nothing: the test is vain"
    for secret in secrets.values():
        assert secret not in told
        for shift in range(3):  # within something else in base64, such as SASL's messages
            inner = base64.b64encode(b"x" * shift + secret.encode()).decode().rstrip("=")[4:-2]
            assert inner not in told


def test_a_database_password_is_never_told(own_postgres, new_service, dovecot):
    """Nor is the password of PostgreSQL, when it is there and when it is gone."""
    url = own_postgres.database().replace("postgres@", "postgres:Pl4nted-Unlikely@")
    service = new_service(box(dovecot, "acme"), database=url)
    said = [service.command("migrate")]
    service.start(faults="impatient,logs-everything")
    own_postgres.stop()
    service.wait_for_line("poll failed", mailbox="acme")
    said += [service.command(*words) for words in (["check"], ["poll", "--once"], ["run"], ["events"])]
    told = service.log_text() + "".join(answer.stdout + answer.stderr for answer in said)
    assert "Pl4nted" not in told
    assert [answer.returncode for answer in said] == [0, 1, 1, 1, 1]
    assert all(len(answer.stderr.splitlines()) <= 1 for answer in said)


# The purge


@pytest.mark.parametrize("faults", ["", "purges-often"])
def test_purge(dovecot, mailbox, new_service, faults):
    """What is older than its retention goes, at the start and from time to time; no message is taken in again."""
    mailbox.deliver(*map(bounce, range(50)))
    service = new_service(box(dovecot, mailbox.user), retention={"raw": "1s", "events": "2s"})
    service.start(faults=faults)
    service.wait_until(lambda: len(service.stored_uids(mailbox.user)) == 50, "50 messages")
    if not faults:
        service.wait_until_quiet()
        service.wait_until_quiet()
        assert service.count() == len(events_of(range(50)))
        assert service.end() == 0
        service.start()
    service.wait_for_line("purged")
    service.wait_until(lambda: service.count() == 0, "the purge")
    service.wait_until_quiet()
    assert service.count() == 0
    assert set(service.raws(mailbox.user).values()) == {None}
    with service.store() as store, store.reading() as connection:
        assert connection.scalar(select(func.sum(tables.Counter.count))) == len(events_of(range(50)))
    assert service.end() == 0


# The unit


def systemd(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What one of systemd's programs says; fails or skips where it is not there."""

    def find() -> str:
        if found := shutil.which(program):
            return found
        raise Missing(f"{program}: install Debian's package systemd")

    return subprocess.run([require(find), *arguments], capture_output=True, text=True)


def test_the_unit_is_hardened():
    """The exposure that systemd finds is 2.0 or better."""
    answer = systemd("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", UNIT)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_unit_is_valid(tmp_path):
    """Once its program is there, systemd has nothing to say about the unit."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/bounced/bin/bounced", str(Path(sys.executable).parent / "bounced")))
    answer = systemd("systemd-analyze", "verify", unit)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_the_units_user(tmp_path):
    """systemd-sysusers makes the user that the unit names."""
    (tmp_path / "etc").mkdir()
    answer = systemd("systemd-sysusers", f"--root={tmp_path}", PROJECT / "deploy/bounced.sysusers")
    assert answer.returncode == 0, answer.stderr
    names = {line.split(":")[0] for line in (tmp_path / "etc/passwd").read_text().splitlines()}
    assert re.search(r"^User=(.*)$", UNIT.read_text(), re.MULTILINE)[1] in names


def test_the_units_times():
    """The unit waits longer for the end than the daemon takes, and the watchdog longer than a signal of life."""
    from bounced.service.daemon import GRACE

    seconds = dict(re.findall(r"^(TimeoutStopSec|WatchdogSec)=(\d+)s$", UNIT.read_text(), re.MULTILINE))
    assert int(seconds["TimeoutStopSec"]) > 2 * GRACE.total_seconds()
    assert int(seconds["WatchdogSec"]) >= 60
