"""The servers that the other tests rely on do what they promise."""

import base64
import email
import imaplib
import itertools
import json
import os
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.servers import Missing, require
from tests.servers.authority import Authority
from tests.servers.dovecot import CAPABILITIES, Dovecot
from tests.servers.fixtures import Mailbox
from tests.servers.postfix import IMPATIENT, Postfix
from tests.servers.postgres import Postgres
from tests.servers.process import free_ports, greeting, wait_for
from tests.servers.proxy import Direction, Proxy
from tests.servers.sink import Received, Sink


def mail(number: int = 1) -> bytes:
    return b"From: a@example.org\r\nSubject: %d\r\n\r\nHello.\r\n" % number


def log_in(server: Dovecot, user: str, port: int | None = None) -> imaplib.IMAP4:
    client = imaplib.IMAP4(server.host, port or server.port, timeout=10)
    client.login(user, server.password)
    return client


def test_delivered_mail_is_read_back_in_order(mailbox: Mailbox) -> None:
    """What deliver() writes is what IMAP shows, with UIDs in the given order."""
    raws = [mail(number) for number in range(200)]
    mailbox.deliver(*raws)
    assert [(message.uid, message.raw) for message in mailbox.messages()] == list(enumerate(raws, 1))


def test_bare_line_feeds_become_crlf(mailbox: Mailbox) -> None:
    """The size in a file's name is right for mail with LF line ends too, or Dovecot would complain and cut."""
    mailbox.deliver(b"Subject: x\n\nHello.\n")
    assert mailbox.messages()[0].raw == b"Subject: x\r\n\r\nHello.\r\n"
    assert "Cached message size" not in mailbox.dovecot.log_text()


def test_open_session_sees_delivery(mailbox: Mailbox) -> None:
    """Mail that comes while a client has the folder open is announced at its next command."""
    with log_in(mailbox.dovecot, mailbox.user) as client:
        assert client.select()[1] == [b"0"]
        mailbox.deliver(mail())
        client.noop()
        assert client.response("EXISTS")[1] == [b"0", b"1"]


def test_folders_and_flags(mailbox: Mailbox) -> None:
    """A folder besides INBOX has its own mail, and flags are read without changing them."""
    mailbox.deliver(mail(1), folder="Archive")
    with log_in(mailbox.dovecot, mailbox.user) as client:
        client.select("Archive")
        client.uid("STORE", "1", "+FLAGS", r"(\Flagged)")
    assert mailbox.messages() == []
    assert [message.flags for message in mailbox.messages("Archive")] == [frozenset({r"\Flagged"})]


def test_users_are_told_apart_by_local_part(dovecot: Dovecot) -> None:
    """The event address in any case and the bare name are one mailbox; another name is another."""
    user = dovecot.new_user()
    dovecot.deliver(user, mail())
    assert len(dovecot.messages(f"{user.upper()}@event.data.example.net")) == 1
    assert dovecot.messages(dovecot.new_user()) == []


@pytest.mark.parametrize("starttls", [False, True], ids=["implicit", "starttls"])
def test_certificate_is_verified(mailbox: Mailbox, starttls: bool) -> None:
    """Both ways of TLS give a certificate that the private authority proves and that others do not trust."""
    server = mailbox.dovecot

    def connect(context: ssl.SSLContext) -> str:
        if not starttls:
            with imaplib.IMAP4_SSL(server.host, server.tls_port, ssl_context=context, timeout=10) as client:
                return client.login(mailbox.user, server.password)[0]
        plain = imaplib.IMAP4(server.host, server.port, timeout=10)
        plain.starttls(context)
        with plain:
            return plain.login(mailbox.user, server.password)[0]

    assert connect(ssl.create_default_context(cafile=str(server.ca_file))) == "OK"
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(ssl.create_default_context())


def test_certificate_for_other_names(start_dovecot: Callable[..., Dovecot]) -> None:
    """A certificate for another host is refused by a client that checks names."""
    server = start_dovecot(names=("elsewhere.example.com",))
    context = ssl.create_default_context(cafile=str(server.ca_file))
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        imaplib.IMAP4_SSL(server.host, server.tls_port, ssl_context=context, timeout=10)


