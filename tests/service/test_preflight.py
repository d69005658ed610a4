"""What is said of a user's mail before it is sent, with a DNS server and an SMTP server that are told what to say."""

import pytest

from bounced.config import Config
from bounced.errors import ConfigError
from bounced.send.failure import ConnectError, LoginError, TlsError, TokenError
from bounced.send.microsoft import ANEW, REGISTRATION
from bounced.send.reply import Reply
from bounced.send.settings import Card, resolve
from bounced.send.smtp import Route, Session
from bounced.service.preflight import Finding, Level, preflight, verdict
from bounced.store.people import MailSender

RELAY = "192.0.2.25"
OK, WARNING, WRONG = Level.OK, Level.WARNING, Level.WRONG
ON_CARD = "on the user card of MARI (Main Menu → Personal → User)"
OR_REPLY_TO = f"; or choose Directo-Reply-to in the list Mail Sender {ON_CARD}"


@pytest.fixture
def check(dns, sink):
    """The findings for MARI's mail; keyword arguments are fields of her card."""

    def run(relay_address: str = RELAY, **card) -> list[Finding]:
        relay = {"relay": f"127.0.0.1:{sink.port}", "relay_address": relay_address}
        directo = relay | {"event_domain": "event.example.net"}
        config = Config.model_validate({"directo": directo, "send": {"resolver": [dns.address]}})
        mari = Card(code="MARI", **{"email": "mari@example.com"} | card)
        sender = resolve(
            mari,
            None,
            config.directo,
            company="acme",
            allow_plaintext_login=False,
            microsoft365=config.microsoft365.server,
        )
        # whatever server the card names, the one that answers here is the sink
        route = Route(host="127.0.0.1", port=sink.port, tls=None)

        def log_in() -> None:
            session = Session(route)
            session.open()
            session.close()

        return list(preflight(sender, log_in, config))

    return run


@pytest.mark.parametrize(
    ("record", "level", "text", "policy", "dmarc"),
    [
        ("v=spf1 ip4:192.0.2.25 -all", OK, "permits", "reject", OK),
        ("v=spf1 ip4:192.0.2.25 -all", OK, "permits", "none", OK),
        ("v=spf1 -all", WRONG, "forbids", "reject", WRONG),
        ("v=spf1 -all", WRONG, "forbids", "none", OK),
        ("v=spf1 -all", WRONG, "forbids", None, OK),
        ("v=spf1 ~all", WARNING, "does not permit", "quarantine", WRONG),
        ("v=spf1 ~all", WARNING, "does not permit", "none", OK),
        ("v=spf1 ?all", WARNING, "does not permit", "reject", WRONG),
        ("nothing", WARNING, "has no SPF record", "reject", WRONG),
        ("nothing", WARNING, "has no SPF record", None, OK),
        ("v=spf1 nonsense -all", WRONG, "is wrong", "reject", WRONG),
    ],
)
def test_directo(check, dns, record, level, text, policy, dmarc):
    """Through Directo's server: SPF must permit it, and where it does, mail passes DMARC whatever the policy."""
    dns.put("example.com", "TXT", record)
    if policy:
        dns.put("_dmarc.example.com", "TXT", f"v=DMARC1; p={policy}")
    login, spf, aligned = findings = check()
    assert (login.level, login.text) == (
        OK,
        f"127.0.0.1:{login.text.split(':')[1].split()[0]} can be used: no login is needed",
    )
    assert (spf.level, aligned.level) == (level, dmarc)
    assert text in spf.text
    for finding in (spf, aligned):
        assert (finding.remedy is None) == (finding.level is OK)
    if level is not OK:
        assert spf.remedy.endswith(OR_REPLY_TO)
    assert (verdict(findings) == "mail will pass") == (level is OK)


def test_words(check, dns):
    """A support person reads what to change, in Directo's own words."""
    dns.put("example.com", "TXT", "v=spf1 -all")
    dns.put("_dmarc.example.com", "TXT", "v=DMARC1; p=reject")
    _, spf, dmarc = findings = check()
    permit = f"permit Directo's server: add ip4:192.0.2.25 to the SPF record of example.com{OR_REPLY_TO}"
    assert spf == Finding(WRONG, "SPF: the SPF record of example.com forbids Directo's server (192.0.2.25)", permit)
    text = "DMARC: example.com asks receivers to refuse what is not authenticated (reject); this mail is not"
    assert dmarc == Finding(WRONG, text, permit)
    assert verdict(findings) == "mail will not pass everywhere"


