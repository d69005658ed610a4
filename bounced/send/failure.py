"""What can go wrong between us and the servers that mail goes through, as errors and in words."""

from collections.abc import Mapping

from bounced import network
from bounced.errors import BouncedError
from bounced.send.reply import Reply, printable


class TransportError(BouncedError):
    """No answer was had for a message, or no connection.  The text is one line: where, what, why; never a secret.

    retry    True if it may work again by itself, False if a person must act
    reply    the server's last word, where it had one
    """

    def __init__(self, place: str, what: str, *, retry: bool, reply: Reply | None = None) -> None:
        super().__init__(" ".join(printable(f"{place}: {what}").split()))
        self.place, self.what, self.retry, self.reply = place, what, retry, reply


class ConnectError(TransportError):
    """There is no connection: no such host, nobody listens, or the server does not want to talk."""


class TlsError(TransportError):
    """The line cannot be encrypted as it must be; nothing was sent over it."""


class LoginError(TransportError):
    """The login was refused.

    reply      the final one, such as 535; None where it never came to one
    challenge  what the server said in a 334 challenge before it, such as "status 401, schemes bearer"
    """

    def __init__(
        self, place: str, what: str, *, retry: bool, reply: Reply | None = None, challenge: str | None = None
    ) -> None:
        super().__init__(place, f"{what} ({challenge})" if challenge else what, retry=retry, reply=reply)
        self.challenge = challenge

    @property
    def code(self) -> int | None:
        """That of the final reply; never 334."""
        return self.reply.code if self.reply else None


class TokenError(TransportError):
    """There is no access token.  `place` is the authority's host."""


class BrokenOffError(TransportError):
    """The connection ended before the server's last word on a message.

    refused  recipients, by address, on whom it had said its last word before: a no
    """

    def __init__(self, place: str, what: str, *, retry: bool, reply: Reply | None = None) -> None:
        super().__init__(place, what, retry=retry, reply=reply)
        self.refused: Mapping[str, Reply] = {}


class ConnectionLostError(BrokenOffError):
    """The connection ended before the message did: it was surely not sent, and may be tried again."""


class WornOutError(BrokenOffError):
    """A connection that took other messages ended before anything was said of this one: that is tried over another."""


class UncertainError(BrokenOffError):
    """The message went out whole, but the server's answer did not come: nobody knows whether it was taken."""


class LineError(ConnectionError):
    """The connection is of no more use: it was closed, or what comes over it is not SMTP.  The text says which."""


def in_words(error: Exception) -> tuple[str, bool]:
    """What happened, in one clean line, and whether it may go away by itself."""
    if isinstance(error, OSError):
        return network.in_words(error)
    return "the host name is not valid", False  # ValueError: a name that is none


def quoted(reply: Reply) -> str:
    """A reply in an error's line."""
    return network.clean(str(reply))
