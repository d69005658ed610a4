"""bounced.inbox.imap against Dovecot: what a real server does, and what a network does to it."""

import imaplib
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

import pytest
from imapclient import SocketTimeout
from imapclient.imap_utf7 import encode

from bounced import config as configuration
from bounced.errors import MailboxError
from bounced.inbox import imap, wire
from bounced.inbox.imap import Fetched, Session
from tests.servers.dovecot import Dovecot
from tests.servers.fixtures import Mailbox

MIB = 2**20


def mail(number: int, size: int = 0) -> bytes:
    """A message that no other is equal to, filled up to `size` octets."""
    head = f"From: MAILER-DAEMON@example.org\r\nSubject: number {number}\r\n\r\n".encode()
    return head + b"x" * max(0, size - len(head) - 2) + b"\r\n"


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch):
    """Where the mailboxes of this file find their passwords."""
    monkeypatch.setenv("IMAP_PASSWORD", Dovecot.password)
    monkeypatch.setenv("WRONG_PASSWORD", "Tr0mbone-unlikely")


@pytest.fixture
def config(mailbox: Mailbox) -> Callable[..., configuration.Mailbox]:
    """Makes the configuration of this test's mailbox."""

    def make(**changes: object) -> configuration.Mailbox:
        return configured(mailbox.dovecot, mailbox.user, **changes)

    return make


def configured(dovecot: Dovecot, user: str, **changes: object) -> configuration.Mailbox:
    """A [[mailbox]] of bounced.toml for a user of Dovecot, over implicit TLS."""
    table: dict[str, object] = {
        "name": "acme",
        "host": dovecot.host,
        "port": dovecot.tls_port,
        "ca_file": str(dovecot.ca_file),
        "username": user,
        "password": "env:IMAP_PASSWORD",
    }
    table |= changes
    return configuration.Mailbox.model_validate({key: value for key, value in table.items() if value is not None})


@contextmanager
def opened(
    box: configuration.Mailbox, *, limit: int = MIB, timeouts: SocketTimeout = wire.TIMEOUTS
) -> Iterator[Session]:
    """A session with its folder selected."""
    with Session(box, max_message_size=limit, timeouts=timeouts) as session:
        session.select()
        yield session


def drain(session: Session, cursor: int = 0) -> list[Fetched]:
    """Everything above the cursor."""
    return [fetched for uids in session.uids_above(cursor) for batch in session.fetch(uids) for fetched in batch]


def failure(box: configuration.Mailbox, *, timeouts: SocketTimeout = wire.TIMEOUTS) -> MailboxError:
    """What a session says that cannot be opened, select its folder or do its action; always one line."""
    with pytest.raises(MailboxError) as caught, opened(box, timeouts=timeouts) as session:
        session.check_action()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"mailbox acme: {box.host}:{box.port}: ")
    return caught.value


# Connecting and logging in


@pytest.mark.parametrize("tls", ["implicit", "starttls", "none"])
def test_each_kind_of_tls(config, mailbox, tls):
    """The folder opens over TLS from the start, after STARTTLS, and in plain text where that is wanted."""
    port = mailbox.dovecot.tls_port if tls == "implicit" else mailbox.dovecot.port
    mailbox.deliver(mail(1))
    with opened(config(tls=tls, port=port)) as session:
        folder = session.select()
    assert (folder.exists, folder.uidnext) == (1, 2)
    assert folder.uidvalidity == mailbox.dovecot.uidvalidity(mailbox.user)


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_an_unknown_authority_is_refused(config, mailbox, tls):
    """A certificate that the system's authorities did not issue is not accepted."""
    port = mailbox.dovecot.tls_port if tls == "implicit" else mailbox.dovecot.port
    error = failure(config(tls=tls, port=port, ca_file=None))
    assert "certificate is not trusted" in str(error)
    assert not error.retry


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_certificate_for_another_host_is_refused(start_dovecot, tls):
    """A trusted certificate for some other name is not accepted."""
    dovecot = start_dovecot(names=("imap.example.org",))
    port = dovecot.tls_port if tls == "implicit" else dovecot.port
    error = failure(configured(dovecot, "acme", tls=tls, port=port))
    assert "IP address mismatch" in str(error)
    assert not error.retry


