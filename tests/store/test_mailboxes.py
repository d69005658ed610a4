"""Mailboxes: their lease, cursor and health."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from bounced.errors import LeaseLostError
from bounced.store import mailboxes, people
from bounced.store.engine import Store
from bounced.store.mailboxes import Mailbox
from tests.store.samples import NOW, UIDVALIDITY

MINUTE = timedelta(minutes=1)


def load(store: Store, mailbox_id: int) -> Mailbox:
    """The mailbox in a transaction of its own."""
    with store.reading() as connection:
        return mailboxes.load(connection, mailbox_id)


def acquire(store: Store, mailbox_id: int, owner: str, now: int) -> bool:
    """Take the mailbox at minute `now` for one minute."""
    with store.writing() as connection:
        start = NOW + now * MINUTE
        return mailboxes.acquire_lease(connection, mailbox_id, owner, start, start + MINUTE)


def test_new_mailbox_was_never_read(store: Store) -> None:
    """A mailbox is known at its first use, with nothing read."""
    with store.writing() as connection:
        box = mailboxes.ensure(connection, "acme")
        assert mailboxes.all_mailboxes(connection) == [box]
    assert (box.name, box.uidvalidity, box.cursor, box.failures, box.backlog) == ("acme", None, 0, 0, 0)
    assert box.last_poll_at is None


def test_owner_follows_the_configuration(store: Store) -> None:
    """A second start changes whom the mailbox belongs to, and keeps how far it was read."""
    with store.writing() as connection:
        company_id = people.ensure_company(connection, "acme")
        people.put_users(connection, company_id, [{"code": "MARI"}])
        mari = people.find_user(connection, company_id, "MARI")
        assert mari
        first = mailboxes.ensure(connection, "box", company_id=company_id, user_id=mari.id)
        mailboxes.advance(connection, first.id, uidvalidity=1, cursor=7, backlog=0, waiting_since=None)
        second = mailboxes.ensure(connection, "box", company_id=company_id)
    assert (first.company, first.user) == ("acme", "MARI")
    assert (second.id, second.company, second.user, second.cursor) == (first.id, "acme", None, 7)


def test_lease_belongs_to_one(store: Store, box: Mailbox) -> None:
    """Nobody else gets a leased mailbox before its time is up or it is given back."""
    assert acquire(store, box.id, "first", 0)
    assert not acquire(store, box.id, "second", 0)
    assert acquire(store, box.id, "first", 0)
    assert acquire(store, box.id, "second", 2)
    with store.writing() as connection:
        mailboxes.release_lease(connection, box.id, "first")
    assert load(store, box.id).lease_owner == "second"
    with store.writing() as connection:
        mailboxes.release_lease(connection, box.id, "second")
    assert acquire(store, box.id, "first", 2)


def test_lost_lease_commits_nothing(store: Store, box: Mailbox) -> None:
    """Who lost the mailbox cannot store what it has fetched."""
    assert acquire(store, box.id, "slow", 0)
    assert acquire(store, box.id, "quick", 2)
    with pytest.raises(LeaseLostError, match="mailbox acme"), store.writing() as connection:
        mailboxes.renew_lease(connection, box.id, "slow", NOW + 3 * MINUTE)
    assert load(store, box.id).lease_owner == "quick"


def test_overdue_lease_is_kept_when_nobody_took_it(store: Store, box: Mailbox) -> None:
    """A slow daemon alone goes on."""
    assert acquire(store, box.id, "slow", 0)
    with store.writing() as connection:
        mailboxes.renew_lease(connection, box.id, "slow", NOW + 5 * MINUTE)
    assert load(store, box.id).lease_until == NOW + 5 * MINUTE


def test_renewed_lease_holds_until_the_commit(store: Store, box: Mailbox) -> None:
    """A taker waits for a transaction that has renewed the lease, and then finds it renewed."""
    assert acquire(store, box.id, "owner", 0)
    with ThreadPoolExecutor(1) as thread:
        with store.writing() as connection:
            mailboxes.renew_lease(connection, box.id, "owner", NOW + 5 * MINUTE)
            taken = thread.submit(acquire, store, box.id, "taker", 2)
            with pytest.raises(TimeoutError):
                taken.result(timeout=0.3)
        assert taken.result(timeout=10) is False


def test_cursor_and_backlog(store: Store, box: Mailbox) -> None:
    """What was read and what waits can be read back."""
    with store.writing() as connection:
        mailboxes.advance(
            connection, box.id, uidvalidity=UIDVALIDITY, cursor=2**32 - 1, backlog=20_000, waiting_since=NOW
        )
    now = load(store, box.id)
    assert (now.uidvalidity, now.cursor, now.backlog, now.waiting_since) == (UIDVALIDITY, 2**32 - 1, 20_000, NOW)


def test_health(store: Store, box: Mailbox) -> None:
    """Failures add up until a poll goes well; the last good one stays known."""
    with store.writing() as connection:
        mailboxes.succeeded(connection, box.id, NOW)
        mailboxes.failed(connection, box.id, NOW + MINUTE, "login refused")
        mailboxes.failed(connection, box.id, NOW + 2 * MINUTE, "x" * 10_000)
    now = load(store, box.id)
    assert (now.last_poll_at, now.last_success_at, now.failures) == (NOW + 2 * MINUTE, NOW, 2)
    assert now.last_error == "x" * mailboxes.MAX_ERROR
    with store.writing() as connection:
        mailboxes.succeeded(connection, box.id, NOW + 3 * MINUTE)
    now = load(store, box.id)
    assert (now.last_success_at, now.last_error, now.failures) == (NOW + 3 * MINUTE, None, 0)