def test_wrong_password(mailbox: Mailbox) -> None:
    """A wrong password is refused, without delay."""
    started = time.monotonic()
    with (
        imaplib.IMAP4(mailbox.dovecot.host, mailbox.dovecot.port, timeout=10) as client,
        pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"),
    ):
        client.login(mailbox.user, "wrong")
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_oauth(mailbox: Mailbox, mechanism: str) -> None:
    """A known token logs its user in; an unknown one, or that of another user, is refused."""
    server = mailbox.dovecot
    server.tokens[f"token of {mailbox.user}"] = mailbox.user

    def log_in_with(token: str, user: str) -> str:
        start = f"n,a={user},\x01" if mechanism == "OAUTHBEARER" else f"user={user}\x01"
        answers = iter([f"{start}auth=Bearer {token}\x01\x01".encode(), b"\x01" if mechanism == "OAUTHBEARER" else b""])
        with imaplib.IMAP4(server.host, server.port, timeout=10) as client:
            return client.authenticate(mechanism, lambda _: next(answers))[0]

    assert log_in_with(f"token of {mailbox.user}", mailbox.user) == "OK"
    for token, user in (("unknown", mailbox.user), (f"token of {mailbox.user}", "somebody-else")):
        with pytest.raises(imaplib.IMAP4.error, match=r"AUTHENTICATIONFAILED|AUTHORIZATIONFAILED"):
            log_in_with(token, user)


def test_options(start_dovecot: Callable[..., Dovecot]) -> None:
    """Hidden capabilities are not announced, the others are; the quota is enforced; passwords can be switched off."""
    server = start_dovecot(hide=("MOVE", "UIDPLUS"), quota="10k")
    with log_in(server, "acme") as client:
        assert set(client.capability()[1][0].decode().split()) == {*CAPABILITIES.split(), "QUOTA"} - {"MOVE", "UIDPLUS"}
        status, answer = client.append("INBOX", "", "", mail() + b"x" * 20_000)
        assert (status, answer[0][:11]) == ("NO", b"[OVERQUOTA]")
    server = start_dovecot(passwords=False)
    with imaplib.IMAP4(server.host, server.port, timeout=10) as client, pytest.raises(imaplib.IMAP4.error):
        client.login("acme", server.password)


def test_all_capabilities_are_known(start_dovecot: Callable[..., Dovecot]) -> None:
    """The list from which capabilities are hidden is that of the Dovecot that is used."""
    server = start_dovecot(extra="protocol imap {\nimap_capability =\n}")
    with log_in(server, "acme") as client:
        assert set(client.capability()[1][0].decode().split()) == set(CAPABILITIES.split())


def test_cut_connections(start_dovecot: Callable[..., Dovecot]) -> None:
    """Open sessions break, in plain text and in TLS, and the server takes new ones at once."""
    server = start_dovecot()
    plain = log_in(server, "acme")
    context = ssl.create_default_context(cafile=str(server.ca_file))
    secure = imaplib.IMAP4_SSL(server.host, server.tls_port, ssl_context=context, timeout=10)
    secure.login("acme", server.password)
    server.cut_connections()
    for client in (plain, secure):
        with pytest.raises((imaplib.IMAP4.abort, OSError)):
            client.noop()
        client.shutdown()
    assert server.messages("acme") == []


def test_kill_stop_and_start(start_dovecot: Callable[..., Dovecot]) -> None:
    """Killed or stopped, nobody listens and clients are cut off; started again, ports, UIDs and mail are the same."""
    server = start_dovecot()
    server.deliver("acme", mail(1))
    before = server.uidvalidity("acme"), server.messages("acme"), server.port, server.tls_port
    for end in (server.kill, server.stop):
        client = log_in(server, "acme")
        end()
        with pytest.raises((imaplib.IMAP4.abort, OSError)):
            client.noop()
        client.shutdown()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((server.host, server.port), timeout=5)
        server.start()
        assert (server.uidvalidity("acme"), server.messages("acme"), server.port, server.tls_port) == before


