"""Access tokens for Microsoft 365, through msal.

A person logs in once, with a code on another device (RFC 8628); from then on a refresh token renews the access token.
Or the application logs in as itself, with its own secret (RFC 6749 §4.4).  Either way what is to be kept is one text,
msal's token cache: the caller keeps it encrypted and hands it back.  Nothing is kept here.
Sources: RFC 6749 (OAuth 2.0), RFC 8628 (device code);
https://learn.microsoft.com/entra/identity-platform/reference-error-codes (AADSTS numbers).
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msal  # type: ignore[import-untyped]  # published without types
from msal.authority import WELL_KNOWN_AUTHORITY_HOSTS  # type: ignore[import-untyped]

from bounced.config import Microsoft365
from bounced.errors import ConfigError
from bounced.send.authority import Http, words_of
from bounced.send.failure import TokenError
from bounced.send.reply import printable

FOR_USERS = ["https://outlook.office365.com/SMTP.Send"]
FOR_APPLICATIONS = ["https://outlook.office365.com/.default"]
"""Scopes; msal adds those that bring a refresh token."""

MARGIN = 120.0  # seconds before its end at which a token is not used any more
INTERVALS = range(1, 61)  # seconds between two questions whether the code was entered; the endpoint says how many
NO_TENANT = {"common", "organizations", "consumers"}

TEMPORARY = {"temporarily_unavailable", "server_error", "slow_down"}
ANEW = "log in again with `bounced users login`"
REGISTRATION = "check [microsoft365] in bounced.toml, and the application's registration with Microsoft"
REMEDIES = {
    "invalid_grant": ANEW,  # expired, revoked, the password was changed
    "interaction_required": ANEW,
    "consent_required": ANEW,
    "login_required": ANEW,
    "expired_token": ANEW,
    "authorization_declined": ANEW,
    "access_denied": ANEW,
    "invalid_client": REGISTRATION,  # among them an expired secret, and one where there must be none
    "unauthorized_client": REGISTRATION,
    "invalid_scope": REGISTRATION,
    "invalid_resource": REGISTRATION,
}
"""What to do about an error (RFC 6749 §5.2, RFC 8628 §3.5, and Microsoft's own)."""

# as an error it logs whatever it cannot read, and at its lower levels device codes: both with tokens in them;
# a level would only hold for those of its loggers that have none of their own
logging.getLogger("msal").propagate = False
logging.getLogger("msal").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a login gave."""

    access_token: str = field(repr=False)
    cache: str = field(repr=False)  # to be kept, and handed to `held` and `renew`; as secret as a password
    account: str | None  # who logged in, such as mari@example.com; None: the application, or nobody says


@dataclass(frozen=True, slots=True)
class DeviceLogin:
    """A login that waits for a person: who opens `url` and enters `code` logs in."""

    url: str
    code: str = field(repr=False)
    _application: "Application" = field(repr=False)
    _client: Any = field(repr=False)  # msal's application
    _flow: dict[str, Any] = field(repr=False)  # msal's, too

    def finish(self, wait: Callable[[float], object] = time.sleep) -> Grant:
        """Waits until the person has done it.

        wait    for so many seconds; what it raises ends the waiting
        raises  TokenError: they did not, or may not
        """
        left = self._flow["expires_in"]
        while left > 0:
            wait(self._flow["interval"])
            left -= self._flow["interval"]
            grant = self._application.ask(self._client, self._flow)
            if grant is not None:
                return grant
        raise TokenError(self._application.host, f"the code was not entered in time: {ANEW}", retry=False)


class Application:
    """The application registered with Microsoft.  Threads may share it."""

    def __init__(self, settings: Microsoft365, ca_file: Path | None = None) -> None:
        """`ca_file`: authorities to trust, besides the system's.

        raises  ConfigError: there is no client_id, or the authority is none
        """
        if settings.client_id is None:
            raise ConfigError("[microsoft365] client_id is missing: register an application with Microsoft")
        self._client_id, self._settings, self._ca_file = settings.client_id, settings, ca_file
        authority = urlsplit(settings.authority)
        self.host, self._tenant = authority.hostname or "", authority.path.strip("/")
        if not (self.host and self._tenant):
            raise ConfigError("[microsoft365] authority is not of the form https://HOST/TENANT")

    def start(self) -> DeviceLogin:
        """Begins a person's login.

        raises  TokenError
        """
        with self._answers():
            client = self._public(msal.SerializableTokenCache())
            flow = client.initiate_device_flow(FOR_USERS)
            if "error" in flow:
                raise self._refusal(flow, ())
            url, code = flow["verification_uri"], flow["user_code"]
            if not (_is_word(url) and url.startswith("https://") and _is_word(code) and _is_word(flow["device_code"])):
                raise ValueError
            flow["interval"] = _within(flow["interval"])  # without a pause msal would ask for ever
        return DeviceLogin(url, code, self, client, flow)

    def ask(self, client: Any, flow: dict[str, Any]) -> Grant | None:
        """Asks once whether the person has logged in; None: not yet."""
        try:
            with self._answers():
                attempt = dict(flow)  # msal warns who asks twice of the same, and the pace is ours
                result = client.acquire_token_by_device_flow(attempt, exit_condition=lambda _flow: True)
                flow["interval"] = _within(attempt["interval"])
                if result.get("error") in msal.oauth2cli.Client.DEVICE_FLOW_RETRIABLE_ERRORS:
                    return None
                grant = self._grant(result, client.token_cache, (flow["device_code"], flow["user_code"]))
                if not (client.get_accounts() and _refresh_tokens(client.token_cache)):
                    raise TokenError(self.host, f"there is no refresh token with it: {REGISTRATION}", retry=False)
                return grant
        except TokenError as error:
            if error.retry:
                return None  # a person is at it: one lost answer is no reason to begin anew
            raise

    def log_in(self) -> Grant:
        """The application's own login, by its secret.

        raises  TokenError; ConfigError: there is no secret, it cannot be read, or no tenant is named
        """
        if self._settings.client_secret is None:
            raise ConfigError("[microsoft365] client_secret is missing: without one only users can log in")
        if self._tenant.lower() in NO_TENANT:
            raise ConfigError(
                f"[microsoft365] authority: write https://{self.host}/TENANT: an application logs in to a tenant"
            )
        secret = self._settings.client_secret.read()
        cache = msal.SerializableTokenCache()
        with self._answers():
            kind = msal.ConfidentialClientApplication
            result = self._msal(kind, cache, client_credential=secret).acquire_token_for_client(FOR_APPLICATIONS)
            return self._grant(result, cache, (secret,))

    def held(self, cache: str) -> str | None:
        """The access token that is still good, without asking anybody; None: `renew` it."""
        mine = {"client_id": self._client_id, "environment": self.host}
        good_until = time.time() + MARGIN
        for token in _read(cache, self.host).search(msal.TokenCache.CredentialType.ACCESS_TOKEN, query=mine):
            if int(token["expires_on"]) > good_until:
                return str(token["secret"])
        return None

    def renew(self, cache: str) -> Grant:
        """A new access token, in the way that the first one was had; also where the old one was refused.

        A refresh token may be replaced thereby: the new cache is to be kept.  Microsoft lets the old one live on, so
        that of two who renew at once either one's will do.

        raises  TokenError; ConfigError
        """
        kept = _read(cache, self.host)
        if not list(kept.search(msal.TokenCache.CredentialType.ACCOUNT)):
            return self.log_in()
        with self._answers():
            client = self._public(kept)
            secrets = _refresh_tokens(kept)
            result = None
            for account in client.get_accounts()[:1]:
                result = client.acquire_token_silent_with_error(FOR_USERS, account, force_refresh=True)
            if result is None:
                what = f"no refresh token is kept for this client_id and authority: {ANEW}"
                raise TokenError(self.host, what, retry=False)
            return self._grant(result, kept, secrets)

    def _public(self, cache: Any) -> Any:
        """For people: what they log in to on another device knows no secret of the application."""
        return self._msal(msal.PublicClientApplication, cache)

    def _msal(self, kind: Any, cache: Any, **more: Any) -> Any:
        """One for each task: msal's own cache of answers and its throttling are made for long-lived ones."""
        return kind(
            self._client_id,
            authority=self._settings.authority,
            token_cache=cache,
            http_client=Http(self.host, self._ca_file),
            # Microsoft says which hosts are its own; of another one, only bounced.toml does
            instance_discovery=None if self.host in WELL_KNOWN_AUTHORITY_HOSTS else False,
            **more,
        )

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """Whatever msal raises is a TokenError, and tells nothing of the answer, in which there may be tokens."""
        try:
            yield
        except (TokenError, ConfigError):
            raise
        except Exception:  # noqa: BLE001  on an answer that it does not expect, msal raises anything
            raise TokenError(self.host, "the answer is not a token endpoint's: check authority", retry=True) from None

    def _grant(self, result: Mapping[str, Any], cache: Any, secrets: Iterable[str]) -> Grant:
        if "error" in result:
            raise self._refusal(result, secrets)
        if not _is_word(token := result["access_token"]):
            raise ValueError
        accounts = cache.search(msal.TokenCache.CredentialType.ACCOUNT)
        names = [printable(str(account["username"])).strip() for account in accounts]
        return Grant(access_token=token, cache=cache.serialize(), account=next(filter(None, names), None))

    def _refusal(self, answer: Mapping[str, Any], secrets: Iterable[str]) -> TokenError:
        """The standard error (RFC 6749 §5.2); Microsoft's description begins with its number, such as AADSTS700082."""
        name = str(answer["error"])
        remedy = REMEDIES.get(name)
        words = words_of(answer, secrets) or "refused without a reason"
        return TokenError(self.host, f"{words}: {remedy}" if remedy else words, retry=name in TEMPORARY)


def _read(cache: str, host: str) -> Any:
    kept = msal.SerializableTokenCache()
    try:
        kept.deserialize(cache)
    except (ValueError, RecursionError):
        raise TokenError(host, f"what is kept of the login cannot be read: {ANEW}", retry=False) from None
    return kept


def _refresh_tokens(cache: Any) -> list[str]:
    return [entry["secret"] for entry in cache.search(msal.TokenCache.CredentialType.REFRESH_TOKEN)]


def _is_word(text: object) -> bool:
    """Visible ASCII, as tokens are (RFC 6750 §2.1): it steers no terminal and ends no line."""
    return isinstance(text, str) and text.isascii() and text.isprintable() and text != "" and " " not in text


def _within(seconds: int) -> int:
    return min(max(seconds, INTERVALS[0]), INTERVALS[-1])
