"""bounced.inbox.imap against a scripted server: nonsense, lies and half answers."""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imapclient import SocketTimeout

from bounced.config import Mailbox
from bounced.errors import MailboxError
from bounced.inbox import imap, wire
from bounced.inbox.imap import Fetched, Session
from tests.inbox.script import END, Reply, Script, fetched, sized

PATIENT = SocketTimeout(connect=15.0, read=15.0)
LIMIT = 100_000
PASSWORD = "Tr0mbone"
RAW = b"Subject: x\r\n\r\ny\r\n"


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Script]]:
    """Starts scripted servers."""
    monkeypatch.setenv("IMAP_PASSWORD", PASSWORD)
    with ExitStack() as stack:

        def script(replies: dict[str, Reply] | None = None, **options: bytes) -> Script:
            server = Script(replies, **options)
            stack.callback(server.close)
            return server

        yield script


def box(server: Script, **changes: object) -> Mailbox:
    """A [[mailbox]] of bounced.toml for a scripted server."""
    table = {"name": "acme", "host": "127.0.0.1", "port": server.port, "tls": "none", "username": "acme"}
    return Mailbox.model_validate({**table, "password": "env:IMAP_PASSWORD", **changes})


@contextmanager
def opened(server: Script, *, timeouts: SocketTimeout = PATIENT, **changes: object) -> Iterator[Session]:
    """A session with its folder selected."""
    with Session(box(server, **changes), max_message_size=LIMIT, timeouts=timeouts) as session:
        session.select()
        yield session


def failure(
    server: Script, work: Callable[[Session], object] = lambda session: None, **changes: object
) -> MailboxError:
    """What goes wrong; always one line of bearable length without the password."""
    with pytest.raises(MailboxError) as caught, opened(server, **changes) as session:
        work(session)
    text = str(caught.value)
    assert text.startswith(f"mailbox acme: 127.0.0.1:{server.port}: ")
    assert text.isprintable()
    assert len(text) < 400
    assert PASSWORD not in text
    return caught.value


def get(session: Session, *uids: int) -> list[Fetched]:
    """These messages."""
    return [message for batch in session.fetch(uids) for message in batch]


def messages(special: Callable[[int, bytes], bytes | None], *, size: int = len(RAW)) -> dict[str, Reply]:
    """A folder of five messages; `special` answers a FETCH of bodies that asks for UID 3."""

    def search(arguments: bytes) -> bytes:
        found = re.findall(rb"\d+", arguments) if b":" not in arguments else [b"1", b"2", b"3", b"4", b"5"]
        return b"* SEARCH " + b" ".join(found) + b"\r\nTAG OK done\r\n"

    def fetch(arguments: bytes) -> bytes | None:
        uids = [int(uid) for uid in arguments.split(b" ")[0].split(b",")]
        if b"BODY" not in arguments:
            return b"".join(sized(uid, size) for uid in uids) + b"TAG OK done\r\n"
        if 3 in uids:
            return special(len(uids), arguments)
        item = b"BODY[]<0>" if b"<0." in arguments else b"BODY[]"
        return b"".join(fetched(uid, RAW, item=item) for uid in uids) + b"TAG OK done\r\n"

    return {"UID SEARCH": search, "UID FETCH": fetch}


# Connecting


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"* BYE too many connections\r\n", "too many connections"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "answer is not IMAP"),
        (b"\x16\x03\x01\x00\r\n", "answer is not IMAP"),
        (b"* OK " + b"x" * 1_100_000 + b"\r\n", "a line of more than"),
        (b"* PREAUTH in already\r\n", "illegal in state AUTH"),
    ],
)
def test_strange_greetings(start, greeting, words):
    """A server that is no IMAP server, or does not want us, is an error that may pass."""
    server = start(greeting=greeting)
    error = failure(server)
    assert words in str(error)


def test_no_greeting(start):
    """A server that accepts the connection and says nothing is not waited for longer than the limit."""
    error = failure(start(greeting=b""), timeouts=SocketTimeout(connect=15.0, read=0.2))
    assert "no answer in time" in str(error)
    assert error.retry


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_no_tls_no_login(start, tls):
    """A server without TLS is told nothing."""
    server = start()
    assert not failure(server, tls=tls).retry
    assert server.commands("AUTHENTICATE") == server.commands("LOGIN") == []


