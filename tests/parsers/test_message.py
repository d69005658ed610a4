"""A mail is taken apart by whoever can, with the same result."""

import subprocess
import sys

import pytest

from parsers import parse
from parsers.message import MAX_ENCLOSED_DEPTH, by_flanker, by_standard_library, read
from parsers.part import MAX_REPORT, MAX_TEXT

REPORT = (
    b"Subject: x\nContent-Type: multipart/report; boundary=b\n\n--b\n\nhello\n--b\n"
    b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; example.com\n\nAction: failed\n\n"
    b"--b\nContent-Type: message/rfc822\n\nSubject: y\n\nbody\n--b--\n"
)


@pytest.mark.parametrize("way", [by_flanker, by_standard_library])
def test_ways(way):
    """Either library sees the parts that the scan sees, the status block and the message within untouched."""
    assert [(leaf.type, leaf.payload) for leaf in way(REPORT).leaves()] == [
        (leaf.type, leaf.payload) for leaf in read(REPORT).leaves
    ]


def test_flanker_refuses_and_the_standard_library_does_not():
    """A multipart without its first delimiter is flanker's limit, not ours."""
    raw = b"Content-Type: multipart/mixed; boundary=b\n\nonly text\n"
    with pytest.raises(Exception, match="starting boundary"):
        by_flanker(raw)
    assert read(raw).text == "only text"


def test_text_prefers_plain():
    """The first text that says something is read, HTML only where there is no other."""
    raw = (
        b"Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\n \n"
        b"--b\nContent-Type: text/html\n\n<style>p {}</style><p>one</p><p>two &amp; three</p>\n--b--\n"
    )
    assert read(raw).text == "one\n\ntwo & three"
    assert read(raw.replace(b"\n \n", b"\nplain\n")).text == "plain"


def test_enclosed():
    """A message within is opened when asked for, encoded or not, and only so deep."""
    leaf = read(REPORT).leaves[-1]
    assert read(REPORT).enclosed(leaf).headers.get("subject") == "y"
    mail, depth = read(b"Content-Type: message/rfc822\n\n" * 20), 0
    while mail := mail.enclosed(mail.root):
        depth += 1
    assert depth == MAX_ENCLOSED_DEPTH


def test_flanker_is_quiet_and_late():
    """The library is not imported for a well-formed mail, and says nothing on standard error when it is."""
    code = (
        "import sys; from parsers import parse;"
        "parse(b'Subject: x\\n\\ny'); assert 'flanker' not in sys.modules;"
        "from parsers.message import by_flanker; by_flanker(b'Subject: x\\n\\ny');"
        "from parsers.address import tolerant; tolerant('a b@c : d')"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_entity_that_python_refuses():
    """More digits than int() takes are no character; the text around them stays."""
    assert read(b"Content-Type: text/html\n\nnot &#" + b"1" * 5_000 + b"; delivered").text == "not  delivered"


def test_all_parts_together_are_bounded():
    """What is decoded of one part depends on what was of those before it."""
    raw = b"Content-Type: multipart/mixed; boundary=b\n" + (b"\n--b\n\n" + b"x" * MAX_TEXT) * 6
    mail = read(raw)
    assert [len(part.text) for part in mail.leaves] == [MAX_TEXT] * 4 + [0, 0]
    assert not mail.is_report_cut


def test_all_reports_together_are_bounded():
    """The same for delivery reports, and that is told."""
    part = b"\n--b\nContent-Type: message/delivery-status\n\n" + b"x" * MAX_TEXT
    outcome = parse(b"Content-Type: multipart/mixed; boundary=b\n" + part * 9)
    assert outcome.truncated
    assert outcome.problems == (f"only the first {MAX_REPORT} bytes of the delivery reports were read",)
