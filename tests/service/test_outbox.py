"""The outbox within this process, against a server that says what it is told to."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import update

from bounced.config import Config
from bounced.config.tables import Microsoft365
from bounced.keys import Keyring
from bounced.model import Event
from bounced.send import Attachment, Letter, cards, refusal, submit
from bounced.send.microsoft import Application, Grant
from bounced.send.smtp import Route, Session
from bounced.service.login import Account, open_session
from bounced.service.outbox import Outbox
from bounced.store import events, history, people, suppressions, tables
from bounced.store.engine import Store
from bounced.store.history import Waiting
from bounced.store.people import Credential, SmtpTls
from parsers.causes.cause import Cause
from tests.send.script import END, Reply, Script, in_turn
from tests.servers.process import wait_for
from tests.service.office import KEY, NEWER

TO = "jaan@customer.example.com"
MINUTE = timedelta(minutes=1)

Start = Callable[..., Script]


class Desk:
    """A company that sends through servers on this host, and its outbox."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.keyring = Keyring([KEY])
        self.through(1)
        with store.writing() as connection:
            self.company = people.ensure_company(connection, "acme")
        self.card("MARI")

    def through(self, port: int, host: str = "127.0.0.1", **send: object) -> None:
        """Directo's server is that one."""
        settings = {"allow_plaintext_login": True, **send}
        self.config = Config.model_validate(
            {"directo": {"relay": f"{host}:{port}"}, "send": settings, "secrets": {"keys": ["env:DESK_KEY"]}}
        )

    def card(self, code: str, *, password: str | None = None, token: str | None = None, **fields: str | None) -> None:
        """Change a card, or make it."""
        card = {"code": code, "email": f"{code.lower()}@acme.example.com"} | fields
        with self.store.writing() as connection:
            people.put_users(connection, self.company, [card])
            user = people.find_user(connection, self.company, code)
            assert user
            for which, secret in ((Credential.PASSWORD, password), (Credential.TOKEN, token)):
                if secret:
                    cards.keep_secret(connection, self.keyring, user.id, which, secret)

    def own_server(self, code: str, server: Script, host: str = "127.0.0.1") -> None:
        """A card with a server and a login of its own."""
        login = {"smtp_username": code.lower(), "password": "planted-secret"}
        self.card(code, mail_sender="smtp", smtp_server=f"{host}:{server.port}", smtp_tls="none", **login)

    def submit(self, *to: str, user: str = "MARI", mass: bool = False, content: bytes = b"") -> UUID:
        letter = Letter(
            subject="Invoice", to=to or (TO,), text="Pay.\n", attachments=(Attachment(name="a.bin", content=content),)
        )
        with self.store.writing() as connection:
            sent = submit(connection, self.config, letter, company="acme", user=user, mass=mass)
        return sent.outbound_id

    def drain(self) -> None:
        """Try all that waits, whatever it waits for."""
        now = datetime.now(UTC)
        with self.store.writing() as connection:
            connection.execute(update(tables.Delivery).values(due_at=now))
            connection.execute(update(tables.SenderPause).values(until=now))
        outbox = Outbox(self.store, threading.Event())
        outbox.drain(self.config, self.keyring)

    @contextmanager
    def running(self) -> Iterator[tuple[Outbox, threading.Event]]:
        """The outbox as in the daemon, which has to come to its end."""
        stop = threading.Event()
        outbox = Outbox(self.store, stop)
        thread = threading.Thread(target=outbox.run, args=(lambda: self.config,))
        thread.start()
        try:
            yield outbox, stop
        finally:
            stop.set()
            outbox.abort()
            thread.join(30)
        assert not thread.is_alive()

    def events(self) -> list[Event]:
        with self.store.reading() as connection:
            return list(events.find(connection, events.EventFilter()))

    def waiting(self) -> list[Waiting]:
        with self.store.reading() as connection:
            return history.waiting(connection)

    def wait_for(self, message: UUID) -> None:
        """Until it was accepted for TO."""
        wait_for(lambda: self.states(message) == {TO: "accepted"}, seconds=30, what="an accepted message")

    def states(self, message: UUID) -> dict[str, str]:
        with self.store.reading() as connection:
            return {one.address: one.state for one in history.fate(connection, message)}


def hang(asked: threading.Semaphore) -> Iterator[bytes]:
    """A server that tells when it is asked, and then says nothing."""
    asked.release()
    threading.Event().wait(60)
    yield b""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("DESK_KEY", KEY)
    with Store.open(f"sqlite:///{tmp_path}/bounced.db") as store:
        yield Desk(store)


