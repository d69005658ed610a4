"""Messages: known, adopted, open, with something still to do."""

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from bounced.errors import StoreError
from bounced.store import mails, tables
from bounced.store.engine import Store
from bounced.store.ids import new_id
from bounced.store.mailboxes import Mailbox
from bounced.store.mails import Fingerprint
from tests.store.samples import NOW, UIDVALIDITY, insert_mails, stored_mail

NEW = UIDVALIDITY + 1


def fingerprint(uid: int, raw: bytes) -> Fingerprint:
    """A message as it is found under a new UIDVALIDITY."""
    return Fingerprint(uid, hashlib.sha256(raw).digest(), len(raw))


def test_known_uids(store: Store, box: Mailbox) -> None:
    """Exactly what was taken in from this mailbox under this UIDVALIDITY is known."""
    with store.writing() as connection:
        insert_mails(connection, [1, 3, 2_000, 10**6])
        insert_mails(connection, [5], uidvalidity=NEW)
        mails.mark_open(connection, box.id, UIDVALIDITY, 7, "BAD")
        assert mails.known_uids(connection, box.id, UIDVALIDITY, [10**6, *range(10), 2_000]) == {1, 3, 2_000, 10**6}
        assert mails.known_uids(connection, box.id, UIDVALIDITY, []) == set()
        assert mails.known_uids(connection, box.id + 1, UIDVALIDITY, [1]) == set()


@given(st.sets(st.integers(1, 2**32 - 1)))
def test_ranges_hold_every_uid(uids: set[int]) -> None:
    """The ranges that are asked for miss no UID, and none is much longer than what is asked."""
    ranges = list(mails._ranges(uids))
    assert all(any(first <= uid <= last for first, last in ranges) for uid in uids)
    assert all({first, last} <= uids for first, last in ranges)
    assert sum(last - first for first, last in ranges) <= mails.CHUNK * len(uids)


def test_second_ingest_is_refused(store: Store, box: Mailbox) -> None:
    """The same UID can never be there twice, whatever a caller forgot to ask."""
    with store.writing() as connection:
        insert_mails(connection, [1])
    with pytest.raises(StoreError) as caught, store.writing() as connection:
        insert_mails(connection, [2, 1])
    assert not caught.value.retry
    with store.reading() as connection:
        assert mails.known_uids(connection, box.id, UIDVALIDITY, [1, 2]) == {1}


def test_replayed_file_is_known_by_its_bytes(store: Store) -> None:
    """A file without a mailbox is taken in once; the same bytes in a mailbox are another matter."""
    nowhere = {"mailbox_id": None, "uidvalidity": None}
    file = stored_mail(None, raw=b"file", **nowhere)
    with store.writing() as connection:
        mails.insert_stored(connection, [file])
        other = hashlib.sha256(b"other").digest()
        assert mails.known_files(connection, [file.sha256, other]) == {file.sha256}
    with pytest.raises(StoreError), store.writing() as connection:
        mails.insert_stored(connection, [stored_mail(None, raw=b"file", **nowhere)])


@pytest.mark.parametrize("raw", [b"", b"Subject: x\r\n\r\n\x00\xff", b"x" * 3_000_000], ids=["empty", "8bit", "3MB"])
def test_raw_bytes_come_back(store: Store, box: Mailbox, raw: bytes) -> None:
    """What was fetched can be read back, byte for byte."""
    with store.writing() as connection:
        (mail,) = insert_mails(connection, [1])
        mails.insert_raw(connection, [(mail.id, mails.pack(raw))])
        assert mails.raw(connection, mail.id) == raw
        assert mails.raw(connection, new_id()) is None


def test_actions(store: Store, box: Mailbox) -> None:
    """What is to do in the mailbox is there, lowest UID first, until it is done."""
    with store.writing() as connection:
        insert_mails(connection, [9, 2, 5], action="move:Done")
        insert_mails(connection, [1])
        insert_mails(connection, [3], action="seen", uidvalidity=NEW)
        pending = mails.pending_actions(connection, box.id, UIDVALIDITY, 2)
        assert [(action.uid, action.action) for action in pending] == [(2, "move:Done"), (5, "move:Done")]
        mails.clear_actions(connection, [action.mail_id for action in pending])
        assert [action.uid for action in mails.pending_actions(connection, box.id, UIDVALIDITY, 2)] == [9]
        mails.clear_actions(connection, [])


def test_open_uid_is_counted_and_closed(store: Store, box: Mailbox) -> None:
    """A message that cannot be fetched stays open, each try counted, until it is stored or gone."""
    with store.writing() as connection:
        assert [mails.mark_open(connection, box.id, UIDVALIDITY, 4, "NO") for _ in range(3)] == [1, 2, 3]
        assert mails.mark_open(connection, box.id, UIDVALIDITY, 2, "NO") == 1
        assert mails.open_uids(connection, box.id, UIDVALIDITY) == {2: 1, 4: 3}
        mails.close_open(connection, box.id, UIDVALIDITY, [2, 4, 5])
        insert_mails(connection, [4])
        assert mails.open_uids(connection, box.id, UIDVALIDITY) == {}
        assert mails.known_uids(connection, box.id, UIDVALIDITY, [2, 4]) == {4}
        mails.close_open(connection, box.id, UIDVALIDITY, [4])
        assert mails.known_uids(connection, box.id, UIDVALIDITY, [4]) == {4}