def test_no_fallback_to_plain_text(start_dovecot):
    """Where STARTTLS is not offered, nothing is sent in plain text."""
    dovecot = start_dovecot(extra="ssl = no")
    error = failure(configured(dovecot, "acme", tls="starttls", port=dovecot.port))
    assert "STARTTLS" in str(error)
    assert not error.retry
    assert "Login" not in dovecot.log_text()


def test_tls_on_a_plain_port(config, mailbox):
    """TLS against a port that speaks plain IMAP is said to be that."""
    error = failure(config(port=mailbox.dovecot.port))
    assert "does not speak TLS" in str(error)
    assert not error.retry


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_a_ca_file_that_cannot_be_used(config, tmp_path, content):
    """A missing or senseless ca_file is named."""
    path = tmp_path / "authority.pem"
    if content:
        path.write_text(content)
    error = failure(config(ca_file=str(path)))
    assert f"ca_file {path}: " in str(error)
    assert not error.retry


def test_a_wrong_password(config):
    """A refused login says so, needs a person, and shows no password."""
    error = failure(config(password="env:WRONG_PASSWORD"))
    assert "login as" in str(error)
    assert "AUTHENTICATIONFAILED" in str(error)
    assert "Tr0mbone" not in str(error)
    assert not error.retry


def test_a_password_outside_ascii(start_dovecot, servers_folder, monkeypatch):
    """Any password logs in."""
    monkeypatch.setenv("IMAP_PASSWORD", 'pärl "õ\\ € {3}')
    passwords = servers_folder / "passwords"
    passwords.write_text('acme:{PLAIN}pärl "õ\\ € {3}\n')
    dovecot = start_dovecot(extra=f"passdb {{\n driver = passwd-file\n args = {passwords}\n}}")
    with opened(configured(dovecot, "acme")) as session:
        assert session.select().exists == 0


def test_logindisabled(start_dovecot):
    """A server that takes no password here is not given one."""
    dovecot = start_dovecot(extra="auth_mechanisms = login")  # which Dovecot announces as LOGINDISABLED
    error = failure(configured(dovecot, "acme"))
    assert "takes no password on this connection" in str(error)
    assert not error.retry
    assert "method=" not in dovecot.log_text()


def test_nobody_answers(config, mailbox, start_proxy):
    """A port where nobody listens is worth another try."""
    proxy = start_proxy(mailbox.dovecot.port)
    proxy.refuse()
    error = failure(config(tls="none", port=proxy.port))
    proxy.accept()
    assert "connection refused" in str(error)
    assert error.retry


def test_an_unknown_host(config):
    """A host name that does not resolve is named as the trouble."""
    error = failure(config(host="imap.example.invalid"))
    assert "host name cannot be resolved" in str(error)


@pytest.mark.parametrize("only", ["xoauth2", "oauthbearer"])
def test_a_token(start_dovecot, tmp_path, only):
    """A token logs in, by XOAUTH2 or OAUTHBEARER, whichever is offered."""
    dovecot = start_dovecot(extra=f"auth_mechanisms = {only}")
    dovecot.tokens["T0ken.good"] = "acme"
    dovecot.deliver("acme", mail(1))
    with opened(configured(dovecot, "acme", password=None, oauth={"token_command": "echo T0ken.good"})) as session:
        assert session.select().exists == 1
    assert f"method={only.upper()}" in dovecot.log_text()


def test_a_refused_token(start_dovecot):
    """A refused token shows what the server says about it in its base64, and not the token."""
    dovecot = start_dovecot()
    error = failure(configured(dovecot, "acme", password=None, oauth={"token_command": "echo T0ken.bad"}))
    assert "status 401, schemes bearer" in str(error)
    assert "T0ken" not in str(error)
    assert not error.retry


def test_no_mechanism_for_tokens(start_dovecot):
    """A server without OAuth is said to be one."""
    dovecot = start_dovecot(extra="auth_mechanisms = plain")
    error = failure(configured(dovecot, "acme", password=None, oauth={"token_command": "echo T0ken"}))
    assert "neither XOAUTH2 nor OAUTHBEARER" in str(error)


# The folder