AUTH = {"EHLO": b"250-script.example\r\n250 AUTH PLAIN\r\n"}
INCIDENTS: dict[str, tuple[Mapping[str, Reply], Cause, str]] = {
    "554 No SMTP service here": ({}, Cause.NETWORK_FAILURE, refusal.UNREACHABLE),
    "421 4.3.2 Service not available": ({}, Cause.NETWORK_FAILURE, refusal.UNREACHABLE),
    "554 5.7.1 Client host [192.0.2.1] blocked using zen.example.org": ({}, Cause.IP_BLOCKED, "block-list"),
    "421 4.7.0 Too many connections from your host": ({}, Cause.RATE_LIMITED, "too-many-connections"),
    "535 5.7.8 mailbox is over quota": ({"AUTH": b""}, Cause.LOGIN_FAILED, refusal.AT_SENDING),
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.": (
        {"AUTH": b""},
        Cause.LOGIN_FAILED,
        "microsoft-smtp-auth-off-for-mailbox",
    ),
    "454 4.7.0 Temporary authentication failure": ({"AUTH": b""}, Cause.LOGIN_FAILED, "login-unavailable"),
    "451 4.3.0 Internal error, try again later": ({"AUTH": b""}, Cause.LOGIN_FAILED, "login-unavailable"),
    "530 5.7.0 Authentication required": ({"MAIL": b""}, Cause.LOGIN_FAILED, "login-needed"),
    "530 5.7.0 Must issue a STARTTLS command first": ({"MAIL": b""}, Cause.TLS_FAILED, "tls-required"),
}


@pytest.mark.parametrize("reply", INCIDENTS)
def test_what_is_wrong_with_a_way(desk: Desk, start_script: Start, reply: str) -> None:
    """One event without a recipient, however many messages wait and however often; nothing of it is a recipient's."""
    where, cause, rule = INCIDENTS[reply]
    said = f"{reply}\r\n".encode()
    greeting = b"220 script.example\r\n" if where else said + END
    server = start_script({**AUTH, **dict.fromkeys(where, said)}, greeting=greeting)
    desk.own_server("MARI", server)
    sent = [desk.submit(), desk.submit("other@customer.example.com")]
    for _ in range(3):
        desk.drain()
    (event,) = desk.events()
    report = event.report
    assert (report.cause, report.permanent, report.recipient) == (cause, False, None)
    assert report.rule == rule
    assert report.diagnostic == reply
    assert [set(desk.states(one).values()) for one in sent] == [{"queued"}, {"queued"}]
    assert {one.tries for one in desk.waiting()} == {3}


def test_a_name_that_no_server_has(desk: Desk) -> None:
    """It is the server on the card that is unknown, not the recipient's domain."""
    desk.through(25, host="no-such-host.invalid")
    desk.submit()
    desk.drain()
    (event,) = desk.events()
    assert (event.report.cause, event.report.permanent) == (Cause.NETWORK_FAILURE, False)
    assert event.report.rule == refusal.UNREACHABLE


@pytest.mark.parametrize("keys", [KEY, NEWER])
def test_no_token(desk: Desk, keys: str) -> None:
    """The application or the key is not there any more: a login that fails, told in words."""
    desk.card("MARI", mail_sender="microsoft365", token="{}")
    desk.submit()
    desk.keyring = Keyring([keys])
    if keys == NEWER:
        desk.config = desk.config.model_copy(update={"microsoft365": Microsoft365(client_id="x")})
    desk.drain()
    (event,) = desk.events()
    assert (event.report.cause, event.report.rule) == (Cause.LOGIN_FAILED, refusal.NO_TOKEN)
    assert ("client_id" if keys == KEY else "cannot be decrypted") in (event.report.diagnostic or "")


