"""A mass mailing: what the daemon is told to send, what the server got of it, and what the database says.

The daemon is killed again and again meanwhile; then the three are compared exactly.
"""

import random
import re
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import func, select

from bounced.config import load
from bounced.send import Letter, submit
from bounced.store import history, people, tables
from bounced.store.outbound import RecipientState, State
from tests.integration.running import Service
from tests.servers.sink import Sink

SECONDS = 120.0
MESSAGE_ID = re.compile(rb"^Message-ID: <([^>]+)>", re.M)

IDLE_BOX: dict[str, object] = {
    "name": "acme",
    "company": "acme",
    "host": "127.0.0.1",
    "port": 9,  # nobody listens: the daemon has nothing to do but to send
    "tls": "none",
    "username": "acme",
    "password": "env:IMAP_PASSWORD",
    "interval": "1h",
}


def hand_over(service: Service, count: int, *, to: int = 1) -> None:
    """Put `count` messages of user MARI, for `to` recipients each, into the outbox in one transaction."""
    config = load(service.folder / "bounced.toml")
    with service.store() as store, store.writing() as connection:
        company_id = people.ensure_company(connection, "acme")
        people.set_company(connection, company_id, mass_mail=True, suppress=None)
        people.put_users(connection, company_id, [{"code": "MARI", "email": "mari@acme.example.com"}])
        for number in range(count):
            letter = Letter(
                subject=f"Invoice {number}",
                to=tuple(f"r{number}-{each}@customer.example.com" for each in range(to)),
                text="Palun maksa.\n",
            )
            document = f"Invoice {number}"
            submit(connection, config, letter, company="acme", user="MARI", document=document, mass=True)


def unfinished(service: Service) -> int:
    """How many deliveries are queued, or in somebody's hands."""
    waiting = (State.QUEUED.value, State.CLAIMED.value, State.SENDING.value)
    with service.store() as store, store.reading() as connection:
        chosen = select(func.count()).select_from(tables.Delivery).where(tables.Delivery.state.in_(waiting))
        return connection.execute(chosen).scalar_one()


@dataclass(frozen=True, slots=True)
class Killing:
    """How a mailing went."""

    kills: int
    in_doubt: int  # how often a kill left deliveries in `sending`


def kill_while_sending(services: Sequence[Service], sink: Sink, kills: int, each: int, seed: str) -> Killing:
    """Run the daemons and kill each of them, `kills` times together; each time after up to `each` messages more."""
    left = threading.Semaphore(kills)
    with ThreadPoolExecutor(len(services)) as pool:
        seeds = [f"{seed}{number}" for number in range(len(services))]
        results = list(pool.map(lambda service, seed: _kill(service, sink, left, each, seed), services, seeds))
    return Killing(sum(one.kills for one in results), sum(one.in_doubt for one in results))


def _kill(service: Service, sink: Sink, left: threading.Semaphore, each: int, seed: str) -> Killing:
    dice = random.Random(seed)
    killed = in_doubt = 0
    while left.acquire(blocking=False) and unfinished(service):
        service.start(ready=False)
        count = len(sink.received) + dice.randint(1, each)
        service.wait_until(
            lambda count=count: len(sink.received) >= count or not unfinished(service), "messages", seconds=SECONDS
        )
        threading.Event().wait(dice.uniform(0, 0.05))  # into whatever comes next
        service.kill()
        killed += 1
        in_doubt += _being_sent(service) > 0
    return Killing(killed, in_doubt)


def _being_sent(service: Service) -> int:
    with service.store() as store, store.reading() as connection:
        chosen = select(func.count()).select_from(tables.Delivery).where(tables.Delivery.state == State.SENDING.value)
        return connection.execute(chosen).scalar_one()


def finish(services: Sequence[Service]) -> None:
    """Run the daemons until nothing is left to send."""
    for service in services:
        service.start()
    for service in services:
        finish_running(service)


def finish_running(service: Service) -> None:
    """Wait until nothing is left to send, and end the daemon."""
    service.wait_until(lambda: not unfinished(service), "an empty queue", seconds=SECONDS)
    assert service.end() == 0


@dataclass(frozen=True, slots=True)
class Balance:
    """What became of a mailing, in messages."""

    accepted: int
    uncertain: int  # of which
    arrived: int  # the server got, though its answer was lost


def compare(service: Service, sink: Sink, count: int) -> Balance:
    """Every message is done and was received once, or is uncertain, listed, and was received once or not at all."""
    received = Counter(message_id(message.raw) for message in sink.received)
    with service.store() as store, store.reading() as connection:
        rows = connection.execute(
            select(tables.Outbound.message_id, tables.Delivery.id, tables.Delivery.state).join(
                tables.Delivery, tables.Delivery.outbound_id == tables.Outbound.id
            )
        ).all()
        states = connection.execute(select(tables.OutboundRecipient.delivery_id, tables.OutboundRecipient.state)).all()
        listed = {one.delivery for one in history.waiting(connection)}
    assert len(rows) == count
    twice = {name: times for name, times in received.items() if times > 1}
    assert not twice, f"sent twice: {twice}"
    assert received.keys() <= {row.message_id for row in rows}, "received what was never handed over"
    done = {row.message_id for row in rows if row.state == State.DONE}
    uncertain = {row.message_id for row in rows if row.state == State.UNCERTAIN}
    assert len(done) + len(uncertain) == count, f"neither done nor uncertain: {Counter(row.state for row in rows)}"
    lost = done - received.keys()
    assert not lost, f"lost: {lost}"
    assert listed == {row.id for row in rows if row.state == State.UNCERTAIN}
    wanted = {row.id: RecipientState.ACCEPTED if row.state == State.DONE else RecipientState.UNCERTAIN for row in rows}
    assert {(row.delivery_id, row.state) for row in states} == {(key, value.value) for key, value in wanted.items()}
    return Balance(len(done), len(uncertain), len(uncertain & received.keys()))


def message_id(raw: bytes) -> str:
    """The Message-ID of a message, without angle brackets."""
    found = MESSAGE_ID.search(raw)
    assert found, raw
    return found[1].decode()
