"""What holds for every mail, however damaged."""

from collections.abc import Iterator

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parsers import parse
from parsers.message import HEADER_TYPES, MESSAGE_TYPES, Mail, by_flanker, by_standard_library
from parsers.order import ORDER
from parsers.part import Part
from parsers.report import Evidence, Kind, Report
from parsers.scan import scan
from tests.parsers.mutations import damaged
from tests.parsers.promises import check_outcome

MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(damaged())
def test_damaged_mail(raw: bytes):
    """Damage costs facts, never an exception, a detector's error or a character that may not pass."""
    check_outcome(parse(raw))


@MANY
@given(st.binary(max_size=2_000))
def test_any_octets(raw: bytes):
    """Octets that are no mail at all are one event of kind `other`, or whatever they happen to say."""
    check_outcome(parse(raw))


@MANY
@given(damaged())
def test_line_ends_do_not_matter(raw: bytes):
    """LF, CRLF and CR give the same reports."""
    raw = raw.replace(b"\r", b"")
    as_lf, as_crlf, as_cr = (parse(raw.replace(b"\n", end)) for end in (b"\n", b"\r\n", b"\r"))
    assert as_lf == as_crlf == as_cr


@MANY
@given(damaged())
def test_the_ways_agree(raw: bytes):
    """Where the scan calls a mail well formed, flanker and the standard library take it apart alike."""
    found = scan(raw)
    if found.flaws or found.limits:
        return
    data = found.data[found.root.start :]
    by_library = by_standard_library(data)
    assert shape(by_library) == shape(found.root)
    assert reports_of(by_library) == reports_of(found.root)
    try:
        by_tolerance = by_flanker(data)
    except Exception:  # noqa: BLE001  flanker refuses some mails that are well formed (message/global, for one)
        return
    if not is_beyond_flanker(data, found.root):
        assert shape(by_tolerance) == shape(found.root)
        assert reports_of(by_tolerance) == reports_of(found.root)


def shape(part: Part) -> object:
    """All that a part is: its type, its fields, and its parts or octets."""
    fields = sorted((name, value.strip()) for name, value in part.headers.items())
    return part.type, fields, [shape(one) for one in part.parts] or part.payload.rstrip(b"\n")


def reports_of(root: Part) -> tuple[Report, ...]:
    """What the first detector finds in a tree."""
    mail = Mail(root)
    return next(
        (found for _, detect in ORDER if (found := detect(mail))), (Report(kind=Kind.OTHER, evidence=Evidence()),)
    )


def is_beyond_flanker(data: bytes, root: Part) -> bool:
    """Whether flanker is known to read it otherwise.

    It does not see a delimiter with blanks behind it, nor a Content-Type that begins with a fold; and it opens the
    messages and headers within, so that what is wrong in there spoils its reading of the mail around them.
    """
    return (
        any(line.startswith(b"--") and line.endswith((b" ", b"\t")) for line in data.split(b"\n"))
        or b"content-type:\n" in data.lower()
        or any(_upsets_flanker(part) for part in root.leaves())
    )


def boundaries(part: Part) -> Iterator[bytes]:
    """The boundaries of a tree's multiparts."""
    if part.parts:
        yield part.params["boundary"].encode()
    for one in part.parts:
        yield from boundaries(one)


def _upsets_flanker(part: Part) -> bool:
    if part.type in MESSAGE_TYPES:
        within, lines = scan(part.payload), part.payload.split(b"\n")
        ended = all(lines.count(b"--" + boundary + b"--") == 1 for boundary in boundaries(within.root))
        return bool(within.flaws) or not ended or is_beyond_flanker(within.data, within.root)
    return (part.type in HEADER_TYPES or part.type.startswith("message/")) and b"\n--" in part.payload
