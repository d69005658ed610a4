"""Logging in to an SMTP server (RFC 4954).

A server may answer credentials with one more challenge, a bare 334, instead of its refusal: so come XOAUTH2's errors,
as JSON in base64.  It is answered, the refusal behind it is read, and the error tells both.
Sources: RFC 4616 (PLAIN), RFC 2195 (CRAM-MD5), RFC 7628 (OAUTHBEARER); LOGIN and XOAUTH2 are nobody's standard:
https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
https://developers.google.com/workspace/gmail/imap/xoauth2-protocol
"""

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bounced.log import CONTROLS
from bounced.send.failure import LoginError, in_words, quoted
from bounced.send.line import Line
from bounced.send.reply import Reply, printable

MAX_COMMAND = 512  # octets of a command line with its end (RFC 4954 §4, RFC 5321 §4.5.3.1.4)
MAX_CHALLENGES = 3  # after the last credential was sent; then there is no end to be expected
MAX_WORDS = 500  # characters kept of what a challenge says
CANCEL = "*"  # RFC 4954 §4: the server must refuse then


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """A login with a password."""

    username: str
    password: str = field(repr=False)

    @property
    def secret(self) -> str:
        """What no log may show."""
        return self.password


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A login with an OAuth access token."""

    username: str
    access_token: str = field(repr=False)

    @property
    def secret(self) -> str:
        """What no log may show."""
        return self.access_token


Login = Password | Token


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A SASL mechanism."""

    answers: tuple[Callable[[str, str, bytes], str], ...]  # to one challenge each, from user name, secret and challenge
    begins: bool = False  # whether the first answer needs no challenge
    dismiss: str = ""  # the answer to a challenge that tells an error


def _plain(username: str, password: str, _challenge: bytes) -> str:
    return f"\0{username}\0{password}"


def _cram_md5(username: str, password: str, challenge: bytes) -> str:
    return f"{username} {hmac.new(password.encode(), challenge, 'md5').hexdigest()}"


def _xoauth2(username: str, token: str, _challenge: bytes) -> str:
    return f"user={username}\1auth=Bearer {token}\1\1"


def _oauthbearer(username: str, token: str, _challenge: bytes) -> str:
    name = username.replace("=", "=3D").replace(",", "=2C")
    return f"n,a={name},\1auth=Bearer {token}\1\1"


PLAIN = Mechanism((_plain,), begins=True)
LOGIN = Mechanism((lambda username, _password, _challenge: username, lambda _username, password, _challenge: password))
CRAM_MD5 = Mechanism((_cram_md5,))
XOAUTH2 = Mechanism((_xoauth2,), begins=True)
OAUTHBEARER = Mechanism((_oauthbearer,), begins=True, dismiss="\1")

FOR_PASSWORDS = {"PLAIN": PLAIN, "LOGIN": LOGIN, "CRAM-MD5": CRAM_MD5}  # the server need not keep passwords readable
FOR_PASSWORDS_UNENCRYPTED = {"CRAM-MD5": CRAM_MD5, "PLAIN": PLAIN, "LOGIN": LOGIN}  # the line may be listened to
FOR_TOKENS = {"XOAUTH2": XOAUTH2, "OAUTHBEARER": OAUTHBEARER}  # Microsoft and Google offer the first
"""By preference, the best first."""


def log_in(line: Line, login: Login, *, encrypted: bool) -> None:
    """By the best of the mechanisms that the server offers.

    raises   LoginError; OSError where the connection breaks before the server said anything
    """
    what = f"login as {printable(login.username)}"
    if CONTROLS.search(login.username + login.secret):
        raise LoginError(line.place, f"{what}: a control character in the user name or the secret", retry=False)
    mechanisms = FOR_TOKENS if isinstance(login, Token) else FOR_PASSWORDS if encrypted else FOR_PASSWORDS_UNENCRYPTED
    offered = line.esmtp_features.get("auth", "").upper().split()
    name = next((name for name in mechanisms if name in offered), None)
    if name is None:
        has = f"offers {printable(' '.join(offered)[:100])}" if offered else "offers no login"
        raise LoginError(line.place, f"{what}: the server {has}; needed is {' or '.join(mechanisms)}", retry=False)
    line.secrets += [login.secret, _encode(login.secret)]
    exchange = _Exchange(line, mechanisms[name], login)
    try:
        reply = exchange.run(name)
    except OSError as error:
        if exchange.said is None:
            raise
        raise LoginError(line.place, f"{what}: {in_words(error)[0]}", retry=True, challenge=exchange.said) from None
    if reply is None:
        what = f"{what}: the server only goes on asking"
        raise LoginError(line.place, what, retry=False, challenge=exchange.said)
    if not reply.accepted:
        what, retry = f"{what}: {quoted(reply)}", reply.temporary
        raise LoginError(line.place, what, retry=retry, reply=reply, challenge=exchange.said)


class _Exchange:
    """Challenges and answers."""

    def __init__(self, line: Line, mechanism: Mechanism, login: Login) -> None:
        self._line, self._mechanism, self._login = line, mechanism, login
        self.said: str | None = None  # by the first challenge that no credential answers

    def run(self, name: str) -> Reply | None:
        """The final reply; None where the server does not come to one."""
        answers = list(self._mechanism.answers)
        arguments = name
        if self._mechanism.begins:
            at_once = f"{name} {self._answer(answers[0], b'')}"
            if len(f"AUTH {at_once}\r\n") <= MAX_COMMAND:
                arguments = at_once
                del answers[0]
        reply = self._line.command("AUTH", arguments)
        for answer in answers:
            if reply.code != 334:
                return reply
            reply = self._line.command(self._answer(answer, _decode(reply.text)))
        for dismissal in (_encode(self._mechanism.dismiss), *[CANCEL] * (MAX_CHALLENGES - 1)):
            if reply.code != 334:
                return reply
            if self.said is None:
                self.said = _said(reply.text, self._line.secrets)
            reply = self._line.command(dismissal)
        return None if reply.code == 334 else reply

    def _answer(self, answer: Callable[[str, str, bytes], str], challenge: bytes) -> str:
        encoded = _encode(answer(self._login.username, self._login.secret, challenge))
        self._line.secrets.append(encoded)
        return encoded


def _encode(text: str) -> str:
    return b64encode(text.encode()).decode()


def _decode(text: str) -> bytes:
    """What a challenge says; nothing where it is not base64."""
    try:
        return b64decode(text, validate=True)  # or plain words, blanks left out, may be read as some
    except ValueError:
        return b""


def _said(text: str, secrets: Sequence[str]) -> str:
    """{"status":"401","schemes":"bearer"} as "status 401, schemes bearer" (RFC 7628 §3.2.2)."""
    said = _decode(text).decode("utf-8", "replace") or text
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, Mapping):
        said = ", ".join(f"{key} {value}" for key, value in found.items())
    said = " ".join(printable(said, secrets).split())[:MAX_WORDS]
    return said or "an empty challenge"
