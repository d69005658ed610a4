"""Whether a user's mail will pass, before it is sent: can the server be used, and may it send for the domain?"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address

from bounced.config import Config, Directo
from bounced.errors import ConfigError, InputError
from bounced.keys import Keyring, KeysError
from bounced.send import recipients
from bounced.send.dmarc import Dmarc, Policy, find_dmarc
from bounced.send.failure import LoginError, TokenError, TransportError
from bounced.send.line import Timeouts
from bounced.send.microsoft import ANEW
from bounced.send.refusal import refused
from bounced.send.resolver import DnsError, Resolver
from bounced.send.sender import SenderConfig
from bounced.send.servers import PRESETS
from bounced.send.settings import on_card
from bounced.send.smtp import Route, Session
from bounced.send.spf import SpfAnswer, SpfResult, check_spf
from bounced.service.login import Account, open_session
from bounced.store.engine import Store
from bounced.store.people import MailSender
from parsers.causes import texts
from parsers.report import Evidence

Address = IPv4Address | IPv6Address

TIMEOUTS = Timeouts(connect=10, command=20)
"""A person waits."""
MAX_ADDRESSES = 4
"""Of a server, where they are only an indication."""
MICROSOFT_SPF = "spf.protection.outlook.com"
IP4 = re.compile(rb"(?i) ip4:(?P<address>[0-9.]{7,15})(?:/[0-9]{1,2})?(?= |\Z)")
"""A term of an SPF record (RFC 7208 §5.6)."""


class Level(IntEnum):
    """How bad it is."""

    OK = 0
    WARNING = 1  # mail may be refused or taken for spam, or that could not be found out
    WRONG = 2  # mail is not sent, refused, or taken for spam


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    text: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """Who hands the mail to its recipients, as SPF sees it."""

    name: str
    addresses: Sequence[Address]
    permit: str  # what permits it, as an instruction that ends before the domain's name
    certain: bool = True  # False: it may send from other addresses


def preflight(sender: SenderConfig, log_in: Callable[[], None], config: Config) -> Iterator[Finding]:
    """Looks at one thing after the other; nothing is sent.

    log_in   `connect`, for this sender config
    raises   ConfigError: [directo] is wrong; InputError: the From is no address
    """
    yield _login(sender, log_in)
    domain = recipients.envelope_address(sender.from_address).rpartition("@")[2]
    try:
        resolver = Resolver(config.send.resolver)
        origin = _origin(sender, config.directo, resolver)
        answer = _best(resolver, recipients.envelope_address(sender.envelope_sender), origin.addresses)
    except DnsError as error:
        yield Finding(Level.WARNING, f"SPF and DMARC of {domain} could not be checked: {error}", "try again later")
        return
    yield _spf(sender, domain, origin, answer)
    try:
        dmarc = find_dmarc(Resolver(config.send.resolver), domain)
    except DnsError as error:
        yield Finding(Level.WARNING, f"DMARC of {domain} could not be checked: {error}", "try again later")
        return
    yield _dmarc(sender, domain, origin, answer, dmarc)


def verdict(findings: Iterable[Finding]) -> str:
    """What they come to."""
    match max(finding.level for finding in findings):
        case Level.OK:
            return "mail will pass"
        case Level.WARNING:
            return "mail may be refused or taken for spam, or not all could be checked"
        case Level.WRONG:
            return "mail will not pass everywhere"


def connect(route: Route, account: Account | None, store: Store, config: Config, keyring: Keyring) -> None:
    """Connects, encrypts as the route says, logs in, and takes leave.

    raises   TransportError; ConfigError, KeysError, InputError, StoreError
    """
    session = Session(route, timeouts=TIMEOUTS)
    open_session(session, account, store, config, keyring)
    session.close()


def _login(sender: SenderConfig, log_in: Callable[[], None]) -> Finding:
    try:
        log_in()
    except TransportError as error:
        return Finding(Level.WRONG, str(error), _login_remedy(sender, error))
    except (InputError, KeysError) as error:  # of the card; it says what to do
        return Finding(Level.WRONG, str(error), None)
    done = f"login as {sender.login.username}" if sender.login else "no login is needed"
    return Finding(Level.OK, f"{sender.server} can be used: {done}")


def _login_remedy(sender: SenderConfig, error: TransportError) -> str | None:
    """What to do; None: the error says it."""
    card = sender.login.origin.card if sender.login else None
    if isinstance(error, TokenError) and not error.retry:
        return f"log in anew with `bounced users login {card}`" if error.what.endswith(ANEW) else None
    if card and isinstance(error, LoginError) and (known := _known_remedy(sender, error)):
        return f"{known} It is the user card of {card}."
    if sender.through_directo:
        remedy = "tell Directo"
    elif card and isinstance(error, LoginError):
        if sender.mode is MailSender.MICROSOFT365:
            remedy = f"log in anew with `bounced users login {card}`"
        else:
            remedy = f"correct user name and password {on_card(card)}"
    elif sender.mode is MailSender.MICROSOFT365:
        remedy = "correct server or authority in [microsoft365], or ca_file in [send], in bounced.toml"
    else:
        remedy = f"correct server and port, or SSL/TLS, {on_card(sender.server_origin.card)}"
    return f"try again later; if it goes on, {remedy}" if error.retry else remedy


def _known_remedy(sender: SenderConfig, error: LoginError) -> str | None:
    """What to do about a refusal whose words are known: providers refuse a right password, too."""
    if error.reply is None:
        return None
    host = sender.server.host
    said = refused(None, code=error.code, text=str(error.reply), host=host, evidence=Evidence(), final=True)
    if said.cause is None:
        return None
    known = texts.describe(said.cause, rule=said.rule).remedy
    return known if known != texts.describe(said.cause).remedy else None


def _origin(sender: SenderConfig, directo: Directo, resolver: Resolver) -> _Origin:
    """Who hands it over.

    raises   ConfigError: [directo] is wrong; DnsError
    """
    host = sender.server.host
    if sender.through_directo:
        try:
            address = ip_address(directo.relay_address)
        except ValueError:
            raise ConfigError("[directo] relay_address: expected an IP address") from None
        return _Origin(
            name=f"Directo's server ({address})",
            addresses=[address],
            permit=f"permit Directo's server: add ip{address.version}:{address} to",
        )
    if host in PRESETS["office365"].hosts:
        return _Origin(
            name="Microsoft 365",
            addresses=[_microsoft(resolver)],
            permit=f"permit Microsoft 365: add include:{MICROSOFT_SPF} to",
        )
    try:
        addresses = [ip_address(host)]
    except ValueError:
        found = [*resolver.addresses(host, "A"), *resolver.addresses(host, "AAAA")]
        addresses = [ip_address(text) for text in found[:MAX_ADDRESSES]]
    if not addresses:
        raise DnsError(f"{host} has no address")
    return _Origin(
        name=f"{host} (by the addresses of its name, which is an indication only: it may send from others)",
        addresses=addresses,
        permit=f"permit {host}: add what its provider says, mostly an include:, to",
        certain=False,
    )


def _microsoft(resolver: Resolver) -> Address:
    """One of the addresses that Microsoft 365 sends from: the first that its own SPF record names.

    raises   DnsError: there is none
    """
    for text in resolver.texts(MICROSOFT_SPF):
        for term in IP4.finditer(text):
            try:
                return ip_address(term["address"].decode("ascii"))
            except ValueError:
                continue
    raise DnsError(f"{MICROSOFT_SPF} names no address")


def _best(resolver: Resolver, sender: str, addresses: Iterable[Address]) -> SpfAnswer:
    """Of the answers for several addresses, the one that counts: a pass, else the first."""
    answers = []
    for address in addresses:
        answers.append(check_spf(resolver, sender, address))
        if answers[-1].result is SpfResult.PASS:
            return answers[-1]
    return answers[0]


def _spf(sender: SenderConfig, domain: str, origin: _Origin, answer: SpfAnswer) -> Finding:
    record = f"the SPF record of {domain}"
    permit = f"{origin.permit} {record}{_or_reply_to(sender)}"
    wrong = Level.WRONG if origin.certain else Level.WARNING
    match answer.result:
        case SpfResult.PASS:
            return Finding(Level.OK, f"SPF: {record} permits {origin.name}")
        case SpfResult.FAIL:
            return Finding(wrong, f"SPF: {record} forbids {origin.name}", permit)
        case SpfResult.SOFTFAIL | SpfResult.NEUTRAL:
            return Finding(Level.WARNING, f"SPF: {record} does not permit {origin.name}", permit)
        case SpfResult.NONE:
            text = f"SPF: {domain} has no SPF record, and so permits nobody, {origin.name} neither"
            return Finding(Level.WARNING, text, f"{origin.permit} an SPF record of {domain}{_or_reply_to(sender)}")
        case SpfResult.PERMERROR:
            return Finding(wrong, f"SPF: {record} is wrong: {answer.problem}", f"correct it{_or_reply_to(sender)}")
        case SpfResult.TEMPERROR:
            return Finding(Level.WARNING, f"SPF: {record} could not be checked: {answer.problem}", "try again later")


def _dmarc(sender: SenderConfig, domain: str, origin: _Origin, answer: SpfAnswer, dmarc: Dmarc | None) -> Finding:
    """From and envelope sender are of one domain: where SPF passes, DMARC does."""
    if dmarc is None:
        return Finding(Level.OK, f"DMARC: {domain} has no policy")
    if dmarc.policy is Policy.NONE:
        return Finding(Level.OK, f"DMARC: the policy of {dmarc.domain} is none: it asks for nothing")
    asks = "refuse" if dmarc.policy is Policy.REJECT else "take for spam"
    text = f"DMARC: {dmarc.domain} asks receivers to {asks} what is not authenticated ({dmarc.policy})"
    if answer.result is SpfResult.PASS:
        return Finding(
            Level.OK, f"{text}; this mail is, by SPF{'' if origin.certain else ', if that indication holds'}"
        )
    if answer.result is SpfResult.TEMPERROR:
        return Finding(Level.WARNING, f"{text}; whether this mail is could not be checked", "try again later")
    if sender.through_directo:
        level, text = Level.WRONG, f"{text}; this mail is not"
    else:
        level, text = (
            Level.WARNING,
            f"{text}; this mail is not, unless {sender.server.host} signs it (DKIM) as {domain}",
        )
    return Finding(level, text, f"{origin.permit} the SPF record of {domain}{_or_reply_to(sender)}")


def _or_reply_to(sender: SenderConfig) -> str:
    """The other way out, where there is one."""
    if sender.mode is MailSender.DIRECTO_REPLY_TO:
        return ": tell Directo, whose domain it is"
    return f"; or choose Directo-Reply-to in the list Mail Sender {on_card(sender.user)}"
