"""What msal asks Microsoft's authority through: https only, no redirects, no proxy, bounded.

requests, msal's own choice, sends the secrets of a form on to wherever it is redirected.
"""

import json
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from bounced import network
from bounced.send.failure import TokenError
from bounced.send.line import tls_context
from bounced.send.reply import printable

TIMEOUT = 15.0  # seconds for each wait for the authority
MAX_ANSWER = 256 * 2**10  # octets; the list of Microsoft's own authorities has 2 KiB, a token 5

NUMBER = re.compile(r"AADSTS\d{1,8}")


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """As msal wants it."""

    status_code: int
    text: str
    headers: dict[str, str]


class Http:
    """A client as msal wants it.  Raises TokenError where there can be no answer now."""

    def __init__(self, host: str, ca_file: Path | None) -> None:
        self._host, self._ca_file = host, ca_file

    def get(
        self, url: str, *, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """What the authority says of itself: without it there is nothing to be asked."""
        answer = self._ask("GET", f"{url}{'?' if params else ''}{urlencode(params or {})}", None, headers)
        if answer.status_code != 200:
            words = words_of(_json(answer.text), ()) or f"HTTP status {answer.status_code}"
            raise TokenError(self._host, f"{words}: check [microsoft365] authority", retry=False)
        return answer

    def post(self, url: str, *, data: Mapping[str, str | None], headers: Mapping[str, str], **_params: None) -> Answer:
        """A form; None: that field is not in it."""
        form = urlencode({name: value for name, value in data.items() if value is not None})
        return self._ask("POST", url, form, {**headers, "Content-Type": "application/x-www-form-urlencoded"})

    def _ask(self, method: str, url: str, body: str | None, headers: Mapping[str, str] | None) -> Answer:
        """The answer, unless it is that there can be none now."""
        parts = urlsplit(url)
        if parts.scheme != "https":
            raise TokenError(self._host, "it wants to be asked without TLS", retry=False)
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        try:
            connection = HTTPSConnection(parts.hostname or "", parts.port, timeout=TIMEOUT, context=self._context())
            try:
                connection.request(method, target, body, dict(headers or {}))
                response = connection.getresponse()
                status, content = response.status, response.read(MAX_ANSWER)
            finally:
                connection.close()
        except OSError as error:
            what, retry = network.in_words(error)
            raise TokenError(self._host, what, retry=retry) from None
        except (HTTPException, ValueError) as error:
            raise TokenError(self._host, f"the answer is not HTTP ({type(error).__name__})", retry=True) from None
        text = content.decode("utf-8", "replace")
        if status >= 500 or status == 429:
            number = NUMBER.search(text)  # and no more of it: msal would tell nothing at all
            raise TokenError(self._host, f"HTTP status {status}{f', {number[0]}' if number else ''}", retry=True)
        return Answer(status, text, dict(response.headers))

    def _context(self) -> ssl.SSLContext:
        try:
            return tls_context(self._ca_file)
        except OSError as error:
            what = f"ca_file {self._ca_file}: {network.in_words(error)[0]}"
            raise TokenError(self._host, what, retry=False) from None


def words_of(answer: Mapping[str, Any], secrets: Iterable[str]) -> str:
    """What an error (RFC 6749 §5.2) says, in one clean line; "" where it says nothing."""
    parts = [answer.get("error"), answer.get("error_description")]
    text = ": ".join(part for part in parts if isinstance(part, str) and part)
    return network.clean(printable(text, secrets))


def _json(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}