def test_preauth_does_not_get_round_starttls(start):
    """A greeting that claims to be logged in already, so that STARTTLS cannot be given, ends the session."""
    capability = b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\nTAG OK done\r\n"
    server = start({"CAPABILITY": capability}, greeting=b"* PREAUTH in already\r\n")
    assert "illegal in state AUTH" in str(failure(server, tls="starttls"))


# Logging in


@pytest.mark.parametrize("at_once", [True, False])
def test_plain(start, monkeypatch, at_once):
    """AUTHENTICATE PLAIN, with its message at once where the server takes that (RFC 4959)."""
    monkeypatch.setenv("IMAP_PASSWORD", "pärl €")
    server = start()
    if not at_once:
        server.replies["CAPABILITY"] = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nTAG OK done\r\n"
        server.replies["AUTHENTICATE"] = b"+ \r\n"
        server.replies["AUTHENTICATE +"] = b"TAG OK in\r\n"
    with opened(server):
        pass
    said = [line for line in server.lines if b"AUTHENTICATE" in line or b" " not in line]
    message = b64encode("\0acme\0pärl €".encode())
    assert b"".join(said).split()[1:] == [b"AUTHENTICATE", b"PLAIN", message]
    assert len(said) == (1 if at_once else 2)


def test_login_with_a_literal(start, monkeypatch):
    """Without PLAIN the password goes as a literal, and the user name in quotes."""
    monkeypatch.setenv("IMAP_PASSWORD", 'pärl "\\ €')
    server = start({"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\nTAG OK done\r\n"})
    with opened(server, username='a "b" c'):
        pass
    octets = 'pärl "\\ €'.encode()
    assert server.commands("LOGIN") == [b'LOGIN "a \\"b\\" c" {%d}\r\n%s\r\n' % (len(octets), octets)]


def test_a_server_that_repeats_the_password(start):
    """What the server says is shown without the password, in whichever form it comes back."""
    encoded = b64encode(f"\0acm\0{PASSWORD}".encode())
    reply = b"TAG NO [AUTHENTICATIONFAILED] %s is wrong: %s\r\n" % (PASSWORD.encode(), encoded)
    error = failure(start({"AUTHENTICATE": reply}), username="acm")
    assert "***" in str(error)
    assert encoded.decode() not in str(error)
    assert not error.retry


def test_a_password_at_the_end_of_a_long_answer(start):
    """It is taken out before the answer is cut, so that not even its beginning is seen."""
    error = failure(start({"AUTHENTICATE": b"TAG NO " + b"x" * 296 + PASSWORD.encode() + b"\r\n"}))
    assert PASSWORD[:3] not in str(error)


@pytest.mark.parametrize(
    ("answer", "retry"),
    [
        (b"TAG NO [UNAVAILABLE] later", True),
        (b"TAG NO [INUSE] later", True),
        (b"TAG NO [AUTHENTICATIONFAILED] wrong", False),
        (b"TAG NO wrong", False),
        (b"TAG BAD what", False),
        (b"* BYE gone\r\n" + END, True),
    ],
)
def test_which_refusals_may_pass(start, answer, retry):
    """The response codes of RFC 5530 tell what may pass; without one, a refused login needs a person."""
    error = failure(start({"AUTHENTICATE": answer if answer.endswith(END) else answer + b"\r\n"}))
    assert error.retry is retry


def test_the_error_of_xoauth2(start):
    """The server's JSON in base64 is answered with an empty line, and told."""
    challenge = b64encode(b'{"status":"400","schemes":"Bearer","scope":"https://mail.example.com/"}')
    server = start(
        {
            "CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2 SASL-IR\r\nTAG OK done\r\n",
            "AUTHENTICATE": b"+ " + challenge + b"\r\n",
            "AUTHENTICATE +": b"TAG NO wrong\r\n",
        }
    )
    error = failure(server, password=None, oauth={"token_command": "echo T0ken"})
    assert "wrong (status 400, schemes Bearer, scope https://mail.example.com/)" in str(error)
    (command,) = server.commands("AUTHENTICATE")
    assert b64decode(command.split()[-1]) == b"user=acme\1auth=Bearer T0ken\1\1"
    assert server.lines[-1] == b"\r\n"


# The folder


