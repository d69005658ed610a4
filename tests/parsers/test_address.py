"""Addresses come out of fields and text bare, or not at all."""

import time

import pytest

from parsers.address import MAX_ADDRESS, all_of, bare, plain, tolerant, typed, xtext
from parsers.headers import clean


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("a@example.com", "a@example.com"),
        (" <A.b+c@Example.com> ", "A.b+c@Example.com"),
        ('"Doe, Joe" <a@example.com>', "a@example.com"),
        ("Joe <a@example.com> (work)", "a@example.com"),
        ("a@example.com (comment)", "a@example.com"),
        ("<@relay.example.com,@b.example.com:a@example.com>", "a@example.com"),
        ('"joe doe"@example.com', '"joe doe"@example.com'),
        ("jõgeva@näide.example.org", "jõgeva@näide.example.org"),
        ("a@[192.0.2.1]", "a@[192.0.2.1]"),
        ("a@example.com>", "a@example.com"),
        ("a@example.com.", "a@example.com"),
        ("mailto:a@example.com", "a@example.com"),
        ("nobody", None),
        ("", None),
        ("<>", None),
        ("a@example.com\r\nBcc: b@example.com", None),
        ("a@b@example.com", None),
        ("a@" + "x" * MAX_ADDRESS, None),
        ("a\u202eb@example.com", None),
    ],
)
def test_bare(text: str, address: str | None):
    """One address is found without its surroundings."""
    assert bare(text) == address


@pytest.mark.parametrize(
    ("field", "address"),
    [
        ("rfc822; a@example.com", "a@example.com"),
        ("RFC822;<a@example.com>", "a@example.com"),
        ("a@example.com", "a@example.com"),
        (r"utf-8; j\x{F5}geva@example.com", "jõgeva@example.com"),
        ("utf-8;jõgeva@example.com", "jõgeva@example.com"),
        (r"utf-8; \x{D800}\x{110000}a@example.com", "a@example.com"),
        ("X-LOCAL;<>", None),
        ("unknown", None),
        (None, None),
    ],
)
def test_typed(field: str | None, address: str | None):
    """The type in front is no part of the address."""
    assert typed(field) == address


def test_xtext():
    """Only what looks encoded is decoded."""
    assert xtext("joe+2Bnews+3D1@example.com") == "joe+news=1@example.com"
    assert xtext("joe+news@example.com") == "joe+news@example.com"


def test_lists():
    """Each address of a list is found once; names may hold commas."""
    assert all_of(['"Doe, Joe" <a@example.com>, b@example.com', "a@example.com, <c@example.com>"]) == (
        "a@example.com",
        "b@example.com",
        "c@example.com",
    )


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (" a@example.com", "a@example.com"),
        (" Joe\n <a@example.com>", "a@example.com"),
        (' "Doe, Joe" <a@example.com> ', "a@example.com"),
        (" =?utf-8?q?J=C3=B5e?= <a@example.com>", "a@example.com"),
        (" =?utf-8?q?a?=@example.com", None),
        (" a@example.com, b@example.com", None),
        (" Doe, Joe <a@example.com>", None),
        (" <@relay.example.com:a@example.com>", None),
        (" Joe <joe> <a@example.com>", None),
        ("", None),
    ],
)
def test_plain(value: str, found: str | None):
    """One address, and perhaps a name, is read at once, as the long way reads it; everything else is left to that."""
    assert plain(value) == found
    assert found is None or all_of([clean(value)]) == (found,)


def test_tolerant_never_sees_control_characters():
    """The library would read the second line as the address."""
    assert tolerant("a@example.com\r\nBcc: x@example.com") is None


@pytest.mark.parametrize("unit", ['"\\"', "(", "<", "a@", ",", '"', "a@b, "])
def test_time(unit: str):
    """A hostile list of addresses takes no longer than a harmless one."""
    started = time.process_time()
    all_of([unit * 100_000])
    bare(unit * 100_000)
    assert time.process_time() - started < 1
