"""The purge takes what is old, in small steps, and leaves mail rows and counters."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select

from bounced.store import counters, events, ids, mails, retention, tables
from bounced.store.counters import By, CounterFilter
from bounced.store.engine import Store
from bounced.store.events import EventFilter
from bounced.store.mailboxes import Mailbox
from tests.store.samples import NOW, UIDVALIDITY, event, insert_mails, stored_mail

DAY = timedelta(days=1)


def rows(store: Store, table: type[tables.Table]) -> int:
    """How many rows the table has."""
    with store.reading() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


@pytest.fixture
def three(store: Store, box: Mailbox) -> list[UUID]:
    """Mails taken in on three days, each with its bytes; the last of them on NOW."""
    stored = [stored_mail(uid, id=ids.floor_id(NOW - (3 - uid) * DAY)) for uid in (1, 2, 3)]
    with store.writing() as connection:
        mails.insert_stored(connection, stored)
        mails.insert_raw(connection, [(mail.id, mails.pack(b"raw")) for mail in stored])
    return [mail.id for mail in stored]


def test_old_bytes_go_and_the_mail_stays_known(store: Store, three: list[UUID]) -> None:
    """Exactly the bytes of mails from before go; no mail is taken in again for it."""
    assert retention.purge_raw(store, NOW) == 2
    with store.reading() as connection:
        assert [mails.raw(connection, mail_id) for mail_id in three] == [None, None, b"raw"]
        assert mails.known_uids(connection, 1, UIDVALIDITY, [1, 2, 3]) == {1, 2, 3}
    assert retention.purge_raw(store, NOW) == 0


def test_old_events_go_and_stay_counted(store: Store, box: Mailbox) -> None:
    """Exactly the events from before go, however old the mail was; the counters keep them."""
    with store.writing() as connection:
        (mail,) = insert_mails(connection, [1])
        pair = [event(age=1000 * DAY), event()]
        events.insert_events(connection, box.id, [(mail.id, i, each) for i, each in enumerate(pair)])
        counters.add(connection, {counters.key_of(each, box.id): 1 for each in pair})
    assert retention.purge_events(store, datetime.now(UTC) - DAY) == 0
    assert retention.purge_events(store, datetime.now(UTC) + DAY) == 2
    with store.reading() as connection:
        assert list(events.find(connection, EventFilter())) == []
        assert sum(total.events for total in counters.totals(connection, By.DAY, CounterFilter())) == 2
    assert rows(store, tables.Mail) == 1


def test_purge_goes_in_steps_and_can_be_stopped(
    store: Store, three: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step is committed on its own: what was purged before the stop stays purged."""
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 1)
    answers = iter([False, True])
    assert retention.purge_raw(store, NOW + DAY, should_stop=lambda: next(answers)) == 1
    assert rows(store, tables.RawMail) == 2
    assert retention.purge_raw(store, NOW + DAY) == 2
    assert rows(store, tables.RawMail) == 0


def test_nothing_is_older_than_time(store: Store, three: list[UUID]) -> None:
    """Who keeps things for a hundred years keeps them from before 1970."""
    assert ids.floor_id(NOW - timedelta(days=36_525)) == UUID(int=0)
    assert retention.purge_raw(store, NOW - timedelta(days=36_525)) == 0


def test_ids_tell_when_they_were_made() -> None:
    """Ids grow, also within one millisecond, and stand between the floors of the moments around them."""
    before = datetime.now(UTC)
    made = [ids.new_id() for _ in range(10_000)]
    after = datetime.now(UTC) + timedelta(milliseconds=1)
    assert made == sorted(set(made))
    assert ids.floor_id(before) <= made[0]
    assert made[-1] < ids.floor_id(after)
