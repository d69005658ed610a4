"""Which card each setting comes from: the rules as tables, and over every combination of what can be set."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounced.config import Directo, Microsoft365
from bounced.errors import ConfigError
from bounced.log import CONTROLS
from bounced.model import digest_of
from bounced.send.sender import Login, Origin, SenderConfig, Source, from_snapshot
from bounced.send.servers import Server
from bounced.send.settings import Card, SettingsError, check_mass_mail, resolve
from bounced.store.people import MailSender, SmtpTls

DIRECTO = Directo()
MARI = Card(code="MARI", name="Mari Õun", email="mari@example.com")
HQ = Card(code="HQ", name="Head Office", email="hq@example.com")


def resolved(
    user: Card,
    sending: Card | None = None,
    *,
    directo: Directo = DIRECTO,
    company: str = "acme",
    plaintext: bool = False,
) -> SenderConfig:
    """The settings of a user of that company."""
    server = Microsoft365().server
    return resolve(user, sending, directo, company=company, allow_plaintext_login=plaintext, microsoft365=server)


def card(base: Card, written: str) -> Card:
    """`base` with what is written: "smtp server=smtp.example.com:25 tls=none user=x password=1 token=2"."""
    names = {"server": "smtp_server", "user": "smtp_username", "password": "password", "token": "token"}
    changes: dict[str, Any] = {}
    for word in written.split():
        name, equals, value = word.partition("=")
        if not equals:
            changes["mail_sender"] = MailSender(word)
        elif name == "tls":
            changes["smtp_tls"] = SmtpTls(value)
        else:
            changes[names[name]] = int(value) if name in ("password", "token") else value
    return replace(base, **changes)


def told(config: SenderConfig) -> str:
    """Each setting with where it comes from, to be compared with a table."""
    login = config.login
    parts = [
        f"{config.mode}<{config.mode_origin.card}",
        f"{config.server}<{config.server_origin.card}",
        f"{config.tls or 'offered'}<{config.tls_origin.card}",
        f"{login.username}/{login.credential}<{login.origin.card}" if login else "no-login",
    ]
    return " ".join(parts).replace("<None", "")


M365 = "smtp.office365.com:587 starttls"
RELAY = "directo.gate.ee:25 offered no-login"
ZONE = "server=smtp.zone.ee:465 user=hq@zone password=7"

TABLE = [
    # MARI's card | card of the mail sending user HQ; None: there is none | mail sender, server, SSL/TLS, login
    # the mail sender: own, else HQ's, else the default
    ("", None, f"directo {RELAY}"),
    ("", "", f"directo {RELAY}"),
    ("directo", None, f"directo<MARI {RELAY}"),
    ("directo", f"smtp {ZONE}", f"directo<MARI {RELAY}"),
    ("directo-reply-to", f"smtp {ZONE}", f"directo-reply-to<MARI {RELAY}"),
    ("", "directo-reply-to", f"directo-reply-to<HQ {RELAY}"),
    ("smtp server=a.example:25", "directo-reply-to", "smtp<MARI a.example:25<MARI offered no-login"),
    # who has set nothing sends as HQ does
    ("", f"smtp {ZONE}", "smtp<HQ smtp.zone.ee:465<HQ ssl hq@zone/7<HQ"),
    ("", "smtp server=a.example:25", "smtp<HQ a.example:25<HQ offered no-login"),
    ("", "microsoft365 token=5", f"microsoft365<HQ {M365} hq@example.com/5<HQ"),
    ("", "microsoft365 user=o@example.com token=5", f"microsoft365<HQ {M365} o@example.com/5<HQ"),
    # user name and password own, the server HQ's
    ("user=m password=1", f"smtp {ZONE}", "smtp<HQ smtp.zone.ee:465<HQ ssl m/1<MARI"),
    ("smtp user=m password=1", f"smtp {ZONE}", "smtp<MARI smtp.zone.ee:465<HQ ssl m/1<MARI"),
    ("smtp user=m password=1", f"directo {ZONE}", "smtp<MARI smtp.zone.ee:465<HQ ssl m/1<MARI"),
    # HQ's login goes to HQ's server only
    ("smtp", f"smtp {ZONE}", "smtp<MARI smtp.zone.ee:465<HQ ssl hq@zone/7<HQ"),
    ("smtp server=a.example:25", f"smtp {ZONE}", "smtp<MARI a.example:25<MARI offered no-login"),
    ("server=a.example:465", f"smtp {ZONE}", "smtp<HQ a.example:465<MARI ssl no-login"),
    ("smtp server=zone.example:25", "smtp server=zone.example:25 user=h password=7",
     "smtp<MARI zone.example:25<MARI offered no-login"),
    # all own
    ("smtp server=gmail user=m password=1", f"smtp {ZONE}", "smtp<MARI smtp.gmail.com:465<MARI ssl m/1<MARI"),
    # SSL/TLS goes with the server, and is a default where it is left out there
    ("smtp tls=none", f"smtp {ZONE}", "smtp<MARI smtp.zone.ee:465<HQ ssl hq@zone/7<HQ"),
    ("smtp server=a.example:25", f"smtp tls=ssl {ZONE}", "smtp<MARI a.example:25<MARI offered no-login"),
    ("smtp user=m password=1", "server=a.example:25", "smtp<MARI a.example:25<HQ starttls m/1<MARI"),
    ("smtp user=m password=1", "server=a.example:25 tls=ssl", "smtp<MARI a.example:25<HQ ssl<HQ m/1<MARI"),
    ("smtp server=a.example:465 tls=starttls", None, "smtp<MARI a.example:465<MARI starttls<MARI no-login"),
    ("smtp server=a.example:465 tls=none", None, "smtp<MARI a.example:465<MARI none<MARI no-login"),
    # Microsoft 365 has a server of its own; a token is not a password, and who chose it needs an own one
    ("microsoft365 token=2", None, f"microsoft365<MARI {M365} mari@example.com/2<MARI"),
    ("microsoft365 user=o@example.com token=2", None, f"microsoft365<MARI {M365} o@example.com/2<MARI"),
    ("microsoft365 server=a.example:25 tls=none token=2", None, f"microsoft365<MARI {M365} mari@example.com/2<MARI"),
    ("microsoft365 password=1 token=2", "microsoft365 token=5", f"microsoft365<MARI {M365} mari@example.com/2<MARI"),
    ("token=2", "microsoft365 user=o@example.com token=5", f"microsoft365<HQ {M365} mari@example.com/2<MARI"),
    ("smtp token=2", f"microsoft365 token=5 {ZONE}", "smtp<MARI smtp.zone.ee:465<HQ ssl hq@zone/7<HQ"),
]  # fmt: skip

CANNOT_WORK = [
    # MARI's card | HQ's card | whose card is to be mended, which field, and words that tell how
    ("smtp", None, "MARI", "server and port", "the system setting Mail sending user code"),
    ("smtp", "smtp", "MARI", "server and port", "no server is set"),
    ("", "smtp", "MARI", "server and port", "no server is set"),
    ("smtp server=a.example", None, "MARI", "server and port", "expected host:port"),
    ("", "smtp server=a.example", "HQ", "server and port", "on the user card of HQ"),
    ("smtp server=a.example:25 user=m", None, "MARI", "password", "no password"),
    ("smtp server=gmail user=m", None, "MARI", "password", "enter an app password of the Google account"),
    ("smtp user=m", f"smtp {ZONE}", "MARI", "password", "nobody else's is taken"),
    ("user=m", f"smtp {ZONE}", "MARI", "password", "clear the user name"),
    ("smtp server=a.example:25 password=1", None, "MARI", "user name", "no user name"),
    ("smtp password=1", f"smtp {ZONE}", "MARI", "user name", "no user name"),
    ("", "smtp server=a.example:25 user=h", "HQ", "password", "on the user card of HQ"),
    ("", "smtp server=a.example:25 password=1", "HQ", "user name", "on the user card of HQ"),
    ("smtp server=office365", f"smtp {ZONE}", "MARI", "user name and password", "takes no mail without a login"),
    ("", "smtp server=zone", "HQ", "user name and password", "on the user card of HQ"),
    ("smtp server=a.example:25 tls=none user=m password=1", None, "MARI", "SSL/TLS", "choose SSL or STARTTLS"),
    ("smtp user=m password=1", "server=a.example:25 tls=none", "HQ", "SSL/TLS", "on the user card of HQ"),
    ("microsoft365", None, "MARI", "Mail Sender", "`bounced users login MARI`"),
    ("microsoft365 password=1 user=m", "microsoft365 token=5", "MARI", "Mail Sender", "`bounced users login MARI`"),
    ("microsoft365", "microsoft365 token=5", "MARI", "Mail Sender", "`bounced users login MARI`"),
    ("user=m", "microsoft365 token=5", "MARI", "Mail Sender", "change Mail Sender or user name"),
    ("", "microsoft365 password=7", "HQ", "Mail Sender", "`bounced users login HQ`"),
]  # fmt: skip


@pytest.mark.parametrize(("own", "sending", "expected"), TABLE)
def test_where_each_setting_comes_from(own: str, sending: str | None, expected: str) -> None:
    """The rules as a table."""
    config = resolved(card(MARI, own), None if sending is None else card(HQ, sending))
    assert told(config) == expected


@pytest.mark.parametrize(("own", "sending", "code", "field", "words"), CANNOT_WORK)
def test_what_cannot_work(own: str, sending: str | None, code: str, field: str, words: str) -> None:
    """One line names the card, the field and the remedy, in Directo's words."""
    with pytest.raises(SettingsError) as raised:
        resolved(card(MARI, own), None if sending is None else card(HQ, sending))
    assert (raised.value.card, raised.value.field) == (code, field)
    assert str(raised.value).startswith(f"user {code}: {field}: ")
    assert words in str(raised.value)
    assert "Main Menu → Personal → User" in str(raised.value)


