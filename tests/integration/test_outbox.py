"""What a message goes through between the outbox and a server that does not simply take it."""

import sqlite3
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from sqlalchemy import select, update

from bounced.config import load
from bounced.keys import Keyring
from bounced.service.outbox import Outbox
from bounced.store import tables
from tests.integration.mailing import IDLE_BOX, finish_running, hand_over
from tests.integration.running import Service
from tests.integration.test_sending import add_user, outbox, send
from tests.servers.dovecot import Dovecot
from tests.servers.process import free_ports
from tests.servers.sink import Sink

pytestmark = pytest.mark.slow

PERSON = "jaan@customer.example.com"


def through(sink: Sink) -> dict[str, object]:
    """[directo] whose server is the sink."""
    return {"relay": f"127.0.0.1:{sink.port}"}


def fate(service: Service, outbound_id: str) -> dict[str, str]:
    """State of each recipient of a message, by address."""
    with service.store() as store, store.reading() as connection:
        rows = connection.execute(
            select(tables.OutboundRecipient.address, tables.OutboundRecipient.state, tables.Delivery.outbound_id).join(
                tables.Delivery, tables.Delivery.id == tables.OutboundRecipient.delivery_id
            )
        ).all()
    return {row.address: row.state for row in rows if str(row.outbound_id) == outbound_id}


def wait_for_fate(service: Service, outbound_id: str, **states: int) -> None:
    """Until so many recipients of a message are in these states."""

    def look() -> bool:
        found = list(fate(service, outbound_id).values())
        return all(found.count(state) == count for state, count in states.items())

    service.wait_until(look, f"{states}, not {fate(service, outbound_id)}")


def hurry(service: Service, *, age: timedelta = timedelta()) -> None:
    """Have everything tried now, as if it had been handed over `age` before."""
    now = datetime.now(UTC)
    with service.store() as store, store.writing() as connection:
        connection.execute(update(tables.Delivery).values(due_at=now))
        connection.execute(update(tables.SenderPause).values(until=now))
        if age:
            connection.execute(update(tables.Outbound).values(created_at=now - age))


def tried(service: Service, times: int) -> None:
    """Until the one delivery that waits was tried so often."""
    service.wait_until(lambda: [one["tries"] for one in outbox(service)] == [times], f"try {times}")


def test_a_temporary_refusal_is_tried_again(sink, new_service):
    """One delay event however often; the other recipient has the message; accepted in the end, once."""
    sink.rcpt[PERSON] = "451 4.7.1 Greylisted, try again later"
    service = new_service(IDLE_BOX, directo=through(sink))
    add_user(service)
    service.start()
    sent = send(service, PERSON, "fine@customer.example.com", document="Invoice 1")
    tried(service, 1)
    assert fate(service, sent) == {PERSON: "delayed", "fine@customer.example.com": "accepted"}
    hurry(service)
    tried(service, 2)
    del sink.rcpt[PERSON]
    hurry(service)
    wait_for_fate(service, sent, accepted=2)
    (event,) = service.listed()
    assert (event["kind"], event["cause"], event["recipient"]) == ("delay", "greylisted", PERSON)
    assert (event["permanent"], event["smtp_code"], event["document"]) == (False, 451, "Invoice 1")
    assert sorted(one.recipients for one in sink.received) == [("fine@customer.example.com",), (PERSON,)]
    assert outbox(service) == []
    assert service.end() == 0


def test_given_up_after_its_time(sink, new_service):
    """What is refused for now for longer than `retry_for` has expired; its last refusal is kept."""
    sink.rcpt[PERSON] = "452 4.2.2 Mailbox full"
    service = new_service(IDLE_BOX, directo=through(sink), send={"retry_for": "1h"})
    add_user(service)
    service.start()
    sent = send(service, PERSON, document="Invoice 1")
    tried(service, 1)
    hurry(service, age=timedelta(minutes=61))
    wait_for_fate(service, sent, refused=1)
    expired, delay = service.listed()
    assert (delay["kind"], delay["cause"]) == ("delay", "mailbox-full")
    assert (expired["kind"], expired["cause"], expired["permanent"]) == ("bounce", "delivery-expired", False)
    assert "4.2.2 Mailbox full" in expired["diagnostic"]
    assert (outbox(service), sink.received) == ([], [])
    assert service.end() == 0