def test_directo_reply_to(check, dns):
    """From is Directo's own domain then: the user's record is not asked for, and what is wrong is Directo's."""
    dns.put("event.example.net", "TXT", "v=spf1 ip4:192.0.2.25 -all")
    dns.put("_dmarc.event.example.net", "TXT", "v=DMARC1; p=reject")
    card = {"mail_sender": MailSender.DIRECTO_REPLY_TO}
    assert [finding.level for finding in check(**card)] == [OK, OK, OK]
    assert {name for name, _ in dns.asked if "example.com" in name} == set()
    dns.put("event.example.net", "TXT", "v=spf1 -all")
    _, spf, dmarc = check(**card)
    assert spf.remedy == dmarc.remedy
    assert spf.remedy.endswith(": tell Directo, whose domain it is")


@pytest.mark.parametrize(
    ("record", "level", "dmarc"),
    [
        ("v=spf1 a:smtp.example.org -all", OK, OK),
        ("v=spf1 ip6:2001:db8::25 -all", OK, OK),
        ("v=spf1 -all", WARNING, WARNING),
        ("nothing", WARNING, WARNING),
    ],
)
def test_own_server(check, dns, record, level, dmarc):
    """It may send from other addresses than its name has, and sign: so nothing is called wrong."""
    dns.put("smtp.example.org", "A", "192.0.2.99")
    dns.put("smtp.example.org", "AAAA", "2001:db8::25")
    dns.put("example.com", "TXT", record)
    dns.put("_dmarc.example.com", "TXT", "v=DMARC1; p=reject")
    _, spf, aligned = check(mail_sender=MailSender.SMTP, smtp_server="smtp.example.org:25")
    assert (spf.level, aligned.level) == (level, dmarc)
    assert "which is an indication only" in spf.text
    if dmarc is WARNING:
        assert "unless smtp.example.org signs it (DKIM) as example.com" in aligned.text
        assert "add what its provider says, mostly an include:" in spf.remedy


def test_own_server_without_an_address(check, dns):
    """Nothing can be said of a server that is not found."""
    dns.put("example.com", "TXT", "v=spf1 -all")
    (_, found) = check(mail_sender=MailSender.SMTP, smtp_server="smtp.example.org:25")
    assert found.level is WARNING
    assert found.text == "SPF and DMARC of example.com could not be checked: smtp.example.org has no address"


@pytest.mark.parametrize(
    ("record", "level"),
    [
        ("v=spf1 include:spf.protection.outlook.com -all", OK),
        ("v=spf1 redirect=example.org", OK),
        ("v=spf1 ip4:192.0.2.25 -all", WRONG),
    ],
)
@pytest.mark.parametrize("mode", ["microsoft365", "smtp"])
def test_microsoft(check, dns, record, level, mode):
    """Microsoft's own record says from where it sends: the domain's must permit that, in whatever way."""
    dns.put("spf.protection.outlook.com", "TXT", "v=spf1 ip4:198.51.100.0/24 ip6:2001:db8::/32 -all")
    dns.put("example.com", "TXT", record)
    dns.put("example.org", "TXT", "v=spf1 include:spf.protection.outlook.com -all")
    card = {
        "microsoft365": {"mail_sender": MailSender.MICROSOFT365, "token": 1},
        "smtp": {"mail_sender": MailSender.SMTP, "smtp_server": "office365", "smtp_username": "m", "password": 1},
    }
    _, spf, _ = check(**card[mode])
    assert spf.level is level
    assert "Microsoft 365" in spf.text
    if level is WRONG:
        assert "add include:spf.protection.outlook.com to the SPF record of example.com" in spf.remedy


def test_microsoft_without_an_address(check, dns):
    """What Microsoft's own record does not say cannot be compared with."""
    dns.put("spf.protection.outlook.com", "TXT", "v=spf1 ip4:999.0.0.1 -all", "ip4:198.51.100.1")
    (_, found) = check(mail_sender=MailSender.MICROSOFT365, token=1)
    assert found.level is WARNING
    assert found.text.endswith("could not be checked: spf.protection.outlook.com names no address")


@pytest.mark.parametrize(
    ("failing", "levels"),
    [("example.com", [OK, WARNING, WARNING]), ("_dmarc.example.com", [OK, OK, WARNING]), ("example.org", [OK] * 3)],
)
def test_server_failure(check, dns, failing, levels):
    """What could not be looked up is called that, and never wrong."""
    dns.put("example.com", "TXT", "v=spf1 ip4:192.0.2.25 -all")
    dns.put("_dmarc.example.com", "TXT", "v=DMARC1; p=reject")
    dns.failing.add(failing)
    findings = check()
    assert [finding.level for finding in findings] == levels
    for finding in findings:
        if finding.level is WARNING:
            assert "could not be checked" in finding.text
            assert finding.remedy == "try again later"