# Every combination, against the rules written a second time: as tables from what is set to where it comes from.

NOTHING, NAME, SECRET, BOTH = (False, False), (True, False), (False, True), (True, True)

PASSWORD_FROM = {
    # whose server it is: own user name and password, HQ's user name and password -> whose login, or whose error
    **{("own", BOTH, hq): "own" for hq in (NOTHING, NAME, SECRET, BOTH)},
    **{("hq", BOTH, hq): "own" for hq in (NOTHING, NAME, SECRET, BOTH)},
    **{(server, own, hq): "error own" for server in ("own", "hq") for own in (NAME, SECRET)
       for hq in (NOTHING, NAME, SECRET, BOTH)},
    **{("own", NOTHING, hq): "none" for hq in (NOTHING, NAME, SECRET, BOTH)},
    ("hq", NOTHING, NOTHING): "none",
    ("hq", NOTHING, NAME): "error hq",
    ("hq", NOTHING, SECRET): "error hq",
    ("hq", NOTHING, BOTH): "hq",
}  # fmt: skip

TOKEN_FROM = {
    # who chose Microsoft 365: own user name and token, HQ's user name and token -> whose login, or whose error
    **{("own", own, hq): verdict for hq in (NOTHING, NAME, SECRET, BOTH)
       for own, verdict in ((NOTHING, "error own"), (NAME, "error own"), (SECRET, "own"), (BOTH, "own"))},
    **{("hq", own, hq): verdict for hq in (NOTHING, NAME, SECRET, BOTH)
       for own, verdict in ((NAME, "error own"), (SECRET, "own"), (BOTH, "own"))},
    ("hq", NOTHING, NOTHING): "error hq",
    ("hq", NOTHING, NAME): "error hq",
    ("hq", NOTHING, SECRET): "hq",
    ("hq", NOTHING, BOTH): "hq",
}  # fmt: skip

