"""Letters composed, and read back by the standard library and flanker: what goes in comes out, and nothing else."""

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bounced.send.compose import TRACE, Attachment, Identity, Letter, compose, new_message_id, sign
from bounced.send.recipients import LetterError, read, read_all
from parsers.quiet import flanker_address

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
OUTBOUND = UUID("01a213b7-5af2-71f4-9fd3-65d64dbf93b9")
LETTER = Letter(subject="Arve 1042", to=("accounts@example.com",), text="Tere!\n")
IDENTITY = Identity(
    from_address="acme@event.data.example.net", display_name="Mari Põld", reply_to="mari@acme.example.com"
)

CONTROLS = "\r\n\0\x1b\x7f\x85\u2028\ud800"
NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=100).map(
    lambda text: " ".join(text.split())
)
LINES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=500)


def composed(letter: Letter, identity: Identity = IDENTITY) -> bytes:
    """The whole message."""
    raw = compose(
        letter,
        read_all(letter.to, "To"),
        read_all(letter.cc, "Cc"),
        message_id=new_message_id(OUTBOUND, identity.from_address),
        outbound_id=OUTBOUND,
        date=NOW,
    )
    return sign(raw, identity)


def read_back(raw: bytes) -> EmailMessage:
    """As a modern mail program reads it."""
    found = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def check_octets(raw: bytes) -> None:
    """Seven bits, CR LF alone, and lines that every server takes."""
    assert raw.isascii()
    assert b"\0" not in raw
    assert raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_a_letter():
    """Every field as it was given."""
    raw = composed(replace(LETTER, cc=("Jaan Tamm <jaan@example.org>",), bcc=("hidden@example.org",)))
    found = read_back(raw)
    assert found["From"].addresses[0].display_name == "Mari Põld"
    assert found["From"].addresses[0].addr_spec == "acme@event.data.example.net"
    assert (found["Reply-To"], found["To"]) == ("mari@acme.example.com", "accounts@example.com")
    assert found["Cc"].addresses[0].display_name == "Jaan Tamm"
    assert found["Subject"] == "Arve 1042"
    assert found["Message-ID"] == f"<{OUTBOUND}@event.data.example.net>"
    assert found["Date"].datetime == NOW
    assert found[TRACE] == str(OUTBOUND)
    assert found.get_content() == "Tere!\r\n"
    assert b"hidden" not in raw
    check_octets(raw)


