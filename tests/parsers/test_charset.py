"""Octets become text whatever their label says."""

import pytest

from parsers.charset import decode


@pytest.mark.parametrize(
    ("octets", "charset", "text"),
    [
        ("õ".encode(), None, "õ"),
        ("õ".encode(), "us-ascii", "õ"),
        ("õ".encode(), "windows-1252", "õ"),
        ("š".encode("cp1257"), "windows-1257", "š"),
        ("да".encode("koi8-r"), "KOI8-R", "да"),
        ("日本".encode("iso-2022-jp"), "iso-2022-jp", "日本"),
        ("õ".encode("utf-16"), "utf-16", "õ"),
        (b"\x93x\x94", "iso-8859-1", "“x”"),
        (b"\xf5", None, "õ"),
        (b"x", "no such \x00 charset", "x"),
        ("õ" * 50 + "õ", "utf-8", "õ" * 51),
        ("õ".encode() * 200 + b"\xc3", "utf-8", "õ" * 200 + "\ufffd"),
    ],
)
def test_decode(octets: bytes | str, charset: str | None, text: str):
    """The label is followed where it can be right."""
    assert decode(octets.encode() if isinstance(octets, str) else octets, charset) == text


@pytest.mark.parametrize(
    "name", ["punycode", "idna", "utf-7", "unicode_escape", "rot13", "zlib", "hex", "undefined", "mbcs"]
)
def test_no_codec_that_is_no_charset(name: str):
    """Python's other codecs are out of a mail's reach."""
    assert decode(b"+AGE- \\u0041", name) == "+AGE- \\u0041"