def test_an_unknown_folder(config):
    """A folder that is not there needs a person."""
    error = failure(config(folder="Bounces"))
    assert "folder Bounces: " in str(error)
    assert "Mailbox doesn't exist" in str(error)
    assert not error.retry


@pytest.mark.parametrize("folder", ["Tagasi põrkunud", 'a "quoted" \\ folder & more', "почта", "100%"])
def test_folder_names(config, mailbox, folder):
    """Letters of any alphabet, spaces and quotes are fine in the names of both folders."""
    box = config(folder=folder, after=f"move:{folder} done")
    with imaplib.IMAP4(mailbox.dovecot.host, mailbox.dovecot.port) as client:
        client.login(mailbox.user, Dovecot.password)
        for name in (folder, f"{folder} done"):
            assert client.create(quoted(name))[0] == "OK"
        assert client.append(quoted(folder), None, None, mail(1))[0] == "OK"
    with opened(box) as session:
        session.check_action()
        assert [fetched.raw for fetched in drain(session)] == [mail(1)]
        session.act(box.after, [1])
        assert drain(session) == []
    with opened(config(folder=f"{folder} done")) as session:
        assert [fetched.raw for fetched in drain(session)] == [mail(1)]


def quoted(folder: str) -> str:
    """A folder's name as imaplib wants it."""
    return '"' + encode(folder).decode().replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_uidvalidity_changes(config, mailbox):
    """A new UIDVALIDITY is seen at the next opening."""
    mailbox.deliver(mail(1))
    with opened(config()) as session:
        before = session.select()
    mailbox.dovecot.reset_uidvalidity(mailbox.user)
    with opened(config()) as session:
        after = session.select()
    assert after.uidvalidity > before.uidvalidity
    assert after.exists == 1


@pytest.mark.parametrize(
    ("rights", "after", "words"),
    [
        ("lr", "seen", "read-only"),
        ("lrw", "seen", r"may not set \Seen"),
        ("lrws", "delete", r"may not set \Deleted"),
    ],
)
def test_missing_rights(start_dovecot, rights, after, words):
    """Where the login may not do what is to be done, that is refused beforehand; keeping needs no right."""
    dovecot = start_dovecot(extra="mail_plugins = acl\nplugin {\n acl = vfile\n}")
    dovecot.deliver("acme", mail(1))
    (dovecot.folder / "home/acme/Maildir/dovecot-acl").write_text(f"owner {rights}\n")
    error = failure(configured(dovecot, "acme", after=after))
    assert words in str(error)
    assert not error.retry
    with opened(configured(dovecot, "acme")) as session:
        session.check_action()
        assert len(drain(session)) == 1


# What is waiting


def test_an_empty_folder(config):
    """Nothing is found in an empty folder, whatever the cursor."""
    with opened(config()) as session:
        assert list(session.uids_above(0)) == []
        assert list(session.uids_above(2**32 - 1)) == []


def test_the_last_message_is_not_found_again(config, mailbox):
    """`n:*` finds the last message even below n (RFC 9051 §6.4.9); the cursor keeps it out."""
    mailbox.deliver(mail(1), mail(2), mail(3))
    with opened(config()) as session:
        assert list(session.uids_above(3)) == []
        assert list(session.uids_above(2)) == [[3]]


def test_mail_that_comes_during_the_poll(config, mailbox, monkeypatch):
    """What comes meanwhile is found by this poll or by the next one, and once."""
    monkeypatch.setattr(imap, "WINDOW", 2)
    mailbox.deliver(mail(1), mail(2), mail(3))
    found: list[int] = []
    for _ in range(2):
        with opened(config()) as session:
            for uids in session.uids_above(max(found, default=0)):
                if not found:
                    mailbox.deliver(mail(4))
                found += uids
    assert found == [1, 2, 3, 4]


def test_windows_in_a_big_folder(config, mailbox, monkeypatch):
    """A long list comes in parts, also when earlier messages go meanwhile."""
    monkeypatch.setattr(imap, "WINDOW", 10)
    mailbox.deliver(*(mail(number) for number in range(1, 96)))
    with opened(config(after="delete")) as session:
        lists = list(session.uids_above(0))
        assert [uid for uids in lists for uid in uids] == list(range(1, 96))
        assert max(map(len, lists)) == 10
        session.act(config(after="delete").after, range(1, 31))
        found = []
        for uids in session.uids_above(25):
            found += uids
            session.act(config(after="delete").after, uids)
        assert found == list(range(31, 96))
        assert list(session.uids_above(0)) == []