SOURCES = {"own": Source.OWN, "hq": Source.SENDING}


@dataclass(frozen=True, slots=True)
class Told:
    """What the rules say of one combination.  `blame`: whose card cannot work."""

    mode: MailSender
    mode_from: str
    server_from: str = "default"
    tls_from: str = "default"
    login_from: str = "none"
    blame: str | None = None


def by_the_rules(own: Card, hq: Card | None) -> Told:
    """Where everything comes from, or who is to blame."""
    both = {"own": own} if hq is None else {"own": own, "hq": hq}
    mode_from = next((who for who, each in both.items() if each.mail_sender is not None), "default")
    mode = both[mode_from].mail_sender if mode_from in both else MailSender.DIRECTO
    assert mode is not None
    other = hq or Card(code="")
    has_name = (own.smtp_username is not None, other.smtp_username is not None)
    if mode is MailSender.MICROSOFT365:
        tokens = (has_name[0], own.token is not None), (has_name[1], other.token is not None)
        verdict = TOKEN_FROM[mode_from, *tokens]
        server_from = "default"
    elif mode is MailSender.SMTP:
        server_from = next((who for who, each in both.items() if each.smtp_server is not None), "")
        if not server_from:
            return Told(mode, mode_from, blame="own")
        passwords = (has_name[0], own.password is not None), (has_name[1], other.password is not None)
        verdict = PASSWORD_FROM[server_from, *passwords]
    else:
        return Told(mode, mode_from)
    if verdict.startswith("error "):
        return Told(mode, mode_from, blame=verdict.removeprefix("error "))
    tls_from = "default"
    if mode is MailSender.SMTP and both[server_from].smtp_tls is not None:
        tls_from = server_from
    return Told(mode, mode_from, server_from, tls_from, verdict)


