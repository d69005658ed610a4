"""Addresses that are written to: checked by us first, then read by flanker, then made fit for an envelope.

flanker reads "a@example.com CR LF Bcc: b@example.com" as the latter, lets a local part of 65 octets pass, and cannot
make an ASCII domain of an address whose local part is beyond ASCII: so what it says is compared with what went in.
Sources: RFC 5321 §4.5.3.1 (lengths), RFC 5322 §3.4 (name and address), RFC 5891 (IDNA), RFC 6531 (SMTPUTF8).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import idna

from bounced.errors import InputError
from bounced.log import CONTROLS
from parsers.quiet import flanker_address

MAX_TEXT = 998
"""Characters of a name with its address: a header's line (RFC 5322 §2.1.1)."""
MAX_LOCAL_PART = 64
MAX_DOMAIN = 255
"""Octets (RFC 5321 §4.5.3.1)."""
SEPARATORS = frozenset(",;:@<>()[]")
"""What stands in a name only between quotation marks (RFC 5322 §3.2.3)."""
MAX_SHOWN = 80
"""Characters of a bad address in an error."""


class LetterError(InputError):
    """A message that cannot be sent as it is: nothing of it was queued."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody who is written to."""

    name: str | None
    address: str  # as it was given
    envelope: str  # the same with an ASCII domain

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only some servers can be told this address."""
        return not self.envelope.isascii()


def read(text: str, field: str) -> Recipient:
    """A recipient as "a@example.com" or "Name <a@example.com>".

    field    where it stands, for the error
    raises   LetterError
    """
    shown = f"{field}: {text[:MAX_SHOWN]!a}"
    if CONTROLS.search(text) or not _is_unicode(text):
        raise LetterError(f"{shown} has control characters")
    if len(text) > MAX_TEXT:
        raise LetterError(f"{shown} has more than {MAX_TEXT} characters")
    before, bracket, behind = text.strip().rpartition("<")
    given, name = (behind.removesuffix(">"), before.strip()) if bracket else (behind, "")
    parsed = flanker_address()(text.strip())
    same = hasattr(parsed, "mailbox") and parsed.address.lower() == given.strip().lower()
    if not same or (not name.startswith('"') and not SEPARATORS.isdisjoint(name)):
        raise LetterError(f"{shown} is no e-mail address")
    address = given.strip()
    local, _, domain = address.rpartition("@")
    if len(local.encode()) > MAX_LOCAL_PART:
        raise LetterError(f"{shown}: the part before the @ has more than {MAX_LOCAL_PART} octets")
    return Recipient(str(parsed.display_name) or None, address, f"{local}@{_ascii(domain, shown)}")


def read_all(texts: Iterable[str], field: str) -> list[Recipient]:
    """The same for each; who is named twice, in whatever case, is written to once."""
    found: dict[str, Recipient] = {}
    for text in texts:
        one = read(text, field)
        found.setdefault(one.envelope.lower(), one)
    return list(found.values())


def _ascii(domain: str, shown: str) -> str:
    if domain.startswith("["):
        raise LetterError(f"{shown}: an address of a machine is not written to")
    try:
        encoded = idna.encode(domain, uts46=True).decode()
    except idna.IDNAError as error:
        raise LetterError(f"{shown}: the domain cannot exist: {error}") from None
    if len(encoded) > MAX_DOMAIN:
        raise LetterError(f"{shown}: the domain has more than {MAX_DOMAIN} octets")
    return encoded


def _is_unicode(text: str) -> bool:
    """Whether there are no halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
