"""Tokens that a bounce brings back: which delivery it is about, and that we said so.

    COMPANY+TOKEN@event.data.directo.ee     TOKEN as envelope id

Servers fold case, and a local part has 64 octets: so Crockford's base32, in which no letter is taken for another, and
24 characters: one that begins every token, 11 of the delivery's number (55 bits), 12 of the signature (60 bits).
The signature is HMAC-SHA256 over the company's name and the number, with any of the keys: the text need not tell which.
Sources: RFC 2104; https://www.crockford.com/base32.html.
"""

import hmac
import re
from enum import Enum

from bounced.keys import Keyring

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
FIRST = "b"
NUMBER, SIGNATURE = 11, 12
"""Characters, of five bits each."""
LENGTH = 1 + NUMBER + SIGNATURE
MAX_NUMBER = 32**NUMBER - 1
FORM = re.compile(f"{FIRST}[{ALPHABET}ilo]{{{NUMBER + SIGNATURE}}}", re.I | re.ASCII)
READ_AS = str.maketrans("ilo", "110")


class NoToken(Enum):
    """Why a text tells no delivery."""

    FORGED = "forged"  # it has a token's form, and the signature is not ours
    ABSENT = "absent"  # a person's own "+invoices", or cut short: it proves nothing either way


def sign(keyring: Keyring, company: str, number: int) -> str:
    """The token of a delivery.

    company  its name, at most 39 characters where it stands in an address
    number   0..MAX_NUMBER
    raises   ValueError: another number
    """
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError("a delivery's number has 55 bits")
    return f"{FIRST}{_base32(number, NUMBER)}{_signature(keyring.signing[0], company, number)}"


def verify(keyring: Keyring, company: str, text: str) -> int | NoToken:
    """The number of the delivery that `text` is the token of.

    Upper and lower case are the same, and so are the lookalikes o and 0, i, l and 1.
    """
    if not FORM.fullmatch(text):
        return NoToken.ABSENT
    read = text.lower().translate(READ_AS)
    number = 0
    for letter in read[1 : 1 + NUMBER]:
        number = number * 32 + ALPHABET.index(letter)
    signed = [hmac.compare_digest(_signature(key, company, number), read[-SIGNATURE:]) for key in keyring.signing]
    return number if any(signed) else NoToken.FORGED


def _signature(key: bytes, company: str, number: int) -> str:
    digest = hmac.new(key, f"{company.lower()}\0{number}".encode(), "sha256").digest()
    return _base32(int.from_bytes(digest[:8]) >> 4, SIGNATURE)


def _base32(value: int, length: int) -> str:
    return "".join(ALPHABET[value >> 5 * place & 31] for place in reversed(range(length)))
