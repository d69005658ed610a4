"""bounced.send.smtp against a scripted server: nonsense, silence and lies; and against one that refuses."""

import base64
import errno
import hmac
import json
import logging
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounced.send.auth import Login, Password, Token
from bounced.send.envelope import Envelope
from bounced.send.failure import (
    ConnectError,
    ConnectionLostError,
    LoginError,
    TlsError,
    TransportError,
    UncertainError,
    WornOutError,
)
from bounced.send.line import Line, Timeouts, wire_form
from bounced.send.reply import MAX_TEXT, from_server
from bounced.send.smtp import MAX_AGE, MAX_IDLE, Answer, Route, Session
from bounced.store.people import SmtpTls
from tests.send.script import END, Reply, Script, drip, in_turn
from tests.servers.authority import Authority
from tests.servers.sink import Received, Sink

Start = Callable[..., Script]

RAW = b"Subject: x\r\n\r\ny\r\n"
SECRET = "Tr0mbone-õ"
PATIENT = Timeouts(connect=15, command=15, block=15, transfer=15, end=15)
HASTY = replace(PATIENT, command=2)  # for servers that are silent anyway; some commands are answered before
NO_EHLO = b"502 5.5.1 what?\r\n"


def route(server: Script | Sink, login: Login | None = None, **changes: object) -> Route:
    fields = {"host": "127.0.0.1", "port": server.port, "tls": SmtpTls.NONE, "allow_plaintext_login": True}
    return Route(**{**fields, "login": login, **changes})  # type: ignore[arg-type]


@contextmanager
def opened(server: Script | Sink, login: Login | None = None, **changes: object) -> Iterator[Session]:
    session = Session(route(server, login, **changes), timeouts=PATIENT)
    try:
        session.open()
        yield session
    finally:
        session.close()


def send(session: Session, *recipients: str, raw: bytes = RAW, before: Callable[[], None] = lambda: None) -> Answer:
    envelope = Envelope(sender="mari@example.com", recipients=recipients or ("jaan@example.org",))
    return session.send(envelope, raw, before_data=before)


def failure(work: Callable[[], object], kind: type[TransportError]) -> TransportError:
    """What goes wrong; always one line of bearable length that says where, without the secret, nor what it hides in."""
    with pytest.raises(TransportError) as caught:
        work()
    error = caught.value
    assert type(error) is kind, error
    assert str(error).startswith("127.0.0.1:")
    assert str(error).isprintable()
    assert len(str(error)) < 1000
    assert error.__cause__ is None
    for hidden in (SECRET, base64.b64encode(SECRET.encode()).decode()):
        assert hidden not in repr((str(error), vars(error)))
    return error


def opening(server: Script, login: Login | None = None, *, timeouts: Timeouts = HASTY, **changes: object) -> Session:
    """Opens a session which it is expected not to come to."""
    session = Session(route(server, login, **changes), timeouts=timeouts)
    try:
        session.open()
    finally:
        assert not session.is_usable
        session.close()
    return session


# What is sent


def test_a_message_arrives_as_it_is(sink: Sink) -> None:
    """Dots at line begins, lines of any length and 8-bit text; bare line ends become CR LF, the last line gets one."""
    with opened(sink) as session:
        for raw in (b".\r\n..x\r\n.\r\n", b"x" * 900 + b"\r\n", "õ\r\n".encode(), b"a\nb\rc\r\n\r\nd", b""):
            answer = send(session, raw=raw)
            assert answer.recipients["jaan@example.org"].text == "2.0.0 taken"
            assert sink.received[-1] == Received("mari@example.com", ("jaan@example.org",), wire_form(raw))
    assert wire_form(b"a\nb\rc\r\n\r\nd") == b"a\r\nb\r\nc\r\n\r\nd\r\n"


@given(st.binary(max_size=200))
def test_wire_form(raw: bytes) -> None:
    """No CR or LF stands alone, nothing else changes, and twice is as good as once."""
    content = wire_form(raw)
    assert content.replace(b"\r\n", b"").count(b"\r") + content.replace(b"\r\n", b"").count(b"\n") == 0
    assert wire_form(content) is content  # no copies of a large one
    assert content.replace(b"\r\n", b"") == raw.replace(b"\r", b"").replace(b"\n", b"")


def test_a_line_end_cannot_smuggle_a_message(start_script: Start) -> None:
    """A bare LF around a dot, which some servers take for the end of a message, does not go out."""
    server = start_script()
    with opened(server) as session:
        send(session, raw=b"a\n.\nMAIL FROM:<x@example.net>\r.\rb\r\n")
    content = server.lines[server.lines.index(b"DATA\r\n") + 1 :]
    assert b"".join(content) == b"a\r\n..\r\nMAIL FROM:<x@example.net>\r\n..\r\nb\r\n.\r\nQUIT\r\n"


