"""Handing messages to an SMTP server: one connection, many messages, an answer for each recipient.

Errors are told by what is known of the message in hand: ConnectionLostError means surely not sent, UncertainError that
nobody knows.
Sources: RFC 5321, RFC 3207 (STARTTLS), RFC 8314 §3 (implicit TLS).
"""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bounced.send.auth import Login, log_in
from bounced.send.compose import without_smtputf8
from bounced.send.envelope import Envelope, mail_command, rcpt_command, refusals
from bounced.send.failure import (
    BrokenOffError,
    ConnectError,
    ConnectionLostError,
    LineError,
    LoginError,
    TlsError,
    TransportError,
    UncertainError,
    WornOutError,
    in_words,
    quoted,
)
from bounced.send.line import Line, Timeouts, opportunistic_context, tls_context, wire_form
from bounced.send.reply import Reply, printable
from bounced.store.people import SmtpTls

MAX_AGE = 600.0  # seconds after which a connection is not used for another message
MAX_IDLE = 60.0  # seconds without a message; servers hang up after a few minutes
MAX_NAME = 255  # characters of a server's name

YES, GO_ON, NO = range(200, 300), range(354, 355), range(400, 600)  # codes (RFC 5321 §4.2.1)

TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where and how to connect."""

    host: str
    port: int
    tls: SmtpTls | None  # None: STARTTLS where it is offered, whatever the certificate (RFC 7435)
    login: Login | None = None
    allow_plaintext_login: bool = False  # send a login over an unencrypted line
    ca_file: Path | None = None  # authorities to trust besides the system's, PEM


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one message."""

    server: str  # what it calls itself
    recipients: Mapping[str, Reply]  # the last word on each, in the envelope's order
    data: Reply | None  # to the message itself, or to DATA; None where it did not come to that


