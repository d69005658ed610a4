"""A login to the IMAP server of one mailbox: opened, broken off from another thread, closed.

Whatever goes wrong on it is a MailboxError that says what and where in one line.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from imapclient import SocketTimeout

from bounced.config import Mailbox
from bounced.errors import MailboxError
from bounced.inbox import failure, oauth
from bounced.inbox.wire import Client, tls_context

LOGOUT_SECONDS = 5.0


class RefusedError(MailboxError):
    """The server answered NO or BAD; the connection stands."""


class Link:
    """The connection, and what it takes to open it."""

    def __init__(self, box: Mailbox, timeouts: SocketTimeout) -> None:
        self._box, self._timeouts = box, timeouts
        self._client: Client | None = None
        self._line: socket.socket | None = None  # a second handle on the connection, for abort()
        self.aborted = False
        self.capabilities: frozenset[bytes] = frozenset()

    def open(self) -> None:
        """Connects and logs in."""
        box = self._box
        try:
            context = tls_context(box.ca_file) if box.tls != "none" else None
        except OSError as error:
            reason, _ = failure.in_words(error, lasting=True)
            raise self.error(f"ca_file {box.ca_file}: {reason}", retry=False) from None
        with self._translated("connect"):
            self._client = Client(
                box.host, box.port, tls=box.tls, context=context, timeouts=self._timeouts, opened=self._opened
            )
        if box.password:
            password = box.password.read()
            with self._login() as client:
                client.log_in(box.username, password)
        else:
            self._log_in_with_token()
        with self.command("CAPABILITY", begin=False) as client:  # the login's answer may hold them
            self.capabilities = frozenset(client.capabilities())

    def close(self, *, politely: bool = False) -> None:
        """Ends the connection; `politely` with a LOGOUT, which expunges nothing, as CLOSE would."""
        client, self._client = self._client, None
        if client:
            with suppress(Exception):
                if politely and not self.aborted:
                    client.socket().settimeout(LOGOUT_SECONDS)
                    client.logout()
            with suppress(Exception):
                client.shutdown()
        line, self._line = self._line, None
        if line:
            line.close()

    def abort(self) -> None:
        """Breaks the connection, from any thread; it cannot be opened again."""
        self.aborted = True
        if line := self._line:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def command(self, what: str, *, octets: int = 0, begin: bool = True, lasting: bool = False) -> Iterator[Client]:
        """The client, for one command; whatever goes wrong there becomes a MailboxError.

        what     what is being done, for the error
        octets   what the answer may hold, beyond the usual
        begin    False: what the server said before is still of use
        lasting  whether a NO is something that a person must mend
        raises   RefusedError for NO and BAD, MailboxError when the connection is of no more use
        """
        with self._translated(what, lasting=lasting):
            if self._client is None:
                raise ConnectionError("not connected")
            if begin:
                self._client.connection.expect(octets)
            yield self._client

    def error(self, what: str, *, retry: bool, kind: type[MailboxError] = MailboxError) -> MailboxError:
        """An error that says where."""
        return kind(self._box.name, f"{self._box.host}:{self._box.port}: {what}", retry=retry)

    @contextmanager
    def _translated(self, what: str, *, lasting: bool = False) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  nonsense from a server can raise anything
            secrets = self._client.connection.secrets if self._client else ()
            text, retry = failure.in_words(error, lasting=lasting, secrets=secrets)
            if self.aborted:
                text, retry = "interrupted", True
            kind = RefusedError if failure.is_refusal(error) else MailboxError
            raise self.error(f"{what}: {text}", retry=retry, kind=kind) from None  # the cause may hold a secret

    @contextmanager
    def _login(self) -> Iterator[Client]:
        with self.command(f"login as {self._box.username}", begin=False, lasting=True) as client:
            yield client

    def _log_in_with_token(self) -> None:
        """A token that is refused is renewed once."""
        token = self._token()
        try:
            with self._login() as client:
                client.log_in_with_token(self._box.username, token)
        except RefusedError:
            refused, token = token, self._token(fresh=True)
            if token == refused:
                raise
            with self._login() as client:
                client.log_in_with_token(self._box.username, token)

    def _token(self, *, fresh: bool = False) -> str:
        box = self._box
        assert box.oauth
        try:
            return oauth.access_token(box.oauth, ca_file=box.ca_file, fresh=fresh)
        except oauth.TokenError as error:
            raise self.error(f"login as {box.username}: {error}", retry=error.retry) from None

    def _opened(self, sock: socket.socket) -> None:
        self._line = sock.dup()
        if self.aborted:
            raise ConnectionAbortedError
