"""The scan takes mail apart in linear time and never beyond its bounds."""

import time

import pytest

from parsers import scan as module
from parsers.part import Part
from parsers.scan import scan

TWO_PARTS = b"Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\none\n--b\nX: y\n\ntwo\n\n--b--\nepilogue\n"


def texts(part: Part) -> list[bytes]:
    """What the leaves hold."""
    return [leaf.payload for leaf in part.leaves()]


def test_parts():
    """A delimiter takes the line end in front of it; preamble and epilogue are no parts."""
    found = scan(TWO_PARTS)
    assert texts(found.root) == [b"one", b"two\n"]
    assert found.flaws == found.limits == ()


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\r\r\n"])
def test_line_ends(end: bytes):
    """Every kind of line end is read as LF."""
    assert texts(scan(TWO_PARTS.replace(b"\n", end)).root) == [b"one", b"two\n"]


def test_nested():
    """An outer delimiter ends what is open inside, and that is a flaw."""
    inner = b"Content-Type: multipart/mixed; boundary=i\n\n--i\n\ndeep\n"
    found = scan(b"Content-Type: multipart/mixed; boundary=o\n\n--o\n" + inner + b"--o\n\nlast\n--o--\n")
    assert texts(found.root) == [b"deep", b"last"]
    assert found.guessed


def test_a_boundary_is_no_prefix():
    """A line that goes on behind the boundary delimits nothing."""
    assert texts(scan(b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--bb\nmore\n--b--\n").root) == [
        b"one\n--bb\nmore"
    ]


@pytest.mark.parametrize(
    ("raw", "flaw"),
    [
        (b"Content-Type: multipart/mixed\n\nx", "multipart without boundary"),
        (b"Content-Type: multipart/mixed; boundary=b\n\nx", "multipart without parts"),
        (b"Subject: x\nno field\n\nx", "header line without a name"),
        (b"\n\nSubject: x\n\ny", "blank lines in front"),
        (b"Content-Type: text/plain\nContent-Type: text/html\n\nx", "odd Content-Type"),
    ],
)
def test_flaws(raw: bytes, flaw: str):
    """What is not well formed is named."""
    assert flaw in scan(raw).flaws


def test_envelope_line_is_no_header():
    """An mbox's "From " line in front is passed over."""
    found = scan(b"From a@example.com Mon Nov 23 04:35:31 2026\nSubject: x\n\ny")
    assert found.root.headers.get("subject") == "x"
    assert found.flaws == ()


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("MAX_BYTES", b"Subject: x\n\n" + b"y" * 200),
        ("MAX_HEADER_BYTES", b"X: y\n" * 100),
        ("MAX_PARTS", b"Content-Type: multipart/mixed; boundary=b\n" + b"\n--b\n\nx" * 200),
        ("MAX_DELIMITERS", b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + b"\n--no" * 200),
        ("MAX_DEPTH", b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(200))),
    ],
)
def test_bounds(monkeypatch: pytest.MonkeyPatch, name: str, raw: bytes):
    """Each bound, when it is met, is kept and told."""
    monkeypatch.setattr(module, name, 100)
    found = scan(raw)
    assert len(found.limits) == 1
    assert "100" in found.limits[0]
    assert sum(1 for _ in found.root.leaves()) <= 101


@pytest.mark.parametrize("unit", [b"--b\n\nx\n", b"--\n", b"\n", b"a: b\n", b"\r", b"\tx\n", b"x"])
def test_twenty_megabytes(unit: bytes):
    """Twenty megabytes of anything take less than a second."""
    raw = b"Content-Type: multipart/mixed; boundary=b\n\n" + unit * (20_000_000 // len(unit))
    started = time.process_time()
    scan(raw)
    assert time.process_time() - started < 1