def test_pause(start_dovecot: Callable[..., Dovecot]) -> None:
    """A paused server keeps sessions open and takes connections, but says nothing; then it goes on."""
    server = start_dovecot()
    client = log_in(server, "acme")
    server.pause()
    client.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.noop()
    client.shutdown()
    with socket.create_connection((server.host, server.port), timeout=0.3) as sock, pytest.raises(TimeoutError):
        sock.recv(1)
    server.resume()
    assert server.messages("acme") == []


def test_reset_uidvalidity(mailbox: Mailbox) -> None:
    """UIDVALIDITY grows each time, UIDs begin at 1 again, mail and flags stay, and open sessions are broken."""
    server, user = mailbox.dovecot, mailbox.user
    mailbox.deliver(mail(1), mail(2), mail(3))
    client = log_in(server, user)
    client.select()
    client.uid("STORE", "1", "+FLAGS", r"(\Deleted)")
    client.uid("STORE", "3", "+FLAGS", r"(\Seen)")
    client.expunge()
    assert [message.uid for message in mailbox.messages()] == [2, 3]
    values = [server.uidvalidity(user), server.reset_uidvalidity(user), server.reset_uidvalidity(user)]
    assert values == sorted(set(values))
    assert [(message.uid, message.raw) for message in mailbox.messages()] == [(1, mail(2)), (2, mail(3))]
    assert [message.flags for message in mailbox.messages()] == [frozenset(), frozenset({r"\Seen"})]
    with pytest.raises((imaplib.IMAP4.abort, OSError)):
        client.noop()
    client.shutdown()


def test_sink(sink: Sink) -> None:
    """It refuses what is scripted, at MAIL, RCPT, after DATA and in the greeting, and keeps the rest."""
    sink.rcpt["no@example.org"] = "550-5.1.1 no such user\r\n550 5.1.1 here"
    sink.data["spam@example.org"] = "554 5.7.1 spam"
    sink.mail["bad@example.org"] = "550 5.1.8 bad sender"
    with smtplib.SMTP("127.0.0.1", sink.port, timeout=10) as client:
        refused = client.sendmail("a@example.org", ["no@example.org", "yes@example.org"], mail())
        assert refused == {"no@example.org": (550, b"5.1.1 no such user\n5.1.1 here")}
        with pytest.raises(smtplib.SMTPDataError, match="spam"):
            client.sendmail("a@example.org", ["spam@example.org"], mail())
        with pytest.raises(smtplib.SMTPSenderRefused, match="bad sender"):
            client.sendmail("bad@example.org", ["yes@example.org"], mail())
    assert sink.wait(1) == [Received("a@example.org", ("yes@example.org",), mail())]
    sink.greeting = "554 5.7.1 blocked"
    with pytest.raises(smtplib.SMTPConnectError, match="blocked"):
        smtplib.SMTP("127.0.0.1", sink.port, timeout=10)


def test_bounce_returns_to_the_event_mailbox(postfix: Postfix, sink: Sink, dovecot: Dovecot) -> None:
    """Postfix relays what the sink takes; a refusal becomes a bounce, which LMTP puts into the sender's mailbox."""
    sink.rcpt["no@example.org"] = "550 5.1.1 no such user"
    user = dovecot.new_user()
    sender = f"{user.upper()}+token@event.data.example.net"
    with smtplib.SMTP(postfix.host, postfix.port, timeout=20) as client:
        client.sendmail(sender, ["yes@example.org", "no@example.org"], mail())
    assert [message.recipients for message in sink.wait(1)] == [("yes@example.org",)]
    (bounce,) = wait_for(lambda: dovecot.messages(user), seconds=20, what="the bounce")
    report = email.message_from_bytes(bounce.raw)
    assert report.get_content_type() == "multipart/report"
    assert report["Delivered-To"] == sender
    assert b"Diagnostic-Code: smtp; 550 5.1.1 no such user" in bounce.raw
    wait_for(lambda: not postfix.queue(), seconds=5, what="an empty queue")


