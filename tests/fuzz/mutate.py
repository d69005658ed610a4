"""Mails changed the way MIME is built: parts, fields, boundaries and encodings, lost, doubled, nested and exchanged.

The same number gives the same change, so that a finding can be had again.
"""

import base64
import binascii
import re
from collections.abc import Callable
from random import Random

from tests.parsers.mutations import LINES

BOUNDARY = re.compile(rb'boundary="?([^"\s;]{1,70})', re.I)
DELIMITER = re.compile(rb"^--[^\n]*\n", re.M)
FIELD = re.compile(rb"^[\w-]+:[^\n]*(?:\n[ \t][^\n]*)*\n", re.M)
CHARSET = re.compile(rb'charset="?[\w-]+"?', re.I)
CHARSETS = (b"utf-8", b"utf-16", b"utf-7", b"iso-2022-jp", b"koi8-r", b"windows-1257", b"gb18030", b"idna", b"x-none")
TYPE = re.compile(rb"^Content-Type:[ \t]*[\w/+.-]+", re.M | re.I)
TYPES = (
    *(b"text/plain", b"text/html", b"text/rfc822-headers", b"message/rfc822", b"message/global-headers"),
    *(b"message/delivery-status", b"message/global-delivery-status", b"message/feedback-report"),
    *(b"message/disposition-notification", b"multipart/mixed", b"multipart/report", b"multipart/digest"),
)
WORDS = (
    *(b"<", b">", b"(", b")", b'"', b"\\", b",", b";", b":", b"@", b"=?utf-8?b?", b"?=", b"=", b"--", b"\n\n", b"\t"),
    *(b"550 5.1.1 ", b"4.4.7", b"a@example.com", b"=?utf-8?q?=C3?= ", b"&#1", b"&#x202e;", b"+3D"),
    *(b"\x00", b"\xff", b"\xe2\x80\xae", b"\xed\xa0\x80"),
)

Change = Callable[[Random, bytes, bytes], bytes]


def mutate(raw: bytes, donor: bytes, max_size: int, seed: int) -> bytes:
    """`raw` after one to four changes, for which `donor` may give material; at most `max_size` octets."""
    random = Random(seed)
    for _ in range(random.randint(1, 4)):
        raw = random.choice(CHANGES)(random, raw, donor)[:max_size]  # each time: repetitions multiply
    return raw


def _drop(random: Random, raw: bytes, _: bytes) -> bytes:
    lines = raw.split(b"\n")
    at = random.randrange(len(lines))
    del lines[at : at + random.choice((1, 1, 2, 8))]
    return b"\n".join(lines)


def _put_line(random: Random, raw: bytes, donor: bytes) -> bytes:
    lines = raw.split(b"\n")
    lines.insert(random.randrange(len(lines) + 1), random.choice((random.choice(LINES), _line(random, donor))))
    return b"\n".join(lines)


def _line(random: Random, raw: bytes) -> bytes:
    return random.choice(raw.split(b"\n"))


def _put_word(random: Random, raw: bytes, _: bytes) -> bytes:
    at = random.randrange(len(raw) + 1)
    return raw[:at] + random.choice(WORDS) * random.choice((1, 1, 1, 20, 5_000)) + raw[at:]


def _repeat(random: Random, raw: bytes, _: bytes) -> bytes:
    """The same stretch again and again: what takes more than linear time shows itself."""
    start = random.randrange(len(raw) + 1)
    end = start + random.choice((1, 2, 8, 40, 200, 1000))
    return raw[:end] + raw[start:end] * random.choice((1, 10, 100, 1000, 5000)) + raw[end:]


def _field(random: Random, raw: bytes, donor: bytes) -> bytes:
    """A field of the donor's instead of ours, or beside it."""
    ours, theirs = list(FIELD.finditer(raw)), FIELD.findall(donor)
    if not ours or not theirs:
        return raw
    place = random.choice(ours)
    return raw[: place.start()] + random.choice(theirs) + raw[random.choice(place.span()) :]


def _part(random: Random, raw: bytes, donor: bytes) -> bytes:
    """A part of the donor's, under our boundary, at one of our delimiters."""
    ours, theirs = list(DELIMITER.finditer(raw)), list(DELIMITER.finditer(donor))
    if not ours or not theirs:
        return raw
    number = random.randrange(len(theirs))
    end = theirs[number + 1].start() if number + 1 < len(theirs) else len(donor)
    place = random.choice(ours)
    part = place[0] + donor[theirs[number].end() : end]
    return raw[: place.start()] + part + raw[random.choice(place.span()) :]


def _boundary(random: Random, raw: bytes, _: bytes) -> bytes:
    """One boundary for another: delimiters without a multipart, or two multiparts with the same."""
    found = BOUNDARY.findall(raw)
    if not found:
        return raw
    other = random.choice([*found, b"x", b"-", b"--", random.choice(found)[:-1] or b"y"])
    return raw.replace(random.choice(found), other, random.choice((1, 2, -1)))


def _type(random: Random, raw: bytes, _: bytes) -> bytes:
    return _exchange(random, raw, TYPE, b"Content-Type: " + random.choice(TYPES))


def _charset(random: Random, raw: bytes, _: bytes) -> bytes:
    return _exchange(random, raw, CHARSET, b"charset=" + random.choice(CHARSETS))


def _exchange(random: Random, raw: bytes, pattern: re.Pattern[bytes], new: bytes) -> bytes:
    found = list(pattern.finditer(raw))
    if not found:
        return raw
    place = random.choice(found)
    return raw[: place.start()] + new + raw[place.end() :]


def _encode(random: Random, raw: bytes, _: bytes) -> bytes:
    """The body of the mail or of its last part in a transfer encoding."""
    head, blank, body = random.choice((raw.partition, raw.rpartition))(b"\n\n")
    if random.choice((True, False)):
        name, encoded = b"base64", base64.encodebytes(body)
    else:
        name, encoded = b"quoted-printable", binascii.b2a_qp(body)
    return head + b"\nContent-Transfer-Encoding: " + name + blank + encoded


def _enclose(random: Random, raw: bytes, donor: bytes) -> bytes:
    """The mail returned or forwarded within another one's header."""
    head = donor.partition(b"\n\n")[0]
    return (
        head + b"\nContent-Type: " + random.choice(TYPES) + b"; boundary=x\n\n--x\n" + _inner(random, raw) + b"\n--x--"
    )


def _inner(random: Random, raw: bytes) -> bytes:
    return random.choice((b"", b"\n", b"Content-Type: message/rfc822\n\n")) + raw


def _join(random: Random, raw: bytes, donor: bytes) -> bytes:
    """The beginning of one and the end of the other."""
    return raw[: random.randrange(len(raw) + 1)] + donor[random.randrange(len(donor) + 1) :]


CHANGES: tuple[Change, ...] = (
    *(_drop, _put_line, _put_word, _repeat, _field, _part, _boundary, _type, _charset, _encode, _enclose, _join),
)
