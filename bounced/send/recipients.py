"""Who a letter is for: addresses as people and programs write them -> addresses that a mail server can be told.

What is plainly wrong is found here, and flanker sees the rest: it would read "a@example.com CR LF Bcc: b@example.com"
as the latter, and lets a local part of 65 octets pass.  What it makes of an address must be that address.
Sources: RFC 5321 §4.1.2 (mailbox), §4.5.3.1 (lengths), RFC 6531 §3.3 (beyond ASCII), RFC 5891 §4, UTS #46 (domains).
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import idna

from bounced.errors import InputError
from bounced.log import CONTROLS
from parsers.quiet import flanker_address

MAX_LOCAL = 64  # octets (RFC 5321 §4.5.3.1.1)
MAX_DOMAIN = 255  # octets (RFC 5321 §4.5.3.1.2)
MAX_ADDRESS = 254  # octets: a path has 256 with its angle brackets (RFC 5321 §4.5.3.1.3)

QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
LOCAL = re.compile(r'[^\s"(),:;<>@\[\]\\]+|"(?:[^"\\]|\\.)+"')
LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")  # Windows domains have "_", and get mail


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One whom mail can be sent to."""

    name: str | None
    address: str  # as it was written
    envelope: str  # what servers are told: the domain in lower-case ASCII; the local part as it was written


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """One whom no mail can be sent to."""

    written: str  # as it was handed in, control characters and all
    reason: str  # in words, which quote nothing of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipients:
    """All whom a letter is for, in order."""

    usable: tuple[Recipient, ...]  # each address once
    unusable: tuple[Unusable, ...]


def read(text: str) -> Recipient | Unusable:
    """One recipient.

    text     `a@example.com`, `<a@example.com>`, `Name <a@example.com>` or `"Name" <a@example.com>`; all before the
             angle bracket is the name, commas and quotation marks inside included
    """
    try:
        if found := CONTROLS.search(text):
            raise InputError(f"the character U+{ord(found[0]):04X} is not allowed in it")
        name, address = _parts(text.strip())
        return Recipient(name=name, address=address, envelope=envelope_address(address))
    except InputError as error:
        return Unusable(written=text, reason=str(error))


def read_all(texts: Iterable[str]) -> Recipients:
    """All recipients; of those with the same address, whatever its case, the first."""
    usable: dict[str, Recipient] = {}
    unusable: list[Unusable] = []
    for text in texts:
        match read(text):
            case Recipient() as recipient:
                # lower(), not casefold(): that makes one mailbox of straße and strasse
                usable.setdefault(recipient.envelope.lower(), recipient)
            case Unusable() as refused:
                unusable.append(refused)
    return Recipients(usable=tuple(usable.values()), unusable=tuple(unusable))


def envelope_address(address: str) -> str:
    """An address as servers are told it: ASCII wherever its local part is.

    address  without name and brackets
    raises   InputError: why it is none, in words that quote nothing of it
    >>> envelope_address("Mari@NÄIDE.example.org")
    'Mari@xn--nide-loa.example.org'
    """
    local, at, domain = address.rpartition("@")
    if not at:
        raise InputError("there is no @ in it")
    local = unicodedata.normalize("NFC", local)  # RFC 6532 §3.1
    if not local.isprintable() or len(local.encode()) > MAX_LOCAL or not LOCAL.fullmatch(local):
        raise InputError(_local_flaw(local))
    host = ascii_domain(domain)
    envelope = f"{local}@{host}"
    if len(envelope.encode()) > MAX_ADDRESS:
        raise InputError(f"it is longer than {MAX_ADDRESS} octets")
    parsed = flanker_address()(envelope)
    if getattr(parsed, "mailbox", None) != local or ascii_domain(parsed.hostname) != host:
        raise InputError("it is not written as an address is")
    return envelope


def ascii_domain(domain: str) -> str:
    """A domain of mail in lower-case ASCII.

    raises   InputError: why it is none, in words that quote nothing of it
    """
    if not domain.isascii() and len(domain) <= MAX_DOMAIN:
        try:
            domain = idna.encode(domain, uts46=True).decode()
        except idna.IDNAError:
            raise InputError("its domain is not valid: see its letters and its length") from None
    domain = domain.lower()
    if len(domain) > MAX_DOMAIN:
        raise InputError(f"its domain is longer than {MAX_DOMAIN} octets")
    labels = domain.split(".")
    if not all(LABEL.fullmatch(label) for label in labels):
        raise InputError("its domain is not valid: see its letters, its dots and its hyphens")
    if len(labels) == 1:
        raise InputError("its domain has no dot: the end is missing")
    if labels[-1].isdigit():
        raise InputError("its domain is a number")
    return domain


def _parts(text: str) -> tuple[str | None, str]:
    """Name and address."""
    before, opening, after = text.rpartition("<")
    if not opening or not after.endswith(">"):
        return None, text
    name = before.strip()
    if quoted := QUOTED.fullmatch(name):
        name = re.sub(r"\\(.)", r"\1", quoted[1]).strip()
    elif "<" in name or ">" in name:
        raise InputError("it is more than one address, or its name needs quotation marks")
    return name or None, after[:-1].strip()


def _local_flaw(local: str) -> str:
    if not local:
        return "there is nothing before its @"
    if not local.isprintable():
        return "it has an invisible character"
    if len(local.encode()) > MAX_LOCAL:
        return f"it has more than {MAX_LOCAL} octets before its @"
    if "@" in local or "," in local or ";" in local:
        return "it is more than one address"
    return "it has a blank or another character that no address has before its @"
