"""bounced.send.smtp against Postfix, whose logins Dovecot checks."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bounced.send.auth import Login, Password, Token
from bounced.send.envelope import Envelope
from bounced.send.failure import LoginError, TlsError, TransportError
from bounced.send.smtp import Answer, Route, Session
from bounced.store.people import SmtpTls
from tests.servers import require
from tests.servers.authority import Authority
from tests.servers.dovecot import Dovecot, Options
from tests.servers.postfix import Postfix
from tests.servers.process import free_ports, wait_for
from tests.servers.sink import Sink

RAW = (
    b"Date: Wed, 25 Nov 2026 12:00:00 +0000\r\nFrom: mari@example.com\r\nTo: jaan@example.org\r\n"
    b"Message-ID: <1@example.com>\r\nSubject: x\r\n\r\ny\r\n.\r\n"
)
OWN_PASSWORD = "põhja tuul+=\"'\\"

MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5")

SUBMISSION = {
    "smtpd_tls_security_level": "encrypt",
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_sasl_type": "dovecot",
    "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
    "smtpd_error_sleep_time": "0",
    "message_size_limit": "100000",
    "mynetworks": "192.0.2.0/24",
}

# CRAM-MD5 needs the password in plain text; each user's own is in a file.
LOGINS = """
auth_mechanisms = plain login cram-md5 xoauth2 oauthbearer
passdb {{
  driver = passwd-file
  mechanisms = plain login cram-md5
  args = scheme=PLAIN username_format=%n {file}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """What all tests here share."""

    postfix: Postfix
    dovecot: Dovecot
    sink: Sink
    routes: dict[SmtpTls, Route]
    ports: dict[str, int]  # unencrypted, with that mechanism only

    def route(self, tls: SmtpTls, login: Login | None) -> Route:
        return replace(self.routes[tls], login=login)


@pytest.fixture(scope="module")
def servers(new_folder: Callable[[str], Path], authority: Authority, servers_folder: Path) -> Iterator[Servers]:
    """A Postfix with a port for each kind of TLS, logins, and bounces that come back to Dovecot."""
    (servers_folder / "passwords").write_text(f"mari:{OWN_PASSWORD}\n")
    sink = Sink()
    options = Options(extra=LOGINS.format(file=servers_folder / "passwords"))
    dovecot = require(lambda: Dovecot(new_folder("dovecot"), authority, options))
    dovecot.start()
    certificate, key = authority.issue("127.0.0.1")
    implicit, plain, *single = free_ports(2 + len(MECHANISMS))
    ports = dict(zip(MECHANISMS, single, strict=True))
    settings = SUBMISSION | {
        "smtpd_tls_cert_file": str(certificate),
        "smtpd_tls_key_file": str(key),
        "smtpd_sasl_path": f"inet:127.0.0.1:{dovecot.sasl_port}",
    }
    services = [
        f"127.0.0.1:{implicit} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes",
        f"127.0.0.1:{plain} inet n - n - - smtpd -o smtpd_tls_security_level=none",
        *(
            f"127.0.0.1:{port} inet n - n - - smtpd "
            f"-o smtpd_tls_security_level=none -o smtpd_sasl_mechanism_filter={name}"
            for name, port in ports.items()
        ),
    ]
    postfix = require(
        lambda: Postfix(
            new_folder("postfix"), relay_port=sink.port, lmtp_port=dovecot.lmtp_port, main=settings, master=services
        )
    )
    postfix.start()
    usual = Route(host="127.0.0.1", port=postfix.port, tls=SmtpTls.STARTTLS, ca_file=authority.ca_file)
    yield Servers(
        ports=ports,
        postfix=postfix,
        dovecot=dovecot,
        sink=sink,
        routes={
            SmtpTls.STARTTLS: usual,
            SmtpTls.SSL: replace(usual, port=implicit, tls=SmtpTls.SSL),
            SmtpTls.NONE: replace(usual, port=plain, tls=SmtpTls.NONE, allow_plaintext_login=True),
        },
    )
    postfix.stop()
    dovecot.close()
    sink.close()


def send(
    route: Route, *recipients: str, sender: str = "mari@example.com", raw: bytes = RAW, **fields: object
) -> Answer:
    session = Session(route)
    session.open()
    try:
        envelope = Envelope(sender=sender, recipients=recipients or ("jaan@example.org",), **fields)  # type: ignore[arg-type]
        return session.send(envelope, raw, before_data=lambda: None)
    finally:
        session.close()


def failure(route: Route, kind: type[TransportError]) -> TransportError:
    session = Session(route)
    with pytest.raises(TransportError) as caught:
        session.open()
    assert type(caught.value) is kind, caught.value
    return caught.value


LOGINS_THAT_WORK: dict[str, Login] = {
    "password": Password(username="mari@example.com", password=OWN_PASSWORD),
    "token": Token(username="mari", access_token="a good one"),
    "long token": Token(username="mari", access_token="long" * 300),
}


@pytest.mark.parametrize("login", LOGINS_THAT_WORK.values(), ids=LOGINS_THAT_WORK)
@pytest.mark.parametrize("tls", SmtpTls)
def test_a_message_goes_through(servers: Servers, tls: SmtpTls, login: Login) -> None:
    """Over every kind of line, with every kind of login; the answer has the id under which Postfix queued it."""
    if isinstance(login, Token):
        servers.dovecot.tokens[login.access_token] = "mari"
    count = len(servers.sink.received)
    answer = send(servers.route(tls, login))
    assert answer.server == "relay.test"
    assert answer.data
    queued = re.fullmatch(r"2\.0\.0 Ok: queued as (\w+)", answer.data.text)
    assert queued
    assert answer.recipients == {"jaan@example.org": answer.data}
    received = servers.sink.wait(count + 1)[-1]
    assert received.raw.endswith(RAW)
    assert queued[1].encode() in received.raw


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_each_password_mechanism(servers: Servers, mechanism: str) -> None:
    """Where only that is offered it is used, and Dovecot takes it; a wrong password is refused by it."""
    route = replace(servers.routes[SmtpTls.NONE], port=servers.ports[mechanism])
    assert send(replace(route, login=LOGINS_THAT_WORK["password"])).data
    error = failure(replace(route, login=Password(username="mari", password="wrong")), LoginError)
    assert isinstance(error, LoginError)
    assert error.code == 535
    failed = f"SASL {mechanism} authentication failed"
    assert wait_for(lambda: failed in servers.postfix.log_text(), seconds=10, what=failed)


@pytest.mark.parametrize("tls", SmtpTls)
def test_wrong_password(servers: Servers, tls: SmtpTls) -> None:
    """Refused with the server's own words, which hold no secret; a person must act."""
    for password in ("wrong", "vale sõna", "x" * 2000):
        error = failure(servers.route(tls, Password(username="mari", password=password)), LoginError)
        assert isinstance(error, LoginError)
        assert (error.code, error.retry, error.challenge) == (535, False, None)
        assert "5.7.8 Error: authentication failed" in str(error)
        assert password not in str(error)


@pytest.mark.parametrize("tls", SmtpTls)
@pytest.mark.parametrize("token", ["bad", "bad" * 500])
def test_bad_token(servers: Servers, tls: SmtpTls, token: str) -> None:
    """The true ERR: 334: what is told is the 535 behind it, and what stood in the challenge."""
    error = failure(servers.route(tls, Token(username="mari", access_token=token)), LoginError)
    assert isinstance(error, LoginError)
    assert (error.code, error.retry) == (535, False)
    assert error.reply
    assert "334" not in str(error).partition("login")[2]
    assert error.challenge
    assert re.match(r"status 401, schemes bearer", error.challenge)
    assert token not in str(error)


def test_certificates_are_verified(servers: Servers, authority: Authority) -> None:
    """Without trust in who issued it, or for another name, there is no line, and no login."""
    before = servers.dovecot.log_text()
    for tls in (SmtpTls.SSL, SmtpTls.STARTTLS):
        route = servers.route(tls, LOGINS_THAT_WORK["password"])
        error = failure(replace(route, ca_file=None), TlsError)
        assert not error.retry
        assert "certificate is not trusted" in str(error)
        other = failure(replace(route, host="localhost"), TlsError)  # it is 127.0.0.1's
        assert not other.retry
        assert "localhost" in other.what
    assert servers.dovecot.log_text() == before


def test_tls_that_does_not_fit_the_port(servers: Servers) -> None:
    """STARTTLS where it is not offered, TLS from the start where the server greets: an error, never plain text."""
    login = LOGINS_THAT_WORK["password"]
    plain, starttls = servers.routes[SmtpTls.NONE], servers.routes[SmtpTls.STARTTLS]
    assert "does not offer STARTTLS" in str(failure(replace(plain, tls=SmtpTls.STARTTLS, login=login), TlsError))
    assert "does not speak TLS" in str(failure(replace(starttls, tls=SmtpTls.SSL, login=login), TlsError))


def test_refusals_are_answers(servers: Servers) -> None:
    """Without a login Postfix relays nothing: that is each recipient's answer; so is its limit."""
    answer = send(servers.routes[SmtpTls.STARTTLS], "a@example.org", "b@example.org")
    assert [reply.code for reply in answer.recipients.values()] == [554, 554]
    assert "Access denied" in answer.recipients["a@example.org"].text
    answer = send(servers.route(SmtpTls.SSL, LOGINS_THAT_WORK["password"]), raw=b"x" * 100_001)
    assert [reply.code for reply in answer.recipients.values()] == [552]


def test_a_bounce_has_what_was_asked_for(servers: Servers) -> None:
    """ENVID and ORCPT, for addresses beyond ASCII too, come back from Postfix's own bounce daemon."""
    login = LOGINS_THAT_WORK["password"]
    servers.sink.rcpt |= dict.fromkeys(("no+1@example.org", "õnn+1@example.org"), "550 5.1.1 no such user")
    for number, (address, original) in enumerate(
        [("no+1@example.org", "rfc822; no+1@example.org"), ("õnn+1@example.org", "utf-8; õnn+1@example.org")], 1
    ):
        user = servers.dovecot.new_user()
        answer = send(
            servers.route(SmtpTls.SSL, login),
            address,
            sender=f"{user}@event.data.example.net",
            envid=f"id+{number}=x",
        )
        assert answer.recipients[address].accepted
        (bounce,) = wait_for(lambda: servers.dovecot.messages(user), seconds=20, what="the bounce")  # noqa: B023
        text = bounce.raw.decode()
        assert f"Original-Envelope-Id: id+{number}=x\r\n" in text
        assert f"Original-Recipient: {original}\r\n".replace(" ", "") in text.replace(" ", "")


def test_mass_mail(servers: Servers) -> None:
    """Hundreds of messages over one connection, each with its own id."""
    count = len(servers.sink.received)
    session = Session(servers.route(SmtpTls.STARTTLS, LOGINS_THAT_WORK["password"]))
    session.open()
    envelope = Envelope(sender="mari@example.com", recipients=("jaan@example.org",))
    answers = [session.send(envelope, RAW, before_data=lambda: None) for _ in range(200)]
    assert session.is_usable
    session.close()
    assert len({answer.data.text for answer in answers if answer.data}) == 200
    servers.sink.wait(count + 200, seconds=60)


def test_postfix_goes_away(servers: Servers, start_postfix: Callable[..., Postfix]) -> None:
    """A server that is stopped between two messages is a lost connection, and a new one is refused."""
    postfix = start_postfix(relay_port=servers.sink.port)
    session = Session(Route(host="127.0.0.1", port=postfix.port, tls=SmtpTls.NONE))
    session.open()
    envelope = Envelope(sender="mari@example.com", recipients=("jaan@example.org",))
    assert session.send(envelope, RAW, before_data=lambda: None).data
    postfix.stop()
    with pytest.raises(TransportError) as caught:
        session.send(envelope, RAW, before_data=lambda: None)
    assert caught.value.retry
    with pytest.raises(TransportError, match="connection refused"):
        session.open()
