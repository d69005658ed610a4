"""Deliveries in the database: who has one in hand, and what may still become of it."""

from collections.abc import Iterable, Set
from datetime import datetime, timedelta
from threading import Event, Thread

import pytest
from sqlalchemy import Connection, select

from bounced.errors import LeaseLostError
from bounced.store import deliveries, history, outbound, people, retention, sender_configs, tables
from bounced.store.deliveries import Claimed
from bounced.store.engine import Store
from bounced.store.ids import new_id
from bounced.store.joint import Joint
from bounced.store.outbound import RecipientState, State
from tests.store.samples import NOW

MINUTE = timedelta(minutes=1)
A, B, C = "host:1:100", "host:2:200", "host:3:300"


def queue(connection: Connection, *addresses: str, suppressed: Iterable[str] = (), config: str = "one") -> int:
    """Queue one message of MARI; the number of its delivery."""
    company_id = people.ensure_company(connection, "acme")
    if people.find_user(connection, company_id, "MARI") is None:
        people.put_users(connection, company_id, [{"code": "MARI", "email": "mari@acme.example.com"}])
    user = people.find_user(connection, company_id, "MARI")
    assert user
    outbound_id = new_id()
    message = outbound.Outbound(
        id=outbound_id,
        company_id=company_id,
        user_id=user.id,
        sender_config_id=sender_configs.keep_sender_config(connection, company_id, {"mode": config}),
        document="Invoice 1",
        subject="Invoice 1",
        message_id=f"{outbound_id}@acme.example.com",
        mass=False,
        created_at=NOW,
    )
    wanted = addresses or ("r@customer.example.com",)
    (number,) = outbound.put(connection, message, b"raw", [wanted], list(suppressed))
    return number


def queued(store: Store, count: int = 1, **options: str) -> list[int]:
    """Queue messages, each for one recipient."""
    with store.writing() as connection:
        return [queue(connection, f"r{each}@customer.example.com", **options) for each in range(count)]


def claim(store: Store, owner: str = A, limit: int = 10) -> list[Claimed]:
    """Claim what is due for a minute."""
    with store.writing() as connection:
        return deliveries.claim(connection, owner, NOW, NOW + MINUTE, limit)


def recover(
    connection: Connection, now: datetime, *, gone: Iterable[str] = (), owner: str = C, held: Set[int] = frozenset()
) -> tuple[int, list[int]]:
    """Take back what nobody is at, as a daemon that has nothing in hand, where not said otherwise."""
    return deliveries.recover(connection, now, gone=gone, owner=owner, held=held)


def state(store: Store, number: int) -> str:
    """A delivery's."""
    with store.reading() as connection:
        return connection.execute(select(tables.Delivery.state).where(tables.Delivery.id == number)).scalar_one()


def fates(store: Store, number: int) -> list[tuple[str, str]]:
    """Address and state of each recipient of a delivery's message."""
    with store.reading() as connection:
        chosen = select(tables.Delivery.outbound_id).where(tables.Delivery.id == number)
        outbound_id = connection.execute(chosen).scalar_one()
        return [(one.address, one.state) for one in history.fate(connection, outbound_id)]


def test_each_delivery_is_claimed_once(store: Store) -> None:
    """The longest due first, with all that is still to be sent to, and nobody else gets it."""
    with store.writing() as connection:
        first = queue(connection, "a@customer.example.com", "b@customer.example.com", suppressed=["c@example.org"])
        second = queue(connection)
    one, two = claim(store), claim(store, B)
    assert [each.id for each in one] == [first, second]
    assert two == []
    assert [who.address for who in one[0].recipients] == ["a@customer.example.com", "b@customer.example.com"]
    assert (one[0].message.document, one[0].tries) == ("Invoice 1", 0)
    assert fates(store, first)[-1] == ("c@example.org", "suppressed")


def test_two_connections_never_claim_the_same(store: Store, url: str) -> None:
    """While one transaction holds what it has claimed, another gets the rest (or waits its turn, on SQLite)."""
    numbers = set(queued(store, 6))
    claimed: list[set[int]] = []
    inside, go_on = Event(), Event()

    def second() -> None:
        inside.wait(30)
        with Store.open(url) as own, own.writing() as connection:
            claimed.append({one.id for one in deliveries.claim(connection, B, NOW, NOW + MINUTE, 4)})
        go_on.set()

    thread = Thread(target=second)
    thread.start()
    with store.writing() as connection:
        claimed.append({one.id for one in deliveries.claim(connection, A, NOW, NOW + MINUTE, 4)})
        inside.set()
        if not store.has_one_writer:
            assert go_on.wait(30), "the second claim waits for the first"
    thread.join(30)
    assert not claimed[0] & claimed[1]
    assert claimed[0] | claimed[1] == numbers


