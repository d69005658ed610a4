"""Tokens for Microsoft 365: msal against a stand-in for Microsoft's login, over https."""

import json
import logging
from collections.abc import Callable, Iterator
from io import StringIO

import pytest

from bounced.config import Config, Microsoft365
from bounced.errors import BouncedError, ConfigError
from bounced.send.authority import MAX_ANSWER
from bounced.send.failure import TokenError
from bounced.send.microsoft import Application, DeviceLogin, Grant
from tests.servers.authority import Authority
from tests.servers.microsoft import CLIENT_ID, CLIENT_SCOPE, CLIENT_SECRET, DEVICE_GRANT, USER_SCOPE, MicrosoftLogin

MARI = "mari@acme.example.com"


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """All that is logged at any level, in every phase of the test, also where a logger is told its own level."""
    text = StringIO()
    handler, root = logging.StreamHandler(text), logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in root.manager.loggerDict)]
    levels = [one.level for one in loggers]
    root.addHandler(handler)
    for one in loggers:
        one.setLevel(logging.DEBUG)
    yield text
    for one, level in zip(loggers, levels, strict=True):
        one.setLevel(level)
    root.removeHandler(handler)


@pytest.fixture
def microsoft(authority: Authority, logged: StringIO, capfd: pytest.CaptureFixture[str]) -> Iterator[MicrosoftLogin]:
    """Microsoft's login; whatever the test does, no log and no output tells a token, a secret or a code."""
    server = MicrosoftLogin(authority)
    try:
        yield server
    finally:
        server.close()
    shown = logged.getvalue() + "".join(capfd.readouterr())
    assert not [secret for secret in {"pl4nted", *server.secrets()} if secret in shown]


@pytest.fixture
def application(
    microsoft: MicrosoftLogin, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Application]:
    """Makes an application, with changes to its configuration."""
    monkeypatch.setenv("MS_SECRET", CLIENT_SECRET)

    def make(**changes: object) -> Application:
        table = {"client_id": CLIENT_ID, "client_secret": "env:MS_SECRET", "authority": microsoft.url, **changes}
        return Application(Microsoft365.model_validate(table), authority.ca_file)

    return make


@pytest.fixture
def grant(microsoft: MicrosoftLogin, application: Callable[..., Application]) -> Grant:
    """MARI has logged in."""
    return finish(application().start(), microsoft)


def finish(login: DeviceLogin, microsoft: MicrosoftLogin) -> Grant:
    """The person enters the code at once."""
    microsoft.enter(login.code, MARI)
    return login.finish(lambda _seconds: None)


def failure(call: Callable[..., object], *arguments: object, secrets: set[str] = frozenset()) -> TokenError:
    """What goes wrong: one bounded line without a secret."""
    with pytest.raises(TokenError) as caught:
        call(*arguments)
    text = str(caught.value) + repr(caught.value)
    assert text.isprintable()
    assert len(str(caught.value)) < 700
    assert not [secret for secret in secrets if secret in text]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


# A person's login


def test_a_person_logs_in(microsoft, application):
    """The person is told where to enter what; we ask at the pace that Microsoft wants, until it was entered."""
    login = application().start()
    assert login.url == "https://login.example.com/device"
    assert microsoft.forms[-1]["scope"].split() == [USER_SCOPE, "offline_access", "openid", "profile"]
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            microsoft.enter(login.code, MARI)

    given = login.finish(wait)
    assert waits == [1, 1, 1]
    assert [form["grant_type"] for form in microsoft.forms[1:]] == [DEVICE_GRANT] * 3
    assert microsoft.tokens == {given.access_token: MARI}
    assert given.account == MARI
    assert not any("client_secret" in form for form in microsoft.forms)


def test_nothing_is_shown(microsoft, application, grant):
    """No representation tells a code, a token or the cache."""
    login = application().start()
    assert not [secret for secret in microsoft.secrets() if secret in f"{login!r} {login} {grant!r} {grant}"]


def test_slower(microsoft, application):
    """slow_down makes the pauses longer by five seconds each (RFC 8628 §3.5)."""
    login = application().start()
    microsoft.enter(login.code, MARI)
    microsoft.next = [(400, {"error": "slow_down"}), (400, {"error": "slow_down"})]
    waits = []
    login.finish(waits.append)
    assert waits == [1, 6, 11]


@pytest.mark.parametrize(("said", "paced"), [(0, 1), (-5, 1), ("7", 7), (10**9, 60)])
def test_pace(microsoft, application, said, paced):
    """No endpoint makes us ask without a pause, or never."""
    microsoft.interval = said
    login = application().start()
    microsoft.enter(login.code, MARI)
    waits = []
    login.finish(waits.append)
    assert waits == [paced]