def test_a_server_without_uidnext(start):
    """UIDNEXT may be missing; the UIDs are found without it."""
    server = start({**messages(lambda *_: b""), "EXAMINE": b"* 5 EXISTS\r\n* OK [UIDVALIDITY 7] .\r\nTAG OK done\r\n"})
    with opened(server) as session:
        assert session.select().uidnext is None
        assert list(session.uids_above(2)) == [[3, 4, 5]]


@pytest.mark.parametrize("uidvalidity", [b"", b"* OK [UIDVALIDITY 0] .\r\n", b"* OK [UIDVALIDITY 99999999999] .\r\n"])
def test_a_server_without_uidvalidity(start, uidvalidity):
    """Without UIDVALIDITY no UID means anything."""
    error = failure(start({"EXAMINE": b"* 5 EXISTS\r\n" + uidvalidity + b"TAG OK done\r\n"}))
    assert "no UIDVALIDITY" in str(error)


@pytest.mark.parametrize(
    ("answer", "uids"),
    [
        (b"* SEARCH 5 3 4\r\n", [[3, 4, 5]]),
        (b"* SEARCH 3 3 4 1 2\r\n", [[3, 4]]),
        (b"* SEARCH\r\n", []),
        (b"", []),
        (b"* SEARCH 3 99999999999999999999\r\n", [[3]]),
    ],
)
def test_odd_searches(start, answer, uids):
    """UIDs in any order, doubled, below the cursor, or beyond any UID."""
    with opened(start({"UID SEARCH": answer + b"TAG OK done\r\n"})) as session:
        assert list(session.uids_above(2)) == uids


def test_a_folder_that_claims_to_hold_too_much(start, monkeypatch):
    """The number of messages that a server claims costs neither memory nor a command that is too long."""
    server = start({"EXAMINE": USUAL_WITH_EXISTS % 10**15, "FETCH": b"* 1 FETCH (UID 4)\r\nTAG OK done\r\n"})
    with opened(server) as session:
        assert list(session.uids_above(5)) == []


USUAL_WITH_EXISTS = b"* %d EXISTS\r\n* OK [UIDVALIDITY 7] .\r\nTAG OK done\r\n"


# Messages


def test_a_message_that_is_listed_but_not_returned(start):
    """It is told as a problem, and the others come."""
    server = start(
        messages(lambda count, _: b"".join(fetched(uid, RAW) for uid in (1, 2, 4, 5) if count > 1) + b"TAG OK done\r\n")
    )
    with opened(server) as session:
        got = get(session, 1, 2, 3, 4, 5)
    assert [message.raw for message in got] == [RAW, RAW, None, RAW, RAW]
    assert got[2].problem == "the server lists it but does not return it"
    assert [message.problem for message in got if message.uid != 3] == [None] * 4


@pytest.mark.parametrize("item", [b"BODY[] NIL", b'BODY[] ""', b"BODY[] 12", b"FLAGS (\\Seen)"])
def test_a_message_without_a_body(start, item):
    """NIL is no message; an empty string is one."""
    server = start(messages(lambda *_: b"* 3 FETCH (UID 3 " + item + b")\r\nTAG OK done\r\n"))
    with opened(server) as session:
        (got,) = get(session, 3)
    assert got.raw == (b"" if b'"' in item else None)


@pytest.mark.parametrize("answer", [b"TAG NO [SERVERBUG] message is corrupt\r\n", b"TAG BAD cannot\r\n"])
def test_one_message_that_is_refused(start, answer):
    """A NO to a batch is followed by single tries; the message that is refused tells the server's words."""
    server = start(messages(lambda *_: answer))
    with opened(server) as session:
        got = get(session, 1, 2, 3, 4, 5)
    assert [message.raw for message in got] == [RAW, RAW, None, RAW, RAW]
    assert ("message is corrupt" if b"NO" in answer else "cannot") in got[2].problem
    assert server.connections == 1