def test_one_refused_recipient_does_not_spoil_the_others(sink: Sink) -> None:
    """Each has the server's words on them, line by line; the message goes to those who were taken."""
    sink.rcpt["no@example.org"] = "550-5.1.1 no such user\r\n550 5.1.1 here"
    sink.rcpt["full@example.org"] = "452 4.2.2 full"
    with opened(sink) as session:
        answer = send(session, "no@example.org", "yes@example.org", "full@example.org", "also@example.org")
    assert [(name, reply.code, reply.text) for name, reply in answer.recipients.items()] == [
        ("no@example.org", 550, "5.1.1 no such user\n5.1.1 here"),
        ("yes@example.org", 250, "2.0.0 taken"),
        ("full@example.org", 452, "4.2.2 full"),
        ("also@example.org", 250, "2.0.0 taken"),
    ]
    assert answer.server == "sink.test"
    assert answer.data == answer.recipients["yes@example.org"]
    assert sink.received == [Received("mari@example.com", ("yes@example.org", "also@example.org"), RAW)]


def test_what_is_refused_leaves_the_session_usable(sink: Sink) -> None:
    """All recipients, the sender, the message itself: each is an answer for everybody, and the next message goes."""
    sink.rcpt["no@example.org"] = "550 5.1.1 no"
    sink.mail["mari@example.com"] = "550 5.1.8 bad sender"
    sink.data["spam@example.org"] = "554 5.7.1 spam"
    told: list[str] = []
    with opened(sink) as session:
        answer = send(session, "a@example.org", "b@example.org", before=lambda: told.append("sender"))
        assert {reply.text for reply in answer.recipients.values()} == {"5.1.8 bad sender"}
        sink.mail.clear()
        assert send(session, "no@example.org", before=lambda: told.append("nobody")).data is None
        assert told == []
        answer = send(session, "spam@example.org", "yes@example.org", before=lambda: told.append("spam"))
        assert {reply.text for reply in answer.recipients.values()} == {"5.7.1 spam"}
        assert told == ["spam"]
        assert send(session).recipients["jaan@example.org"].accepted
        assert session.is_usable
    assert len(sink.received) == 1


def test_before_data_comes_right_before_data(start_script: Start) -> None:
    """After every recipient was answered, before the server hears of the message."""
    server = start_script()
    verbs: list[str] = []
    with opened(server) as session:
        send(session, "a@example.org", "b@example.org", before=lambda: verbs.extend(server.verbs()))
    assert verbs == ["EHLO", "MAIL", "RCPT", "RCPT"]


def test_nothing_is_sent_when_before_data_fails(start_script: Start) -> None:
    """Its error comes out; the server is told to forget, and the next message goes."""
    server = start_script()

    def fail() -> None:
        raise KeyError("the database is away")

    with opened(server) as session:
        with pytest.raises(KeyError, match="away"):
            send(session, before=fail)
        assert server.verbs() == ["EHLO", "MAIL", "RCPT", "RSET"]
        assert send(session).recipients["jaan@example.org"].accepted


def test_data_refused(start_script: Start) -> None:
    """A no to DATA is everybody's answer, and is no doubt."""
    server = start_script({"DATA": b"451 4.3.0 not now\r\n", "RCPT": in_turn(b"250 ok\r\n", b"550 no\r\n")})
    with opened(server) as session:
        answer = send(session, "a@example.org", "b@example.org")
        assert [reply.code for reply in answer.recipients.values()] == [451, 550]
        assert session.is_usable
    assert "RSET" in server.verbs()


def test_what_the_server_cannot_take_is_not_sent(start_script: Start) -> None:
    """A message above its limit, or addresses that it does not know how to read: it hears nothing of them."""
    server = start_script()
    with opened(server) as session:
        answer = send(session, raw=b"x" * 100_001)
        assert (answer.recipients["jaan@example.org"].code, answer.data) == (552, None)
        answer = send(session, "õ@example.org", "jaan@example.org")
        assert [reply.code for reply in answer.recipients.values()] == [550, 250]
    assert server.verbs().count("MAIL") == 1
    assert not any("õ".encode() in line for line in server.lines)


