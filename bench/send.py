"""Sends 5,000 messages through a local Postfix: the outbox, beside a bare smtplib loop over one connection.

Postfix discards what it takes.  Both send the same bytes; the outbox's database is SQLite.
"""

import smtplib
import threading
import time

from bounced import log
from bounced.config import Config, Database, Directo
from bounced.keys import Keyring
from bounced.send import Letter, submit
from bounced.service.outbox import Outbox
from bounced.store import history, outbound, people
from bounced.store.engine import Store
from tests.servers.folders import session_folder
from tests.servers.postfix import Postfix

MESSAGES = 5_000
TEXT = "Lugupeetud klient, palun tasuge arve tähtajaks.\n" * 60
"""About 3 KB."""


def hand_over(store: Store, config: Config) -> list[bytes]:
    """Queues the messages; their bytes."""
    raws = []
    with store.writing() as connection:
        company_id = people.ensure_company(connection, "acme")
        people.set_company(connection, company_id, mass_mail=True, suppress=None)
        people.put_users(connection, company_id, [{"code": "MARI", "email": "mari@acme.example.com"}])
        for number in range(MESSAGES):
            letter = Letter(subject=f"Arve {number}", to=(f"r{number}@customer.example.com",), text=TEXT)
            sent = submit(connection, config, letter, company="acme", user="MARI", mass=True)
            raws.append(outbound.raw(connection, sent.outbound_id) or b"")
    return raws


def plain_loop(postfix: Postfix, raws: list[bytes]) -> float:
    """Sends every message with smtplib over one connection; returns seconds."""
    started = time.perf_counter()
    with smtplib.SMTP(postfix.host, postfix.port) as client:
        for number, raw in enumerate(raws):
            client.sendmail("mari@acme.example.com", [f"r{number}@customer.example.com"], raw)
    return time.perf_counter() - started


def drain(store: Store, config: Config) -> float:
    """Sends all that is queued as the daemon does; returns seconds."""
    keyring = Keyring.open(config)
    box = Outbox(store, threading.Event())
    started = time.perf_counter()
    box.drain(config, keyring)
    seconds = time.perf_counter() - started
    with store.reading() as connection:
        left = history.waiting(connection)
    assert not left, left[:3]
    return seconds


def main() -> None:
    """Prints the rates and their ratio."""
    log.configure("json")
    with session_folder() as folder:
        postfix = Postfix(folder / "postfix", relay_port=9, main={"default_transport": "discard:"})
        postfix.start()
        database, relay = f"sqlite:///{folder / 'bounced.db'}", f"{postfix.host}:{postfix.port}"
        config = Config(database=Database(url=database), directo=Directo(relay=relay))
        try:
            with Store.open(database) as store:
                started = time.perf_counter()
                raws = hand_over(store, config)
                queued = time.perf_counter() - started
                before = plain_loop(postfix, raws)
                seconds = drain(store, config)
                after = plain_loop(postfix, raws)
        finally:
            postfix.stop()
    plain = (before + after) / 2
    print(f"handed over:          {MESSAGES / queued:8.0f} messages/s")
    both = f"{MESSAGES / before:.0f} before, {MESSAGES / after:.0f} after"
    print(f"smtplib, bare loop:   {MESSAGES / plain:8.0f} messages/s ({both})")
    print(f"outbox:               {MESSAGES / seconds:8.0f} messages/s")
    print(f"ratio: {plain / seconds:.2f}")