def test_delay_notice(start_postfix: Callable[..., Postfix], sink: Sink, dovecot: Dovecot) -> None:
    """With settings added to main.cf a refusal for now gives a notice within seconds; the mail stays queued."""
    hasty = {**IMPATIENT, "delay_warning_time": "1s", "queue_run_delay": "1s", "minimal_backoff_time": "1s"}
    server = start_postfix(relay_port=sink.port, lmtp_port=dovecot.lmtp_port, main=hasty)
    user = dovecot.new_user()
    sink.rcpt["later@example.org"] = "451 4.7.1 try later"
    with smtplib.SMTP(server.host, server.port, timeout=20) as client:
        client.sendmail(f"{user}@event.data.example.net", ["later@example.org"], mail())
    (notice,) = wait_for(lambda: dovecot.messages(user), seconds=20, what="the notice")
    assert b"Action: delayed" in notice.raw
    assert len(server.queue()) == 1


def test_submission(start_postfix: Callable[..., Postfix], sink: Sink, mailbox: Mailbox, authority: Authority) -> None:
    """With TLS and Dovecot's SASL, logins are checked; a bad token is answered with 334 and JSON, then 535."""
    certificate, key = authority.issue("127.0.0.1")
    settings = {
        "smtpd_tls_security_level": "encrypt",
        "smtpd_tls_cert_file": str(certificate),
        "smtpd_tls_key_file": str(key),
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_sasl_type": "dovecot",
        "smtpd_sasl_path": f"inet:127.0.0.1:{mailbox.dovecot.sasl_port}",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
    }
    (second,) = free_ports(1)
    server = start_postfix(relay_port=sink.port, main=settings, master=[f"127.0.0.1:{second} inet n - n - - smtpd"])
    mailbox.dovecot.tokens[f"token of {mailbox.user}"] = mailbox.user
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    with smtplib.SMTP(server.host, second, timeout=20) as client:
        client.starttls(context=context)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(mailbox.user, "wrong")
        code, challenge = oauth(client, mailbox.user, "wrong")
        assert code == 334
        assert json.loads(base64.b64decode(challenge))["status"] == "401"
        assert client.docmd("")[0] == 535
        assert oauth(client, mailbox.user, f"token of {mailbox.user}")[0] == 235
        client.sendmail("a@example.org", ["yes@example.org"], mail())
    assert sink.wait(1)


def oauth(client: smtplib.SMTP, user: str, token: str) -> tuple[int, bytes]:
    answer = base64.b64encode(f"user={user}\x01auth=Bearer {token}\x01\x01".encode()).decode()
    return client.docmd("AUTH", f"XOAUTH2 {answer}")


def test_databases_are_fresh(postgres: Postgres, database_url: str) -> None:
    """Each database is empty and another one; it can be dropped while it still has a client."""
    first, second = (url.replace("+psycopg", "") for url in (database_url, postgres.database()))
    with psycopg.connect(first, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id int)")
    with psycopg.connect(second) as client:
        assert client.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
        client.rollback()
        postgres.drop(second)
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")


def test_proxy_forwards(mailbox: Mailbox, start_proxy: Callable[[int], Proxy]) -> None:
    """Without any fault it changes nothing, in plain text and in TLS."""
    mailbox.deliver(mail())
    proxy = start_proxy(mailbox.dovecot.port)
    with log_in(mailbox.dovecot, mailbox.user, proxy.port) as client:
        client.select(readonly=True)
        assert client.uid("FETCH", "1", "BODY.PEEK[]")[1][0][1] == mail()
    secure = start_proxy(mailbox.dovecot.tls_port)
    context = ssl.create_default_context(cafile=str(mailbox.dovecot.ca_file))
    with imaplib.IMAP4_SSL("127.0.0.1", secure.port, ssl_context=context, timeout=10) as client:
        client.login(mailbox.user, mailbox.dovecot.password)
    assert (proxy.connections, secure.connections) == (1, 1)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_proxy_cuts(mailbox: Mailbox, start_proxy: Callable[[int], Proxy], direction: Direction) -> None:
    """The connection ends exactly after the given number of octets, once; cut() ends it now."""
    proxy = start_proxy(mailbox.dovecot.port)
    proxy.cut_after(10, direction)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as sock, sock.makefile("rb") as stream:
        if direction == "down":
            assert len(stream.read()) == 10
        else:
            assert stream.readline().startswith(b"* OK")
            sock.sendall(b"a NOOP\r\nb NOOP\r\n")
            assert b"b OK" not in stream.read()
    client = log_in(mailbox.dovecot, mailbox.user, proxy.port)
    proxy.cut()
    with pytest.raises((imaplib.IMAP4.abort, OSError)):
        client.noop()
    client.shutdown()


