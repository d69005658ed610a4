"""Two daemons over one database: every message is taken in exactly once, whoever holds its mailbox."""

import random
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import select

from bounced.errors import LeaseLostError
from bounced.store import counters, events, mailboxes, mails, tables
from bounced.store.counters import By, CounterFilter
from bounced.store.engine import Store
from bounced.store.mailboxes import Mailbox
from tests.store.samples import NOW, UIDVALIDITY, event, stored_mail

MINUTE = timedelta(minutes=1)
UIDS = 300
BATCH = 20


def ingest(store: Store, box: Mailbox, owner: str, uids: range) -> None:
    """One transaction as the daemon makes it."""
    rows = [stored_mail(uid, mailbox_id=box.id) for uid in uids]
    found = [event(f"mari@{uid % 7}.example.org") for uid in uids]
    with store.writing() as connection:
        mailboxes.renew_lease(connection, box.id, owner, NOW + MINUTE)
        known = mails.known_uids(connection, box.id, UIDVALIDITY, uids)
        new = [(row, each) for row, each in zip(rows, found, strict=True) if row.uid not in known]
        mails.insert_stored(connection, [row for row, _ in new])
        mails.insert_raw(connection, [(row.id, mails.pack(b"raw")) for row, _ in new])
        events.insert_events(connection, box.id, [(row.id, 0, each) for row, each in new])
        counters.add(connection, Counter(counters.key_of(each, box.id) for _, each in new))
        mailboxes.advance(
            connection, box.id, uidvalidity=UIDVALIDITY, cursor=uids[-1], backlog=UIDS - uids[-1], waiting_since=None
        )


def daemon(url: str, owner: str, seed: int) -> int:
    """Read all mailboxes to the end, as often robbed of one as robbing; returns how often a lease was lost."""
    chance, lost = random.Random(seed), 0
    with Store.open(url) as store:
        while True:
            with store.reading() as connection:
                unread = [box for box in mailboxes.all_mailboxes(connection) if box.cursor < UIDS]
            if not unread:
                return lost
            box = chance.choice(unread)
            robs = chance.random() < 0.5  # as if the other one had slept through its lease
            now = NOW + 2 * MINUTE if robs else NOW
            with store.writing() as connection:
                if not mailboxes.acquire_lease(connection, box.id, owner, now, NOW + MINUTE):
                    continue
                start = mailboxes.load(connection, box.id).cursor + 1
            try:
                for first in range(start, min(start + 3 * BATCH, UIDS + 1), BATCH):
                    time.sleep(0.005)  # the fetch
                    ingest(store, box, owner, range(first, min(first + BATCH, UIDS + 1)))
            except LeaseLostError:
                lost += 1
                continue
            with store.writing() as connection:
                mailboxes.release_lease(connection, box.id, owner)


def check(store: Store, boxes: int) -> None:
    """Every UID of every mailbox has its row, its bytes, its one event, and was counted once."""
    with store.reading() as connection:
        expected = sorted((box, uid) for box in range(1, boxes + 1) for uid in range(1, UIDS + 1))
        stored = connection.execute(
            select(tables.Mail.mailbox_id, tables.Mail.uid)
            .join(tables.RawMail, tables.RawMail.mail_id == tables.Mail.id)
            .join(tables.Event, tables.Event.mail_id == tables.Mail.id)
        )
        assert sorted((row.mailbox_id, row.uid) for row in stored) == expected
        assert sum(total.events for total in counters.totals(connection, By.DOMAIN, CounterFilter())) == len(expected)


def test_threads_fight_for_mailboxes(store: Store, url: str) -> None:
    """Four daemons in one process, each with its own connections, which take each other's mailboxes all the time."""
    with store.writing() as connection:
        for name in ("a", "b", "c"):
            mailboxes.ensure(connection, name)
    with ThreadPoolExecutor(4) as threads:
        lost = sum(threads.map(lambda seed: daemon(url, f"daemon-{seed}", seed), range(4)))
    check(store, 3)
    assert lost


def test_processes_fight_for_mailboxes(store: Store, url: str) -> None:
    """The same with processes."""
    with store.writing() as connection:
        for name in ("a", "b"):
            mailboxes.ensure(connection, name)
    code = "import sys; from tests.store.test_two_daemons import daemon; daemon(*sys.argv[1:3], int(sys.argv[3]))"
    programs = [
        subprocess.Popen([sys.executable, "-c", code, url, f"daemon-{seed}", str(seed)], stderr=subprocess.PIPE)
        for seed in range(2)
    ]
    assert [program.communicate()[1] for program in programs] == [b"", b""]
    check(store, 2)


def test_counters_in_any_order_do_not_lock_each_other_out(store: Store, url: str) -> None:
    """Two daemons that count the same things in opposite order both get through."""
    keys = [counters.key_of(event(f"mari@{number}.example.org"), None) for number in range(200)]

    def count(order: list[counters.Key]) -> None:
        with Store.open(url) as own:
            for _ in range(10):
                with own.writing() as connection:
                    counters.add(connection, dict.fromkeys(order, 1))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(count, [keys, keys[::-1]]))
    with store.reading() as connection:
        assert {total.events for total in counters.totals(connection, By.DOMAIN, CounterFilter())} == {20}
