"""The only door: what every outcome is, and what a detector's bug costs."""

import re
import time

import pytest

import parsers
from parsers import parse
from parsers.finish import MAX_REPORTS
from parsers.message import Mail
from parsers.report import MAX_DIAGNOSTIC, Kind, Report
from parsers.tidy import MAX_WORD, tidy

QMAIL = b"Hi. This is the qmail-send program at mx.example.org.\n\n<a@example.com>:\n550 5.1.1 no\n"


def broken(mail: Mail) -> tuple[Report, ...]:
    """A detector with a bug."""
    raise KeyError(mail.text[:20])


def test_nothing_recognised():
    """One report of kind `other`, with the mail's own evidence."""
    outcome = parse(b"Subject: hello\nMessage-ID: <1@x>\n\nhow are you?")
    (report,) = outcome.reports
    assert (report.kind, report.recipient, report.cause, outcome.detector) == (Kind.OTHER, None, None, None)
    assert (report.evidence.subject, report.evidence.message_id) == ("hello", "1@x")


def test_a_detectors_bug(monkeypatch: pytest.MonkeyPatch):
    """It costs a line for the log, which quotes nothing of the mail; the next detector has the mail."""
    monkeypatch.setattr(parsers, "ORDER", (("bad", broken), *parsers.ORDER))
    outcome = parse(b"Subject: failure notice\n\n" + QMAIL)
    assert outcome.detector == "qmail"
    (problem,) = outcome.problems
    assert re.fullmatch(r"bad: KeyError \(test_parse\.py:\d+\)", problem)


def test_any_other_bug(monkeypatch: pytest.MonkeyPatch):
    """Even then the mail becomes an event."""
    monkeypatch.setattr(parsers, "evidence", broken)
    outcome = parse(b"Subject: x\n\n" + QMAIL)
    assert [report.kind for report in outcome.reports] == [Kind.OTHER]
    assert outcome.problems[0].startswith("parse: KeyError")


def test_bounds_of_an_outcome():
    """Reports and texts are bounded."""
    raw = (
        QMAIL
        + b"550 "
        + b"x" * 100_000
        + b"".join(b"\n<a%d@example.com>:\n550 no\n" % i for i in range(2 * MAX_REPORTS))
    )
    outcome = parse(b"Subject: x\n\n" + raw)
    assert len(outcome.reports) == MAX_REPORTS
    assert outcome.truncated
    assert outcome.problems == (f"only the first {MAX_REPORTS} reports were read",)
    assert len(outcome.reports[0].diagnostic or "") == MAX_DIAGNOSTIC


def test_delivery_report_about_too_many():
    """A report about more recipients than are taken says so."""
    group = b"Final-Recipient: rfc822; a%d@example.com\nAction: failed\nStatus: 5.1.1\n\n"
    raw = b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.com\n\n" + b"".join(
        group % number for number in range(MAX_REPORTS + 1)
    )
    outcome = parse(raw)
    assert len(outcome.reports) == MAX_REPORTS
    assert outcome.truncated


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", "a[31mb"),
        ("a\r\nBcc: b\tc", "a  Bcc: b c"),
        ("a\ud800b\x85c\u2028d", "ab c d"),
        ("\u202egpj.exe", "gpj.exe"),
        (" \x00 ", None),
        ("x" * 1000, "x" * MAX_WORD),
        (None, None),
    ],
)
def test_tidy(text: str | None, shown: str | None):
    """Nothing that steers a terminal, a log or a reader passes."""
    assert tidy(text, MAX_WORD) == shown


def report_of_many(count: int) -> bytes:
    """A report without codes, so that the text has to be searched for each recipient."""
    named = b"".join(b"a%d@example.com\n550 no\n\n" % i for i in range(count))
    groups = b"".join(
        b"Final-Recipient: rfc822; a%d@example.com\nAction: failed\nStatus: 5.0.0\n\n" % i for i in range(count)
    )
    return (
        b"From: MAILER-DAEMON@example.org\nContent-Type: multipart/report; boundary=b\n\n--b\n\n"
        + named
        + b"\n--b\nContent-Type: message/delivery-status\n\n"
        + groups
    )


@pytest.mark.parametrize(
    "raw",
    [
        report_of_many(20_000),
        b"From: MAILER-DAEMON@example.org\n\n" + b"From: a\n\n" * 1_000_000,
        b"From: MAILER-DAEMON@example.org\nContent-Type: text/html\n\n" + b"<style" * 1_000_000,
        b"From: MAILER-DAEMON@example.org\n\nThis is the mail system at host x.\n" + b"<a@b>: 550\n" * 400_000,
        b"To: " + b'"\\' * 100_000 + b"\n\nx",
    ],
)
def test_linear(raw: bytes):
    """What takes others minutes takes a second or two; the limit is wide, for the busiest machine."""
    started = time.process_time()
    parse(raw)
    assert time.process_time() - started < 30