class Session:
    """One connection to one server, for one thread at a time (`cut` excepted)."""

    def __init__(
        self, route: Route, *, timeouts: Timeouts = TIMEOUTS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._route, self._timeouts, self._clock = route, timeouts, clock
        self._line: Line | None = None
        self._server = route.host
        self._opened = self._used = 0.0
        self._has_sent = False
        self._cut = False

    def cut(self) -> None:
        """From another thread, for good: whatever it waits for is over, unless that is the reply to a message."""
        self._cut = True
        if line := self._line:
            line.cut()

    def log_in_as(self, login: Login) -> None:
        """With which login it opens the next time."""
        self._route = replace(self._route, login=login)

    @property
    def is_usable(self) -> bool:
        """Whether another message may be sent over it: it is open, nothing went wrong, and it is not too old."""
        now = self._clock()
        return self._line is not None and now - self._opened < MAX_AGE and now - self._used < MAX_IDLE

    def open(self) -> None:
        """Connects, encrypts as the route says, and logs in.

        raises   ConnectError, TlsError, LoginError; the connection is closed then
        """
        route = self._route
        self.close()
        encrypted = route.tls in (SmtpTls.SSL, SmtpTls.STARTTLS)
        if route.login and not (encrypted or route.allow_plaintext_login):
            raise TlsError(
                self._place,
                "a login is not sent over an unencrypted line: set SSL/TLS to ssl or starttls, "
                "or allow_plaintext_login = true in [send]",
                retry=False,
            )
        context = self._tls_context() if encrypted else None
        line = self._line = Line(route.host, route.port, self._timeouts)
        if self._cut:
            line.cut()
        with self._step("connect", ConnectError):
            greeting = line.dial(context if route.tls is SmtpTls.SSL else None)
            self._insist(greeting, "greeting", ConnectError)
            hello = self._insist(line.hello(), "EHLO", ConnectError)
        if route.tls is None and line.has_extn("starttls"):
            context = opportunistic_context()
        if context and route.tls is not SmtpTls.SSL:
            with self._step("STARTTLS", TlsError):
                self._start_tls(line, context)
            with self._step("connect", ConnectError):
                hello = self._insist(line.hello(), "EHLO", ConnectError)
        if route.login:
            with self._step(f"login as {printable(route.login.username)}", ConnectError):
                log_in(line, route.login, encrypted=encrypted)
        self._server = _first_word(hello) or _first_word(greeting) or route.host
        self._opened = self._used = self._clock()
        self._has_sent = False

    def close(self) -> None:
        """Takes leave of the server; nothing where the connection is closed already."""
        line, self._line = self._line, None
        if line:
            line.end(politely=True)

    def send(self, envelope: Envelope, raw: bytes, *, before_data: Callable[[], None]) -> Answer:
        """Hands one message over.

        before_data  called when the recipients are known to the server, right before it is told the message; if it
                     raises, nothing is sent
        raises       ConnectionLostError: surely nothing was sent, and it may be tried again; WornOutError: the like, at
                     once; UncertainError: nobody knows; LoginError, TlsError: the server takes nothing without (RFC
                     4954 §6, RFC 3207 §4).  What else it refuses is no error but an answer
        """
        line = self._line
        if line is None:
            raise ConnectionLostError(self._place, "not connected", retry=True)
        offers = dict(line.esmtp_features)
        if envelope.smtputf8 and "smtputf8" not in offers:
            raw = without_smtputf8(raw)
            envelope = replace(envelope, smtputf8=not raw.isascii())
        content = wire_form(raw)
        replies = refusals(envelope, content, offers)
        asked = [address for address in dict.fromkeys(envelope.recipients) if address not in replies]
        data = None
        try:
            if asked:
                mail = mail_command(envelope, content, offers)
                commands = {address: rcpt_command(address, offers) for address in asked}
                self._introduce(line, mail, commands, replies)
            if accepted := [address for address in asked if replies[address].accepted]:
                data = self._hand_over(line, content, before_data)
                replies |= dict.fromkeys(accepted, data)
        except BrokenOffError as error:
            error.refused = {address: reply for address, reply in replies.items() if reply.final}
            raise
        self._used, self._has_sent = self._clock(), True
        recipients = {address: replies[address] for address in envelope.recipients}
        return Answer(server=self._server, recipients=recipients, data=data)

    def _introduce(
        self, line: Line, mail: str, recipients: Mapping[str, str], replies: MutableMapping[str, Reply]
    ) -> None:
        """Names the sender and the recipients; what is said of each of these goes into `replies` as it comes."""
        try:
            reply = self._command(line, "MAIL", mail)
        except ConnectionLostError as error:
            if self._has_sent:  # many servers take so many messages over one
                raise WornOutError(error.place, error.what, retry=True, reply=error.reply) from None
            raise
        if reply.code == 530:
            self.close()
            kind = TlsError if "TLS" in reply.text.upper() else LoginError
            raise kind(self._place, f"MAIL: {quoted(reply)}", retry=False, reply=reply)
        for address, rcpt in recipients.items():
            replies[address] = self._command(line, "RCPT", rcpt) if reply.accepted else reply
        if not any(replies[address].accepted for address in recipients):
            self._reset(line)

    def _hand_over(self, line: Line, content: bytes, before_data: Callable[[], None]) -> Reply:
        """The message itself; the server's last word on it."""
        try:
            before_data()
        except BaseException:
            self._reset(line)
            raise
        reply = self._command(line, "DATA", yes=GO_ON)
        if reply.code not in GO_ON:
            self._reset(line)
            return reply
        with self._step("the message", ConnectionLostError):
            line.write(content)  # where not all of it can be written, its end was not
        with self._step("after the message", UncertainError):
            reply = line.answer()
            if reply.code not in YES and reply.code not in NO:
                raise LineError(f"the server's answer makes no sense: {quoted(reply)}")
        if reply.code == 421:
            self._drop()
        return reply

    def _command(self, line: Line, verb: str, arguments: str = "", *, yes: range = YES) -> Reply:
        """The server's yes or no."""
        with self._step(verb, ConnectionLostError):
            reply = line.command(verb, arguments)
            if reply.code == 421:  # it closes the connection (RFC 5321 §3.8)
                raise ConnectionLostError(self._place, f"{verb}: {quoted(reply)}", retry=True, reply=reply)
            if reply.code not in yes and reply.code not in NO:
                raise LineError(f"the server's answer makes no sense: {quoted(reply)}")
            return reply

    def _reset(self, line: Line) -> None:
        """Ends a transaction that did not come to its message.  Where that fails, the connection is closed."""
        with suppress(TransportError):
            self._command(line, "RSET")

    def _start_tls(self, line: Line, context: ssl.SSLContext) -> None:
        if not line.has_extn("starttls"):
            raise TlsError(self._place, "the server does not offer STARTTLS", retry=False)
        self._insist(line.command("STARTTLS"), "STARTTLS", TlsError)
        line.encrypt(context)

    def _tls_context(self) -> ssl.SSLContext:
        try:
            return tls_context(self._route.ca_file)
        except OSError as error:
            raise TlsError(self._place, f"ca_file {self._route.ca_file}: {in_words(error)[0]}", retry=False) from None

    def _insist(self, reply: Reply, what: str, kind: type[TransportError]) -> Reply:
        """A reply without which there is nothing more to say."""
        if not reply.accepted:
            raise kind(self._place, f"{what}: {quoted(reply)}", retry=reply.temporary, reply=reply)
        return reply

    @property
    def _place(self) -> str:
        return f"{self._route.host}:{self._route.port}"

    @contextmanager
    def _step(self, what: str, kind: type[TransportError]) -> Iterator[None]:
        """Whatever goes wrong in it closes the connection, and is told as an error of that kind."""
        try:
            yield
        except (OSError, ValueError) as error:
            self._drop()
            text, retry = in_words(error)
            if kind is ConnectError and isinstance(error, ssl.SSLError):
                kind = TlsError
            retry = _RETRY.get(kind, retry)
            raise kind(self._place, f"{what}: {text}", retry=retry) from None  # the cause may hold a secret
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        line, self._line = self._line, None
        if line:
            line.end(politely=False)


_RETRY: Mapping[type[TransportError], bool] = {ConnectionLostError: True, UncertainError: False}
"""Of errors for which it does not matter what happened."""


def _first_word(reply: Reply) -> str | None:
    """The name with which a server begins its greeting, and its answer to EHLO (RFC 5321 §4.2)."""
    words = reply.text[:MAX_NAME].split()
    return words[0] if words else None
