"""Delivery reports are read to the letter of RFC 3464, and beyond it."""

import pytest

from parsers import parse
from parsers.report import Kind, Report


def notice(fields: str, text: str = "hello", head: str = "") -> bytes:
    """A delivery report with these fields about recipients."""
    return (
        f"From: MAILER-DAEMON@mx.example.org\nSubject: Undelivered\n{head}"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
        f"--b\n\n{text}\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n"
        f"Original-Envelope-Id: inv+2B1\n\n{fields}\n--b--\n"
    ).encode()


def one(fields: str, text: str = "hello") -> Report:
    """The only report of such a notice."""
    (report,) = parse(notice(fields, text)).reports
    return report


def test_all_fields():
    """Every field lands in its place, without type, comment and encoding."""
    report = one(
        "Original-Recipient: rfc822; joe+2Bnews@example.com\nFinal-Recipient: rfc822; joe@example.net\n"
        "Action: Failed (for good)\nStatus: 5.1.1 (unknown)\nRemote-MTA: dns; mx.example.net (192.0.2.1)\n"
        "Diagnostic-Code: smtp; 550 5.1.1 no\n such user"
    )
    assert report.kind is Kind.BOUNCE
    assert (report.recipient, report.original_recipient) == ("joe+news@example.com", "joe+news@example.com")
    assert report.final_recipient == "joe@example.net"
    assert (report.action, report.status, report.smtp_code) == ("failed", "5.1.1", 550)
    assert report.diagnostic == "550 5.1.1 no such user"
    assert (report.remote_mta, report.reporting_mta) == ("mx.example.net", "mx.example.org")
    assert report.evidence.envelope_id == "inv+1"
    assert report.permanent


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ("Action: failed", Kind.BOUNCE),
        ("Action: delayed", Kind.DELAY),
        ("Action: delivered", Kind.DELIVERED),
        ("Action: relayed (to non-DSN-aware mailer)", Kind.RELAYED),
        ("Action: expanded", Kind.EXPANDED),
        ("Status: 4.2.2", Kind.DELAY),
        ("Status: 2.0.0", Kind.DELIVERED),
        ("Action: exploded\nStatus: 5.0.0", Kind.BOUNCE),
        ("X: y", Kind.BOUNCE),
        ("Action: delayed\nStatus: 4.4.7\nDiagnostic-Code: x; Envelope expired", Kind.BOUNCE),
    ],
)
def test_kind(fields: str, kind: Kind):
    """The Action counts; without a known one the class of the status does."""
    assert one(f"Final-Recipient: rfc822; a@example.com\n{fields}").kind is kind


def test_words_from_the_text():
    """Where the fields say less, the part for people says it."""
    report = one(
        "Final-Recipient: rfc822; a@example.com\nAction: failed\nStatus: 5.0.0",
        "<a@example.com>: host mx.example.net said: 552 5.2.2 full",
    )
    assert (report.status, report.smtp_code) == ("5.2.2", 552)


def test_unusable_original_recipient():
    """A hidden original recipient gives way to the final one."""
    report = one("Original-Recipient: rfc822; unknown\nFinal-Recipient: rfc822; a@example.com\nAction: failed")
    assert report.recipient == "a@example.com"


def test_doubled_recipient():
    """A recipient that is named twice with the same outcome is one report."""
    group = "Final-Recipient: rfc822; a@example.com\nAction: failed\n\n"
    assert len(parse(notice(group + group.replace("a@", "A@"))).reports) == 1


def test_pasted():
    """A server that puts the fields into its text is understood, a person who quotes them is not."""
    fields = b"Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822; a@example.com\nAction: failed\nStatus: 5.1.1\n"
    raw = b"Subject: x\n\n" + fields
    (report,) = parse(b"From: MAILER-DAEMON@example.org\n" + raw).reports
    assert (report.kind, report.recipient) == (Kind.BOUNCE, "a@example.com")
    (report,) = parse(b"From: joe@example.org\n" + raw.replace(b"\n\nRep", b"\n\nLook:\n\n> Rep")).reports
    assert report.kind is Kind.OTHER


def test_nameless():
    """A report that names nobody is about whom the returned message was for."""
    raw = notice("").replace(b"\n--b--", b"\n--b\nContent-Type: message/rfc822\n\nTo: a@example.com\n\nx\n--b--")
    outcome = parse(raw)
    assert outcome.detector == "dsn-nameless"
    assert outcome.reports[0].recipient == "a@example.com"


def test_bounce_of_a_bounce():
    """The returned message's own report is not ours."""
    inner = (
        notice("Final-Recipient: rfc822; inner@example.com\nAction: failed")
        .replace(b"=b\n", b"=i\n")
        .replace(b"--b", b"--i")
    )
    raw = notice("Final-Recipient: rfc822; outer@example.com\nAction: failed")
    raw = raw.replace(b"\n--b--", b"\n--b\nContent-Type: message/rfc822\n\n" + inner + b"\n--b--")
    assert [report.recipient for report in parse(raw).reports] == ["outer@example.com"]
