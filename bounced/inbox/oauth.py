"""Access tokens: from a command, or for a refresh token (RFC 6749 §6).

Those from an endpoint are kept within the process until they expire.
"""

import json
import os
import shlex
import ssl
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlencode, urlsplit

from bounced.config import OAuth
from bounced.errors import BouncedError
from bounced.inbox.failure import in_words
from bounced.inbox.wire import tls_context
from bounced.network import clean

TIMEOUT = 15.0  # seconds for the command, and for each wait for the token endpoint
MAX_ANSWER = 64 * 2**10  # octets of the endpoint's answer, or of the command's output
MARGIN = 120.0  # seconds before its end at which a token is renewed


class TokenError(BouncedError):
    """No access token.  `retry`: True if it may work again by itself.  The text holds no secret."""

    def __init__(self, what: str, *, retry: bool) -> None:
        super().__init__(what)
        self.retry = retry


def access_token(oauth: OAuth, *, ca_file: Path | None = None, fresh: bool = False) -> str:
    """A token to log in with.

    ca_file  authorities to trust at the token endpoint, besides the system's
    fresh    the last one was refused
    raises   TokenError; ConfigError when a secret cannot be read
    """
    if oauth.token_command is not None:
        return _from_command(oauth.token_command)
    assert oauth.refresh_token
    return _endpoint(oauth, oauth.refresh_token.path(), ca_file).token(fresh=fresh)


@cache
def _endpoint(oauth: OAuth, _place: Path | None, ca_file: Path | None) -> "_Endpoint":
    """One for all mailboxes with the same refresh token: each refresh may replace it.

    _place  of the refresh token; the same file:PATH in the configuration means another file in another folder
    """
    return _Endpoint(oauth, ca_file)


def _from_command(command: str) -> str:
    try:
        # the operator's own command, from bounced.toml; without a shell
        done = subprocess.run(  # noqa: S603
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # it may hold what no log should
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TokenError(f"token_command: not done after {TIMEOUT:g} s", retry=True) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "unbalanced quotes"
        raise TokenError(f"token_command: cannot be run: {reason}", retry=False) from None
    if done.returncode != 0:
        raise TokenError(f"token_command: ended with status {done.returncode}", retry=True)
    token = done.stdout[:MAX_ANSWER].split(b"\n", 1)[0].strip()
    return _checked(token.decode("ascii", "replace"), "token_command")


def _checked(token: object, source: str) -> str:
    """A token as RFC 6750 §2.1 has it: visible ASCII."""
    if not (isinstance(token, str) and token and token.isascii() and token.isprintable() and " " not in token):
        raise TokenError(f"{source}: gave no token", retry=True)
    return token


class _Endpoint:
    """A token endpoint with the refresh token for it."""

    def __init__(self, oauth: OAuth, ca_file: Path | None) -> None:
        self._oauth, self._ca_file = oauth, ca_file
        self._lock = Lock()
        self._token, self._ends = "", 0.0
        self._unsaved: str | None = None  # a new refresh token that could not be kept yet

    def token(self, *, fresh: bool) -> str:
        """The token in hand, or a new one."""
        with self._lock:
            if self._unsaved:
                self._keep(self._unsaved)
            if fresh or time.monotonic() >= self._ends:
                self._refresh()
            return self._token

    def _refresh(self) -> None:
        oauth = self._oauth
        assert oauth.refresh_token
        assert oauth.client_id
        refresh_token = oauth.refresh_token.read()
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": oauth.client_id}
        if oauth.client_secret:
            form["client_secret"] = oauth.client_secret.read()
        if oauth.scope:
            form["scope"] = oauth.scope
        status, answer = self._post(urlencode(form).encode())
        if status != 200:
            raise _refusal(status, answer, secrets=(refresh_token, form.get("client_secret", "")))
        self._token = _checked(answer.get("access_token"), "token_url")
        seconds = answer.get("expires_in")
        self._ends = time.monotonic() + (min(seconds, 86_400) - MARGIN if isinstance(seconds, int | float) else 0)
        rotated = answer.get("refresh_token")
        if rotated and rotated != refresh_token:
            self._keep(_checked(rotated, "token_url"))

    def _post(self, body: bytes) -> tuple[int, dict[str, Any]]:
        assert self._oauth.token_url
        url = urlsplit(self._oauth.token_url)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        try:
            context = tls_context(None)
            if self._ca_file:
                context.load_verify_locations(self._ca_file)
            connection = HTTPSConnection(url.hostname or "", url.port, timeout=TIMEOUT, context=context)
            try:
                connection.request("POST", f"{url.path or '/'}{'?' if url.query else ''}{url.query}", body, headers)
                response = connection.getresponse()
                status, content = response.status, response.read(MAX_ANSWER)
            finally:
                connection.close()
        except (OSError, ssl.SSLError) as error:
            what, retry = in_words(error, lasting=False)
            raise TokenError(f"token_url: {what}", retry=retry) from None
        except (HTTPException, ValueError) as error:
            raise TokenError(f"token_url: the answer is not HTTP ({type(error).__name__})", retry=True) from None
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = {}
        return status, answer if isinstance(answer, dict) else {}

    def _keep(self, refresh_token: str) -> None:
        """Replaces the file's content, so that a crash leaves the old one or the new one."""
        assert self._oauth.refresh_token
        self._unsaved = refresh_token
        path = self._oauth.refresh_token.path()
        if path is None:
            raise TokenError("token_url: gave a new refresh token, which only file:PATH can keep", retry=False)
        temporary = None
        try:
            path = path.resolve()
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(refresh_token + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except OSError as error:
            if temporary:
                with suppress(OSError):
                    Path(temporary).unlink()
            raise TokenError(f"the new refresh token cannot be kept in {path}: {error.strerror}", retry=False) from None
        self._unsaved = None


def _refusal(status: int, answer: dict[str, Any], secrets: tuple[str, ...]) -> TokenError:
    """The standard error (RFC 6749 §5.2): {"error": "invalid_grant", "error_description": ...}."""
    parts = [answer.get("error"), answer.get("error_description")]
    what = ": ".join(["token_url", *(part for part in parts if isinstance(part, str) and part)])
    if what == "token_url":
        what += f": HTTP status {status}"
    for secret in filter(None, secrets):
        what = what.replace(secret, "***")
    temporary = status >= 500 or status == 429 or answer.get("error") in ("temporarily_unavailable", "slow_down")
    return TokenError(clean(what), retry=temporary)
