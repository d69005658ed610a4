"""Which settings a user's mail goes out with, out of the user cards.  A pure function: no database, no network.

What is set on the user's own card wins, else what is set on the mail sending user's, else the default holds.  Each of
these is taken whole, from one card: the mail sender; server, port and SSL/TLS; user name and password.
A login never goes to a server that it was not set for:

- The mail sending user's password is inherited with that user's server only.  Whoever has a user name or a password
  of their own gets neither of somebody else's; an own login may go to the mail sending user's server.
- A Microsoft 365 token goes to Microsoft only, and a password never.  The mail sending user's token is inherited by
  those who inherit that user's mail sender and have neither a user name nor a token; who chose Microsoft 365 on the
  own card needs an own one.

SSL/TLS left out: port 465 means implicit TLS, else STARTTLS is required where a login is sent.  Where none is sent, as
to Directo's own server, it stays open: STARTTLS if the server offers it, as between mail servers (RFC 7435).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bounced.config import Directo
from bounced.errors import BouncedError, ConfigError, InputError
from bounced.log import CONTROLS
from bounced.send.recipients import MAX_LOCAL, envelope_address
from bounced.send.sender import Login, Origin, SenderConfig, Source
from bounced.send.servers import IMPLICIT_TLS, Server, preset_of, read_server
from bounced.store.people import MailSender, SmtpTls, email_key

DEFAULT = Origin(Source.DEFAULT)

MAX_TEXT = 255  # characters of a code, a name or a user name (RFC 4616 §2 has as many octets of the latter)
LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)  # RFC 5321 §4.1.2

PLACE = "Main Menu → Personal → User"
SETTING = "the system setting Mail sending user code"


class SettingsError(BouncedError):
    """What is on the cards cannot work.  Tells none of their values: a password may stand in the wrong field."""

    def __init__(self, card: str, field: str, what: str, remedy: str) -> None:
        super().__init__(f"user {card}: {field}: {what}; {remedy}")
        self.card, self.field = card, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What counts on a user card.  None: not set."""

    code: str
    name: str | None = None
    email: str | None = None
    mail_sender: MailSender | None = None
    smtp_server: str | None = None  # host:port, or the name of a preset
    smtp_tls: SmtpTls | None = None
    smtp_username: str | None = None
    password: int | None = None  # its version
    token: int | None = None  # version of the Microsoft 365 token


def resolve(
    user: Card,
    sending: Card | None,
    directo: Directo,
    *,
    company: str,
    allow_plaintext_login: bool,
    microsoft365: str,
) -> SenderConfig:
    """The settings that the user's mail goes out with.

    sending  the card of the mail sending user; None: the company has none.  It may be the user's own.
    company  its name, the local part of its event address
    microsoft365  the server in mode microsoft365, host:port
    raises   SettingsError: it cannot work, with the card, the field and what to do; ConfigError: [directo] or
             [microsoft365] is wrong
    """
    for card in filter(None, (user, sending)):
        _clean(card, "code", card.code)
    mode_card = _first(user, sending, "mail_sender")
    mode = mode_card.mail_sender if mode_card and mode_card.mail_sender else MailSender.DIRECTO
    match mode:
        case MailSender.SMTP:
            way = _smtp(user, sending, allow_plaintext_login=allow_plaintext_login)
        case MailSender.MICROSOFT365:
            server = _configured(microsoft365, "[microsoft365] server")
            way = _microsoft365(user, sending if mode_card is sending else None, server)
        case MailSender.DIRECTO | MailSender.DIRECTO_REPLY_TO:
            way = _directo(directo)
    address = _address(user)
    event_address = _event_address(user, company, directo) if mode is MailSender.DIRECTO_REPLY_TO else None
    return SenderConfig(
        company=company,
        user=user.code,
        mode=mode,
        mode_origin=_origin(user, mode_card),
        server=way.server,
        server_origin=way.server_origin,
        tls=way.tls,
        tls_origin=way.tls_origin,
        login=way.login,
        from_address=event_address or address,
        envelope_sender=event_address or address,
        reply_to=address if event_address else None,
        display_name=_clean(user, "name", user.name) if user.name is not None else None,
        warnings=(*way.warnings, *_unused(user, sending, mode_card)),
    )