def every_card(code: str, version: int) -> Iterator[Card]:
    """A card with each combination of what can be set; each value tells whose it is."""
    for mode, server, tls, username, password, token in product(
        (None, *MailSender),
        (None, f"smtp.{code.lower()}.example:26"),
        (None, SmtpTls.SSL),
        (None, f"login-{code}"),
        (None, 2 * version),
        (None, 2 * version + 1),
    ):
        yield Card(
            code=code,
            name=f"Name {code}",
            email=f"{code.lower()}@example.com",
            mail_sender=mode,
            smtp_server=server,
            smtp_tls=tls,
            smtp_username=username,
            password=password,
            token=token,
        )


def numbered(own: Card, number: int) -> Card:
    """The same card with a user's own code and values, so that no two users have one in common."""
    return Card(
        code=f"U{number}",
        name=f"Name U{number}",
        email=f"u{number}@example.com",
        mail_sender=own.mail_sender,
        smtp_server=own.smtp_server and f"smtp.u{number}.example:26",
        smtp_tls=own.smtp_tls,
        smtp_username=own.smtp_username and f"login-U{number}",
        password=own.password and 10 * number,
        token=own.token and 10 * number + 1,
    )


def check(user: Card, hq: Card | None, expected: Told) -> str:
    """The resolution says what the rules say, field by field.  Returns what came of it."""
    cards = {"own": user, "hq": hq}
    if expected.blame:
        with pytest.raises(SettingsError) as raised:
            resolved(user, hq)
        blamed = cards[expected.blame]
        assert blamed is not None
        assert raised.value.card == blamed.code
        return "error"
    config = resolved(user, hq)

    def comes_from(origin: Origin, who: str) -> None:
        chosen = cards.get(who)
        assert origin == (Origin(SOURCES[who], chosen.code) if chosen else Origin(Source.DEFAULT))

    comes_from(config.mode_origin, expected.mode_from)
    comes_from(config.server_origin, expected.server_from)
    comes_from(config.tls_origin, expected.tls_from)
    assert config.mode is expected.mode
    login = cards.get(expected.login_from)
    login_sent = login is not None
    if config.mode is MailSender.SMTP:
        server = cards[expected.server_from]
        assert server is not None
        assert str(config.server) == server.smtp_server
        assert config.tls == (server.smtp_tls or (SmtpTls.STARTTLS if login_sent else None))
    elif config.mode is MailSender.MICROSOFT365:
        assert (str(config.server), config.tls) == ("smtp.office365.com:587", SmtpTls.STARTTLS)
    else:
        assert (str(config.server), config.tls) == ("directo.gate.ee:25", None)
    if login is None:
        assert config.login is None
    else:
        assert config.login is not None
        microsoft = config.mode is MailSender.MICROSOFT365
        assert config.login.username == (login.smtp_username or (microsoft and login.email))
        assert config.login.credential == (login.token if microsoft else login.password)
        comes_from(config.login.origin, expected.login_from)
    assert config.display_name == user.name
    if config.mode is MailSender.DIRECTO_REPLY_TO:
        identity = ("acme@event.data.directo.ee", "acme@event.data.directo.ee", user.email)
    else:
        identity = (user.email or "", user.email or "", None)
    assert (config.from_address, config.envelope_sender, config.reply_to) == identity
    return config.login.origin.source if config.login else "no login"


