"""Whatever breaks around the daemon: no message is lost, no event doubled, and it goes on by itself."""

import imaplib
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.integration.running import Service, bounce, box, events_of, number_of, recipients, unreadable
from tests.servers import Missing, require
from tests.servers.dovecot import Dovecot


def deliver(dovecot: Dovecot, user: str, first: int, last: int) -> None:
    """Messages `first` up to, not with, `last`."""
    dovecot.deliver(user, *map(bounce, range(first, last)))


def delete(dovecot: Dovecot, user: str, *uids: int) -> None:
    """Remove messages as another client does."""
    with imaplib.IMAP4(dovecot.host, dovecot.port, timeout=60) as client:
        client.login(user, dovecot.password)
        client.select()
        numbers = ",".join(map(str, uids))
        assert client.uid("STORE", numbers, "+FLAGS", r"(\Deleted)")[0] == "OK"
        assert client.uid("EXPUNGE", numbers)[0] == "OK"


def complete(service: Service, count: int, *names: str) -> None:
    """The daemon comes to rest by itself; messages 0 up to `count` of these mailboxes have exactly their events."""
    for name in names:
        service.wait_until(lambda name=name: len(service.stored_uids(name)) >= count, f"{count} messages of {name}")
    service.wait_until_quiet(*names)
    for name in names:
        assert service.events(name) == events_of(range(count)), name
    assert service.pending() == 0


# The mail server


def test_the_mail_server_goes_away_and_comes_back(start_dovecot, new_service):
    """Stopped or killed and started again while the daemon runs: the daemon reports it, and goes on."""
    dovecot = start_dovecot()
    dovecot.deliver("acme", folder="Done")
    service = new_service(box(dovecot, "acme", after="move:Done"))
    count = 0
    service.start(faults="impatient,small-batches")
    for end in (dovecot.stop, dovecot.kill, dovecot.stop):
        deliver(dovecot, "acme", count, count + 100)
        count += 100
        seen = len(service.log())
        service.wait_for_events(service.count() + 1)
        end()
        service.wait_for_line("poll failed", since=seen, mailbox="acme")
        for lock in (dovecot.folder / "home/acme").rglob("*.lock"):
            lock.unlink()  # a killed Dovecot leaves it, and the next one may wait for it longer than we do
        dovecot.start()
    complete(service, count, "acme")
    assert dovecot.messages("acme") == []
    moved = {number_of(message.raw) for message in dovecot.messages("acme", "Done")}
    assert moved == set(range(count))  # some twice, when the server itself was killed between copying and removing


@pytest.mark.parametrize("after", ["keep", "move:Done", "delete"])
def test_connections_are_cut(dovecot, mailbox, new_service, start_proxy, after):
    """Cut again and again, in the middle of batches and actions: everything is taken in the end, once."""
    dice = random.Random(after)
    proxy = start_proxy(dovecot.tls_port)
    mailbox.deliver(folder="Done")
    deliver(dovecot, mailbox.user, 0, 600)
    service = new_service(box(dovecot, mailbox.user, port=proxy.port, after=after))
    service.start(faults="impatient,small-batches")
    for _ in range(15):
        direction = dice.choice(["down", "down", "up"])
        proxy.cut_after(dice.randrange(20_000 if direction == "down" else 500), direction)
        time.sleep(dice.uniform(0, 0.3))
    complete(service, 600, mailbox.user)
    left = [number_of(message.raw) for message in mailbox.messages()]
    moved = [number_of(message.raw) for message in mailbox.messages("Done")]
    assert left == (list(range(600)) if after == "keep" else [])
    assert sorted(moved) == (list(range(600)) if after == "move:Done" else [])


def test_a_server_that_hangs(start_dovecot, new_service):
    """A server that says nothing any more is given up after the time limit, and polled when it is back."""
    dovecot = start_dovecot()
    deliver(dovecot, "acme", 0, 400)
    service = new_service(box(dovecot, "acme", after="delete"))
    service.start(faults="impatient,small-batches")
    service.wait_for_events(1)
    dovecot.pause()
    line = service.wait_for_line("poll failed", mailbox="acme")
    assert "no answer in time" in line["error"]
    dovecot.resume()
    complete(service, 400, "acme")
    assert dovecot.messages("acme") == []


def test_new_mail_and_vanishing_mail_while_polling(dovecot, mailbox, new_service):
    """Mail that comes is taken, mail that another client takes away is not missed, whatever the daemon is at."""
    dice = random.Random(1)
    service = new_service(box(dovecot, mailbox.user))
    service.start(faults="small-batches")
    vanished: set[int] = set()
    for first in range(0, 600, 30):
        deliver(dovecot, mailbox.user, first, first + 30)
        uids = set(dice.sample(range(max(1, first - 90), first + 31), 5)) - vanished
        delete(dovecot, mailbox.user, *uids)
        vanished |= uids
    service.wait_until_quiet()
    taken = service.stored_uids(mailbox.user)
    assert set(range(1, 601)) - taken <= vanished
    assert service.events(mailbox.user) == [event for event in events_of(range(600)) if event.uid in taken]
    assert service.mailboxes()[mailbox.user].failures == 0