def test_a_lost_answer_does_not_end_a_login(microsoft, application):
    """A person is at it: a failure that may pass is asked past."""
    login = application().start()
    microsoft.enter(login.code, MARI)
    microsoft.next = [(503, b""), (200, b"<html>"), (0, b"nonsense\r\n"), (400, {"error": "temporarily_unavailable"})]
    assert login.finish(lambda _seconds: None).account == MARI


@pytest.mark.parametrize("error", ["authorization_declined", "access_denied", "expired_token"])
def test_declined(microsoft, application, error):
    """A login that the person, or Microsoft, does not want ends at once."""
    login = application().start()
    microsoft.next = [(400, {"error": error, "error_description": "AADSTS70018: no"})]
    refused = failure(login.finish, lambda _seconds: None, secrets=microsoft.secrets())
    assert f"{error}: AADSTS70018: no: log in again with `bounced users login`" in str(refused)
    assert not refused.retry


@pytest.mark.parametrize("missing", ["refresh_token", "client_info"])
def test_login_that_would_not_last(microsoft, application, missing):
    """A token that nothing renews is no login; least of all is it renewed by the application's own."""
    login = application().start()
    whole = {"refresh_token": "r3fresh.x", "client_info": "eyJ1aWQiOiAiYSIsICJ1dGlkIjogImIifQ"}
    microsoft.next = [(200, TOKEN | {name: value for name, value in whole.items() if name != missing})]
    refused = failure(login.finish, lambda _seconds: None)
    assert "there is no refresh token with it" in str(refused)
    assert not refused.retry


def test_nobody_comes(microsoft, application):
    """A code that nobody enters ends with its time; what the waiting raises ends it before."""
    microsoft.interval, microsoft.patience = 20, 60
    waits = []
    assert "not entered in time" in str(failure(application().start().finish, waits.append))
    assert waits == [20, 20, 20]

    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        application().start().finish(stop)


@pytest.mark.parametrize(
    "change",
    [
        {"user_code": "\x1b[31mC0DE"},
        {"user_code": None},
        {"user_code": "A\nB"},
        {"verification_uri": "http://login.example.com/"},
        {"verification_uri": "https://login.example.com/\x07"},
        {"device_code": 7},
        {"interval": "soon"},
        {"expires_in": None},
    ],
)
def test_a_login_that_cannot_be_shown(microsoft, application, change):
    """What goes to a terminal steers none, and what is incomplete is no login."""
    good = {"device_code": "d", "user_code": "U", "verification_uri": "https://x.example/", "expires_in": 9}
    microsoft.next = [(200, good | {"interval": 1} | change)]
    failure(application().start)


def test_start_is_refused(microsoft, application):
    """An application that Microsoft does not know: what to mend is in the line."""
    refused = failure(application(client_id="another").start)
    assert "AADSTS700016" in str(refused)
    assert "[microsoft365] in bounced.toml" in str(refused)
    assert not refused.retry


# Renewal


def test_renewed(microsoft, application, grant):
    """Each renewal uses the refresh token that the last one gave, and asks for no login."""
    tokens = [grant.access_token]
    used = []
    for _ in range(3):
        grant = application().renew(grant.cache)
        tokens.append(grant.access_token)
        used.append(microsoft.forms[-1]["refresh_token"])
        assert microsoft.forms[-1]["grant_type"] == "refresh_token"
        assert grant.account == MARI
    assert len(set(tokens)) == 4
    assert len(set(used)) == 3
    assert not any("client_secret" in form for form in microsoft.forms)


def test_renewed_without_rotation(microsoft, application, grant):
    """Where no new refresh token comes, the old one serves on."""
    microsoft.rotates = False
    for _ in range(2):
        grant = application().renew(grant.cache)
    assert len({form["refresh_token"] for form in microsoft.forms[-2:]}) == 1


def test_held(microsoft, application, grant):
    """A token serves without a question, until shortly before its end."""
    before = len(microsoft.forms), len(microsoft.gets)
    assert application().held(grant.cache) == grant.access_token
    assert application(client_id="another").held(grant.cache) is None
    assert application(authority="https://login.example.com/x").held(grant.cache) is None
    assert before == (len(microsoft.forms), len(microsoft.gets))
    microsoft.lifetime = 100
    renewed = application().renew(grant.cache)
    assert application().held(renewed.cache) is None