def test_every_combination_of_what_two_cards_can_hold() -> None:
    """1,000 users and more, in every mode and with every partial override, below every mail sending user: 25,760."""
    outcomes = {"error": 0, "no login": 0, Source.OWN: 0, Source.SENDING: 0}
    seen = 0
    for hq in (None, *every_card("HQ", 4)):
        for own in every_card("OWN", 5):
            seen += 1
            user = numbered(own, seen)
            outcomes[check(user, hq, by_the_rules(user, hq))] += 1
    assert seen == 161 * 160
    assert all(outcomes.values()), outcomes  # no branch of the rules went untried


def test_a_login_goes_only_where_it_was_set_for() -> None:
    """What matters most, said once more without any table: over every combination."""
    inherited = 0
    for hq, own in product(every_card("HQ", 4), every_card("OWN", 5)):
        try:
            config = resolved(own, hq)
        except SettingsError:
            continue
        login = config.login
        if login is None:
            continue
        whose = {"OWN": own, "HQ": hq}[login.origin.card or ""]
        if config.mode is MailSender.SMTP:
            assert login.credential == whose.password  # a token goes to Microsoft only
            assert login.username == whose.smtp_username
            assert whose is own or config.server.host == "smtp.hq.example"
        else:
            assert config.mode is MailSender.MICROSOFT365
            assert login.credential == whose.token  # and a password never
            assert config.server.host == "smtp.office365.com"
            assert whose is own or own.mail_sender is None
        if whose is hq:
            inherited += 1
            assert own.smtp_username is None
    assert inherited == 96 + 128  # with HQ's server, and with HQ's Microsoft 365: counted by hand


def test_the_mail_sending_user_is_a_user_too() -> None:
    """That user's own settings are own ones, not inherited."""
    hq = card(HQ, f"smtp {ZONE}")
    assert told(resolved(hq, replace(hq))) == "smtp<HQ smtp.zone.ee:465<HQ ssl hq@zone/7<HQ"
    assert resolved(hq, replace(hq)) == resolved(hq)
    assert resolved(hq).server_origin.source is Source.OWN


def test_who_the_mail_is_from() -> None:
    """Directo-Reply-to sends as the company's event address; all others, whosever login it is, as the user."""
    config = resolved(card(MARI, "directo-reply-to"))
    assert (config.from_address, config.envelope_sender) == ("acme@event.data.directo.ee",) * 2
    assert (config.reply_to, config.display_name) == ("mari@example.com", "Mari Õun")
    for own, sending in (("", ""), ("", f"smtp {ZONE}"), ("", "microsoft365 token=5"), ("directo", "directo-reply-to")):
        config = resolved(card(MARI, own), card(HQ, sending))
        assert (config.from_address, config.envelope_sender) == ("mari@example.com",) * 2
        assert (config.reply_to, config.display_name) == (None, "Mari Õun")
    assert resolved(replace(MARI, name=None)).display_name is None


@pytest.mark.parametrize("mode", MailSender)
@pytest.mark.parametrize(
    "email",
    [
        None,
        "mari",
        "mari@",
        "mari@example",
        "mari@192.0.2.1",
        "a" * 65 + "@example.com",
        "Mari <mari@example.com>",
        "a@example.com, b@example.com",
        '"a\u2028b"@example.com',
        '"a\ud800b"@example.com',
    ],
)
def test_a_user_needs_an_address(mode: MailSender, email: str | None) -> None:
    """In every mode: it is the From or the Reply-To."""
    user = card(replace(MARI, email=email), f"{mode} server=a.example:25 user=m token=2 password=1")
    with pytest.raises(SettingsError, match=r"^user MARI: e-mail: ") as raised:
        resolved(user)
    assert raised.value.card == "MARI"