def test_a_login_while_the_old_one_is_renewed(desk: Desk, start_script: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the person gave stays on the card."""
    desk.card("MARI", token="old")
    config = desk.config.model_copy(update={"microsoft365": Microsoft365(client_id="x")})
    with desk.store.reading() as connection:
        mari = people.find_user(connection, desk.company, "MARI")
    assert mari

    def renew(_application: Application, _cache: str) -> Grant:
        desk.card("MARI", token="new")
        return Grant(access_token="t", cache="old, renewed", account=None)

    monkeypatch.setattr(Application, "held", lambda *_: None)
    monkeypatch.setattr(Application, "renew", renew)
    route = Route(host="127.0.0.1", port=start_script().port, tls=SmtpTls.NONE, allow_plaintext_login=True)
    account = Account(mari.id, "mari@acme.example.com", Credential.TOKEN, mari.token_version)
    session = Session(route)
    open_session(session, account, desk.store, config, desk.keyring)
    session.close()
    with desk.store.reading() as connection:
        assert cards.secret(connection, desk.keyring, mari.id, Credential.TOKEN) == "new"


def test_a_password_that_cannot_be_decrypted(desk: Desk, start_script: Start) -> None:
    """The key is gone: a login that fails, told once, and the card is named; the message waits."""
    server = start_script(AUTH)
    desk.own_server("MARI", server)
    sent = desk.submit()
    desk.keyring = Keyring([NEWER])
    for _ in range(2):
        desk.drain()
    (event,) = desk.events()
    assert (event.report.cause, event.report.recipient) == (Cause.LOGIN_FAILED, None)
    assert "the password on the user card of MARI cannot be decrypted" in (event.report.diagnostic or "")
    assert desk.states(sent) == {TO: "queued"}
    assert server.lines == []


@pytest.mark.parametrize("goodbye", [b"421 4.7.0 Too many messages in this connection\r\n" + END, END])
def test_so_many_messages_a_connection(desk: Desk, start_script: Start, goodbye: bytes) -> None:
    """What a server does not take over one connection it gets over the next one, at once and without any event."""
    fine = b"250 fine\r\n"
    server = start_script({"MAIL": in_turn(fine, fine, goodbye, fine, fine, goodbye, fine)})
    desk.through(server.port)
    sent = [desk.submit() for _ in range(5)]
    desk.drain()
    assert [desk.states(one) for one in sent] == [{TO: "accepted"}] * 5
    assert (server.verbs().count("EHLO"), desk.events(), desk.waiting()) == (3, [], [])


def test_everybody_is_suppressed(desk: Desk, start_script: Start) -> None:
    """Nothing is sent, and the event says why the mail did not arrive."""
    server = start_script()
    desk.through(server.port)
    with desk.store.writing() as connection:
        people.set_company(connection, desk.company, suppress=True)
        suppressions.add(connection, desk.company, TO, datetime.now(UTC))
    sent = desk.submit()
    desk.drain()
    (event,) = desk.events()
    assert (event.report.cause, event.report.recipient, event.match.outbound_id) == (Cause.SUPPRESSED, TO, sent)
    assert desk.states(sent) == {TO: "suppressed"}
    assert (server.lines, desk.waiting()) == ([], [])


def test_a_card_that_is_changed_back(desk: Desk, start_script: Start) -> None:
    """What fails again after it worked is another incident."""
    good, bad = start_script(AUTH), start_script({**AUTH, "AUTH": b"535 5.7.8 no\r\n"})
    for number, server in enumerate((bad, good, bad)):
        desk.card("MARI", mail_sender="smtp", smtp_server=f"127.0.0.1:{server.port}", smtp_tls="none")
        if not number:
            desk.card("MARI", smtp_username="mari", password="planted-secret")
        desk.submit()
        desk.drain()
    assert len(desk.events()) == 2


def test_it_hangs_up_on_a_recipient(desk: Desk, start_script: Start) -> None:
    """421 is a refusal for now: one event, however often; then it is taken."""
    refused = b"421 4.7.0 Try again later\r\n" + END
    server = start_script({"RCPT": in_turn(refused, refused, b"250 fine\r\n")})
    desk.through(server.port)
    sent = desk.submit()
    desk.drain()
    assert desk.states(sent) == {TO: "delayed"}
    desk.drain()
    (event,) = desk.events()
    assert (event.report.kind.value, event.report.recipient, event.report.smtp_code) == ("delay", TO, 421)
    desk.drain()
    assert desk.states(sent) == {TO: "accepted"}


@pytest.mark.parametrize("no", [b"452 4.5.3 Too many recipients\r\n", b"552 Too many recipients\r\n"])
def test_too_many_recipients(desk: Desk, start_script: Start, no: bytes) -> None:
    """A server that takes some of them at a time gets the rest soon, not ever later (RFC 5321 §4.5.3.1.10)."""
    takes_two = [b"250 fine\r\n"] * 2 + [no] * 8
    server = start_script({"RCPT": in_turn(*takes_two, *takes_two[:8], *takes_two[:6], *takes_two)})
    desk.through(server.port)
    sent = desk.submit(*(f"r{number}@customer.example.com" for number in range(10)))
    for left in (8, 6, 4):
        desk.drain()
        assert list(desk.states(sent).values()).count("delayed") == left
        (one,) = desk.waiting()
        assert one.due_at - datetime.now(UTC) <= MINUTE
    assert one.tries == 3


def test_mass_mail_that_is_not_permitted_any_more(desk: Desk, start_script: Start) -> None:
    """The module goes while the message waits: nothing goes through Directo's server."""
    server = start_script()
    desk.through(server.port)
    with desk.store.writing() as connection:
        people.set_company(connection, desk.company, mass_mail=True)
    desk.submit(mass=True)
    with desk.store.writing() as connection:
        people.set_company(connection, desk.company, mass_mail=False)
    desk.drain()
    (one,) = desk.waiting()
    assert "mass-mail module" in (one.last_error or "")
    assert server.lines == []


def test_given_up(desk: Desk, start_script: Start) -> None:
    """The event knows what the last try met with, and its words say so."""
    server = start_script({"RCPT": b"452 4.3.1 Insufficient system storage\r\n"})
    desk.through(server.port, retry_for="0s")
    desk.submit()
    desk.drain()
    (event,) = desk.events()
    assert (event.report.cause, event.report.rule) == (Cause.DELIVERY_EXPIRED, refusal.GIVEN_UP)
    assert "Insufficient" in (event.report.diagnostic or "")


def test_the_end_does_not_wait_for_a_server_that_hangs(desk: Desk, start_script: Start) -> None:
    """Its connection is cut: that is no incident, and the message waits."""
    asked = threading.Semaphore(0)
    desk.through(start_script({"EHLO": lambda: hang(asked)}).port)
    sent = desk.submit()
    with desk.running():
        assert asked.acquire(timeout=30)
    assert desk.events() == []
    assert desk.states(sent) == {TO: "queued"}
    (one,) = desk.waiting()
    assert one.state == "queued"


def test_nobody_is_hired_at_the_end(
    desk: Desk, start_script: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that answers only then gets no more connections; what waits for it goes back into the queue."""
    monkeypatch.setattr("bounced.service.outbox.PER_CONNECTION", 1)
    asked, told = threading.Event(), threading.Event()

    def think() -> Iterator[bytes]:
        asked.set()
        told.wait(60)
        yield b"250 relay.test\r\n"

    desk.through(start_script({"EHLO": think}).port)
    for _ in range(4):
        desk.submit()
    with desk.running() as (outbox, stop):
        assert asked.wait(30)
        stop.set()
        wait_for(lambda: outbox._pool._shutdown, seconds=30, what="the end")
        told.set()
        wait_for(lambda: {one.state for one in desk.waiting()} == {"queued"}, seconds=30, what="the queue")
    assert "sending failed" not in caplog.text


def test_the_end_waits_for_the_reply_to_a_message(desk: Desk, start_script: Start) -> None:
    """Nobody could know otherwise."""
    asked, told = threading.Event(), threading.Event()

    def think() -> Iterator[bytes]:
        asked.set()
        told.wait(60)
        yield b"250 2.0.0 taken\r\n"

    desk.through(start_script({".": think}).port)
    sent = desk.submit()
    with desk.running() as (outbox, stop):
        assert asked.wait(30)
        stop.set()
        outbox.abort()
        told.set()
    assert desk.states(sent) == {TO: "accepted"}


def test_a_server_that_hangs_stops_its_own_mail_only(desk: Desk, start_script: Start) -> None:
    """Sixty users of it leave connections to the others."""
    asked = threading.Semaphore(0)
    bad = start_script({"EHLO": lambda: hang(asked)})
    desk.through(start_script().port)
    for number in range(60):
        desk.own_server(f"U{number}", bad, host="localhost")
        desk.submit(user=f"U{number}")
    with desk.running():
        assert all(asked.acquire(timeout=30) for _ in range(10))
        sent = desk.submit()
        desk.wait_for(sent)


def test_many_servers_that_hang(desk: Desk, start_script: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes one of the connections that there are, however much waits for it."""
    monkeypatch.setattr("bounced.service.outbox.WORKERS", 4)
    monkeypatch.setattr("bounced.service.outbox.PER_CONNECTION", 1)
    asked = threading.Semaphore(0)
    desk.through(start_script().port)
    for code in ("A", "B", "C"):
        desk.own_server(code, start_script({"EHLO": lambda: hang(asked)}))
        for _ in range(4):
            desk.submit(user=code)
    with desk.running():
        assert all(asked.acquire(timeout=30) for _ in range(3))
        sent = desk.submit()
        desk.wait_for(sent)


def test_connections_are_shared(desk: Desk, start_script: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mass mailing over all connections that a server allows leaves one to who else sends through it."""
    monkeypatch.setattr("bounced.service.outbox.LIMIT_PAUSE", 1.0)
    monkeypatch.setattr("bounced.service.outbox.INTERVAL", 0.1)
    monkeypatch.setattr("bounced.service.outbox.SHARE", 0.0)
    server = start_script(AUTH)
    desk.through(1, limits={"127.0.0.1": {"connections": 1, "per_minute": 600}})
    desk.own_server("MANY", server)
    desk.own_server("ONE", server)
    for _ in range(100):
        desk.submit(user="MANY")
    with desk.running():
        wait_for(lambda: "DATA" in server.verbs(), seconds=30, what="the mailing")
        sent = desk.submit(user="ONE")
        desk.wait_for(sent)
        assert server.verbs().count("DATA") < 100