def test_uidvalidity_changes_under_the_daemon(start_dovecot, new_service):
    """With keep, all UIDs change in the middle of it: nothing is doubled, and equal mails count one by one."""
    dovecot = start_dovecot()
    service = new_service(box(dovecot, "acme"))
    expected: Counter[int] = Counter()

    def more(*numbers: int) -> None:
        dovecot.deliver("acme", *map(bounce, numbers))
        expected.update(numbers)

    def taken() -> Counter[int]:
        return Counter(number_of(raw) for raw in service.raws("acme").values() if raw)

    more(*range(300), 5, 5, 6)
    service.start(faults="impatient,small-batches")
    service.wait_for_events(50)  # it is in the middle
    dovecot.reset_uidvalidity("acme")
    more(*range(300, 400), 5, 7)
    service.wait_until(lambda: taken() == expected, "all messages")
    dovecot.reset_uidvalidity("acme")
    more(5, 400)
    service.wait_until(lambda: taken() == expected, "two more")
    service.wait_until_quiet()
    assert taken() == expected
    events = Counter(event.recipient for event in service.events("acme"))
    assert events == Counter(recipient for number in expected.elements() for recipient in recipients(number) or [None])


def test_truncated_mail_is_never_deleted(start_dovecot, new_service):
    """A message that is too big to be read whole stays in the mailbox, also when its UID has changed."""
    dovecot = start_dovecot()
    dovecot.deliver("acme", bounce(0), bounce(1, size=20_000), bounce(2))
    service = new_service(box(dovecot, "acme", after="delete"), poll={"max_message_size": "10KiB"})
    service.start(faults="impatient")
    service.wait_for_events(3)
    service.wait_until_quiet()
    dovecot.reset_uidvalidity("acme")
    service.wait_until_quiet()
    service.wait_until_quiet()
    assert [number_of(message.raw) for message in dovecot.messages("acme")] == [1]
    assert service.count() == 3
    assert service.pending() == 0
    (raw,) = [raw for raw in service.raws("acme").values() if raw and number_of(raw) == 1]
    assert raw == bounce(1, size=20_000)[: 10 * 1024]


@pytest.mark.parametrize("before", ["seen", "move:Done", "delete"])
def test_after_is_changed_to_keep(dovecot, mailbox, new_service, start_proxy, before):
    """What was left undone when `after` was another is dropped: the mailbox is as keep promises."""
    mailbox.deliver(folder="Done")
    deliver(dovecot, mailbox.user, 0, 20)
    proxy = start_proxy(dovecot.port)
    service = new_service(box(dovecot, mailbox.user, tls="none", port=proxy.port, after=before))
    service.start(faults="cannot-act")
    service.wait_for_line("poll failed", mailbox=mailbox.user)
    assert service.pending() == 20
    service.kill()
    service.configure(box(dovecot, mailbox.user, after="keep"))
    service.start()
    complete(service, 20, mailbox.user)
    assert {message.flags for message in mailbox.messages()} == {frozenset()}
    assert len(mailbox.messages()) == 20


# The database


@contextmanager
def small_disk(folder: Path, *, mib: int) -> Iterator[Path]:
    """A file system of its own.  Raises Missing."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        raise Missing("tmpfs: only root may mount it")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A disk of 24 MiB."""
    mounted = small_disk(tmp_path / "disk", mib=24)
    yield require(mounted.__enter__)
    mounted.__exit__(None, None, None)


def test_disk_full(disk, dovecot, mailbox, new_service):
    """No room in the database: it is said, no mail is touched that is not stored; with room again all goes on."""
    service = new_service(box(dovecot, mailbox.user, after="delete"), database=f"sqlite:///{disk}/bounced.db")
    service.start(faults="impatient,small-batches")
    deliver(dovecot, mailbox.user, 0, 40)
    complete(service, 40, mailbox.user)
    filling = disk / "filling"
    filling.write_bytes(b"x" * (shutil.disk_usage(disk).free - 200_000))
    deliver(dovecot, mailbox.user, 40, 1_000)
    line = service.wait_for_line("poll failed", mailbox=mailbox.user)
    assert "full" in line["error"]
    time.sleep(3)  # it tries again and again
    there = {number_of(message.raw) for message in mailbox.messages()}
    stored = {number_of(raw) for raw in service.raws(mailbox.user).values() if raw}
    assert len(stored) < 1_000
    assert set(range(1_000)) - stored <= there, "gone, but not stored"
    filling.unlink()
    complete(service, 1_000, mailbox.user)
    assert mailbox.messages() == []