def test_a_microsoft_365_login_needs_a_user_name() -> None:
    """The e-mail address where none is set; without either, the error names the card that lacks them."""
    with pytest.raises(SettingsError, match=r"^user HQ: e-mail: "):
        resolved(MARI, card(replace(HQ, email=None), "microsoft365 token=5"))


@pytest.mark.parametrize("company", ["", "a b", "a@b", "a\r\nb", "õun", ".a", "a..b", "a" * 65])
def test_a_company_that_cannot_have_an_event_address(company: str) -> None:
    """Its name is the local part of an address; where no such address is used, it does not matter."""
    with pytest.raises(SettingsError, match="Directo-Reply-to"):
        resolved(card(MARI, "directo-reply-to"), company=company)
    resolved(MARI, company=company)


def test_a_password_over_an_unencrypted_line() -> None:
    """Only where the configuration allows it."""
    user = card(MARI, "smtp server=a.example:25 tls=none user=m password=1")
    assert told(resolved(user, plaintext=True)) == "smtp<MARI a.example:25<MARI none<MARI m/1<MARI"


def test_directo_s_own_server_comes_from_the_configuration() -> None:
    """With implicit TLS on its port; what cannot be read is the configuration's error, and no card's."""
    assert told(resolved(MARI, directo=Directo(relay="relay.example:465"))) == "directo relay.example:465 ssl no-login"
    with pytest.raises(ConfigError, match=r"\[directo\] relay"):
        resolved(MARI, directo=Directo(relay="relay.example"))


EVIL = ["a\r\nBcc: x@example.com", "a\x00", "a\x1b[31m", "a\x01auth=Bearer x", "a\u2028b", "a\ud800", "a" * 400]


@pytest.mark.parametrize("text", EVIL)
@pytest.mark.parametrize(
    ("name", "own", "sending"),
    [
        ("code", "", None),
        ("name", "", None),
        ("email", "", None),
        ("email", "microsoft365 token=2", None),
        ("smtp_username", "smtp server=a.example:25 password=1", None),
        ("smtp_username", "microsoft365 token=2", None),
        ("smtp_server", "smtp", None),
        ("code", "", ""),
        ("email", "", "microsoft365 token=5"),
        ("smtp_username", "", "smtp server=a.example:25 password=1"),
        ("smtp_username", "", "microsoft365 token=5"),
        ("smtp_server", "", "smtp"),
    ],
)
def test_no_text_of_a_card_ends_a_line(name: str, own: str, sending: str | None, text: str) -> None:
    """Neither a header's, nor a login's, nor a terminal's: it is refused in one clean line that does not repeat it."""
    user, hq = card(MARI, own), None if sending is None else card(HQ, sending)
    evil = {name: f"{text}@example.com" if name == "email" else text}
    if hq is None:
        user = replace(user, **evil)
    else:
        hq = replace(hq, **evil)
    with pytest.raises(SettingsError) as raised:
        resolved(user, hq)
    assert not CONTROLS.search(str(raised.value))
    assert len(str(raised.value)) < 1_000
    if name != "code":
        assert raised.value.card == (hq or user).code
        assert text not in str(raised.value)


def test_what_is_not_used_does_no_harm() -> None:
    """Whatever the mail sending user's card says, it stops only the mail of those who inherit it."""
    broken = replace(card(HQ, "smtp server=nonsense password=1"), name="a\x00", email=None)
    assert resolved(card(MARI, "directo"), broken) == resolved(card(MARI, "directo"))
    own = "smtp server=a.example:25 user=m password=1"
    assert resolved(card(MARI, own), broken) == resolved(card(MARI, own))


WORDS = [
    ("", None, "through Directo's server directo.gate.ee:25 (mail sender by default)"),
    ("directo", None, "through Directo's server directo.gate.ee:25 (mail sender own)"),
    (
        "",
        "directo-reply-to",
        "through Directo's server directo.gate.ee:25 as acme@event.data.directo.ee "
        "(mail sender from the company-wide user HQ)",
    ),
    (
        "user=m password=1",
        f"smtp {ZONE}",
        "through smtp.zone.ee:465 (server from the company-wide user HQ, user name own)",
    ),
    ("smtp server=[2001:db8::1]:25", None, "through [2001:db8::1]:25 (server own, no login)"),
    (
        "",
        "microsoft365 token=5",
        "through Microsoft 365, smtp.office365.com:587 (mail sender from the company-wide user HQ, "
        "user name from the company-wide user HQ)",
    ),
]