def test_a_wrong_password_pauses_until_the_card_is_mended(sink, new_service, start_dovecot, start_postfix):
    """One event for the incident, without a recipient; nobody else waits; the messages go out with the mended card."""
    dovecot = start_dovecot()
    postfix = start_postfix(
        relay_port=sink.port,
        main={
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": f"inet:127.0.0.1:{dovecot.sasl_port}",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
            "smtpd_error_sleep_time": "0",
            "mynetworks": "192.0.2.0/24",
        },
    )
    service = new_service(IDLE_BOX, directo=through(sink), send={"allow_plaintext_login": True})
    server = {"smtp_server": f"{postfix.host}:{postfix.port}", "smtp_tls": "none", "smtp_username": "mari"}
    service.environment["CARD"] = "planted-wrong-secret"
    add_user(service, mail_sender="smtp", password="env:CARD", **server)
    add_user(service, "JAAN")
    service.start()
    first = send(service, PERSON, document="Invoice 1")
    service.wait_for_events(1)
    hurry(service)
    tried(service, 2)
    second = send(service, PERSON, document="Invoice 2")
    other = _send_as_jaan(service)
    wait_for_fate(service, other, accepted=1)
    (event,) = service.listed()
    assert (event["kind"], event["cause"], event["recipient"]) == ("bounce", "login-failed", None)
    assert (event["smtp_code"], event["user"]) == (535, "MARI")
    assert {one["state"] for one in outbox(service)} == {"queued"}
    assert fate(service, first) == fate(service, second) == {PERSON: "queued"}

    service.environment["CARD"] = Dovecot.password
    answer = service.command("users", "set", "MARI", "--company", "acme", "--password", "env:CARD")
    assert answer.returncode == 0, answer.stderr
    wait_for_fate(service, first, accepted=1)
    wait_for_fate(service, second, accepted=1)
    assert len(service.listed()) == 1
    assert "planted-wrong-secret" not in service.log_text()
    assert service.end() == 0


def _send_as_jaan(service: Service) -> str:
    answer = service.command(
        *("send", "--company", "acme", "--user", "JAAN", "--subject", "x", "--text", "y", "--to", PERSON)
    )
    assert answer.returncode == 0, answer.stderr
    return str(answer.stdout.strip())


def test_no_server_is_an_incident_of_the_way(sink, new_service):
    """Nobody listens: one event, the messages stay queued; they go out when somebody does."""
    (port,) = free_ports(1)
    service = new_service(IDLE_BOX, directo={"relay": f"127.0.0.1:{port}"})
    add_user(service)
    service.start()
    sent = [send(service, PERSON, document=f"Invoice {number}") for number in range(3)]
    service.wait_for_events(1)
    hurry(service)
    service.wait_until(lambda: min(one["tries"] for one in outbox(service)) >= 1, "tries")
    (event,) = service.listed()
    assert (event["cause"], event["recipient"]) == ("network-failure", None)
    service.configure(IDLE_BOX, directo=through(sink))
    assert service.end() == 0
    service.start()
    hurry(service)
    for one in sent:
        wait_for_fate(service, one, accepted=1)
    assert len(sink.received) == 3
    assert service.end() == 0


def test_no_answer_after_the_final_dot(sink, new_service):
    """Uncertain: listed, not sent again, not even by a daemon that starts; then released or dropped by a person."""
    sink.silent |= {"a@customer.example.com", "b@customer.example.com"}
    service = new_service(IDLE_BOX, directo=through(sink))
    add_user(service)
    service.start()
    released = send(service, "a@customer.example.com", document="Invoice 1")
    dropped = send(service, "b@customer.example.com", document="Invoice 2")
    wait_for_fate(service, released, uncertain=1)
    wait_for_fate(service, dropped, uncertain=1)
    assert service.end() == 0
    sink.silent.clear()
    service.start()
    last = send(service, PERSON, document="Invoice 3")
    wait_for_fate(service, last, accepted=1)
    listed = {one["document"]: one for one in outbox(service)}
    assert {name: one["state"] for name, one in listed.items()} == {"Invoice 1": "uncertain", "Invoice 2": "uncertain"}
    assert "after the message" in str(listed["Invoice 1"]["last_error"])
    assert len(sink.received) == 3

    assert service.command("outbox", "release", str(listed["Invoice 1"]["delivery"])).returncode == 0
    assert service.command("outbox", "drop", str(listed["Invoice 2"]["delivery"])).returncode == 0
    wait_for_fate(service, released, accepted=1)
    assert outbox(service) == []
    counts = [
        sum(one.recipients == (to,) for one in sink.received)
        for to in sorted({"a@customer.example.com", "b@customer.example.com"})
    ]
    assert counts == [2, 1]
    answer = service.command("outbox", "release", str(listed["Invoice 2"]["delivery"]))
    assert (answer.returncode, answer.stdout) == (1, "")
    assert service.end() == 0