def test_what_is_not_due_or_excluded_is_left(store: Store) -> None:
    """Neither what waits for its time nor what belongs to a paused sender config."""
    (number,) = queued(store)
    with store.writing() as connection:
        config = connection.execute(select(tables.SenderConfig.id)).scalar_one()
        assert deliveries.claim(connection, A, NOW - MINUTE, NOW, 10) == []
        assert deliveries.claim(connection, A, NOW, NOW + MINUTE, 10, excluded=[config]) == []
    assert [one.id for one in claim(store)] == [number]


def test_only_the_holder_goes_on(store: Store) -> None:
    """A delivery that another daemon took over is not sent, finished or postponed by the first."""
    (number,) = queued(store)
    claim(store)
    with store.writing() as connection:
        assert recover(connection, NOW + 2 * MINUTE) == (1, [])
    claim(store, B)
    for change in (
        lambda c: deliveries.begin_sending(c, number, A, NOW + MINUTE),
        lambda c: deliveries.finish(c, number, A, State.DONE, NOW),
        lambda c: deliveries.postpone(c, number, A, NOW, error=None),
    ):
        with pytest.raises(LeaseLostError), store.writing() as connection:
            change(connection)
    with store.writing() as connection:
        deliveries.give_back(connection, [number], A)
        deliveries.begin_sending(connection, number, B, NOW + MINUTE)
    assert state(store, number) == State.SENDING


@pytest.mark.parametrize("how", ["lease", "gone", "slipped"])
def test_recovery(store: Store, how: str) -> None:
    """What was claimed goes back to the queue; what was being sent is uncertain; what is in hand stays."""
    claimed, sending, held, others = queued(store, 4)
    claim(store, A, 3)
    claim(store, B)
    with store.writing() as connection:
        for number in (sending, held):
            deliveries.begin_sending(connection, number, A, NOW + (MINUTE if number == sending else 9 * MINUTE))
    with store.writing() as connection:
        match how:
            case "lease":
                deliveries.renew(connection, B, NOW + 9 * MINUTE)
                found = recover(connection, NOW + 2 * MINUTE)
            case "gone":
                deliveries.finish(connection, held, A, State.DONE, NOW)
                found = recover(connection, NOW, gone=[A])
            case _:
                found = recover(connection, NOW, owner=A, held={held})
    assert found == (1, [sending])
    assert [state(store, number) for number in (claimed, sending, others)] == ["queued", "uncertain", "claimed"]
    assert state(store, held) == ("done" if how == "gone" else "sending")
    assert fates(store, sending) == [("r1@customer.example.com", "uncertain")]
    with store.reading() as connection:
        assert deliveries.owners(connection) == ({B} if how == "gone" else {A, B})


def test_who_has_the_answer_knows(store: Store) -> None:
    """An answer that comes after the delivery was taken for uncertain still counts; not after a person's decision."""
    first, second = queued(store, 2)
    claim(store)
    with store.writing() as connection:
        for number in (first, second):
            deliveries.begin_sending(connection, number, A, NOW + MINUTE)
        assert recover(connection, NOW + 2 * MINUTE) == (0, [first, second])
        assert deliveries.decide(connection, second, NOW, release=True)
    with store.writing() as connection:
        deliveries.finish(connection, first, A, State.DONE, NOW)
    with pytest.raises(LeaseLostError), store.writing() as connection:
        deliveries.finish(connection, second, A, State.DONE, NOW)
    assert (state(store, first), state(store, second)) == ("done", "queued")


def test_decisions(store: Store) -> None:
    """An uncertain one is sent again to whom it is uncertain, or dropped; a queued one can only be dropped."""
    with store.writing() as connection:
        number = queue(connection, "a@customer.example.com", "b@customer.example.com")
        assert not deliveries.decide(connection, number, NOW, release=True)
    (one,) = claim(store)
    with store.writing() as connection:
        assert not deliveries.decide(connection, number, NOW, release=False), "it is in hand"
        deliveries.begin_sending(connection, number, A, NOW + MINUTE)
        deliveries.finish(connection, number, A, State.UNCERTAIN, NOW, error="no answer")
        rows = [who.row for who in one.recipients]
        deliveries.set_recipients(connection, rows[:1], RecipientState.REFUSED, "550 no", NOW)
        deliveries.set_recipients(connection, rows[1:], RecipientState.UNCERTAIN, None, NOW)
    assert claim(store) == []
    with store.writing() as connection:
        assert deliveries.decide(connection, number, NOW, release=True)
    (again,) = claim(store)
    assert [who.address for who in again.recipients] == ["b@customer.example.com"]
    assert again.tries == 1
    with store.writing() as connection:
        deliveries.postpone(connection, number, A, NOW, error="later")
        assert deliveries.decide(connection, number, NOW, release=False)
        assert not deliveries.decide(connection, number, NOW, release=False)
        assert history.waiting(connection) == []
    assert (state(store, number), claim(store)) == ("dropped", [])