def test_domain_beyond_ascii(check, dns):
    """It is asked for, and shown, in the form that its owner finds in DNS."""
    dns.put("xn--nide-loa.example.com", "TXT", "v=spf1 ip4:192.0.2.25 -all")
    dns.put("_dmarc.example.com", "TXT", "v=DMARC1; p=reject")
    _, spf, dmarc = check(email="mari@NÄIDE.example.com")
    assert (spf.level, dmarc.level) == (OK, OK)
    assert "xn--nide-loa.example.com" in spf.text


def test_hostile_records(check, dns):
    """Nothing that a domain publishes reaches the terminal as it came."""
    dns.put("example.com", "TXT", "v=spf1 \x1b]0;owned\x07\r\nok everything -all")
    dns.put("_dmarc.example.com", "TXT", "v=DMARC1; p=reject; \x1b[31m" + "x" * 500)
    for finding in check():
        assert (finding.text + (finding.remedy or "")).isprintable()
        assert len(finding.text) < 500


def test_refused_connection(check, sink, dns):
    """A server that does not want to talk is wrong, and the records are looked at all the same."""
    dns.put("example.com", "TXT", "v=spf1 ip4:192.0.2.25 -all")
    sink.greeting = "554 5.7.1 go away"
    login, spf, _ = findings = check()
    assert (login.level, login.remedy) == (WRONG, "tell Directo")
    assert "554 5.7.1 go away" in login.text
    assert spf.level is OK
    assert verdict(findings) == "mail will not pass everywhere"


def test_wrong_relay_address(check):
    """A mistake in bounced.toml is told as one."""
    with pytest.raises(ConfigError, match=r"\[directo\] relay_address"):
        check(relay_address="directo.gate.ee")


SMTP = {"mail_sender": MailSender.SMTP, "smtp_server": "office365", "smtp_username": "m", "password": 1}
M365 = {"mail_sender": MailSender.MICROSOFT365, "token": 1}
LATER = "try again later; if it goes on, "
BY_TOKEN = "log in anew with `bounced users login MARI`"
BY_PASSWORD = f"correct user name and password {ON_CARD}"


def refusal(text: str) -> LoginError:
    reply = Reply(code=int(text[:3]), text=text[4:])
    return LoginError("smtp.office365.com:587", f"login as m: {reply}", retry=reply.temporary, reply=reply)


@pytest.mark.parametrize(
    ("card", "error", "remedy"),
    [
        (SMTP, refusal("535 5.7.8 no"), BY_PASSWORD),
        (SMTP, refusal("454 4.7.0 not now"), LATER + BY_PASSWORD),
        (M365, refusal("535 5.7.8 no"), BY_TOKEN),
        ({}, ConnectError("a:25", "connection refused", retry=True), LATER + "tell Directo"),
        (
            SMTP,
            ConnectError("a:25", "no answer in time", retry=True),
            f"{LATER}correct server and port, or SSL/TLS, {ON_CARD}",
        ),
        (SMTP, TlsError("a:25", "not trusted", retry=False), f"correct server and port, or SSL/TLS, {ON_CARD}"),
        (
            M365,
            TlsError("a:25", "not trusted", retry=False),
            "correct server or authority in [microsoft365], or ca_file",
        ),
        (M365, TokenError("a", f"invalid_grant: {ANEW}", retry=False), BY_TOKEN),
        (M365, TokenError("a", f"invalid_client: {REGISTRATION}", retry=False), None),
    ],
)
def test_remedy(card, error, remedy):
    """What to do names the place where it is done; who only has to wait is told what else it may be."""
    finding = login_finding(card, error)
    assert finding.level is WRONG
    assert (finding.remedy or "").startswith(remedy or "")
    assert (finding.remedy is None) == (remedy is None)
    assert "None" not in (finding.remedy or "")


@pytest.mark.parametrize("card", [SMTP, M365])
@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (
            "SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled",
            "for this mailbox",
        ),
        (
            "SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled",
            "administrator",
        ),
    ],
)
def test_remedy_follows_the_tail(card, tail, words):
    """A login that the organisation forbids is not mended by another password: the same words as in an event."""
    finding = login_finding(card, refusal(f"535 5.7.139 Authentication unsuccessful, {tail}"))
    assert "switch on Authenticated SMTP" in finding.remedy
    assert words in finding.remedy
    assert finding.remedy.endswith("It is the user card of MARI.")


def login_finding(card, error) -> Finding:
    """What is said of a login that failed."""
    config = Config()
    mari = Card(code="MARI", email="mari@example.com", **card)
    sender = resolve(
        mari, None, config.directo, company="acme", allow_plaintext_login=False, microsoft365=config.microsoft365.server
    )

    def log_in() -> None:
        raise error

    return next(preflight(sender, log_in, config))