def test_what_came_before_a_refusal_counts(start):
    """Messages that came before the NO are not asked for again."""
    server = start(
        messages(lambda count, _: (fetched(1, RAW) + fetched(2, RAW) if count > 1 else b"") + b"TAG NO sorry\r\n")
    )
    with opened(server) as session:
        got = get(session, 1, 2, 3, 4, 5)
    assert [message.raw for message in got] == [RAW, RAW, None, RAW, RAW]
    alone = [line.split()[2] for line in server.commands("UID FETCH") if b"<0." in line]
    assert alone == [b"3", b"4", b"5"]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"* 3 FETCH (UID 3 BODY[] {999999999999}\r\n",
        b"* 3 FETCH (UID 3 BODY[] {999}\r\nand no more" + END,
        b"* BYE internal error\r\n",
        b"* 3 FETCH (UID 3 BODY[] {10}\r\nthis is much longer than ten octets)\r\nTAG OK done\r\n",
        b"* 3 FETCH (" + b"(" * 100_000 + b"\r\nTAG OK done\r\n",
        b"* 3 FETCH UID 3\r\nTAG OK done\r\n",
        b"* 3 FETCH (UID 3 BODY[] \xff\xfe)\xff\r\nTAG OK done\r\n",
        b"\0\0\0\r\n",
    ],
)
def test_one_message_that_breaks_the_connection(start, answer):
    """A message that cannot be fetched without losing the connection does not keep the others back."""
    server = start(messages(lambda *_: answer))
    with opened(server) as session:
        got = get(session, 1, 2, 3, 4, 5)
    assert [message.raw for message in got] == [RAW, RAW, None, RAW, RAW]
    assert got[2].problem
    assert got[2].problem.isprintable()
    assert len(got[2].problem) < 400
    assert server.connections == 3


def test_a_server_that_always_breaks_off(start):
    """That is no single message's fault: after three attempts it is the mailbox's error."""
    server = start({**messages(lambda *_: None), "UID FETCH": lambda _: None})
    error = failure(server, lambda session: get(session, 1, 2, 3, 4, 5))
    assert "connection was closed" in str(error)
    assert error.retry
    assert server.connections == 4


def test_what_was_fetched_before_the_connection_is_lost_for_good(start):
    """It is given out, so that the next poll begins behind it."""
    replies = messages(lambda *_: None)
    usual = replies["UID FETCH"]
    assert callable(usual)

    def fetch(arguments: bytes) -> bytes | None:
        return usual(arguments) if b"BODY" not in arguments or arguments[:2] in (b"1 ", b"2 ") else None

    server = start({**replies, "UID FETCH": fetch})
    with opened(server) as session:
        batches = session.fetch([1, 2, 3, 4, 5])
        assert [(message.uid, message.raw) for message in next(batches)] == [(1, RAW), (2, RAW), (3, None), (4, None)]
        with pytest.raises(MailboxError, match="connection was closed"):
            next(batches)


def test_a_message_bigger_than_announced(start):
    """A size that is a lie costs no memory: so much is read as was asked for."""
    limits = []

    def special(_count: int, arguments: bytes) -> bytes:
        part = re.search(rb"<0\.(\d+)>", arguments)
        limits.append(int(part[1]) if part else None)
        octets = int(part[1]) if part else 50_000_000
        return b"* 3 FETCH (UID 3 BODY[]<0> {%d}\r\n" % octets + b"x" * min(octets, LIMIT + 1) + b")\r\nTAG OK done\r\n"

    with opened(start(messages(special))) as session:
        got = get(session, 1, 2, 3)
    assert [(len(message.raw), message.truncated) for message in got] == [(len(RAW), False)] * 2 + [(LIMIT, True)]
    assert limits == [None, LIMIT + 1]


def test_a_server_that_ignores_the_part(start):
    """The whole message in answer to its beginning is cut."""
    server = start(messages(lambda *_: fetched(3, b"x" * (LIMIT + 500)) + b"TAG OK done\r\n", size=LIMIT + 500))
    with opened(server) as session:
        (got,) = get(session, 3)
    assert (len(got.raw), got.truncated, got.size) == (LIMIT, True, LIMIT + 500)


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        (b"23-Nov-2026 04:51:00 +0200", datetime(2026, 11, 23, 2, 51, tzinfo=UTC)),
        (b" 3-Nov-2026 04:51:00 -0730", datetime(2026, 11, 3, 12, 21, tzinfo=UTC)),
        (b"23-Nov-2026 04:51:00 +9999", None),
        (b"31-Dec-9999 23:59:59 -1400", None),
        (b"31-Feb-2026 00:00:00 +0000", None),
        (b"yesterday", None),
        (b"", None),
    ],
)
def test_dates(start, date, moment):
    """INTERNALDATE in UTC; nonsense is no date."""
    replies = messages(lambda *_: fetched(3, RAW) + b"TAG OK done\r\n")
    usual = replies["UID FETCH"]
    assert callable(usual)

    def fetch(arguments: bytes) -> bytes | None:
        return usual(arguments) if b"BODY" in arguments else sized(3, len(RAW), date) + b"TAG OK done\r\n"

    with opened(start({**replies, "UID FETCH": fetch})) as session:
        (got,) = get(session, 3)
    assert (got.raw, got.received_at) == (RAW, moment)