@pytest.mark.parametrize("faults", ["small-batches", "impatient,small-batches"])
def test_database_locked(dovecot, mailbox, new_service, faults):
    """Another program holds SQLite's lock: the daemon waits, or gives up for now, and goes on."""
    service = new_service(box(dovecot, mailbox.user, after="delete"))
    service.start(faults=faults)
    deliver(dovecot, mailbox.user, 0, 200)
    service.wait_for_events(1)
    with closing(sqlite3.connect(service.folder / "bounced.db", timeout=30, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        deliver(dovecot, mailbox.user, 200, 300)
        if "impatient" in faults:
            line = service.wait_for_line("poll failed", mailbox=mailbox.user)
            assert "locked" in line["error"]
        else:
            time.sleep(2)
        other.execute("ROLLBACK")
    complete(service, 300, mailbox.user)
    assert mailbox.messages() == []
    assert ("poll failed" in service.log_text()) == ("impatient" in faults)


def test_postgresql_goes_away_and_comes_back(own_postgres, dovecot, mailbox, new_service):
    """PostgreSQL stopped and started under the daemon: it reports it, touches nothing meanwhile, and goes on."""
    service = new_service(box(dovecot, mailbox.user, after="delete"), database=own_postgres.database())
    assert service.command("migrate").returncode == 0
    service.start(faults="impatient,small-batches")
    deliver(dovecot, mailbox.user, 0, 300)
    service.wait_for_events(1)
    own_postgres.stop()
    deliver(dovecot, mailbox.user, 300, 400)
    line = service.wait_for_line("poll failed", mailbox=mailbox.user)
    assert "database" in line["error"]
    there = {number_of(message.raw) for message in mailbox.messages()}
    own_postgres.start()
    stored = {number_of(raw) for raw in service.raws(mailbox.user).values() if raw}
    assert set(range(400)) - stored <= there
    complete(service, 400, mailbox.user)
    assert mailbox.messages() == []


def test_two_daemons_share_one_postgresql(database_url, start_dovecot, new_service, start_proxy):
    """Two daemons, three mailboxes; one is killed while it holds leases: the other takes over, every event once."""
    dovecot = start_dovecot()
    names = ["one", "two", "three"]
    for name in names:
        deliver(dovecot, name, 0, 300)
    proxy = start_proxy(dovecot.tls_port)
    first = new_service(*(box(dovecot, name, port=proxy.port) for name in names), database=database_url)
    second = new_service(*(box(dovecot, name) for name in names), database=database_url)
    assert first.command("migrate").returncode == 0
    first.start(faults="small-batches")
    first.wait_until(lambda: all(first.stored_uids(name) for name in names), "a batch of each mailbox")
    proxy.stall()
    held = [row.lease_owner for row in first.mailboxes().values()]
    assert len(held) == 3
    assert all(owner is not None and f":{first.pid}:" in owner for owner in held)
    second.start(faults="small-batches")
    for name in names:
        second.wait_for_line("polled elsewhere", mailbox=name)
    first.kill()
    complete(second, 300, *names)
    proxy.resume()
    first.start(faults="small-batches")  # both at work
    for name in names:
        deliver(dovecot, name, 300, 600)
    complete(first, 600, *names)
    assert second.end() == 0
    assert first.end() == 0
    for name in names:
        assert first.events(name) == events_of(range(600))


def test_a_daemon_that_was_frozen(database_url, start_dovecot, new_service, start_proxy):
    """Frozen for longer than its lease, it has lost the mailbox to the other daemon, and doubles nothing afterwards."""
    dovecot = start_dovecot()
    dovecot.deliver("acme", folder="Done")
    deliver(dovecot, "acme", 0, 300)
    proxy = start_proxy(dovecot.tls_port)
    frozen = new_service(box(dovecot, "acme", port=proxy.port, after="move:Done"), database=database_url)
    other = new_service(box(dovecot, "acme", after="move:Done"), database=database_url)
    assert frozen.command("migrate").returncode == 0
    frozen.start(faults="small-batches,short-leases")
    frozen.wait_for_events(1)
    proxy.stall()  # so that it is in no transaction
    count = -1
    while count != (count := frozen.count()):
        time.sleep(0.3)
    frozen.send(signal.SIGSTOP)
    assert 0 < len(frozen.stored_uids("acme")) < 300
    other.start(faults="small-batches,short-leases")
    complete(other, 300, "acme")
    deliver(dovecot, "acme", 300, 310)
    proxy.resume()
    frozen.send(signal.SIGCONT)
    complete(other, 310, "acme")
    frozen.wait_for_line("polled elsewhere", mailbox="acme")
    assert frozen.end() == 0
    assert other.end() == 0
    assert other.events("acme") == events_of(range(310))
    assert dovecot.messages("acme") == []
    assert sorted(number_of(message.raw) for message in dovecot.messages("acme", "Done")) == list(range(310))


# One of many


def test_sick_mailboxes_do_not_delay_the_others(dovecot, mailbox, new_service, start_proxy):
    """One hangs, one refuses, one has a wrong password: another one is still polled each second."""
    hanging, refusing = start_proxy(dovecot.tls_port), start_proxy(dovecot.tls_port)
    hanging.stall()
    refusing.refuse()
    service = new_service(
        box(dovecot, "hanging", port=hanging.port),
        box(dovecot, "refusing", port=refusing.port),
        box(dovecot, "locked-out", password="env:WRONG_PASSWORD"),
        box(dovecot, mailbox.user),
    )
    service.environment["WRONG_PASSWORD"] = "not-it"
    service.start()
    latencies = []
    for number in range(6):
        deliver(dovecot, mailbox.user, number, number + 1)
        delivered = time.monotonic()
        service.wait_for_events(len(events_of(range(number + 1))))
        latencies.append(time.monotonic() - delivered)
    assert sorted(latencies)[3] < 2.5, latencies
    assert max(latencies) < 10, latencies  # a connection that hangs is given up after 15 s
    assert service.log_text().count("connection refused") >= 2
    rows = service.mailboxes()
    assert rows["refusing"].failures >= 2
    assert rows["locked-out"].failures >= 1
    assert rows[mailbox.user].failures == 0
    refusing.accept()
    hanging.resume()


@pytest.mark.parametrize("after", ["seen", "move:Done"])
def test_a_message_that_nobody_can_fetch(start_dovecot, new_service, after):
    """One among 1,000 that the server cannot read costs nothing but its own row, which says so; it stays as it is."""
    dovecot = start_dovecot()
    deliver(dovecot, "acme", 0, 1_000)
    assert len(dovecot.messages("acme")) == 1_000
    dovecot.deliver("acme", folder="Done")
    service = new_service(box(dovecot, "acme", after=after))
    with unreadable(dovecot, "acme", 500):
        service.start(faults="impatient")
        service.wait_until(lambda: len(service.stored_uids("acme")) == 1_000, "1,000 messages")
        service.wait_until_quiet()
    expected = [event for event in events_of(range(1_000)) if event.uid != 501]
    assert [event for event in service.events("acme") if event.uid != 501] == expected
    (event,) = service.listed("--kind", "other", "--text", "could not be fetched")
    assert event["source"].endswith("/501")
    assert event["recipient"] is None
    refused = service.command("events", "show", event["id"], "--raw")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    left = {number_of(message.raw): message.flags for message in dovecot.messages("acme")}
    assert left == {number: {"\\Seen"} for number in range(1_000) if after == "seen"} | {500: frozenset()}


def test_a_message_that_can_be_fetched_again(start_dovecot, new_service):
    """What could not be fetched for a while is taken later; what was known under another UIDVALIDITY, not again."""
    dovecot = start_dovecot()
    deliver(dovecot, "acme", 0, 10)
    service = new_service(box(dovecot, "acme"))
    assert len(dovecot.messages("acme")) == 10  # files are where they stay
    with unreadable(dovecot, "acme", 5):
        service.start(faults="impatient")
        service.wait_until(service.open, "a message that stays open")
    complete(service, 10, "acme")
    with unreadable(dovecot, "acme", 6):
        dovecot.reset_uidvalidity("acme")
        service.wait_until(service.open, "a message that stays open")
    service.wait_until(lambda: not service.open(), "its end")
    complete(service, 10, "acme")


@pytest.mark.parametrize("fault", ["parser-crashes", "detector-crashes"])
def test_a_message_that_crashes_the_parser(dovecot, mailbox, new_service, fault):
    """One among 1,000 that no parser survives is an event of kind other, and its bytes can be read back."""
    poison = b"X-Poison: yes\r\n" + bounce(500)
    mailbox.deliver(*map(bounce, range(500)), poison, *map(bounce, range(501, 1_000)))
    service = new_service(box(dovecot, mailbox.user, after="delete"))
    service.start(faults=fault)
    service.wait_until(lambda: len(service.stored_uids(mailbox.user)) == 1_000, "1,000 messages")
    service.wait_until_quiet()
    expected = [event for event in events_of(range(1_000)) if event.uid != 501]
    assert [event for event in service.events(mailbox.user) if event.uid != 501] == expected
    assert mailbox.messages() == []
    line = service.wait_for_line("mail read with problems", mailbox=mailbox.user, uid=501)
    assert "faulty.py" in str(line["problems"])
    assert "poison" not in service.log_text()
    (event,) = [event for event in service.listed("--kind", "other") if event["source"].endswith("/501")]
    shown = service.command("events", "show", event["id"], "--raw", text=False)
    assert shown.stdout == poison
