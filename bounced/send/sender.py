"""A sender config: the settings that a message goes out with, and where each of them comes from.  Pure data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from bounced.send.servers import Server
from bounced.store.people import MailSender, SmtpTls


class Source(StrEnum):
    """Where a setting comes from."""

    OWN = "own-card"
    SENDING = "mail-sending-user"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a setting comes from, and the code of the card, unless it is a default."""

    source: Source
    card: str | None = None

    def __str__(self) -> str:
        return self.in_words()

    def in_words(self, word: Callable[[str], str] = str) -> str:
        """Where it comes from; `word` gives each piece of the text in the reader's language."""
        match self.source:
            case Source.OWN:
                return word("own")
            case Source.SENDING:
                return word("from the company-wide user {card}").format(card=self.card)
            case Source.DEFAULT:
                return word("by default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Whose login is sent.  `credential`: version of the card's token in mode microsoft365, else of its password."""

    username: str
    credential: int
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderConfig:
    """The resolved settings.  Without any secret; equal are those that send alike, whatever they warn of.

    `envelope_sender` is the plain one; a VERP token is put into it for each recipient.
    """

    company: str
    user: str  # code of whose mail it is
    mode: MailSender
    mode_origin: Origin
    server: Server
    server_origin: Origin
    tls: SmtpTls | None  # None: STARTTLS where it is offered; no login is sent then
    tls_origin: Origin
    login: Login | None
    from_address: str
    envelope_sender: str
    reply_to: str | None
    display_name: str | None
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def through_directo(self) -> bool:
        """Whether the mail sender is Directo's own server."""
        return self.mode in (MailSender.DIRECTO, MailSender.DIRECTO_REPLY_TO)

    def snapshot(self) -> dict[str, Any]:
        """What is kept for ever and shown in events: JSON's own types.  Without the warnings: they are reworded."""
        kept: dict[str, Any] = _ADAPTER.dump_python(self, mode="json", exclude={"warnings"})
        return kept

    def in_words(self, word: Callable[[str], str] = str) -> str:
        """What support reads: "sent by MARI through smtp.zone.ee:465 (server own, user name own)".

        word  gives each piece of the text in the reader's language
        """
        way = word(WAYS[self.mode]).format(
            server=self.server,
            server_origin=self.server_origin.in_words(word),
            address=self.from_address,
            mode=word("mail sender {origin}").format(origin=self.mode_origin.in_words(word)),
            login=word("user name {origin}").format(origin=self.login.origin.in_words(word))
            if self.login
            else word("no login"),
        )
        return word("sent by {user} through {way}").format(user=self.user, way=way)


WAYS = {
    MailSender.SMTP: "{server} (server {server_origin}, {login})",
    MailSender.MICROSOFT365: "Microsoft 365, {server} ({mode}, {login})",
    MailSender.DIRECTO_REPLY_TO: "Directo's server {server} as {address} ({mode})",
    MailSender.DIRECTO: "Directo's server {server} ({mode})",
}


_ADAPTER = TypeAdapter(SenderConfig)


def from_snapshot(snapshot: Mapping[str, Any]) -> SenderConfig:
    """The settings that `SenderConfig.snapshot` gave.

    raises  ValueError: it gave no such thing
    """
    return _ADAPTER.validate_python(snapshot)