def test_renewal_is_refused(microsoft, application, grant):
    """A login that has ended: Microsoft's number, in one line, and what to do."""
    microsoft.revoke()
    refused = failure(application().renew, grant.cache, secrets={grant.access_token, grant.cache, "r3fresh"})
    assert str(refused) == (
        "127.0.0.1: invalid_grant: AADSTS700082: The refresh token has expired due to inactivity. Trace ID: 5f00: "
        "log in again with `bounced users login`"
    )
    assert not refused.retry


def test_secrets_come_back(microsoft, application, grant):
    """An endpoint that repeats what it was sent does not make us show it."""
    token = json.loads(grant.cache)["RefreshToken"].popitem()[1]["secret"]
    said = f"AADSTS1: bad {token}\x1b[2J" + "x" * 9_999
    microsoft.next = [(400, {"error": "invalid_grant", "error_description": said})]
    refused = failure(application().renew, grant.cache, secrets={token})
    assert "AADSTS1: bad ***" in str(refused)


@pytest.mark.parametrize("changed", [{"client_id": "another"}, {"authority": "/another.example"}])
def test_login_of_another_application(microsoft, application, grant, changed):
    """After a new client_id, or a tenant that is none, the line says what to do; no token is sent there."""
    if "authority" in changed:
        changed = {"authority": microsoft.root + changed["authority"]}
    before = len(microsoft.forms)
    refused = failure(application(**changed).renew, grant.cache)
    assert ("log in again" in str(refused)) != ("AADSTS90002" in str(refused))
    assert not refused.retry
    assert len(microsoft.forms) == before


def test_refresh_token_is_gone(microsoft, application, grant):
    """A person's login never turns into the application's, which may do more."""
    cache = json.loads(grant.cache)
    del cache["RefreshToken"]
    before = len(microsoft.forms)
    assert "log in again" in str(failure(application().renew, json.dumps(cache)))
    assert len(microsoft.forms) == before


@pytest.mark.parametrize("cache", ["{", "[" * 100_000])
def test_damaged_cache(application, cache):
    """What was kept and cannot be read asks for a new login."""
    assert "log in again" in str(failure(application().renew, cache))
    assert "log in again" in str(failure(application().held, cache))


# The application's own login


def test_application_logs_in(microsoft, application):
    """By its secret, for all mailboxes; a renewal is a new login."""
    given = application().log_in()
    form = microsoft.forms[-1]
    assert (form["grant_type"], form["scope"], form["client_secret"]) == (
        "client_credentials",
        CLIENT_SCOPE,
        CLIENT_SECRET,
    )
    assert given.account is None
    assert application().held(given.cache) == given.access_token
    again = application().renew(given.cache)
    assert again.access_token != given.access_token
    assert application().held(again.cache) == again.access_token


def test_application_is_refused(microsoft, application, monkeypatch):
    """A wrong secret is named by Microsoft's number and its place, not by itself."""
    monkeypatch.setenv("MS_SECRET", "Wr0ng~secret")
    refused = failure(application().log_in, secrets={"Wr0ng~secret"})
    assert "AADSTS7000215" in str(refused)
    assert "[microsoft365] in bounced.toml" in str(refused)
    assert not refused.retry


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"client_id": None}, "client_id is missing"),
        ({"client_secret": None}, "client_secret is missing"),
        ({"client_secret": "env:NOT_THERE"}, "NOT_THERE is not set"),
        ({"authority": "https://login.microsoftonline.com/common/"}, "https://login.microsoftonline.com/TENANT"),
        ({"authority": "https://login.microsoftonline.com/Organizations"}, "an application logs in to a tenant"),
        ({"authority": "https://login.microsoftonline.com"}, "not of the form"),
        ({"authority": "https:///common"}, "not of the form"),
    ],
)
def test_wrong_configuration(application, microsoft, table, said):
    """Found out before anybody is asked."""
    with pytest.raises(ConfigError, match=said):
        application(**table).log_in()
    assert not microsoft.gets


def test_secret_is_read_at_the_start():
    """A missing secret of the application is known before the work begins."""
    config = Config.model_validate({"microsoft365": {"client_secret": "env:NOT_THERE"}})
    with pytest.raises(ConfigError, match="NOT_THERE is not set"):
        config.read_secrets()


# Everything that an endpoint may answer instead

TOKEN = {"token_type": "Bearer", "expires_in": 3600, "access_token": "pl4nted.token"}