def test_responses_without_uid(start):
    """A FETCH response without UID belongs to no message that was asked for, whatever its number."""
    stray = b"* 3 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (BODY[] {5}\r\nstray)\r\n"
    server = start(messages(lambda *_: stray + fetched(3, RAW) + b"TAG OK done\r\n"))
    with opened(server) as session:
        (got,) = get(session, 3)
    assert got.raw == RAW


def test_a_flood(start, monkeypatch):
    """What the server says unasked is bounded in memory."""
    monkeypatch.setattr(wire, "ALLOWANCE", 10_000)
    server = start({"UID SEARCH": b"* 5 EXISTS\r\n" * 2_000 + b"TAG OK done\r\n"})
    error = failure(server, lambda session: list(session.uids_above(0)))
    assert "more than was asked for" in str(error)


def test_long_lists_are_cut(start):
    """No command is longer than 8,000 octets, whatever the UIDs."""
    uids = range(2**32 - 3_000, 2**32)

    def fetch(arguments: bytes) -> bytes:
        asked = [int(uid) for uid in arguments.split(b" ")[0].split(b",")]
        part = (lambda uid: fetched(uid, RAW)) if b"BODY" in arguments else (lambda uid: sized(uid, len(RAW)))
        return b"".join(map(part, asked)) + b"TAG OK done\r\n"

    server = start({"UID FETCH": fetch})
    with opened(server, after="move:" + "x" * 200) as session:
        assert len(get(session, *uids)) == 3_000
        session.act(box(server, after="move:" + "x" * 200).after, uids)
    assert max(map(len, server.lines)) <= imap.BATCH_MESSAGES * 11 + 300 <= wire.MAX_COMMAND


PIECES = (
    b"""* |TAG |OK |NO |3 |FETCH |SEARCH |(|)|UID 3 |BODY[] |"|\\|{3}\r\nabc|{4}|\r\n|EXISTS|NIL|RFC822.SIZE |\xff"""
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    command=st.sampled_from(["CAPABILITY", "AUTHENTICATE", "EXAMINE", "UID SEARCH", "UID FETCH", "NOOP"]),
    answer=st.binary(max_size=60) | st.lists(st.sampled_from(PIECES.split(b"|")), max_size=20).map(b"".join),
)
def test_whatever_the_server_says(start, command, answer):
    """Nothing but MailboxError comes out, and the messages that come out are those asked for."""

    def once(_arguments: bytes) -> bytes | None:
        server.replies[command] = lambda _: None
        return answer + b"\r\n" + END

    server = start({**messages(lambda *_: fetched(3, RAW) + b"TAG OK done\r\n"), command: once})
    with suppress(MailboxError), opened(server) as session:
        for uids in session.uids_above(0):
            for batch in session.fetch(uids):
                assert {message.uid for message in batch} <= set(uids)
                assert all((message.raw is None) == (message.problem is not None) for message in batch)
    server.close()


# Races with other clients


@pytest.mark.parametrize("after", ["seen", "move:Done", "delete"])
def test_messages_removed_right_before_they_are_acted_on(start, after):
    """The server asks for a NOOP and another try (RFC 5530 §3, EXPUNGEISSUED); one that never stops is an error."""
    command = "UID MOVE" if after == "move:Done" else "UID STORE"
    answers = [b"TAG OK done\r\n", b"TAG NO [EXPUNGEISSUED] gone\r\n", b"TAG NO [EXPUNGEISSUED] gone\r\n"]
    server = start({command: lambda _: answers.pop()})
    with opened(server, after=after) as session:
        session.act(box(server, after=after).after, [1, 2])
    assert len(server.commands(command)) == sum(b" NOOP" in line for line in server.lines) == 3
    assert not answers
    server = start({command: b"TAG NO [EXPUNGEISSUED] gone\r\n"})
    error = failure(server, lambda session: session.act(box(server, after=after).after, [1, 2]), after=after)
    assert error.retry
