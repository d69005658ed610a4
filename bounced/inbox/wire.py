"""The connection to an IMAP server: verified TLS, time limits, bounds on what the server may send, login.

imapclient does the commands, imaplib below it reads and writes; here is what both leave open.
Sources: RFC 9051 (IMAP), RFC 4959 (SASL-IR), RFC 4616 (PLAIN), RFC 7628 (OAUTHBEARER).
"""

import imaplib
import json
import socket
import ssl
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from imapclient import IMAPClient, SocketTimeout

TIMEOUTS = SocketTimeout(connect=15.0, read=60.0)
"""Seconds that a connection with its TLS handshake may take, and each single wait for the server afterwards."""

MAX_LINE = 1_000_000  # octets of one line, imaplib's own bound: 90,000 UIDs
ALLOWANCE = 4 * 2**20  # octets that the server may send in answer to one command, beyond what was asked for
MAX_COMMAND = 8_000  # octets of a command line that every server takes (RFC 7162 §4: 8192)

Opened = Callable[[socket.socket], None]
"""Told of the TCP connection as soon as there is one; may refuse it by raising."""


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Certificate and host name are verified, against the authorities in `ca_file`, or the system's."""
    return ssl.create_default_context(cafile=ca_file)


class Connection(imaplib.IMAP4):
    """imaplib's connection, with limits."""

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext | None, timeouts: SocketTimeout, opened: Opened
    ) -> None:
        self._context, self._timeouts, self._opened = context, timeouts, opened
        self.allowance = ALLOWANCE
        self.secrets: list[str] = []  # sent so far; an error must not show them
        super().__init__(host, port)

    def _create_socket(self, _timeout: float | None = None) -> socket.socket:
        sock = socket.create_connection((self.host, self.port), self._timeouts.connect)
        try:
            self._opened(sock)
            if self._context:
                sock = self._context.wrap_socket(sock, server_hostname=self.host, do_handshake_on_connect=False)
                sock.do_handshake()
            sock.settimeout(self._timeouts.read)
        except BaseException:
            sock.close()
            raise
        return sock

    def read(self, size: int) -> bytes:
        """A literal of `size` octets, as announced by the server."""
        self._spend(size)
        return super().read(size)

    def readline(self) -> bytes:
        """One line with its end."""
        try:
            line = super().readline()
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:  # the rest of the line would be taken for the next one
            raise self.abort(f"a line of more than {MAX_LINE} octets") from error
        self._spend(len(line))
        return line

    def _spend(self, octets: int) -> None:
        self.allowance -= octets
        if self.allowance < 0:
            raise self.abort("the server sends more than was asked for")

    def expect(self, octets: int = 0) -> None:
        """Begins a command: forgets what earlier ones left behind, and allows `octets` more than usual in answer."""
        self.allowance = ALLOWANCE + octets
        for kind in self.untagged_responses.keys() - {"BYE"}:
            del self.untagged_responses[kind]

    def login(self, user: str, password: str) -> tuple[str, list[bytes]]:  # type: ignore[override]  # the status is checked
        """LOGIN with the password as a literal; imaplib's own quotes no user name and takes ASCII only."""
        if not (user.isascii() and user.isprintable()):
            raise self.error("the server takes no user name outside ASCII")
        self.literal = password.encode()  # type: ignore[assignment]  # typeshed says str
        status, data = self._simple_command("LOGIN", self._quote(user))
        if status != "OK":
            raise self.error(data[-1])
        self.state = "AUTH"
        return status, data

    def authenticate_with(self, mechanism: str, message: bytes, *, dismiss: bytes = b"") -> None:
        """A SASL mechanism in which the client says one message.

        dismiss  the answer to a second challenge, which tells an error
        raises   imaplib.IMAP4.error with the server's words, and those of the second challenge
        """
        encoded = b64encode(message)
        self.secrets.append(encoded.decode())
        at_once = "SASL-IR" in self.capabilities and len(encoded) < MAX_COMMAND - 100
        exchange = _Exchange([] if at_once else [encoded], b64encode(dismiss))
        self.literal = exchange.answer  # type: ignore[assignment]  # a bound method is called for each challenge
        status, data = self._simple_command("AUTHENTICATE", mechanism, *([encoded] if at_once else []))
        if status != "OK":
            raise self.error(" ".join(filter(None, (data[-1].decode("utf-8", "replace"), exchange.error))))
        self.state = "AUTH"


class _Exchange:
    """Answers a server's challenges."""

    def __init__(self, answers: list[bytes], dismiss: bytes) -> None:
        self._answers, self._dismiss = answers, dismiss
        self.error = ""  # what the challenge after the last answer said

    def answer(self, challenge: bytes | None) -> bytes:
        """The next answer to a challenge in base64, also in base64."""
        if self._answers:
            return self._answers.pop()
        self.error = _error_text(challenge or b"")
        return self._dismiss


def _error_text(challenge: bytes) -> str:
    """What an OAuth challenge says: {"status":"401","schemes":"bearer"} in base64 (RFC 7628 §3.2.2)."""
    try:
        said = json.loads(b64decode(challenge))
        return "(" + ", ".join(f"{key} {value}" for key, value in said.items()) + ")"
    except (ValueError, AttributeError, RecursionError):
        return ""


class Client(IMAPClient):  # type: ignore[misc]  # published without types
    """imapclient over our Connection."""

    connection: Connection

    def __init__(
        self, host: str, port: int, *, tls: str, context: ssl.SSLContext | None, timeouts: SocketTimeout, opened: Opened
    ) -> None:
        """Connects; with tls = "starttls" or "implicit", TLS stands when this returns.

        raises   whatever imapclient, imaplib, ssl and the socket raise
        """
        self._opened = opened
        super().__init__(host, port, ssl=tls == "implicit", ssl_context=context, timeout=timeouts)
        # imapclient makes imaplib describe all that comes for a debug log: more work than fetching it
        self.connection.debug = 0
        self.normalise_times = False
        if tls == "starttls":
            try:
                self.starttls(context)
            except BaseException:
                with suppress(OSError):
                    self.shutdown()
                raise

    def _create_IMAP4(self) -> Connection:  # noqa: N802  imapclient's name
        self.connection = Connection(
            self.host, self.port, self.ssl_context if self.ssl else None, self._timeout, self._opened
        )
        return self.connection

    def log_in(self, user: str, password: str) -> None:
        """By PLAIN where it is offered, which takes every character; else by LOGIN."""
        self.connection.secrets.append(password)
        if self.has_capability("AUTH=PLAIN"):
            self.connection.authenticate_with("PLAIN", f"\0{user}\0{password}".encode())
        elif self.has_capability("LOGINDISABLED"):
            raise imaplib.IMAP4.error("the server takes no password on this connection (LOGINDISABLED)")
        else:
            self.connection.login(user, password)

    def log_in_with_token(self, user: str, token: str) -> None:
        """By XOAUTH2, or OAUTHBEARER where only that is offered."""
        self.connection.secrets.append(token)
        if self.has_capability("AUTH=XOAUTH2"):
            self.connection.authenticate_with("XOAUTH2", f"user={user}\1auth=Bearer {token}\1\1".encode())
        elif self.has_capability("AUTH=OAUTHBEARER"):
            name = user.replace("=", "=3D").replace(",", "=2C")
            self.connection.authenticate_with(
                "OAUTHBEARER", f"n,a={name},\1auth=Bearer {token}\1\1".encode(), dismiss=b"\1"
            )
        else:
            raise imaplib.IMAP4.error("the server offers neither XOAUTH2 nor OAUTHBEARER")
