"""What ties a notice to its message is found wherever it is returned."""

import base64
from datetime import UTC, datetime

import pytest

from parsers.headers import Headers
from parsers.message import read
from parsers.original import before_original, date, evidence, message_id, returned

SENT = (
    b"From: a@example.com\nReply-To: Joe <joe@example.com>\nTo: b@example.com\n"
    b"Subject: =?utf-8?q?=C3=B5?=\nMessage-ID: <1@x>\n"
)


def report(part: bytes) -> bytes:
    """A notice that returns `part`."""
    return (
        b"Message-ID: <2@y>\nIn-Reply-To: <1@x>\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b\n"
        + part
        + b"\n--b--\n"
    )


@pytest.mark.parametrize(
    "part",
    [
        b"Content-Type: message/rfc822\n\n" + SENT + b"\nbody",
        b"Content-Type: message/rfc822\n\n\n" + SENT + b"\nbody",
        b"Content-Type: message/global\n\n" + SENT + b"\nbody",
        b"Content-Type: text/rfc822-headers\n\n" + SENT,
        b"Content-Type: message/global-headers\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(SENT),
        b"Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n" + SENT.replace(b"=", b"=3D"),
        b"Content-Type: text/plain\n\n----- Original message -----\n\n" + SENT,
    ],
)
def test_returned(part: bytes):
    """However the message comes back, the same evidence is read."""
    found = evidence(read(report(part)))
    assert (found.original_message_id, found.original_subject) == ("1@x", "õ")
    assert (found.original_from, found.original_reply_to) == ("a@example.com", "joe@example.com")
    assert found.original_to == ("b@example.com",)
    assert found.message_id == "2@y"
    assert found.related_ids == ()


def test_no_original():
    """Without a returned message the notice's own references remain."""
    found = evidence(read(b"References: <1@x> <3@z>\nX-Failed-Recipients: b@example.com\nTo: me+t@example.com\n\nx"))
    assert found.related_ids == ("1@x", "3@z")
    assert found.failed_recipients == ("b@example.com",)
    assert found.delivered_to == ("me+t@example.com",)
    assert not returned(read(b"Subject: x\n\ny"))


def test_what_the_returned_message_answered():
    """The thread that it stands in is of other messages; what a provider kept of its own id is not."""
    part = b"Content-Type: text/rfc822-headers\n\n" + SENT + b"In-Reply-To: <5@z>\nReferences: <4@z> <5@z>\n"
    part += b"X-Google-Original-Message-ID: <0@x>\n"
    assert evidence(read(report(part))).related_ids == ("0@x",)
    thread = b"References: <4@z> <1@x>\n"  # as Exim writes it
    assert evidence(read(thread + report(part))).related_ids == ("0@x",)
    assert evidence(read(thread + report(part.replace(b"<1@x>", b"<9@x>")))).related_ids == ("1@x", "4@z", "0@x")


def test_before_original():
    """A notice's own words end where the pasted header begins."""
    assert before_original("words\n\n" + SENT.decode()) == "words\n\n"
    assert before_original("words only") == "words only"


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("Mon, 23 Nov 2026 07:34:38 +0200 (EET)", datetime(2026, 11, 23, 5, 34, 38, tzinfo=UTC)),
        ("23 Nov 2026 00:00:00 -0130", datetime(2026, 11, 23, 1, 30, tzinfo=UTC)),
        ("Mon, 23 Nov 26 07:34 GMT", datetime(2026, 11, 23, 7, 34, tzinfo=UTC)),
        ("Mon, 23 Nov 2026 07:34:38", datetime(2026, 11, 23, 7, 34, 38, tzinfo=UTC)),
        ("Mon, 31 Feb 2026 07:34:38 +0000", None),
        ("Mon, 23 Nov 2026 07:34:38 +9999999999", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_date(value: str | None, moment: datetime | None):
    """Dates become UTC, nonsense becomes nothing."""
    assert date(Headers(f"Date: {value}" if value else "")) == moment


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("Message-ID: <1@x>", "1@x"),
        ("Message-ID:\n <1@x>", "1@x"),
        ("Message-ID:   1@x comment", "1@x"),
        ("Message-ID: =?utf-8?q?<1@x>?=", "1@x"),
        ("Message-ID:", None),
        ("Subject: <1@x>", None),
    ],
)
def test_message_id(field: str, found: str | None):
    """Angle brackets go; what has none is taken as it is."""
    assert message_id(Headers(field)) == found