def test_a_pause_grows_and_ends(store: Store) -> None:
    """Failures in a row are counted; the pause is over when its time is, or when it works again."""
    queued(store)
    with store.writing() as connection:
        config = connection.execute(select(tables.SenderConfig.id)).scalar_one()
        assert sender_configs.pause(connection, config, NOW, lambda before: (before + 1) * MINUTE) == 1
        assert sender_configs.pause(connection, config, NOW, lambda before: (before + 1) * MINUTE) == 2
        assert sender_configs.paused(connection, NOW + timedelta(seconds=119)) == [config]
        assert sender_configs.paused(connection, NOW + timedelta(seconds=121)) == []
        sender_configs.resume(connection, [config])
        assert sender_configs.paused(connection, NOW) == []
        assert sender_configs.pause(connection, config, NOW, lambda _: MINUTE) == 1


def test_a_mended_card_moves_what_waits(store: Store) -> None:
    """Queued messages of the user go out with the other sender config at once; another user's stay."""
    (number,) = queued(store)
    claim(store)
    with store.writing() as connection:
        deliveries.postpone(connection, number, A, NOW + 60 * MINUTE, error="535")
        before = connection.execute(select(tables.SenderConfig.id)).scalar_one()
        ((config, user_id, company_id),) = sender_configs.waiting_users(connection, [before])
        after = sender_configs.keep_sender_config(connection, company_id, {"mode": "two"})
        sender_configs.use_sender_config(connection, config, user_id + 1, after, NOW)
        assert sender_configs.waiting_users(connection, [after]) == []
        sender_configs.use_sender_config(connection, config, user_id, after, NOW)
        assert sender_configs.sender_snapshot(connection, after) == {"mode": "two"}
    (one,) = claim(store)
    assert (one.id, one.message.sender_config_id) == (number, after)


def test_a_sender_config_is_kept_once(store: Store) -> None:
    """Equal settings of one company are one row."""
    with store.writing() as connection:
        acme, other = (people.ensure_company(connection, name) for name in ("acme", "other"))
        rows = [sender_configs.keep_sender_config(connection, company, {}) for company in (acme, acme, other)]
    assert rows[0] == rows[1] != rows[2]


def test_keys_are_noted_once(store: Store) -> None:
    """Ids that a server tells again, or that were known, are no error."""
    (number,) = queued(store)
    (one,) = claim(store)
    with store.writing() as connection:
        for _ in range(2):
            outbound.add_keys(
                connection, one.message.company_id, one.message.id, ["x@relay.example", "x@relay.example"]
            )
        keys = set(connection.scalars(select(tables.OutboundKey.key)))
    assert keys == {one.message.message_id, "x@relay.example"}
    assert number == one.id


def test_bytes_are_kept_while_something_is_to_be_sent(store: Store) -> None:
    """The purge takes the bytes of messages that are done or dropped, however old the others are."""
    done, dropped, uncertain, waiting = queued(store, 4)
    claim(store, A, 3)
    with store.writing() as connection:
        deliveries.finish(connection, done, A, State.DONE, NOW)
        deliveries.finish(connection, uncertain, A, State.UNCERTAIN, NOW)
        deliveries.postpone(connection, dropped, A, NOW, error=None)
        assert deliveries.decide(connection, dropped, NOW, release=False)
    assert retention.purge_raw_outbound(store, NOW) == 0, "they were made later"
    assert retention.purge_raw_outbound(store, NOW + timedelta(days=36_500)) == 2
    with store.reading() as connection:
        kept = set(connection.scalars(select(tables.RawOutbound.outbound_id)))
        numbers = set(connection.scalars(select(tables.Delivery.id).where(tables.Delivery.outbound_id.in_(kept))))
    assert numbers == {uncertain, waiting}


def test_joined_writes_stand_and_fall_by_themselves(store: Store) -> None:
    """Of threads whose writes are joined, only the one whose own write fails is told so."""
    numbers = queued(store, 20)
    claim(store, A, 20)
    joint = Joint(store)
    failed: list[int] = []

    def finish(number: int) -> None:
        try:
            joint.write(lambda c: deliveries.finish(c, number, A if number % 5 else B, State.DONE, NOW))
        except LeaseLostError:
            failed.append(number)

    threads = [Thread(target=finish, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(failed) == [number for number in numbers if number % 5 == 0]
    for number in numbers:
        assert state(store, number) == ("done" if number % 5 else "claimed")


def test_nobody_is_left_to_release(store: Store) -> None:
    """An uncertain message that has bounced meanwhile had arrived: it is not sent again, but may be dropped."""
    (number,) = queued(store, 1)
    (one,) = claim(store)
    with store.writing() as connection:
        deliveries.begin_sending(connection, number, A, NOW + MINUTE)
        deliveries.finish(connection, number, A, State.UNCERTAIN, NOW, error="no answer")
        deliveries.set_recipients(connection, [one.recipients[0].row], RecipientState.UNCERTAIN, None, NOW)
        history.learn(connection, one.recipients[0].row, RecipientState.BOUNCED, NOW + MINUTE)
        assert not deliveries.decide(connection, number, NOW, release=True)
        assert deliveries.decide(connection, number, NOW, release=False)
    assert claim(store) == []