def test_uids_far_apart(config, mailbox, monkeypatch):
    """UIDs up to 2^32 - 1 with wide gaps are found with a few searches."""
    monkeypatch.setattr(imap, "WINDOW", 2)
    wanted = [1, 2, 3, 70_000, 3_000_000_000, 4_294_967_290]
    with opened(config()) as session:
        session.select()  # Dovecot makes its list of UIDs
    maildir = mailbox.dovecot.folder / "home" / mailbox.user / "Maildir"
    for uid in wanted:
        uidlist = maildir / "dovecot-uidlist"
        head, *rest = uidlist.read_text().splitlines(keepends=True)
        uidlist.write_text(
            " ".join(f"N{uid}" if word.startswith("N") else word for word in head.split(" ")) + "".join(rest)
        )
        for index in maildir.glob("dovecot.index*"):
            index.unlink()
        mailbox.deliver(mail(uid))
        assert mailbox.messages()[-1].uid == uid
    with opened(config()) as session:
        searches = count_calls(session, "_search", monkeypatch)
        assert [fetched.uid for fetched in drain(session)] == wanted
        assert len(searches) == 3
        assert list(session.uids_above(70_000)) == [[3_000_000_000, 4_294_967_290]]


def count_calls(session: Session, name: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The arguments of each call of a method from now on."""
    calls: list[tuple[object, ...]] = []
    method = getattr(session, name)

    def counted(*arguments: object) -> object:
        calls.append(arguments)
        return method(*arguments)

    monkeypatch.setattr(session, name, counted)
    return calls


# Fetching


def test_a_message_as_it_lies_there(config, mailbox):
    """Every octet comes, with size and the time of its arrival in UTC, and no flag is set."""
    raw = mail(1) + bytes(range(1, 256)) + b"\r\n) FETCH (UID 7 BODY[] {3}\r\n\r\n"
    before = datetime.now(UTC).replace(microsecond=0)
    mailbox.deliver(raw)
    with opened(config(after="seen")) as session:
        (fetched,) = drain(session)
    assert (fetched.uid, fetched.size, fetched.truncated, fetched.problem) == (1, len(fetched.raw), False, None)
    assert fetched.raw.replace(b"\r\n", b"\n") == raw.replace(b"\r\n", b"\n")
    assert before <= fetched.received_at <= datetime.now(UTC)
    assert fetched.received_at.tzinfo is UTC
    assert mailbox.messages()[0].flags == set()


def test_an_oversized_message(config, mailbox):
    """Only the beginning of a message above the limit is fetched, and it is marked; one at the limit is whole."""
    mailbox.deliver(mail(1), mail(2, size=1000), mail(3, size=1001), mail(4, size=50_000), mail(5))
    with opened(config(), limit=1000) as session:
        fetched = drain(session)
    assert [len(message.raw) for message in fetched] == [len(mail(1)), 1000, 1000, 1000, len(mail(5))]
    assert [message.truncated for message in fetched] == [False, False, True, True, False]
    assert [message.size for message in fetched] == [len(mail(1)), 1000, 1001, 50_000, len(mail(5))]


def test_batches_are_bounded(config, mailbox, monkeypatch):
    """No batch has more messages or octets than allowed; a single bigger message comes alone."""
    monkeypatch.setattr(imap, "BATCH_BYTES", 10_000)
    monkeypatch.setattr(imap, "BATCH_MESSAGES", 20)
    sizes = [100] * 30 + [4000, 4000, 4000, 15_000, 9000, 900, 900] + [100] * 3
    mailbox.deliver(*(mail(number, size=size) for number, size in enumerate(sizes, 1)))
    with opened(config()) as session:
        batches = [batch for uids in session.uids_above(0) for batch in session.fetch(uids)]
    assert [fetched.uid for batch in batches for fetched in batch] == list(range(1, len(sizes) + 1))
    assert [len(batch) for batch in batches] == [20, 12, 1, 1, 2, 4]
    assert all(sum(fetched.size for fetched in batch) <= 10_000 or len(batch) == 1 for batch in batches)


def test_expunged_by_another_client(config, mailbox):
    """Messages that another client removes during the poll are left out; the others come, each once."""
    mailbox.deliver(*(mail(number) for number in range(1, 31)))
    with opened(config()) as session, opened(config(after="delete")) as other:
        (uids,) = session.uids_above(0)
        other.act(config(after="delete").after, [1, 7, 30])
        batches = list(session.fetch(uids))
        assert [fetched.uid for batch in batches for fetched in batch] == [*range(2, 7), *range(8, 30)]
        assert not any(fetched.problem for batch in batches for fetched in batch)
        assert list(session.fetch([1, 7, 30])) == []


def test_expunged_between_sizes_and_bodies(config, mailbox, monkeypatch):
    """Also when they go right before the bodies are asked for."""
    mailbox.deliver(*(mail(number) for number in range(1, 11)))
    with opened(config()) as session, opened(config(after="delete")) as other:
        batches = session._batches

        def late(uids, sizes):
            other.act(config(after="delete").after, [3, 4])
            return batches(uids, sizes)

        monkeypatch.setattr(session, "_batches", late)
        assert [fetched.uid for fetched in drain(session)] == [1, 2, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize(
    "line",
    [
        b"* 23 EXISTS",
        b"* 1 FETCH (FLAGS (\\Seen))",
        b"* 2 FETCH (FLAGS (\\Seen) UID 2)",
        b"* OK [ALERT] {please} (log out soon) [now",
        b"* NO [ALERT] disk nearly full",
        b"* 3 RECENT",
        b"* FLAGS (\\Answered)",
        b"* LIST () NIL INBOX",
        b"* CAPABILITY IMAP4rev1",
    ],
)
def test_unsolicited_data(config, mailbox, start_proxy, line):
    """A server may say anything at any time (RFC 9051 §7)."""
    mailbox.deliver(*(mail(number) for number in range(1, 6)))
    proxy = start_proxy(mailbox.dovecot.port)
    for before in (rb"\* SEARCH", rb"\* 3 FETCH", rb"[A-Z]+\d+ OK .*etch", rb"\* 4 FETCH .*BODY"):
        proxy.inject(line, before=before)
    with opened(config(tls="none", port=proxy.port, after="seen")) as session:
        assert [fetched.raw for fetched in drain(session)] == [mail(number) for number in range(1, 6)]
        session.act(config(after="seen").after, [1, 2])
    assert [message.flags for message in mailbox.messages()] == [{"\\Seen"}] * 2 + [set()] * 3


@pytest.mark.slow
def test_twenty_thousand_messages(config, mailbox):
    """A long backlog comes whole, each message once, in memory for one batch only."""
    mailbox.deliver(*(mail(number, size=2000) for number in range(1, 20_001)))
    with opened(config()) as session:
        tracemalloc.start()
        number = 0
        for uids in session.uids_above(0):
            for batch in session.fetch(uids):
                for fetched in batch:
                    number += 1
                    assert (fetched.uid, fetched.raw) == (number, mail(number, size=2000))
                del batch, fetched
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert number == 20_000
    assert peak < 8 * MIB


def test_memory_of_a_full_batch(config, mailbox):
    """A batch of 16 MiB needs little more than 16 MiB."""
    mailbox.deliver(*(mail(number, size=MIB - 1) for number in range(1, 41)))
    with opened(config()) as session:
        tracemalloc.start()
        lengths = []
        for uids in session.uids_above(0):
            for batch in session.fetch(uids):
                lengths.append(len(batch))
                del batch
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert lengths == [16, 16, 8]
    assert peak < 20 * MIB


# Doing something to the messages


@pytest.mark.parametrize("hide", [(), ("MOVE",), ("UIDPLUS",), ("MOVE", "UIDPLUS")])
@pytest.mark.parametrize("after", ["keep", "seen", "move:Done", "delete"])
def test_actions(start_dovecot, hide, after):
    """Each action does just that to just these messages, twice without harm; what cannot be done safely is refused."""
    dovecot = start_dovecot(hide=hide)
    dovecot.deliver("acme", *(mail(number) for number in range(1, 6)))
    dovecot.deliver("acme", mail(0), folder="Done")
    mark_deleted(dovecot, "acme", 5)  # another client's: it must stay
    box = configured(dovecot, "acme", after=after)
    possible = {"delete": "UIDPLUS" not in hide, "move:Done": len(hide) < 2}.get(after, True)
    if not possible:
        error = failure(box)
        assert "UIDPLUS" in str(error)
        assert not error.retry
        return
    with opened(box) as session:
        session.check_action()
        session.act(box.after, [2, 3])
        session.act(box.after, [2, 3])
        session.act(box.after, [])
    gone = [] if after in ("keep", "seen") else [2, 3]
    left = {message.uid: message.flags for message in dovecot.messages("acme")}
    assert sorted(left) == [uid for uid in range(1, 6) if uid not in gone]
    assert left[5] == {"\\Deleted"}
    assert {uid for uid, flags in left.items() if "\\Seen" in flags} == ({2, 3} if after == "seen" else set())
    moved = [mail(2), mail(3)] if after == "move:Done" else []
    assert [message.raw for message in dovecot.messages("acme", "Done")] == [mail(0), *moved]


def mark_deleted(dovecot: Dovecot, user: str, uid: int) -> None:
    """Sets the flag for deletion, as another client would."""
    with imaplib.IMAP4(dovecot.host, dovecot.port) as client:
        client.login(user, Dovecot.password)
        client.select()
        assert client.uid("STORE", str(uid), "+FLAGS", r"(\Deleted)")[0] == "OK"


@pytest.mark.parametrize("hide", [(), ("MOVE",)])
@pytest.mark.parametrize("after", ["seen", "move:Done", "delete"])
def test_actions_on_messages_that_another_client_removes(start_dovecot, hide, after):
    """What is gone already is done; the others are done too."""
    dovecot = start_dovecot(hide=hide)
    dovecot.deliver("acme", *(mail(number) for number in range(1, 5)))
    dovecot.deliver("acme", folder="Done")
    box = configured(dovecot, "acme", after=after)
    with opened(box) as session, opened(configured(dovecot, "acme", after="delete")) as other:
        assert len(drain(session)) == 4
        other.act(configured(dovecot, "acme", after="delete").after, [1, 3])
        session.act(box.after, [1, 2, 3])
    left = {message.uid: message.flags for message in dovecot.messages("acme")}
    assert left == ({2: {"\\Seen"}, 4: set()} if after == "seen" else {4: set()})
    assert [m.raw for m in dovecot.messages("acme", "Done")] == ([mail(2)] if after == "move:Done" else [])


@pytest.mark.parametrize("hide", [(), ("MOVE",)])
@pytest.mark.parametrize("after", ["seen", "move:Done", "delete"])
def test_actions_on_messages_that_are_just_being_removed(start_dovecot, monkeypatch, hide, after):
    """The other client is quicker, after the server was asked what is gone: Dovecot then refuses to move or copy."""
    dovecot = start_dovecot(hide=hide)
    dovecot.deliver("acme", *(mail(number) for number in range(1, 5)))
    dovecot.deliver("acme", folder="Done")
    box, theirs = configured(dovecot, "acme", after=after), configured(dovecot, "acme", after="delete")
    learn = imap.Session._learn_of_expunged
    with opened(box) as session, opened(theirs) as other:

        def remove_then(once: list[int]) -> None:
            learn(session)
            while once:
                other.act(theirs.after, [once.pop()])

        monkeypatch.setattr(session, "_learn_of_expunged", partial(remove_then, [1, 3]))
        session.act(box.after, [1, 2, 3])
    left = {message.uid: message.flags for message in dovecot.messages("acme")}
    assert left == ({2: {"\\Seen"}, 4: set()} if after == "seen" else {4: set()})
    assert [m.raw for m in dovecot.messages("acme", "Done")] == ([mail(2)] if after == "move:Done" else [])


def test_no_target_folder(config, mailbox):
    """A target folder that is not there is told beforehand; it is not made, for its name may be a mistake."""
    error = failure(config(after="move:Done"))
    assert 'after = "move:Done": folder Done: ' in str(error)
    assert not error.retry
    mailbox.deliver(mail(1))
    with pytest.raises(MailboxError) as caught, opened(config()) as session:
        session.act(config(after="move:Done").after, [1])
    assert not caught.value.retry
    assert len(mailbox.messages()) == 1


def test_many_messages_are_acted_on(config, mailbox):
    """Lists are cut so that every server takes the command."""
    mailbox.deliver(*(mail(number) for number in range(1, 3002)))
    with opened(config(after="delete")) as session:
        session.act(config(after="delete").after, range(1, 3001))
    assert [message.uid for message in mailbox.messages()] == [3001]


# When things break


def test_a_server_that_hangs(start_dovecot):
    """Nothing waits longer than the time limit, whether at the greeting or in the middle."""
    dovecot = start_dovecot()
    dovecot.deliver("acme", mail(1))
    limits = SocketTimeout(connect=3.0, read=1.0)
    with opened(configured(dovecot, "acme"), timeouts=limits) as session:
        dovecot.pause()
        started = time.monotonic()
        with pytest.raises(MailboxError, match="no answer in time") as caught:
            drain(session)
        error = failure(configured(dovecot, "acme"), timeouts=limits)
        assert time.monotonic() - started < 12
        dovecot.resume()
    assert caught.value.retry
    assert "no answer in time" in str(error)
    assert error.retry


@pytest.mark.parametrize("octets", [1, 60, 400, 900, 20_000])
def test_a_connection_cut_once(config, mailbox, start_proxy, octets):
    """A connection that breaks anywhere, also in the middle of a literal, is opened again; no message is missed."""
    mailbox.deliver(*(mail(number, size=1000) for number in range(1, 41)))
    proxy = start_proxy(mailbox.dovecot.port)
    with opened(config(tls="none", port=proxy.port)) as session:
        (uids,) = session.uids_above(0)
        proxy.cut_after(octets)
        fetched = [message for batch in session.fetch(uids) for message in batch]
    assert [message.raw for message in fetched] == [mail(number, size=1000) for number in range(1, 41)]
    assert proxy.connections == 2


def test_a_server_that_goes_away(start_dovecot):
    """A server that is gone for good is an error that may pass; after its restart the next session works."""
    dovecot = start_dovecot()
    dovecot.deliver("acme", mail(1))
    with opened(configured(dovecot, "acme")) as session:
        dovecot.kill()
        with pytest.raises(MailboxError) as caught:
            drain(session)
        assert caught.value.retry
    dovecot.start()
    with opened(configured(dovecot, "acme")) as session:
        assert len(drain(session)) == 1


def test_uidvalidity_changed_at_a_reconnect(config, mailbox, monkeypatch):
    """UIDs of another UIDVALIDITY are not asked for."""
    mailbox.deliver(mail(1), mail(2))
    with opened(config()) as session:
        (uids,) = session.uids_above(0)
        mailbox.dovecot.reset_uidvalidity(mailbox.user)
        with pytest.raises(MailboxError, match="UIDVALIDITY has changed") as caught:
            list(session.fetch(uids))
    assert caught.value.retry


@pytest.mark.parametrize("tls", ["implicit", "starttls", "none"])
def test_abort(config, mailbox, start_proxy, tls):
    """Another thread can break off what waits for the server."""
    proxy = start_proxy(mailbox.dovecot.tls_port if tls == "implicit" else mailbox.dovecot.port)
    mailbox.deliver(mail(1))
    with opened(config(tls=tls, port=proxy.port)) as session:
        proxy.stall()
        threading.Timer(0.2, session.abort).start()
        started = time.monotonic()
        with pytest.raises(MailboxError, match="interrupted") as caught:
            drain(session)
        with pytest.raises(MailboxError, match="interrupted"):
            session.select()
    assert caught.value.retry
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("tls", ["implicit", "starttls", "none"])
def test_abort_while_connecting(config, mailbox, start_proxy, tls):
    """Also while it waits for the greeting or the TLS handshake."""
    proxy = start_proxy(mailbox.dovecot.tls_port if tls == "implicit" else mailbox.dovecot.port)
    proxy.stall()
    session = Session(config(tls=tls, port=proxy.port), max_message_size=MIB)
    threading.Timer(0.2, session.abort).start()
    started = time.monotonic()
    with pytest.raises(MailboxError, match="interrupted"), session:
        pass
    assert time.monotonic() - started < 5
