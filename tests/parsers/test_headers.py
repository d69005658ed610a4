"""Header blocks are read without case, unfolded, and decoded as far as they can be."""

import pytest

from parsers.headers import MAX_FIELDS, Headers, clean, content_type


def test_fields():
    """Names have no case, folds become blanks, the first of several is the one."""
    headers = Headers("Subject: one\n two\nTo: a\nTO: b\nEmpty:")
    assert headers.get("subject") == "one two"
    assert headers.all("to") == ["a", "b"]
    assert headers.count("to") == 2
    assert headers.get("empty") is None
    assert headers.get("cc") is None
    assert headers.flawless


def test_other_lines():
    """Lines that are no field are passed over and told."""
    headers = Headers(">From me Mon Nov 23 04:35:31 2026\nSubject : x\nno field\nTo: a")
    assert headers.get("subject") == "x"
    assert headers.get("to") == "a"
    assert not headers.flawless


def test_no_more_than_so_many():
    """A block of endless fields is read up to the bound."""
    assert len(list(Headers("A: b\n" * (2 * MAX_FIELDS)).items())) == MAX_FIELDS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" =?utf-8?q?J=C3=B5geva?= OÜ", "Jõgeva OÜ"),
        ("=?utf-8?b?SsO1Z2V2YQ==?=", "Jõgeva"),
        ("=?utf-8?b?SsO1Z2V2YQ?=", "Jõgeva"),
        ("=?utf-8?q?J=C3?= =?utf-8?q?=B5geva?=", "Jõgeva"),
        ("a =?iso-8859-1*et?q?=F5?= =?utf-8?q?=C3=B5?= b", "a õõ b"),
        ("=?no-such-charset?q?=C3=B5?=", "õ"),
        ("=?utf-8?x?y?=", "=?utf-8?x?y?="),
        ("J\udcf5geva", "Jõgeva"),
    ],
)
def test_decoding(value: str, text: str):
    """Encoded words and raw octets become text."""
    assert clean(value) == text


@pytest.mark.parametrize(
    ("value", "kind", "parameters", "plain"),
    [
        (None, "text/plain", {}, True),
        (" Text/HTML; charset=UTF-8", "text/html", {"charset": "UTF-8"}, True),
        (' multipart/mixed;\n\tboundary="a;b"', "multipart/mixed", {"boundary": "a;b"}, True),
        (" multipart/mixed; boundary = b", "multipart/mixed", {"boundary": "b"}, False),
        (" text", "text/plain", {}, False),
        (r' a/b; c="d\"e"', "a/b", {"c": 'd"e'}, False),
    ],
)
def test_content_type(value: str | None, kind: str, parameters: dict[str, str], plain: bool):
    """Type and parameters are read in every spelling; only the plain ones are called so."""
    assert content_type(value) == (kind, parameters, plain)