def test_a_recipient_who_needs_smtputf8_does_not_spoil_the_others(start_script: Start) -> None:
    """Also where the address stands in the message, which the others get without it; a sender who needs it does."""
    server = start_script()
    raw = "From: mari@example.com\r\nTo: õ@example.org, jaan@example.org\r\n\r\n".encode()
    envelope = Envelope(sender="mari@example.com", recipients=("õ@example.org", "jaan@example.org"), smtputf8=True)
    with opened(server) as session:
        answer = session.send(envelope, raw, before_data=lambda: None)
        assert [reply.code for reply in answer.recipients.values()] == [550, 250]
        assert b"To: =?utf-8?b?w7VAZXhhbXBsZS5vcmc=?= :;, jaan@example.org\r\n" in server.lines
        assert b"".join(server.lines).isascii()
        answer = session.send(envelope, raw.replace(b"mari", "õ".encode()), before_data=lambda: None)
        assert [reply.code for reply in answer.recipients.values()] == [550, 550]
    assert server.verbs().count("DATA") == 1


def test_extensions_are_used_as_offered(start_script: Start) -> None:
    """What test_envelope.py shows is what the server hears."""
    ehlo = b"250-script.example\r\n250-8BITMIME\r\n250-SIZE\r\n250-SMTPUTF8\r\n250 DSN\r\n"
    server = start_script({"EHLO": ehlo})
    envelope = Envelope(sender="mari@example.com", recipients=("õ@example.org",), envid="A=1", smtputf8=True)
    with opened(server) as session:
        session.send(envelope, "Subject: õ\r\n".encode(), before_data=lambda: None)
    assert server.lines[1].decode() == (
        "MAIL FROM:<mari@example.com> SIZE=13 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=A+3D1\r\n"
    )
    orcpt = r"ORCPT=utf-8;\x{F5}@example.org"
    assert server.lines[2].decode() == f"RCPT TO:<õ@example.org> NOTIFY=FAILURE,DELAY {orcpt}\r\n"


def test_many_messages_over_one_connection(start_script: Start) -> None:
    """One EHLO, one login, one QUIT; and no RSET after a message that was answered."""
    server = start_script()
    with opened(server, Password(username="mari", password=SECRET)) as session:
        for _ in range(20):
            send(session)
    verbs = server.verbs()
    assert [verbs.count(verb) for verb in ("EHLO", "AUTH", "MAIL", "DATA", "RSET", "QUIT")] == [1, 1, 20, 20, 0, 1]


def test_old_and_idle_connections_are_not_used(start_script: Start) -> None:
    """A server may have closed it meanwhile, and access tokens end."""
    server, now = start_script(), [0.0]
    session = Session(route(server), clock=lambda: now[0])
    assert not session.is_usable
    session.open()
    for moment in range(0, int(MAX_AGE), int(MAX_IDLE / 2)):
        now[0] = float(moment)
        assert session.is_usable
        send(session)
    now[0] = MAX_AGE
    assert not session.is_usable
    session.open()
    now[0] += MAX_IDLE
    assert not session.is_usable
    session.close()
    with pytest.raises(ConnectionLostError, match="not connected"):
        send(session)


# When the connection is lost


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (END, "the connection was closed"),
        (b"250-half of a reply\r\n" + END, "the connection was closed"),
        (b"* OK Dovecot ready.\r\n", "not SMTP"),
        (b"\0\xff\r\n", "not SMTP"),
        (b"999 strange\r\n", "not SMTP"),
        (b"2500 strange\r\n", "not SMTP"),
        (b"334 what?\r\n", "makes no sense: 334 what?"),
        (b"250-x\r\n" * 10_000 + b"250 x\r\n", "too long"),
        (b"250 " + b"x" * 100_000 + b"\r\n", "too long"),
        (b"x" * 200_000, "too long"),
        (b"421 4.3.2 going down\r\n" + END, "421 4.3.2 going down"),
    ],
)
def test_lost_before_the_message(start_script: Start, verb: str, reply: Reply, words: str) -> None:
    """Whatever a server does then, the message was surely not sent and may be tried again; the session is over."""
    error = lost(start_script({verb: reply}), PATIENT, ConnectionLostError)
    assert error.retry
    assert words in str(error)
    assert (error.reply is not None) == ("421" in words)


def lost(server: Script, timeouts: Timeouts, kind: type[TransportError]) -> TransportError:
    """What goes wrong with a message."""
    session = Session(route(server), timeouts=timeouts)
    session.open()
    error = failure(lambda: send(session), kind)
    assert not session.is_usable
    session.close()
    assert (b".\r\n" in server.lines) == (kind is UncertainError)
    return error


@pytest.mark.parametrize("last", [b"421 4.7.0 too many errors\r\n" + END, END, b"gibberish\r\n"])
def test_lost_after_refusals(start_script: Start, last: bytes) -> None:
    """What was said of a recipient before holds: who hangs up after so many refusals would do it again each time."""
    replies = in_turn(b"250 yes\r\n", b"550 5.1.1 no\r\n", b"450 later\r\n", b"553 no\r\n", last)
    session = Session(route(start_script({"RCPT": replies})), timeouts=PATIENT)
    session.open()
    error = failure(lambda: send(session, *(f"{name}@example.org" for name in "abcdef")), ConnectionLostError)
    assert isinstance(error, ConnectionLostError)
    assert {address: reply.code for address, reply in error.refused.items()} == {
        "b@example.org": 550,
        "d@example.org": 553,
    }