ANSWERS = {
    "unavailable": ((503, b"<html>pl4nted"), "HTTP status 503", True),
    "too many": ((429, b""), "HTTP status 429", True),
    "number": ((500, {"error_description": "AADSTS90033: pl4nted"}), "HTTP status 500, AADSTS90033", True),
    "later": ((400, {"error": "temporarily_unavailable"}), "temporarily_unavailable", True),
    "not HTTP": ((0, b"220 smtp.example.com ESMTP pl4nted\r\n"), "not HTTP", True),
    "html": ((200, b"<html>pl4nted"), "not a token endpoint's", True),
    "empty": ((200, b""), "not a token endpoint's", True),
    "list": ((200, b'["pl4nted"]'), "not a token endpoint's", True),
    "deep": ((200, b"[" * 100_000), "not a token endpoint's", True),
    "no token": ((200, {"token_type": "Bearer"}), "not a token endpoint's", True),
    "no text": ((200, TOKEN | {"access_token": ["pl4nted"]}), "not a token endpoint's", True),
    "two lines": ((200, TOKEN | {"access_token": "pl4nted\r\nRCPT TO:<x>"}), "not a token endpoint's", True),
    "bad id": ((200, TOKEN | {"id_token": "pl4nted"}), "not a token endpoint's", True),
    "bad time": ((200, TOKEN | {"expires_in": "pl4nted"}), "not a token endpoint's", True),
    "cut": ((200, json.dumps(TOKEN).encode()[:-1]), "not a token endpoint's", True),
    "huge": ((200, json.dumps(TOKEN | {"more": "x" * MAX_ANSWER}).encode()), "not a token endpoint's", True),
    "odd error": ((400, {"error": ["x"], "error_description": {"x": 1}}), "refused without a reason", False),
}


@pytest.mark.parametrize("way", ["renew", "log_in"])
@pytest.mark.parametrize("name", ANSWERS)
def test_other_answers(microsoft, application, grant, way, name):
    """Each is one line, tells nothing of what was in it, and says whether it may pass."""
    answer, said, retry = ANSWERS[name]
    microsoft.next = [answer]
    call = (application().renew, grant.cache) if way == "renew" else (application().log_in,)
    failed = failure(*call, secrets={"pl4nted"})
    assert said in str(failed)
    assert failed.retry is retry


def test_not_redirected(microsoft, application, authority):
    """A secret is sent to nobody else."""
    other = MicrosoftLogin(authority)
    try:
        microsoft.next = [(307, f"{other.url}/oauth2/v2.0/token".encode())]
        failure(application().log_in)
        assert (other.forms, other.gets) == ([], [])
    finally:
        other.close()


@pytest.mark.parametrize(
    ("answer", "said", "retry"),
    [
        ((200, {"token_endpoint": "http://127.0.0.1/x/", "authorization_endpoint": ""}), "check authority", True),
        ((200, {}), "check authority", True),
        ((200, b"<html>"), "check authority", True),
        ((404, b"<html>"), "HTTP status 404: check [microsoft365] authority", False),
        ((500, b""), "HTTP status 500", True),
        ((302, b"https://login.example.com/"), "HTTP status 302", False),
    ],
)
def test_discovery_fails(microsoft, application, answer, said, retry):
    """An authority that is none."""
    microsoft.discovery = answer
    failed = failure(application().log_in)
    assert said in str(failed)
    assert failed.retry is retry
    assert not microsoft.forms


def test_only_with_tls(microsoft, application):
    """An authority that sends people's logins elsewhere without TLS is not followed."""
    there = f"{microsoft.url}/x".replace("https", "http")
    microsoft.discovery = (
        200,
        {"token_endpoint": f"{microsoft.url}/x", "authorization_endpoint": "", "device_authorization_endpoint": there},
    )
    refused = failure(application().start)
    assert "without TLS" in str(refused)
    assert not refused.retry


def test_unknown_tenant(microsoft, application):
    """Microsoft's own words for it."""
    failed = failure(application(authority=f"{microsoft.root}/nobody.example").log_in)
    assert "AADSTS90002: Tenant 'nobody.example' not found." in str(failed)


def test_not_trusted(microsoft, tmp_path):
    """A certificate of an unknown authority ends it, and so does a missing file of authorities."""
    settings = Microsoft365(client_id=CLIENT_ID, authority=microsoft.url)
    refused = failure(Application(settings).start)
    assert "certificate is not trusted" in str(refused)
    assert not refused.retry
    refused = failure(Application(settings, tmp_path / "none.pem").start)
    assert "none.pem: no such file" in str(refused)
    assert not refused.retry
    assert not microsoft.gets


def test_nobody_answers(microsoft, application):
    """An endpoint that is down may come back."""
    microsoft.close()
    refused = failure(application().log_in)
    assert "connection refused" in str(refused)
    assert refused.retry
    assert isinstance(refused, BouncedError)