def test_proxy_stalls_refuses_and_delays(mailbox: Mailbox, start_proxy: Callable[[int], Proxy]) -> None:
    """Stalled, it says nothing until it resumes; refusing, it is not there until it accepts; a delay takes time."""
    proxy = start_proxy(mailbox.dovecot.port)
    client = log_in(mailbox.dovecot, mailbox.user, proxy.port)
    proxy.stall()
    client.send(b"X NOOP\r\n")
    client.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.sock.recv(1)
    client.sock.settimeout(10)
    proxy.resume()
    assert client.sock.recv(4) == b"X OK"
    client.shutdown()
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    proxy.accept()
    proxy.delay = 0.1
    started = time.monotonic()
    log_in(mailbox.dovecot, mailbox.user, proxy.port).logout()
    assert time.monotonic() - started > 0.5


def test_proxy_injects(mailbox: Mailbox, start_proxy: Callable[[int], Proxy]) -> None:
    """Lines stand between responses: before a command's completion, or where a pattern says, never inside a literal."""
    decoy = b"Subject: x\r\n\r\n* 2 FETCH (\r\nx9 OK Fetch completed\r\n"
    mailbox.deliver(decoy, decoy)
    proxy = start_proxy(mailbox.dovecot.port)
    proxy.inject(b"* 3 EXISTS", before=rb"\S+ OK .*Fetch completed")
    proxy.inject(b"* OK still here", before=rb"\* 2 FETCH")
    with log_in(mailbox.dovecot, mailbox.user, proxy.port) as client:
        client.select(readonly=True)
        client.send(b"X UID FETCH 1:* (BODY.PEEK[])\r\n")
        answer = b"".join(itertools.takewhile(lambda line: bytes(line)[:2] != b"X ", iter(client.readline, b"")))
    first, _, rest = answer.partition(b"* OK still here\r\n")
    literal = b"{%d}\r\n%b)\r\n" % (len(decoy), decoy)
    assert first == b"* 1 FETCH (UID 1 BODY[] " + literal
    assert rest == b"* 2 FETCH (UID 2 BODY[] " + literal + b"* 3 EXISTS\r\n"


def test_missing_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing server is a skip for an ordinary user, and a failure for root and in CI, with the reason."""

    def start() -> None:
        raise Missing("postfix: runs as root only")

    monkeypatch.delenv("CI", raising=False)
    for user, outcome in ((1000, pytest.skip.Exception), (0, pytest.fail.Exception)):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        with pytest.raises(outcome, match="postfix: runs as root only"):
            require(start)
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(pytest.fail.Exception, match="postfix: runs as root only"):
        require(start)


def test_servers_end_with_the_test_run(dovecot: Dovecot, new_folder: Callable[[str], Path]) -> None:
    """A test run that is killed with SIGKILL leaves no server behind."""
    folder = new_folder("abandoned")
    program = """if True:
        import os, signal, sys
        from pathlib import Path
        from tests.servers.authority import Authority
        from tests.servers.dovecot import Dovecot
        folder = Path(sys.argv[1])
        folder.mkdir()
        server = Dovecot(folder / "dovecot", Authority(folder))
        server.start()
        (folder / "port").write_text(str(server.port))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program, folder], env=environment, check=False)
    port = int((folder / "port").read_text())
    wait_for(lambda: not (greeting(port) or processes_in(folder)), seconds=10, what="the end of the abandoned server")


def processes_in(folder: Path) -> list[str]:
    listing = subprocess.run(["ps", "-eo", "args="], check=True, capture_output=True, text=True).stdout
    return [line for line in listing.splitlines() if str(folder) in line]
