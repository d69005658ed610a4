"""kill -9 of the real daemon, at any moment: no message lost, no event doubled, the mailbox true to its `after`."""

import imaplib
import itertools
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
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
    """Delivers mail into all mailboxes, in bursts, from a thread of its own."""

    def __init__(self, dovecot: Dovecot, dice: random.Random) -> None:
        self.delivered: dict[str, int] = dict.fromkeys(AFTER, 0)
        self._dovecot, self._dice = dovecot, dice

    def burst(self, name: str, most: int = 6) -> None:
        """A few messages more for one mailbox, numbered on."""
        first = self.delivered[name]
        count = self._dice.randint(1, most)
        self._dovecot.deliver(name, *(bounce(number) for number in range(first, first + count)))
        self.delivered[name] += count

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Mail keeps coming meanwhile."""
        stop = threading.Event()

        def work() -> None:
            for name in itertools.cycle(AFTER):
                if stop.wait(self._dice.uniform(0.01, 0.1)):
                    return
                self.burst(name)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "kills"), [("sqlite", KILLS), ("postgresql", KILLS // 10)])
def test_killed_at_random_moments(start_dovecot, tmp_path, request, backend, kills):
    """Whenever it is killed under load, in the end every message has exactly its events, and no mail is gone before."""
    seed = int(os.environ.get("KILL_SEED", random.randrange(10**9)))
    tell(f"KILL_SEED={seed}")
    dice = random.Random(seed)
    dovecot = start_dovecot()
    senders = Senders(dovecot, dice)
    service = Service(tmp_path, database=request.getfixturevalue("database_url") if backend == "postgresql" else None)
    service.configure(*(box(dovecot, name, after=after) for name, after in AFTER.items()))
    assert service.command("migrate").returncode == 0
    dovecot.deliver("moved", folder="Done")
    reach = 0.5  # seconds within which it is killed; they follow how fast this machine is just now
    at_work = half_done = 0
    try:
        with senders.at_work():
            for kill in range(kills):
                before = service.count()
                service.start(ready=dice.random() < 0.9)  # now and then it does not live to see a poll
                time.sleep(dice.uniform(0, reach))
                service.kill()
                has_worked = service.count() > before
                reach = max(0.3, reach * 0.9) if has_worked else min(5.0, reach * 1.2)
                at_work += has_worked
                half_done += service.pending() > 0
                nothing_vanished(service, dovecot, f"kill {kill}")
        service.start()
        service.wait_until_quiet(seconds=120)
        assert service.end() == 0
    finally:
        service.kill()
    tell(f"{kills} kills, {at_work} of them at work, {half_done} between commit and action")
    tell(f"delivered: {senders.delivered}, events: {service.count()}")
    assert at_work >= kills // 5, "it was hardly ever killed at work"
    for name in AFTER:
        all_is_well(service, dovecot, name, senders.delivered[name])


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
            nothing_vanished(service, dovecot, f"{name}: {command!r}")
        service.start()
        service.wait_until_quiet()
        assert service.end() == 0
    finally:
        service.kill()
        for trap in traps.values():
            trap.close()
    for name in AFTER:
        all_is_well(service, dovecot, name, delivered)


def tell(line: str) -> None:
    """Seen where the test fails, and with `pytest -rP`."""
    sys.stdout.write(f"{line}\n")


def nothing_vanished(service: Service, dovecot: Dovecot, when: str) -> None:
    """What is not in the folder any more is stored."""
    for name in ("moved", "deleted"):
        there = uids(dovecot, name)  # first: the server may still be at the last command
        stored = service.stored_uids(name)
        lost = set(range(1, max(there, default=0) + 1)) - there - stored
        assert not lost, f"{when}: {name}: gone, but not stored: {sorted(lost)}"


def all_is_well(service: Service, dovecot: Dovecot, name: str, delivered: int) -> None:
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
    if name in ("moved", "deleted"):
        assert left == []
    else:
        assert {message.uid: message.raw for message in left} == raws
        flags = {"\\Seen"} if name == "seen" else set()
        assert all(message.flags == flags for message in left)
    if name == "moved":
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