def test_text_html_and_attachments():
    """The reader may choose between text and HTML; files come behind them, with their names."""
    attachments = (
        Attachment(name="Arve õäöü кириллица.pdf", content=b"%PDF-1.7\xff"),
        Attachment(name="../../etc/passwd", content=b"x"),
        Attachment(name="C:\\temp\\a.txt", content="tõsi\n".encode()),
        Attachment(name="nested.eml", content=b"Subject: x\n\ny", media_type="message/rfc822"),
    )
    raw = composed(replace(LETTER, html="<p>Tere õ!</p>", attachments=attachments))
    found = read_back(raw)
    assert found.get_content_type() == "multipart/mixed"
    text, html = (found.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert (text.get_content(), html.get_content()) == ("Tere!\r\n", "<p>Tere õ!</p>\r\n")
    files = list(found.iter_attachments())
    assert [file.get_filename() for file in files] == ["Arve õäöü кириллица.pdf", "passwd", "a.txt", "nested.eml"]
    assert [file.get_payload(decode=True) for file in files] == [one.content for one in attachments]
    assert [file.get_content_type() for file in files] == [
        "application/pdf",
        "application/octet-stream",
        "text/plain",
        "application/octet-stream",
    ]
    check_octets(raw)


@pytest.mark.parametrize("bad", CONTROLS)
@pytest.mark.parametrize("where", ["subject", "to", "cc", "display name", "attachment", "media type"])
def test_nothing_is_injected(bad: str, where: str):
    """A control character in any field is one clear error, which shows none of it."""
    evil = f"x{bad}Bcc: eve@example.com"
    letter, identity = LETTER, IDENTITY
    match where:
        case "subject":
            letter = replace(LETTER, subject=evil)
        case "to":
            letter = replace(LETTER, to=(f"a@example.com{bad}Bcc: eve@example.com",))
        case "cc":
            letter = replace(LETTER, cc=(f"{evil} <a@example.com>",))
        case "display name":
            identity = replace(IDENTITY, display_name=evil)
        case "attachment":
            letter = replace(LETTER, attachments=(Attachment(name=evil, content=b""),))
        case "media type":
            letter = replace(LETTER, attachments=(Attachment(name="a", content=b"", media_type=f"text/x{bad}"),))
    with pytest.raises(LetterError) as caught:
        composed(letter, identity)
    assert str(caught.value).isprintable()


def test_nothing_to_say():
    """A message without any content is a mistake."""
    with pytest.raises(LetterError, match="empty"):
        composed(replace(LETTER, text=None))
    with pytest.raises(LetterError, match="NUL"):
        composed(replace(LETTER, text="a\0b"))


@given(subject=NAMES, name=NAMES, text=LINES, file=NAMES)
@settings(max_examples=150, deadline=None)
def test_whatever_goes_in_comes_out(subject: str, name: str, text: str, file: str):
    """Any Unicode text, in any field."""
    letter = replace(LETTER, subject=subject, text=text, attachments=(Attachment(name=file, content=b"x"),))
    raw = composed(letter, replace(IDENTITY, display_name=name))
    check_octets(raw)
    found = read_back(raw)
    assert " ".join(str(found["Subject"]).split()) == subject
    own = email.message_from_bytes(raw)
    # not by the modern policy: some versions of it put a blank between two encoded words of a name
    phrase, _, address = own["From"].rpartition("<")
    assert str(make_header(decode_header(phrase.strip().strip('"')))).replace('\\"', '"').replace("\\\\", "\\") == name
    assert address == f"{IDENTITY.from_address}>"
    body = found.get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n").rstrip("\n") == text.rstrip("\n")
    (attached,) = found.iter_attachments()
    assert attached.get_filename() == (file.replace("\\", "/").rpartition("/")[2].strip() or "attachment")
    assert sorted(own.keys()) == sorted(
        ["From", "Reply-To", "Date", "Message-ID", "Subject", "To", TRACE, "Content-Type", "MIME-Version"]
    )


@pytest.mark.parametrize("subject", ["õ" * 5_000, "x" * 5_000, "word " * 1_999, "=?utf-8?q?x?=", " leading", "a  b"])
def test_long_and_odd_subjects(subject: str):
    """They are folded, and come out as they went in."""
    raw = composed(replace(LETTER, subject=subject))
    check_octets(raw)
    assert str(read_back(raw)["Subject"]).strip() == subject.strip()


def test_many_recipients():
    """Each on a line of its own."""
    people = tuple(f"Klient {number} <k{number}@example.com>" for number in range(500))
    raw = composed(replace(LETTER, to=people))
    check_octets(raw)
    assert [one.addr_spec for one in read_back(raw)["To"].addresses] == [f"k{n}@example.com" for n in range(500)]


@pytest.mark.parametrize(
    ("text", "name", "address", "envelope"),
    [
        ("a@example.com", None, "a@example.com", "a@example.com"),
        (" A B <a@Example.com> ", "A B", "a@Example.com", "a@example.com"),
        ('"B, A" <a+b@example.com>', "B, A", "a+b@example.com", "a+b@example.com"),
        ("info@müük.example", None, "info@müük.example", "info@xn--mk-xkaa.example"),
        ("jõul@example.com", None, "jõul@example.com", "jõul@example.com"),
        ("мари@пример.example", None, "мари@пример.example", "мари@xn--e1afmkfd.example"),
    ],
)
def test_recipients(text: str, name: str | None, address: str, envelope: str):
    """A name is kept apart; only the domain has to be ASCII."""
    found = read(text, "To")
    assert (found.name, found.address, found.envelope) == (name, address, envelope)
    assert found.needs_smtputf8 == (not envelope.isascii())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a@",
        "@example.com",
        "a b@example.com",
        "a@b@example.com",
        "a@[192.0.2.1]",
        "a@exa mple.com",
        f"{'a' * 65}@example.com",
        f"a@{'b' * 64}.example.com",
        f"a@{'b.' * 130}example.com",
        "a@-.example",
        "a@example.com, b@example.com",
        "a@example.com\r\nBcc: b@example.com",
        "undisclosed-recipients:;",
        "https://example.com/",
    ],
)
def test_what_is_no_recipient(text: str):
    """It is named in one line."""
    with pytest.raises(LetterError, match=r"^To: ") as caught:
        read(text, "To")
    assert str(caught.value).isprintable()


def test_written_to_once():
    """However often, and in whatever case, somebody is named."""
    assert [one.address for one in read_all(["a@example.com", "A <A@Example.com>"], "To")] == ["a@example.com"]


def test_flanker_reads_the_header_too():
    """Names beyond ASCII and with commas, as another parser sees them."""
    raw = composed(replace(LETTER, to=('"Tamm, Jaan" <jaan@example.org>',)))
    value = email.message_from_bytes(raw)["To"]
    parsed = flanker_address()(" ".join(value.split()))
    assert (parsed.display_name, parsed.address) == ("Tamm, Jaan", "jaan@example.org")