@pytest.mark.parametrize(("own", "sending", "words"), WORDS)
def test_in_words(own: str, sending: str | None, words: str) -> None:
    """What support reads, also from the snapshot that was kept."""
    config = resolved(card(MARI, own), None if sending is None else card(HQ, sending))
    assert config.in_words() == f"sent by MARI {words}"
    assert from_snapshot(config.snapshot()).in_words() == config.in_words()


WARNED = [
    ("smtp server=office365 user=m password=1", None, "Microsoft is switching off"),
    ("smtp server=smtp.office365.com:25 user=m password=1", None, "choose Microsoft 365 OAUTH in the list Mail Sender"),
    ("", "smtp server=office365 user=m password=1", "Microsoft is switching off"),
    ("smtp tls=none", f"smtp {ZONE}", "SSL/TLS on the card of MARI is not used, since the server comes from HQ"),
    ("smtp server=a.example:25", f"smtp {ZONE}", "that of HQ is not for the server on the card of MARI"),
    ("server=a.example:25", None, "on the card of MARI is not used, since no Mail Sender is chosen"),
    ("user=m password=1", "", "on the card of MARI is not used, since no Mail Sender is chosen"),
    ("", ZONE, "on the card of HQ is not used, since no Mail Sender is chosen"),
    ("", "microsoft365 token=5", "Send As"),
    ("microsoft365 user=info@example.com token=2", None, "Send As"),
]


@pytest.mark.parametrize(("own", "sending", "words"), WARNED)
def test_what_will_surprise_is_said(own: str, sending: str | None, words: str) -> None:
    """As one warning; the settings are the same without it."""
    config = resolved(card(MARI, own), None if sending is None else card(HQ, sending))
    assert len(config.warnings) == 1
    assert words in config.warnings[0]
    assert replace(config, warnings=()) == config
    assert digest_of(replace(config, warnings=()).snapshot()) == digest_of(config.snapshot())


QUIET = [
    ("", None),
    (f"directo {ZONE}", f"smtp {ZONE}"),
    (f"directo-reply-to {ZONE}", None),
    ("", f"smtp {ZONE}"),
    ("smtp server=gmail user=m password=1", f"smtp {ZONE}"),
    ("microsoft365 token=2 server=a.example:25 tls=ssl", None),
    ("microsoft365 user=MARI@example.com token=2", f"smtp {ZONE}"),
]


@pytest.mark.parametrize(("own", "sending"), QUIET)
def test_what_is_in_order_is_not_warned_of(own: str, sending: str | None) -> None:
    """What a chosen mail sender does not need may stay on the card."""
    assert resolved(card(MARI, own), None if sending is None else card(HQ, sending)).warnings == ()


@pytest.mark.parametrize(
    ("own", "allowed"),
    [
        ("", False),
        ("directo", False),
        ("directo-reply-to", False),
        ("smtp server=a.example:25", True),
        ("microsoft365 token=2", True),
        ("smtp server=directo.gate.ee:587", False),
        ("smtp server=Directo.Gate.ee:25", False),
        ("smtp server=90.190.150.212:25", False),
        ("smtp server=[::ffff:90.190.150.212]:25", False),
    ],
)
def test_mass_mail(own: str, allowed: bool) -> None:
    """It needs the module, or a server that is not Directo's; the refusal says so."""
    config = resolved(card(MARI, own))
    check_mass_mail(config, DIRECTO, has_module=True)
    if allowed:
        check_mass_mail(config, DIRECTO, has_module=False)
        return
    with pytest.raises(SettingsError, match=r"^user MARI: Mail Sender: mass mail .* mass-mail module; order .* SMTP"):
        check_mass_mail(config, DIRECTO, has_module=False)


def test_mass_mail_through_the_company_s_server() -> None:
    """Inherited is as good as own."""
    check_mass_mail(resolved(MARI, card(HQ, f"smtp {ZONE}")), DIRECTO, has_module=False)


