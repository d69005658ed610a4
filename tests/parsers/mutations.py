"""Fixtures damaged the way mail is damaged: lines and octets lost, doubled, put where they do not belong."""

from pathlib import Path

from hypothesis import strategies as st

FIXTURES = Path(__file__).parents[2] / "fixtures"
SMALL = 20_000
"""Octets of a fixture that is worth damaging: the notice is at its beginning."""

MAILS = sorted(path for path in FIXTURES.rglob("*.eml") if path.stat().st_size < SMALL)

LINES = (
    b"",
    b" ",
    b"\t",
    b"--",
    b"--x",
    b"From me@example.com Mon Nov 23 04:35:31 2026",
    b"Content-Type: multipart/mixed; boundary=x",
    b"Content-Type: message/rfc822",
    b"Content-Type: message/delivery-status",
    b"Content-Transfer-Encoding: base64",
    b"Final-Recipient: rfc822; a@example.com",
    b"Action: failed",
    b"Status: 5.1.1",
    b"Subject: =?utf-8?q?=C3=B5?= \xf5",
    b"<a@example.com>: 550 5.1.1 no",
    b"a line that is no field",
    b"\x00\x1b[31m\xff\xfe",
)
"""Lines that mean something somewhere."""


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A fixture after a few changes."""
    raw = draw(st.sampled_from(MAILS)).read_bytes()
    for _ in range(draw(st.integers(0, 6))):
        raw = draw(st.sampled_from((_change_lines, _change_octets)))(draw, raw)
    return raw


def _change_lines(draw: st.DrawFn, raw: bytes) -> bytes:
    lines = raw.split(b"\n")
    at = draw(st.integers(0, len(lines) - 1))
    match draw(st.integers(0, 3)):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2:
            lines.insert(at, draw(st.sampled_from(LINES)))
        case _:
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
    return b"\n".join(lines)


def _change_octets(draw: st.DrawFn, raw: bytes) -> bytes:
    at = draw(st.integers(0, max(0, len(raw) - 1)))
    many = draw(st.integers(0, 40))
    match draw(st.integers(0, 3)):
        case 0:
            return raw[:at] + raw[at + many :]
        case 1:
            return raw[: at + many] + raw[at:]
        case 2:
            return raw[:at] + draw(st.binary(max_size=8)) + raw[at:]
        case _:
            return raw[:at]