def test_uncertain_after_refusals(start_script: Start) -> None:
    """There is no doubt about whom the server did not want."""
    server = start_script({"RCPT": in_turn(b"550 5.1.1 no\r\n", b"250 yes\r\n"), ".": END})
    session = Session(route(server), timeouts=PATIENT)
    session.open()
    error = failure(lambda: send(session, "a@example.org", "b@example.org"), UncertainError)
    assert isinstance(error, UncertainError)
    assert [*error.refused] == ["a@example.org"]


def test_lost_at_the_final_dot(start_script: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message whose end could not be written any more was surely not sent."""
    write = Line.send

    def send_until_the_end(line: Line, data: object) -> None:
        if data == b".\r\n":
            raise BrokenPipeError(errno.EPIPE, "broken pipe")
        write(line, data)

    monkeypatch.setattr(Line, "send", send_until_the_end)
    assert "broken pipe" in str(lost(start_script(), PATIENT, ConnectionLostError))


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
def test_an_answer_to_nothing(start_script: Start, verb: str) -> None:
    """One reply too many would be taken for that to the next command, in the end for that to the message."""
    code = 354 if verb == "DATA" else 250
    server = start_script({verb: b"%d fine\r\n250 2.0.0 queued as 1\r\n" % code})
    assert "out of turn" in str(lost(server, PATIENT, ConnectionLostError))


@pytest.mark.parametrize(
    ("verb", "reply"), [("MAIL", lambda: drip(b"2")), ("RCPT", lambda: drip(b"250-x\r\n")), ("DATA", b"")]
)
def test_no_reply_in_time(start_script: Start, verb: str, reply: Reply) -> None:
    """A step has its time as a whole: octets, or lines, one by one, do not make it longer."""
    started = time.monotonic()
    assert "in time" in str(lost(start_script({verb: reply}), HASTY, ConnectionLostError))
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    "reply",
    [
        END,
        b"25" + END,
        b"250-half of a reply\r\n" + END,
        b"gibberish\r\n",
        b"354 go on\r\n",
        b"250-x\r\n" * 10_000,
        b"250 " + b"x" * 100_000,
        lambda: drip(b"2"),
        lambda: drip(b"250-x\r\n"),
        b"",
    ],
)
def test_lost_after_the_final_dot(start_script: Start, reply: Reply) -> None:
    """Nobody knows what became of it, and that is what the error says; it must not be tried again."""
    assert not lost(start_script({".": reply}), replace(PATIENT, end=0.5), UncertainError).retry


@pytest.mark.parametrize("code", [421, 451, 554])
def test_refused_after_the_final_dot(start_script: Start, code: int) -> None:
    """A no is an answer, 421 too: the server did not take the message."""
    server = start_script({".": b"%d-4.7.0 no\r\n%d 4.7.0 no, again\r\n" % (code, code)})
    with opened(server) as session:
        answer = send(session, "a@example.org", "b@example.org")
        assert session.is_usable == (code != 421)
    assert answer.data
    assert (answer.data.code, answer.data.text) == (code, "4.7.0 no\n4.7.0 no, again")
    assert answer.recipients == dict.fromkeys(("a@example.org", "b@example.org"), answer.data)


def test_lost_within_the_message(start_script: Start) -> None:
    """A server that closes, or reads no more, before the final dot was sent cannot have taken the message."""
    over = Event()

    def deaf() -> Iterator[bytes]:
        yield b"354 go on\r\n"
        over.wait(60)

    replies: tuple[Reply, ...] = (b"354 go on\r\n" + END, deaf)
    try:
        for reply in replies:
            server = start_script({"DATA": reply, "EHLO": b"250 script.example\r\n"})
            session = Session(route(server), timeouts=replace(PATIENT, block=0.5))
            session.open()
            error = failure(lambda: send(session, raw=b"x" * 20_000_000), ConnectionLostError)  # noqa: B023  called at once
            assert error.retry
            assert not session.is_usable
        assert "in time" in str(error)
    finally:
        over.set()


def test_cut_right_behind_the_final_dot(start_script: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has the message: its reply is waited for, and then the connection is over."""
    write = Line.send

    def cut_behind_the_dot(line: Line, data: object) -> None:
        write(line, data)
        if data == b".\r\n":
            session.cut()

    monkeypatch.setattr(Line, "send", cut_behind_the_dot)
    with opened(start_script()) as session:
        assert send(session).recipients["jaan@example.org"].accepted
        failure(lambda: send(session), WornOutError)


def test_a_slow_reader_does_not_hold_a_thread(start_script: Start) -> None:
    """Octets that it takes now and then do not make the time for the message longer."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        over = Event()

        def sip() -> None:
            client, _ = listener.accept()
            with client, client.makefile("rb") as stream:
                client.sendall(b"220 x\r\n")
                for reply in (b"250 x\r\n", b"250 x\r\n", b"250 x\r\n", b"354 x\r\n"):
                    stream.readline()
                    client.sendall(reply)
                while not over.wait(0.01) and client.recv(2000):
                    pass

        pool.submit(sip)
        listening = Route(host="127.0.0.1", port=listener.getsockname()[1], tls=SmtpTls.NONE)
        session = Session(listening, timeouts=replace(PATIENT, transfer=1))
        session.open()
        try:
            assert "in time" in str(failure(lambda: send(session, raw=b"x" * 50_000_000), ConnectionLostError))
        finally:
            over.set()


# When there is no connection


@pytest.mark.parametrize(
    ("greeting", "retry", "words"),
    [
        (b"554 5.7.1 your address is blocked\r\n", False, "554 5.7.1 your address is blocked"),
        (b"421 4.7.0 too many connections\r\n" + END, True, "421 4.7.0 too many connections"),
        (END, True, "the connection was closed"),
        (b"* OK Dovecot ready.\r\n", True, "not SMTP"),
        (b"\x1b[31m\r\n", True, "not SMTP"),
        (b"220-x\r\n" * 10_000, True, "too long"),
    ],
)
def test_greeted_badly(start_script: Start, greeting: Reply, retry: bool, words: str) -> None:
    """No connection; the error says whether a person must act."""
    server = start_script(greeting=greeting)
    error = failure(lambda: opening(server, timeouts=PATIENT), ConnectError)
    assert (error.retry, error.reply is not None) == (retry, words[0].isdigit())
    assert words in str(error)


def test_silent_from_the_start(start_script: Start) -> None:
    """A greeting has its time as a whole."""
    for greeting in (b"", lambda: drip(b"2")):
        server = start_script(greeting=greeting)
        error = failure(lambda: opening(server, timeouts=replace(PATIENT, command=0.5)), ConnectError)  # noqa: B023
        assert "in time" in str(error)


def test_nobody_there() -> None:
    """Nobody listens, no such name, no name at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    nowhere = Route(host="127.0.0.1", port=port, tls=SmtpTls.NONE)
    error = failure(Session(nowhere).open, ConnectError)
    assert error.retry
    assert "connection refused" in str(error)
    with pytest.raises(ConnectError, match="cannot be resolved"):
        Session(replace(nowhere, host="nowhere.invalid")).open()
    for host in ("a..example", "x" * 64 + ".example", "a\0.example"):
        with pytest.raises(ConnectError) as caught:
            Session(replace(nowhere, host=host)).open()
        assert not caught.value.retry


def test_each_address_is_tried(start_script: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of address that this host does not know and one where nobody listens are passed over."""
    server = start_script()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()
    found = [
        (family, socket.SOCK_STREAM, 0, "", address)
        for family, address in (
            (-1, closed),
            (socket.AF_INET, closed),
            (socket.AF_INET, ("127.0.0.1", server.port)),
            (socket.AF_INET, closed),
        )
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with opened(server) as session:
        assert send(session).data


def test_helo_where_ehlo_is_not_known(start_script: Start) -> None:
    """An old server still gets its mail, with nothing asked for that it did not offer."""
    server = start_script({"EHLO": NO_EHLO, "HELO": b"250 old.example\r\n"})
    with opened(server) as session:
        assert send(session).server == "old.example"
    assert server.verbs()[:3] == ["EHLO", "HELO", "MAIL"]
    assert b"MAIL FROM:<mari@example.com>\r\n" in server.lines


def test_ehlo_and_helo_refused(start_script: Start) -> None:
    """It does not want to talk to us: its words say why."""
    server = start_script({"EHLO": b"550 5.7.1 bad name\r\n", "HELO": b"550 5.7.1 bad name, too\r\n"})
    error = failure(lambda: opening(server, timeouts=PATIENT), ConnectError)
    assert not error.retry
    assert "550 5.7.1 bad name, too" in str(error)


def test_our_name(start_script: Start) -> None:
    """EHLO has a full host name or an address literal (RFC 5321 §4.1.4)."""
    server = start_script()
    with opened(server):
        pass
    assert re.fullmatch(rb"ehlo ([\w-]+(\.[\w-]+)+|\[127\.0\.0\.1\])\r\n", server.lines[0])


# TLS


@pytest.mark.parametrize(
    ("replies", "retry", "words"),
    [
        ({}, False, "does not offer STARTTLS"),
        ({"EHLO": NO_EHLO}, False, "does not offer STARTTLS"),
        ({"EHLO": b"250-x\r\n250 STARTTLS\r\n", "STARTTLS": b"454 4.7.0 not now\r\n"}, True, "454 4.7.0 not now"),
        ({"EHLO": b"250-x\r\n250 STARTTLS\r\n", "STARTTLS": b"502 5.5.1 never\r\n"}, False, "502 5.5.1 never"),
        ({"EHLO": b"250-x\r\n250 STARTTLS\r\n", "STARTTLS": b"220 go\r\n" + END}, True, "closed|reset"),
        ({"EHLO": b"250-x\r\n250 STARTTLS\r\n", "STARTTLS": b"220 go\r\n250 x\r\n"}, True, "out of turn"),
    ],
)
def test_no_starttls_no_mail(start_script: Start, replies: dict[str, Reply], retry: bool, words: str) -> None:
    """There is no way back to an unencrypted line: no login, no message; nor is anything believed that came before."""
    server = start_script(replies)
    login = Password(username="mari", password=SECRET)
    error = failure(lambda: opening(server, login, tls=SmtpTls.STARTTLS, timeouts=PATIENT), TlsError)
    assert error.retry == retry
    assert re.search(words, str(error))
    assert not {"AUTH", "MAIL"} & set(server.verbs())


def test_tls_where_there_is_none(start_script: Start) -> None:
    """A server that greets in plain text on a port meant for TLS."""
    error = failure(lambda: opening(start_script(), tls=SmtpTls.SSL, timeouts=PATIENT), TlsError)
    assert not error.retry
    assert "does not speak TLS" in str(error)


def test_only_old_versions_of_tls(authority: Authority) -> None:
    """A server that was forgotten: waiting does not help, and the error says what is wrong with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("127.0.0.1"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1

    def greet() -> None:
        client, _ = listener.accept()
        with client, suppress(OSError):
            context.wrap_socket(client, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(greet)
        old = Route(host="127.0.0.1", port=listener.getsockname()[1], tls=SmtpTls.SSL, ca_file=authority.ca_file)
        error = failure(Session(old, timeouts=PATIENT).open, TlsError)
    assert not error.retry
    assert "1.2 or newer" in str(error)


def test_no_login_over_an_unencrypted_line(start_script: Start) -> None:
    """Neither password nor token; the server is not even asked."""
    server = start_script()
    for login in (Password(username="mari", password=SECRET), Token(username="mari", access_token=SECRET)):
        error = failure(lambda: opening(server, login, allow_plaintext_login=False), TlsError)  # noqa: B023
        assert not error.retry
        assert "allow_plaintext_login" in str(error)
    assert server.lines == []


def test_authorities_that_cannot_be_read(start_script: Start, tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / "bad.pem").write_text("nonsense")
    for name in ("missing.pem", "bad.pem"):
        path = tmp_path / name
        error = failure(lambda: opening(start_script(), tls=SmtpTls.SSL, ca_file=path), TlsError)  # noqa: B023
        assert name in str(error)


# Login


def offering(mechanisms: str) -> bytes:
    return f"250-script.example\r\n250 AUTH {mechanisms}\r\n".encode()


def said(server: Script) -> list[str]:
    """What the client said from AUTH on, decoded."""
    lines = [line.decode().strip() for line in server.lines]
    start = next(number for number, line in enumerate(lines) if line.startswith("AUTH"))
    first = lines[start].split()
    answers = [*first[2:], *(line for line in lines[start + 1 :] if line != "QUIT")]
    return [first[1], *(base64.b64decode(line).decode() for line in answers)]


def challenge(text: str) -> bytes:
    return b"334 " + base64.b64encode(text.encode()) + b"\r\n"


@pytest.mark.parametrize(
    ("offered", "replies", "expected"),
    [
        ("LOGIN CRAM-MD5", (challenge("<1@x>"), b"235 in\r\n"), ["CRAM-MD5"]),
        ("LOGIN PLAIN", (b"235 in\r\n",), ["PLAIN", f"\0õ\0{SECRET}"]),
        ("login", (challenge("User Name"), challenge("Pass"), b"235 in\r\n"), ["LOGIN", "õ", SECRET]),
        ("LOGIN", (b"334\r\n", b"334 ???\r\n", b"235 in\r\n"), ["LOGIN", "õ", SECRET]),
    ],
)
def test_password_mechanisms(
    start_script: Start, offered: str, replies: tuple[bytes, ...], expected: list[str]
) -> None:
    """The best that is offered, in UTF-8; on an unencrypted line CRAM-MD5, which does not tell the password."""
    server = start_script({"EHLO": offering(offered), "AUTH": replies[0], "334": in_turn(*replies[1:] or (b"",))})
    with opened(server, Password(username="õ", password=SECRET)):
        pass
    if expected[0] == "CRAM-MD5":
        digest = hmac.new(SECRET.encode(), b"<1@x>", "md5").hexdigest()
        expected = [*expected, f"õ {digest}"]
    assert said(server) == expected


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ("LOGIN OAUTHBEARER XOAUTH2", ["XOAUTH2", "user=a=b,c@example.com\1auth=Bearer {}\1\1"]),
        ("OAUTHBEARER", ["OAUTHBEARER", "n,a=a=3Db=2Cc@example.com,\1auth=Bearer {}\1\1"]),
    ],
)
@pytest.mark.parametrize("length", [100, 3000])
def test_token_mechanisms(start_script: Start, offered: str, expected: list[str], length: int) -> None:
    """At once where the line is short enough, else after an empty challenge (RFC 4954 §4)."""
    token = "t" * length
    short = length == 100
    server = start_script(
        {"EHLO": offering(offered), "AUTH": b"235 in\r\n" if short else b"334 \r\n", "334": b"235 in\r\n"}
    )
    with opened(server, Token(username="a=b,c@example.com", access_token=token)):
        pass
    assert said(server) == [text.format(token) for text in expected]
    assert (len(server.lines[1].split()) == 3) == short


@pytest.mark.parametrize(
    ("ehlo", "login", "words"),
    [
        (b"250 x\r\n", Password(username="mari", password=SECRET), "offers no login"),
        (
            offering("XOAUTH2"),
            Password(username="mari", password=SECRET),
            "offers XOAUTH2; needed is CRAM-MD5 or",
        ),
        (offering("PLAIN"), Token(username="mari", access_token=SECRET), "offers PLAIN; needed is XOAUTH2 or OAUTH"),
        (offering("PLAIN"), Password(username="ma\0ri", password=SECRET), "control character"),
        (offering("XOAUTH2"), Token(username="mari", access_token=f"{SECRET}\1x"), "control character"),
    ],
)
def test_login_that_cannot_be_tried(start_script: Start, ehlo: bytes, login: Login, words: str) -> None:
    """Nothing of it is sent."""
    server = start_script({"EHLO": ehlo})
    error = failure(lambda: opening(server, login, timeouts=PATIENT), LoginError)
    assert not error.retry
    assert words in str(error)
    assert "AUTH" not in server.verbs()


JSON = challenge(json.dumps({"status": "401", "schemes": "bearer mac", "scope": "https://mail.example.com/"}))


def refused(server: Script, login: Login | None = None) -> LoginError:
    """How the login fails."""
    error = failure(
        lambda: opening(server, login or Token(username="mari", access_token=SECRET), timeouts=PATIENT), LoginError
    )
    assert isinstance(error, LoginError)
    assert error.code != 334
    assert "login as mari" in str(error)
    return error


def test_334_is_not_the_error(start_script: Start) -> None:
    """ERR: 334: it is answered with an empty line, and the error tells what was behind it, and what was in it."""
    server = start_script({"AUTH": JSON, "334": b"535-5.7.8 bad\r\n535 5.7.8 token\r\n"})
    error = refused(server)
    assert server.lines[2] == b"\r\n"
    assert error.reply
    assert (error.code, error.reply.text, error.retry) == (535, "5.7.8 bad\n5.7.8 token", False)
    assert error.challenge == "status 401, schemes bearer mac, scope https://mail.example.com/"
    assert str(error).endswith(f"535 5.7.8 bad 5.7.8 token ({error.challenge})")


def test_334_where_password_login_is_off(start_script: Start) -> None:
    """A challenge after the password, too, is only the way to the refusal."""
    server = start_script({"AUTH": b"334 \r\n", "334": b"535 5.7.139 basic authentication is disabled\r\n"})
    server.replies |= {"EHLO": offering("PLAIN")}
    error = refused(server, Password(username="mari", password=SECRET))
    assert (error.code, error.challenge) == (535, "an empty challenge")
    assert "5.7.139 basic authentication is disabled" in str(error)


def test_oauthbearer_is_dismissed_its_own_way(start_script: Start) -> None:
    """With a ^A (RFC 7628 §3.2.3)."""
    server = start_script({"EHLO": offering("OAUTHBEARER"), "AUTH": JSON, "334": b"535 5.7.8 no\r\n"})
    assert refused(server).code == 535
    assert base64.b64decode(server.lines[2]) == b"\1"


def test_334_for_ever(start_script: Start) -> None:
    """A server that only asks is left, with what it said first; it is asked to stop before."""
    server = start_script({"AUTH": JSON, "334": in_turn(challenge("once more"))})
    error = refused(server)
    assert (error.code, error.reply, error.retry) == (None, None, False)
    assert "status 401" in str(error)
    assert "goes on asking" in str(error)
    assert server.lines[2:5] == [b"\r\n", b"*\r\n", b"*\r\n"]
    server = start_script({"AUTH": JSON, "334": in_turn(challenge("once more"), b"501 5.7.0 cancelled\r\n")})
    assert refused(server).code == 501


def test_334_and_then_nothing(start_script: Start) -> None:
    """A server that closes after its challenge has said why all the same; one that said nothing is just not there."""
    error = refused(start_script({"AUTH": JSON, "334": END}))
    assert error.retry
    assert error.challenge
    assert "status 401" in error.challenge
    login = Token(username="mari", access_token=SECRET)
    failure(lambda: opening(start_script({"AUTH": END}), login, timeouts=PATIENT), ConnectError)


@pytest.mark.parametrize(
    "said",
    [
        b"334 ???\r\n",
        b"334\r\n",
        challenge("plain words"),
        challenge("[1, 2]"),
        challenge("[" * 5000),
        challenge('{"status": "' + "4" * 9000 + '"}'),
        challenge('{"\x1b[31m": "\\u001b[0m\\u202e"}'),
        b"334 /////w==\r\n",
        challenge(SECRET),
        b"334 " + SECRET.encode() + b"\r\n",
    ],
)
def test_any_challenge(start_script: Start, said: bytes) -> None:
    """Nonsense, other people's words and our own secret: bounded, harmless, and never instead of the refusal."""
    error = refused(start_script({"AUTH": said, "334": b"535 5.7.8 no\r\n"}))
    assert error.code == 535
    assert error.challenge
    assert error.challenge.isprintable()
    assert len(error.challenge) <= 500


def test_a_challenge_in_plain_words(start_script: Start) -> None:
    """What is not base64 is told as it came, also where it would be without its blanks."""
    error = refused(start_script({"AUTH": b"334 Basic login is disabled\r\n", "334": b"535 5.7.8 no\r\n"}))
    assert error.challenge == "Basic login is disabled"


@pytest.mark.parametrize(
    ("reply", "retry"), [(b"535 5.7.8 no\r\n", False), (b"454 4.7.0 later\r\n", True), (b"421 4.7.0 later\r\n", True)]
)
def test_login_refused(start_script: Start, reply: bytes, retry: bool) -> None:
    """The reply tells whether a person must act."""
    error = refused(start_script({"AUTH": reply, "334": reply}))
    assert (error.retry, error.code, error.challenge) == (retry, int(reply[:3]), None)


def test_no_reply_in_time_to_a_login(start_script: Start) -> None:
    """A dripping server cannot hold the login either."""
    server = start_script({"AUTH": lambda: drip(b"3")})
    login = Token(username="mari", access_token=SECRET)
    assert "in time" in str(failure(lambda: opening(server, login), ConnectError))


def test_secrets_stay_inside(
    start_script: Start, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A server that tells them back gets them into no reply, and nothing on the way into a log, at any level."""
    caplog.set_level(logging.DEBUG)
    plain = base64.b64encode(f"\0mari\0{SECRET}".encode())
    hidden = (SECRET, plain.decode(), base64.b64encode(SECRET.encode()).decode())
    echo = " ".join(hidden)
    login = Password(username="mari", password=SECRET)
    assert SECRET not in repr((login, Token(username="mari", access_token=SECRET), route(start_script(), login)))
    server = start_script({"EHLO": offering("PLAIN"), ".": f"250 queued {echo}\r\n".encode()})
    with opened(server, login) as session:
        assert send(session).data == from_server(250, b"queued *** *** ***", ())
    server = start_script({"EHLO": offering("PLAIN"), "AUTH": f"535 {echo}\r\n".encode()})
    refused(server, login)
    shown = caplog.text + "".join(capfd.readouterr())
    assert not any(text in shown for text in hidden)


# Replies


@given(st.binary(max_size=5000))
def test_any_reply_is_harmless(text: bytes) -> None:
    """Bounded, without control characters but LF; as one line it has none."""
    reply = from_server(550, text, ())
    assert len(reply.text) <= MAX_TEXT
    assert reply.text.replace("\n", "").isprintable()
    assert str(reply).isprintable()


def test_replies_are_kept_as_they_are() -> None:
    """Words in any script, and the lines of an answer."""
    text = "5.1.1 tundmatu kasutaja\n5.1.1 неизвестный пользователь <õ@näide.example>"
    assert from_server(550, text.encode(), ()).text == text
