"""kill -9 of the real daemon, at any moment: no message lost, no event doubled, the mailbox true to its `after`."""

import imaplib
import itertools
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.integration.running import Service, bounce, box, events_of, number_of, recipients
from tests.integration.trap import Moment, Trap
from tests.servers.dovecot import Dovecot
from tests.servers.process import wait_for

AFTER = {"kept": "keep", "seen": "seen", "moved": "move:Done", "deleted": "delete"}
"""The mailboxes, and what is done to their mail."""

KILLS = int(os.environ.get("KILLS", "200"))


class Senders:
    """Deliver mail into all mailboxes, in bursts, from a thread of their own."""

    def __init__(self, dovecot: Dovecot, names: Iterable[str], dice: random.Random) -> None:
        self.delivered = dict.fromkeys(names, 0)
        self._dovecot, self._dice = dovecot, dice

    def burst(self, name: str) -> None:
        """A few messages more for one mailbox, numbered on."""
        first = self.delivered[name]
        count = self._dice.randint(1, 6)
        self._dovecot.deliver(name, *(bounce(number) for number in range(first, first + count)))
        self.delivered[name] += count

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Mail keeps coming meanwhile."""
        stop = threading.Event()

        def work() -> None:
            for name in itertools.cycle(self.delivered):
                if stop.wait(self._dice.uniform(0, 0.8 / len(self.delivered))):
                    return
                self.burst(name)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def kill_again_and_again(
    service: Service, dovecot: Dovecot, boxes: dict[str, str], kills: int, seed: str
) -> Counter[str]:
    """Start the daemon and kill it, so often; counts how often it was at work, and between commit and action."""
    dice = random.Random(seed)
    met: Counter[str] = Counter()
    reach = 0.5  # seconds within which it is killed; they follow how fast this machine is just now
    for kill in range(kills):
        before = service.count()
        service.start(ready=dice.random() < 0.9)  # now and then it does not live to see a poll
        time.sleep(dice.uniform(0, reach))
        service.kill()
        met["kills"] += 1
        if service.count() > before:
            met["at work"] += 1
            reach = max(0.3, reach * 0.9)
        else:
            reach = min(5.0, reach * 1.2)
        met["half done"] += service.pending() > 0
        nothing_vanished(service, dovecot, boxes, f"kill {kill}")
    return met


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "kills"), [("sqlite", KILLS), ("postgresql", KILLS // 10)])
def test_killed_at_random_moments(start_dovecot, new_service, request, backend, kills):
    """Whenever it is killed under load, in the end every message has exactly its events, and no mail is gone before.

    Two daemons are killed at the same time: on SQLite each has its own mailboxes, on PostgreSQL they share them.
    """
    seed = os.environ.get("KILL_SEED") or str(random.randrange(10**9))
    tell(f"KILL_SEED={seed}")
    dovecot = start_dovecot()
    polled = [{f"{name}-{group}": after for name, after in AFTER.items()} for group in ("a", "b")]
    database = None
    if backend == "postgresql":
        polled[1], database = polled[0], request.getfixturevalue("database_url")
    services = []
    for boxes in polled:
        service = new_service(*(box(dovecot, name, after=after) for name, after in boxes.items()), database=database)
        assert service.command("migrate").returncode == 0
        dovecot.deliver(next(name for name, after in boxes.items() if after == "move:Done"), folder="Done")
        services.append(service)
    senders = Senders(dovecot, polled[0] | polled[1], random.Random(seed))
    with senders.at_work(), ThreadPoolExecutor(2) as pool:
        dovecots, half, seeds = [dovecot] * 2, [kills // 2] * 2, [f"{seed}a", f"{seed}b"]
        met = sum(pool.map(kill_again_and_again, services, dovecots, polled, half, seeds), Counter())
    for service in services:
        service.start()
    for service in services:
        service.wait_until_quiet(seconds=120)
    for service in services:
        assert service.end() == 0
    tell(f"{dict(met)}; delivered: {senders.delivered}")
    assert met["at work"] >= kills // 5, "it was hardly ever killed at work"
    for service, boxes in zip(services, polled, strict=True):
        for name, after in boxes.items():
            all_is_well(service, dovecot, name, after, senders.delivered[name])


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "sent", "answered"])
def test_killed_between_commit_and_action(start_dovecot, tmp_path, moment: Moment):
    """Killed right before, in and right after what is done in the mailbox: it is done in the end, once."""
    dovecot = start_dovecot()
    traps = {name: Trap(dovecot.port) for name in AFTER}
    points = [("seen", b"UID STORE"), ("moved", b"UID MOVE"), ("deleted", b"UID STORE"), ("deleted", b"UID EXPUNGE")]
    service = Service(tmp_path)
    boxes = (box(dovecot, name, after=after, tls="none", port=traps[name].port) for name, after in AFTER.items())
    service.configure(*boxes)
    dovecot.deliver("moved", folder="Done")
    delivered = 0
    try:
        for name, command in points:
            for each in AFTER:
                dovecot.deliver(each, *map(bounce, range(delivered, delivered + 20)))
            delivered += 20
            touched: list[tuple[set[int], set[int]]] = []

            def spring(line: bytes, name: str = name, touched: list[tuple[set[int], set[int]]] = touched) -> None:
                touched.append((uids_of(line), service.stored_uids(name)))
                service.kill()

            traps[name].arm(command, moment, spring)
            service.start(ready=False)
            wait_for(lambda touched=touched: touched and not service.running, seconds=30, what=f"{name}: {command!r}")
            ((wanted, stored),) = touched
            assert wanted
            assert wanted <= stored, "the mailbox was touched before the commit"
            nothing_vanished(service, dovecot, AFTER, f"{name}: {command!r}")
        service.start()
        service.wait_until_quiet()
        assert service.end() == 0
    finally:
        service.kill()
        for trap in traps.values():
            trap.close()
    for name, after in AFTER.items():
        all_is_well(service, dovecot, name, after, delivered)


def tell(line: str) -> None:
    """Seen where the test fails, and with `pytest -rP`."""
    sys.stdout.write(f"{line}\n")


def nothing_vanished(service: Service, dovecot: Dovecot, boxes: dict[str, str], when: str) -> None:
    """What is not in a folder any more is stored."""
    for name in (name for name, after in boxes.items() if after in ("move:Done", "delete")):
        there = uids(dovecot, name)  # first: the server may still be at the last command
        stored = service.stored_uids(name)
        lost = set(range(1, max(there, default=0) + 1)) - there - stored
        assert not lost, f"{when}: {name}: gone, but not stored: {sorted(lost)}"


def all_is_well(service: Service, dovecot: Dovecot, name: str, after: str, delivered: int) -> None:
    """Every message has exactly its events, and `after` is true of the mailbox."""
    raws = service.raws(name)
    numbers = {uid: number_of(raw) for uid, raw in raws.items() if raw}
    assert sorted(numbers.values()) == list(range(delivered)), f"{name}: not every message was stored once"
    events = Counter((numbers[event.uid], event.position, event.recipient) for event in service.events(name))
    expected = Counter((event.uid - 1, event.position, event.recipient) for event in events_of(range(delivered)))
    assert events == expected, f"{name}: lost {expected - events}, too many {events - expected}"
    assert all(raw == bounce(numbers[uid]) for uid, raw in raws.items())
    assert service.pending() == 0

    left = dovecot.messages(name)
    if after in ("move:Done", "delete"):
        assert left == []
    else:
        assert {message.uid: message.raw for message in left} == raws
        flags = {"\\Seen"} if after == "seen" else set()
        assert all(message.flags == flags for message in left)
    if after == "move:Done":
        assert sorted(number_of(message.raw) for message in dovecot.messages(name, "Done")) == list(range(delivered))


def uids_of(line: bytes) -> set[int]:
    """The UIDs in a command such as `A5 UID MOVE 1:20,25 "Done"`."""
    ranges = [tuple(map(int, part.split(b":"))) for part in line.split()[3].split(b",")]
    return {uid for each in ranges for uid in range(each[0], each[-1] + 1)}


def uids(dovecot: Dovecot, name: str) -> set[int]:
    """The UIDs in a folder."""
    with imaplib.IMAP4(dovecot.host, dovecot.port, timeout=60) as client:
        client.login(name, dovecot.password)
        client.select(readonly=True)
        return set(map(int, client.uid("SEARCH", "ALL")[1][0].split()))


def test_messages_are_told_apart():
    """The test's own messages say what is expected of them."""
    assert [number_of(bounce(number)) for number in range(20)] == list(range(20))
    assert {len(recipients(number)) for number in range(20)} == {0, 1, 2}