def test_what_is_kept() -> None:
    """The snapshot and its hash outlive the program that wrote them: they may not change unnoticed."""
    config = resolved(card(MARI, "user=m password=1"), card(HQ, f"smtp {ZONE}"))
    assert config.snapshot() == {
        "company": "acme",
        "user": "MARI",
        "mode": "smtp",
        "mode_origin": {"source": "mail-sending-user", "card": "HQ"},
        "server": {"host": "smtp.zone.ee", "port": 465},
        "server_origin": {"source": "mail-sending-user", "card": "HQ"},
        "tls": "ssl",
        "tls_origin": {"source": "default", "card": None},
        "login": {"username": "m", "credential": 1, "origin": {"source": "own-card", "card": "MARI"}},
        "from_address": "mari@example.com",
        "envelope_sender": "mari@example.com",
        "reply_to": None,
        "display_name": "Mari Õun",
    }
    assert digest_of(config.snapshot()) == "285d544e9bbde019e9e5d79720d6800d0d396c87f29a5d591e3175c00d392fc6"


CARDS = st.builds(
    Card,
    code=st.sampled_from(["MARI", "HQ", "JÜRI"]),
    name=st.none() | st.sampled_from(["Mari", "Õ \N{PILE OF POO}"]),
    email=st.sampled_from(["mari@example.com", "õ@example.com"]),
    mail_sender=st.none() | st.sampled_from(MailSender),
    smtp_server=st.none() | st.sampled_from(["a.example:25", "a.example:465", "gmail"]),
    smtp_tls=st.none() | st.sampled_from([SmtpTls.SSL, SmtpTls.STARTTLS]),
    smtp_username=st.none() | st.sampled_from(["m", "õ"]),
    password=st.none() | st.integers(1, 2),
    token=st.none() | st.integers(1, 2),
)


@st.composite
def configs(draw: st.DrawFn) -> SenderConfig:
    """Resolved settings, out of few enough values that equal ones come up."""
    mode = draw(st.sampled_from(["directo", "directo-reply-to", "smtp server=a.example:25", "microsoft365 token=1"]))
    base = draw(CARDS)
    user = card(replace(base, smtp_username="m", password=1, token=1), mode)
    chosen = draw(st.sampled_from([user, base]))
    try:
        return resolved(chosen, draw(st.none() | CARDS))
    except SettingsError:
        return resolved(user)


@given(configs(), configs())
def test_equal_settings_have_equal_digests(one: SenderConfig, other: SenderConfig) -> None:
    """And no others; the snapshot is JSON that gives back the same settings."""
    assert (one == other) == (digest_of(one.snapshot()) == digest_of(other.snapshot()))
    kept = from_snapshot(json.loads(json.dumps(one.snapshot())))
    assert kept == one
    assert digest_of(kept.snapshot()) == digest_of(one.snapshot())


OTHER = SenderConfig(
    company="other",
    user="JÜRI",
    mode=MailSender.DIRECTO_REPLY_TO,
    mode_origin=Origin(Source.OWN, "JÜRI"),
    server=Server("other.example", 25),
    server_origin=Origin(Source.DEFAULT),
    tls=SmtpTls.NONE,
    tls_origin=Origin(Source.OWN, "JÜRI"),
    login=Login(username="m", credential=2, origin=Origin(Source.OWN, "MARI")),  # only the version differs
    from_address="o@example.com",
    envelope_sender="o@example.com",
    reply_to="o@example.com",
    display_name=None,
)


@pytest.mark.parametrize("name", [field.name for field in fields(SenderConfig) if field.name != "warnings"])
def test_each_field_counts(name: str) -> None:
    """A digest tells apart settings that differ in one field; of the login, in the version of its password."""
    config = resolved(card(MARI, "user=m password=1"), card(HQ, f"smtp {ZONE}"))
    changed = replace(config, **{name: getattr(OTHER, name)})
    assert changed != config
    assert digest_of(changed.snapshot()) != digest_of(config.snapshot())


def test_what_is_no_snapshot() -> None:
    """It is refused rather than half read."""
    with pytest.raises(ValueError, match="SenderConfig"):
        from_snapshot({"company": "acme"})