def check_mass_mail(config: SenderConfig, directo: Directo, *, has_module: bool) -> None:
    """Whether one message may go to many customers: if it does not burden Directo's server, however that is written.

    has_module  whether the company has the mass-mail module
    raises      SettingsError: it may not; ConfigError: [directo] is wrong
    """
    own = not config.through_directo and config.server.host not in (_relay(directo).host, directo.relay_address)
    if has_module or own:
        return
    raise SettingsError(
        config.user,
        "Mail Sender",
        "mass mail through Directo's server needs the company's mass-mail module",
        "order the module, or send through a server of the user's or the company's own: "
        f"choose SMTP or Microsoft 365 OAUTH in the list Mail Sender {on_card(config.user)}",
    )


def uses_verp(config: SenderConfig, directo: Directo) -> bool:
    """Whether each recipient has an SMTP transaction, and an envelope sender with a token, of its own."""
    return config.mode is MailSender.DIRECTO_REPLY_TO and directo.envelope == "verp"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How a message leaves: the part of a sender config that the modes differ in most."""

    server: Server
    server_origin: Origin = DEFAULT
    tls: SmtpTls | None
    tls_origin: Origin = DEFAULT
    login: Login | None = None
    warnings: tuple[str, ...] = ()


def _directo(directo: Directo) -> _Way:
    server = _relay(directo)
    return _Way(server=server, tls=_default_tls(server, None))


def _smtp(user: Card, sending: Card | None, *, allow_plaintext_login: bool) -> _Way:
    card = _first(user, sending, "smtp_server")
    if card is None or card.smtp_server is None:
        raise SettingsError(
            user.code,
            "server and port",
            "the mail sender is SMTP, but no server is set, neither on this card nor on the mail sending user's",
            f"enter it {on_card(user.code)}, or on the card of the user that {SETTING} names",
        )
    try:
        server = read_server(card.smtp_server)
    except ValueError as error:
        raise SettingsError(card.code, "server and port", str(error), f"correct it {on_card(card.code)}") from None
    login = _password(user, sending if card is sending else None, server)
    origin = _origin(user, card)
    way = _Way(
        server=server,
        server_origin=origin,
        tls=card.smtp_tls or _default_tls(server, login),
        tls_origin=origin if card.smtp_tls else DEFAULT,
        login=login,
        warnings=tuple(_smtp_warnings(user, sending, card, server, login)),
    )
    if login and way.tls is SmtpTls.NONE and not allow_plaintext_login:
        raise SettingsError(
            card.code,
            "SSL/TLS",
            "it is none, and a password is not sent over an unencrypted line",
            f"choose SSL or STARTTLS {on_card(card.code)}",
        )
    return way


def _microsoft365(user: Card, sending: Card | None, server: Server) -> _Way:
    """How it leaves in that mode.

    sending  the mail sending user, if the mail sender is that user's
    """
    card = _first(user, sending, "smtp_username", "token") or sending or user
    if card.token is None:
        raise SettingsError(
            card.code,
            "Mail Sender",
            "mail goes out by Microsoft 365 OAUTH, but this user has not logged in to Microsoft 365",
            f"log in with `bounced users login {card.code}`, or change Mail Sender or user name {on_card(card.code)}",
        )
    username = _address(card) if card.smtp_username is None else _clean(card, "user name", card.smtp_username)
    login = Login(username=username, credential=card.token, origin=_origin(user, card))
    warning = (
        f"Microsoft 365 wants the right Send As, or Send on Behalf, where a user name ({username}) is not the From"
    )
    same = email_key(username) == email_key(_address(user))
    return _Way(server=server, tls=SmtpTls.STARTTLS, login=login, warnings=() if same else (warning,))


def _password(user: Card, sending: Card | None, server: Server) -> Login | None:
    """The login with a password that goes to the server.

    sending  the mail sending user, if the server is that user's
    returns  None: no card has one, and the server may do without
    """
    preset = preset_of(server)
    card = _first(user, sending, "smtp_username", "password")
    if card is None:
        if preset is None:
            return None
        raise SettingsError(
            (sending or user).code,
            "user name and password",
            f"{server.host} takes no mail without a login, and none was set for it",
            f"enter the user name and {preset.password} {on_card((sending or user).code)}",
        )
    if card.smtp_username is None:
        raise SettingsError(
            card.code, "user name", "there is a password, but no user name", f"enter it {on_card(card.code)}"
        )
    if card.password is None:
        raise SettingsError(
            card.code,
            "password",
            "there is a user name, but no password, and nobody else's is taken",
            f"enter {preset.password if preset else 'it'} {on_card(card.code)}, or clear the user name",
        )
    username = _clean(card, "user name", card.smtp_username)
    return Login(username=username, credential=card.password, origin=_origin(user, card))


def _default_tls(server: Server, login: Login | None) -> SmtpTls | None:
    if server.port == IMPLICIT_TLS:
        return SmtpTls.SSL
    return SmtpTls.STARTTLS if login else None


def _smtp_warnings(user: Card, sending: Card | None, card: Card, server: Server, login: Login | None) -> Iterator[str]:
    """What may surprise.

    card  whose server it is
    """
    preset = preset_of(server)
    if preset and preset.warning:
        yield preset.warning
    if card is not user and user.smtp_tls is not None:
        yield f"SSL/TLS on the card of {user.code} is not used, since the server comes from {card.code}"
    if login is None and sending is not None and sending.password is not None:
        yield f"no login is sent: that of {sending.code} is not for the server on the card of {user.code}"


def _unused(user: Card, sending: Card | None, mode_card: Card | None) -> Iterator[str]:
    """A mail sender that was forgotten; where one was chosen, what it does not need may stand there."""
    if mode_card is None and (card := _first(user, sending, "smtp_server", "smtp_username", "password", "token")):
        yield f"what is set for sending on the card of {card.code} is not used, since no Mail Sender is chosen"


def _first(user: Card, sending: Card | None, *fields: str) -> Card | None:
    """The card that a setting comes from: the first on which any of these fields is set."""
    for card in (user, sending):
        if card is not None and any(getattr(card, name) is not None for name in fields):
            return card
    return None


def _origin(user: Card, card: Card | None) -> Origin:
    if card is None:
        return DEFAULT
    return Origin(Source.OWN if card is user else Source.SENDING, card.code)


def _relay(directo: Directo) -> Server:
    return _configured(directo.relay, "[directo] relay")


def _configured(server: str, key: str) -> Server:
    try:
        return read_server(server)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from None


def _address(card: Card) -> str:
    if card.email is None:
        raise SettingsError(card.code, "e-mail", "there is no address to send from", f"enter it {on_card(card.code)}")
    try:  # a server that is told it must take it
        envelope_address(card.email)
    except InputError as error:
        raise SettingsError(card.code, "e-mail", str(error), f"correct it {on_card(card.code)}") from None
    return card.email


def _event_address(user: Card, company: str, directo: Directo) -> str:
    if len(company) > MAX_LOCAL or not LOCAL_PART.fullmatch(company):
        raise SettingsError(
            user.code,
            "Mail Sender",
            "it is Directo-Reply-to, but the company's name cannot stand in an e-mail address",
            f"choose another in the list Mail Sender {on_card(user.code)}",
        )
    return f"{company}@{directo.event_domain}"


def _clean(card: Card, field: str, text: str) -> str:
    """The text, if it may stand in a header, in a login and on a terminal."""
    if len(text) <= MAX_TEXT and not CONTROLS.search(text):
        return text
    code = CONTROLS.sub(" ", card.code[:MAX_TEXT])
    what = f"it has control characters, or more than {MAX_TEXT} characters"
    raise SettingsError(code, field, what, f"correct it {on_card(code)}")


def on_card(code: str | None) -> str:
    """Where a person finds what is to be changed."""
    return f"on the user card of {code} ({PLACE})"