def test_stored_uid_cannot_be_opened(store: Store, box: Mailbox) -> None:
    """A message that was taken in is never tried again."""
    with store.writing() as connection:
        insert_mails(connection, [1])
    with pytest.raises(StoreError), store.writing() as connection:
        mails.mark_open(connection, box.id, UIDVALIDITY, 1, "NO")


def test_adopted_mail_is_the_same_row(store: Store, box: Mailbox) -> None:
    """Under a new UIDVALIDITY a known message keeps its row and its bytes, and gets what is to do with it."""
    with store.writing() as connection:
        (mail,) = insert_mails(connection, [10], raw=b"same")
        mails.insert_raw(connection, [(mail.id, mails.pack(b"same"))])
        found = [fingerprint(1, b"same"), fingerprint(2, b"other")]
        assert mails.adopt(connection, box.id, NEW, found, "delete") == {1}
        assert mails.known_uids(connection, box.id, NEW, [1, 2, 10]) == {1}
        assert mails.known_uids(connection, box.id, UIDVALIDITY, [10]) == set()
        assert mails.pending_actions(connection, box.id, NEW, 10) == [(mail.id, 1, "delete")]
        assert mails.raw(connection, mail.id) == b"same"


def test_adoption_asks_for_mailbox_size_and_stored_bytes(store: Store, box: Mailbox) -> None:
    """Another mailbox's message, another length, a message under the same UIDVALIDITY: none is taken."""
    with store.writing() as connection:
        insert_mails(connection, [1], raw=b"a", size=999)
        insert_mails(connection, [2], raw=b"b", uidvalidity=NEW)
        mails.insert_stored(connection, [stored_mail(None, raw=b"c", mailbox_id=None, uidvalidity=None)])
        mails.mark_open(connection, box.id, UIDVALIDITY, 3, "NO")
        found = [fingerprint(10 + i, raw) for i, raw in enumerate((b"a", b"b", b"c"))]
        assert mails.adopt(connection, box.id, NEW, found, None) == set()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    old=st.lists(st.sampled_from([b"a", b"bb", b"ccc"]), max_size=12),
    new=st.lists(st.sampled_from([b"a", b"bb", b"ccc"]), max_size=12),
    batch=st.integers(1, 5),
)
def test_adoption_counts_like_a_multiset(
    store: Store, box: Mailbox, old: list[bytes], new: list[bytes], batch: int
) -> None:
    """Of each sort as many are told again as were known, the lowest UIDs, whatever the batches."""
    with store.writing() as connection:
        connection.execute(tables.Mail.__table__.delete())
        mails.insert_stored(connection, [stored_mail(uid, raw=raw) for uid, raw in enumerate(old, 1)])
        found = [fingerprint(uid, raw) for uid, raw in enumerate(new, 1)]
        adopted: set[int] = set()
        for start in range(0, len(found), batch):
            adopted |= mails.adopt(connection, box.id, NEW, found[start : start + batch], None)
        expected = set()
        for raw in set(new):
            uids = [uid for uid, other in enumerate(new, 1) if other == raw]
            expected |= set(uids[: old.count(raw)])
        assert adopted == expected
        assert connection.scalar(select(func.count()).select_from(tables.Mail)) == len(old)


def test_has_other_uidvalidity(store: Store, box: Mailbox) -> None:
    """Only messages of this mailbox under another UIDVALIDITY can be adopted."""
    with store.writing() as connection:
        assert not mails.has_other_uidvalidity(connection, box.id, NEW)
        insert_mails(connection, [1])
        assert not mails.has_other_uidvalidity(connection, box.id, UIDVALIDITY)
        assert mails.has_other_uidvalidity(connection, box.id, NEW)
        assert mails.has_other_uidvalidity(connection, box.id, UIDVALIDITY - 1)
        assert not mails.has_other_uidvalidity(connection, box.id + 1, NEW)


def test_set_aside(store: Store, box: Mailbox) -> None:
    """After a new UIDVALIDITY nothing is done or tried by the old UIDs; what is known stays known."""
    with store.writing() as connection:
        for uidvalidity in (UIDVALIDITY, NEW):
            insert_mails(connection, [1], action="delete", uidvalidity=uidvalidity)
            mails.mark_open(connection, box.id, uidvalidity, 2, "NO")
        mails.set_aside(connection, box.id, NEW)
        assert mails.pending_actions(connection, box.id, UIDVALIDITY, 9) == []
        assert mails.open_uids(connection, box.id, UIDVALIDITY) == {}
        assert mails.known_uids(connection, box.id, UIDVALIDITY, [1]) == {1}
        assert len(mails.pending_actions(connection, box.id, NEW, 9)) == 1
        assert mails.open_uids(connection, box.id, NEW) == {2: 1}


def test_times_are_kept_to_the_microsecond(store: Store, box: Mailbox) -> None:
    """Both databases give back the very moment, aware."""
    with store.writing() as connection:
        insert_mails(connection, [1])
        received = connection.execute(select(tables.Mail.received_at)).scalar_one()
    assert received == NOW
    assert received is not None
    assert received.utcoffset() == NOW.utcoffset()