def test_what_was_said_before_the_connection_broke(sink, new_service):
    """Who was refused stays so, with an event at once; the others are tried again, or are uncertain."""
    gone, also_gone = "gone@customer.example.com", "also-gone@customer.example.com"
    sink.rcpt |= {gone: "550 5.1.1 No such user", also_gone: "421 4.7.0 Too many errors"}
    service = new_service(IDLE_BOX, directo=through(sink))
    add_user(service)
    service.start()
    sent = send(service, gone, PERSON, also_gone, document="Invoice 1")
    tried(service, 1)
    assert fate(service, sent) == {gone: "refused", PERSON: "queued", also_gone: "queued"}
    sink.rcpt |= {gone: "421 4.7.0 Too many errors", also_gone: "550 5.1.1 No such user"}
    sink.silent.add(PERSON)
    hurry(service)
    wait_for_fate(service, sent, uncertain=1)
    assert fate(service, sent) == {gone: "refused", PERSON: "uncertain", also_gone: "refused"}
    refusals = [(event["recipient"], event["cause"], event["smtp_code"]) for event in service.listed()]
    assert refusals == [(also_gone, "user-unknown", 550), (gone, "user-unknown", 550)]
    assert [one.recipients for one in sink.received] == [(PERSON,)]
    assert service.end() == 0


def test_a_server_that_hangs_up_is_left_alone(sink, new_service):
    """Where a connection does not outlast its first message, there is not another one for each that waits."""
    sink.mail["mari@acme.example.com"] = "421 4.7.0 Try again later"
    service = new_service(IDLE_BOX, directo=through(sink))
    hand_over(service, 15)
    config = load(service.folder / "bounced.toml")
    keyring = Keyring.find(config)
    assert keyring
    with service.store() as store:
        Outbox(store, Event()).drain(config, keyring)
    assert sorted(one["tries"] for one in outbox(service)) == [0] * 14 + [1]
    sink.mail.clear()
    service.start()
    hurry(service)
    finish_running(service)
    assert len(sink.received) == 15


def test_refused_at_submission(sink, new_service):
    """What can never work is refused with one line, and nothing of it is kept; some suppressed ones are left out."""
    service = new_service(IDLE_BOX, directo=through(sink))
    add_user(service)
    assert service.command("companies", "set", "acme", "--suppress").returncode == 0
    assert service.command("suppressions", "add", PERSON, "--company", "acme").returncode == 0
    base = ("send", "--company", "acme", "--subject", "x", "--text", "y")
    for arguments, words in (
        (("--user", "NOBODY", "--to", "fine@customer.example.com"), "there is no user"),
        (("--user", "MARI", "--to", "no address"), "no address"),
        (("--user", "MARI", "--to", "fine@customer.example.com", "--mass"), "mass-mail module"),
    ):
        answer = service.command(*base, *arguments)
        assert (answer.returncode, answer.stdout) == (1, "")
        assert words in answer.stderr
        assert answer.stderr.count("\n") == 1
    assert (outbox(service), service.count()) == ([], 0)

    service.start()
    sent = send(service, PERSON, "fine@customer.example.com", document="Invoice 1")
    wait_for_fate(service, sent, accepted=1, suppressed=1)
    (event,) = service.listed()
    assert (event["kind"], event["cause"], event["recipient"]) == ("bounce", "suppressed", PERSON)
    assert [one.recipients for one in sink.received] == [("fine@customer.example.com",)]
    assert service.end() == 0


def test_a_database_that_is_locked_for_a_while(sink, new_service):
    """The server's reply is noted once the database can: accepted, not uncertain."""
    service = new_service(IDLE_BOX, directo=through(sink))
    add_user(service)
    other = sqlite3.connect(service.folder / "bounced.db", isolation_level=None, check_same_thread=False)

    def lock() -> float:
        other.execute("BEGIN IMMEDIATE")
        return 0.0

    sink.hold = lock
    service.start(faults="impatient")  # waits a second for a lock
    sent = send(service, PERSON, document="Invoice 1")
    service.wait_for_line("not noted yet")
    assert fate(service, sent) == {PERSON: "queued"}
    other.close()
    wait_for_fate(service, sent, accepted=1)
    assert len(sink.received) == 1
    assert service.end() == 0
