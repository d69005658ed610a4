"""Letters become messages that the standard library, old and new, and flanker read back as they went in."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, message_from_string, policy
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.utils import collapse_rfc2231_value, getaddresses
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bounced.errors import LetterError
from bounced.send.compose import TRACE, Attachment, Identity, Letter, message_id, origin, without_smtputf8
from bounced.send.compose import compose as composed_unsigned
from parsers.quiet import flanker_address, flanker_scan

OUTBOUND = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
ID = f"<{OUTBOUND}@example.com>"
DATE = datetime(2026, 11, 25, 12, 0, 5, tzinfo=UTC)
LETTER = Letter(subject="Invoice 1042", text="Hello\n", html=None, to=("accounts@example.com",))
IDENTITY = Identity(from_address="mari@example.com", display_name="Mari Mets", reply_to=None)

FIELDS = ["From", "Date", "To", "Subject", "Message-ID", TRACE, "MIME-Version"]
"""What stands in front of every message, in order; what describes its body follows."""

UNFIT = ["Cc", "Cs", "Zl", "Zp"]
LINE = st.text(st.characters(exclude_categories=UNFIT), max_size=200)
"""What may stand in a field: printable or not, assigned or not, of any length."""
BODY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=500)


def compose(letter: Letter, identity: Identity, *, message_id: str, trace: str, date: datetime) -> bytes:
    """The whole message."""
    return origin(identity) + composed_unsigned(letter, message_id=message_id, trace=trace, date=date)


def composed(letter: Letter = LETTER, identity: Identity = IDENTITY) -> bytes:
    """The message; it keeps what every message keeps, unless an address stands in its way."""
    raw = compose(letter, identity, message_id=ID, trace="t1", date=DATE)
    lines = raw.split(b"\r\n")
    assert raw.endswith(b"\r\n")
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", raw)
    assert max(map(len, lines)) <= 998
    assert max(map(len, lines[: lines.index(b"")])) <= 78
    assert not any(line.isspace() for line in lines[: lines.index(b"")])
    assert raw.isascii()
    assert not re.search(rb"(?m)^From ", raw)
    return raw


def outcome(letter: Letter, identity: Identity) -> tuple[bytes, None] | tuple[None, LetterError]:
    """The message, or why it is none."""
    try:
        return compose(letter, identity, message_id=ID, trace="t1", date=DATE), None
    except LetterError as error:
        return None, error


def modern(raw: bytes) -> EmailMessage:
    """As the standard library's policy of today reads it; it must see nothing wrong."""
    message = cast(EmailMessage, message_from_bytes(raw, policy=policy.default))
    for part in message.walk():
        assert not part.defects
        assert not [value.defects for value in part.values() if value.defects]
    return message


def classic(raw: bytes) -> Message:
    """As the standard library's compat32 policy reads it."""
    return message_from_bytes(raw)


def decoded(value: str) -> str:
    """A field of text, unfolded and decoded by the classic means."""
    return str(make_header(decode_header(re.sub(r"\r?\n", "", value))))


def people(message: Message, name: str) -> list[tuple[str, str]]:
    """Names and addresses of a field, by the classic means.

    The policy of today is not asked for names: up to Python 3.13 it puts a blank between two encoded words of one.
    """
    pairs = getaddresses([re.sub(r"\r?\n", "", value) for value in message.get_all(name, [])])
    return [(decoded(found), address) for found, address in pairs]


def text_of(part: Any) -> str:
    """The text that a part of the standard library's holds."""
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode(part.get_content_charset())


def lines_of(text: str) -> str:
    """A text as it comes out: each line ended by CRLF."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return (lines if not lines or lines.endswith("\n") else lines + "\n").replace("\n", "\r\n")


def test_a_plain_letter():
    """What an ordinary letter looks like, octet by octet."""
    letter = replace(LETTER, to=("Accounts <accounts@example.com>", "b@example.org"), cc=("c@example.org",))
    identity = replace(IDENTITY, display_name="Mets, Mari", reply_to="office@example.com")
    assert composed(letter, identity).decode().split("\r\n") == [
        'From: "Mets, Mari" <mari@example.com>',
        "Reply-To: office@example.com",
        "Date: Wed, 25 Nov 2026 12:00:05 +0000",
        "To: Accounts <accounts@example.com>, b@example.org",
        "Cc: c@example.org",
        "Subject: Invoice 1042",
        "Message-ID: <01890a5d-ac96-774b-bcce-b302099a8057@example.com>",
        "X-Directo-Trace: t1",
        "MIME-Version: 1.0",
        'Content-Type: text/plain; charset="utf-8"',
        "Content-Transfer-Encoding: 7bit",
        "",
        "Hello",
        "",
    ]


def test_the_same_letter_is_the_same_message():
    """Whoever composes it again gets the same octets."""
    letter = replace(LETTER, html="<p>Hello", attachments=(Attachment(name="a.pdf", content=b"%PDF"),))
    assert composed(letter) == composed(letter)


def test_hidden_recipients():
    """They stand nowhere; a message for them alone has a To all the same."""
    shown = composed(replace(LETTER, bcc=("eve@example.org", "Eve Õun <õun@example.org>")))
    assert shown == composed()
    hidden = composed(replace(LETTER, to=(), bcc=("eve@example.org",)))
    assert b"eve" not in hidden
    assert modern(hidden)["To"] == "undisclosed-recipients:;"
    assert modern(hidden)["To"].addresses == ()
    copied = modern(composed(replace(LETTER, to=(), cc=("cc@example.org",), bcc=("eve@example.org",))))
    assert (copied["To"], copied["Cc"]) == (None, "cc@example.org")


def test_five_hundred_recipients():
    """A long field stays readable."""
    to = tuple(f"Klient {number} Õ <k{number}@example.com>" for number in range(500))
    raw = composed(replace(LETTER, to=to))
    expected = [(f"Klient {number} Õ", f"k{number}@example.com") for number in range(500)]
    assert people(classic(raw), "To") == expected
    assert [(one.display_name, one.addr_spec) for one in modern(raw)["To"].addresses] == expected


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "x",
        "Arve õäöü",
        "Счёт кириллица",
        "a  b ",
        " a",
        "=?utf-8?q?a?=",
        "=?utf-8?q?a=0D=0ABcc:_eve@example.org?=",
        "x" * 61,
        "word " * 50,
        "x" * 10_000,
        "õ " * 5_000,
        "😀" * 10_000,
        "=" * 500,
        "a\u0301\u200d" * 100,
    ],
    ids=lambda subject: f"{subject[:8]}x{len(subject)}",
)
def test_subjects(subject: str):
    """Any subject comes out as it went in, by three readers; nothing in it is taken for an encoded word."""
    raw = composed(replace(LETTER, subject=subject))
    assert decoded(classic(raw)["Subject"]) == subject
    assert modern(raw)["Subject"] == subject
    assert flanker_scan()(raw).headers["Subject"].strip() == subject.strip()
    assert modern(raw)["Bcc"] is None


@pytest.mark.parametrize(
    "name",
    [
        "Mari",
        "O'Neil-Mets",
        "Mari M. Mets",
        "Mets, Mari",
        'Mari "M" Mets',
        "Mari\\Mets",
        "a  b",
        "Mari (office)",
        "<eve@example.org>",
        "eve@example.org, Mari",
        "=?utf-8?q?a?=",
        "Jõgi, Õie",
        "Мария Петровна",
        "x" * 200,
        "word " * 20 + "end",
        "Õ" * 200,
        ";:@[]",
    ],
)
def test_names(name: str):
    """A name comes out as it went in, and never becomes an address."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    letter = replace(LETTER, to=(f'"{quoted}" <a@example.com>', f'"{quoted}" <b@example.com>'))
    raw = composed(letter, replace(IDENTITY, display_name=name))
    assert people(classic(raw), "From") == [(name, "mari@example.com")]
    assert people(classic(raw), "To") == [(name, "a@example.com"), (name, "b@example.com")]
    assert [one.addr_spec for one in modern(raw)["To"].addresses] == ["a@example.com", "b@example.com"]
    if len(name) < 60:
        assert [one.display_name for one in modern(raw)["To"].addresses] == [" ".join(name.split())] * 2
    third = flanker_address()(re.sub(r"\r?\n", "", classic(raw)["From"]))
    assert (third.display_name, third.address) == (name, "mari@example.com")


def test_domains_beyond_ascii():
    """They stand as ASCII in every field, so that any server takes the message."""
    letter = replace(LETTER, to=("a@näide.example",), cc=("Õie <b@почта.example>",))
    identity = Identity(from_address="mari@Näide.example", display_name=None, reply_to="c@näide.example")
    message = modern(composed(letter, identity))
    assert [message[name] for name in ("From", "Reply-To", "To")] == [
        "mari@xn--nide-loa.example",
        "c@xn--nide-loa.example",
        "a@xn--nide-loa.example",
    ]
    assert people(message, "Cc") == [("Õie", "b@xn--80a1acny.example")]
    assert message_id(OUTBOUND, "Näide.example") == f"<{OUTBOUND}@xn--nide-loa.example>"


@pytest.mark.parametrize("where", ["from", "reply-to", "to", "cc"])
def test_local_parts_beyond_ascii(where: str):
    """Such an address stands as it is, and the message needs SMTPUTF8; names stay encoded all the same."""
    letter, identity = LETTER, IDENTITY
    match where:
        case "from":
            identity = replace(IDENTITY, from_address="õie@example.com", display_name="Õie")
        case "reply-to":
            identity = replace(IDENTITY, reply_to="õie@example.com")
        case _:
            letter = replace(LETTER, **{where: ("Õie <õie@example.com>",)})
    raw = compose(letter, identity, message_id=ID, trace="t1", date=DATE)
    assert not raw.isascii()
    assert message_from_string(raw.decode())[where].endswith(("õie@example.com", "<õie@example.com>"))
    assert "Õie" not in raw.decode()
    assert raw.decode().replace("õie@example.com", "").isascii()


def test_without_smtputf8():
    """Addresses beyond ASCII are shown as what nobody can reply to; the others, and all else, stay as they are."""
    to = ("a@example.com", "Õie <õie@example.com>", '"Mets, M" <b@example.com>', '"a  õ,>"@example.org', "c@example.ee")
    letter = replace(LETTER, subject="To: õ", to=to, cc=("õ@example.org",), text="To: õ <õ@example.org>\n\nõ")
    raw = compose(letter, IDENTITY, message_id=ID, trace="t1", date=DATE)
    downgraded = without_smtputf8(raw)
    assert downgraded.isascii()
    assert max(map(len, downgraded.split(b"\r\n"))) <= 76
    message = modern(downgraded)
    assert [one.addr_spec for one in message["To"].addresses] == ["a@example.com", "b@example.com", "c@example.ee"]
    assert message["Cc"].addresses == ()
    shown = [group.display_name for name in ("To", "Cc") for group in message[name].groups if group.display_name]
    assert [" ".join(name.split()) for name in shown] == [
        "Õie õie@example.com",
        '"a õ,>"@example.org',
        "õ@example.org",
    ]
    assert "Õie õie@example.com:;" in decoded(classic(downgraded)["To"]).replace(" :;", ":;")
    lists = re.compile(rb"(?ms)^(?:To|Cc):.*?\r\n(?! )")
    assert lists.sub(b"", downgraded) == lists.sub(b"", raw)
    assert without_smtputf8(composed()) == composed()


@pytest.mark.parametrize("kind", ["text", "html"])
@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("", "7bit"),
        ("Hello", "7bit"),
        (".\r\n..\r\n", "7bit"),
        ("tab\tand blanks  \n\n\n", "7bit"),
        ("one\rtwo\nthree\r\nfour\n\rfive", "7bit"),
        ("x" * 78, "7bit"),
        ("x" * 79, "quoted-printable"),
        ("x" * 5_000, "quoted-printable"),
        ("From me\n", "quoted-printable"),
        ("a\n" + "From the first of January on the prices rise " * 5, "quoted-printable"),
        ("Tere õhtust.\n=C3=B5\n.\nFrom me\n", "quoted-printable"),
        ("õ \n", "base64"),
        ("\x0b\x0c\x1b\x85\u2028 and õ stay as they are, whatever a reader makes of them", "quoted-printable"),
        ("Привет, мир. " * 100, "base64"),
    ],
)
def test_bodies(kind: str, text: str, encoding: str):
    """A text comes out line by line, in the encoding that fits it; CR, LF and CRLF each end a line."""
    raw = composed(replace(LETTER, **{"text": None, kind: text}))
    message = classic(raw)
    assert message.get_content_type() == {"text": "text/plain", "html": "text/html"}[kind]
    assert message["Content-Transfer-Encoding"] == encoding
    assert text_of(message) == lines_of(text)
    assert flanker_scan()(raw).body.replace("\n", "\r\n").replace("\r\r\n", "\r\n") == lines_of(text)
    assert max(map(len, raw.split(b"\r\n"))) <= 78


def test_parts():
    """Text and HTML are a choice, the better one last; attachments follow them; without either, the text is empty."""
    pdf = Attachment(name="arve.pdf", content=b"%PDF\0\xff\r\n.\r\n")
    shapes = {
        ("text",): ["text/plain"],
        ("html",): ["text/html"],
        ("text", "html"): ["multipart/alternative", "text/plain", "text/html"],
        ("text", "pdf"): ["multipart/mixed", "text/plain", "application/pdf"],
        ("html", "pdf"): ["multipart/mixed", "text/html", "application/pdf"],
        ("text", "html", "pdf"): [
            "multipart/mixed",
            "multipart/alternative",
            "text/plain",
            "text/html",
            "application/pdf",
        ],
        ("pdf",): ["multipart/mixed", "text/plain", "application/pdf"],
        (): ["text/plain"],
    }
    for given_parts, types in shapes.items():
        letter = replace(
            LETTER,
            text="Tere õ" if "text" in given_parts else None,
            html="<p>Tere õ" if "html" in given_parts else None,
            attachments=(pdf,) if "pdf" in given_parts else (),
        )
        raw = composed(letter)
        assert [part.get_content_type() for part in modern(raw).walk()] == types
        assert [str(part.content_type) for part in flanker_scan()(raw).walk(with_self=True)] == types
        for part in classic(raw).walk():
            match part.get_content_type():
                case "text/plain":
                    assert text_of(part) == lines_of(letter.text or "")
                case "text/html":
                    assert text_of(part) == lines_of(letter.html or "")
                case "application/pdf":
                    assert part.get_payload(decode=True) == pdf.content


def test_a_text_cannot_end_its_part():
    """What looks like the end of a part is text."""
    first = composed(replace(LETTER, html="<p>Hello"))
    (boundary,) = re.findall(rb'boundary="([^"]+)"', first)
    text = f"--{boundary.decode()}--\n\n--{boundary.decode()}\nContent-Type: text/html\n\n<p>Eve"
    message = modern(composed(replace(LETTER, text=text, html="<p>Hello")))
    assert [text_of(part) for part in message.iter_parts()] == [lines_of(text), "<p>Hello\r\n"]


@pytest.mark.parametrize(
    ("name", "media_type", "content", "shown", "described"),
    [
        ("arve.pdf", None, b"x", "arve.pdf", "application/pdf"),
        ("ARVE.PDF", None, b"x", "ARVE.PDF", "application/pdf"),
        ("arve.xlsx", "application/x-own", b"x", "arve.xlsx", "application/x-own"),
        ("lepe.asice", None, b"x", "lepe.asice", "application/vnd.etsi.asic-e+zip"),
        ("a.tar.gz", None, b"x", "a.tar.gz", "application/octet-stream"),
        ("noname", None, b"", "noname", "application/octet-stream"),
        ("a.csv", None, "õ".encode(), "a.csv", 'text/csv; charset="utf-8"'),
        ("a.csv", None, "õ".encode("cp1257"), "a.csv", "text/csv"),
        ("a.csv", "text/csv; charset=windows-1257", b"a", "a.csv", "text/csv; charset=windows-1257"),
        ("a.csv", "text/csv; Charset=windows-1257", b"a", "a.csv", "text/csv; Charset=windows-1257"),
        ("a.csv", "Text/CSV", b"a", "a.csv", 'Text/CSV; charset="utf-8"'),
        ("a.ics", "text/calendar; method=REQUEST", b"a", "a.ics", 'text/calendar; method=REQUEST; charset="utf-8"'),
        ("kiri.eml", None, b"Subject: x\n\nx", "kiri.eml", "application/octet-stream"),
        ("kiri", "Message/RFC822", b"Subject: x\n\nx", "kiri", "application/octet-stream"),
        ("a", 'multipart/mixed; boundary="b"', b"x", "a", "application/octet-stream"),
        ("../../etc/passwd", None, b"x", "passwd", "application/octet-stream"),
        ("C:\\Temp\\arve.pdf", None, b"x", "arve.pdf", "application/pdf"),
        ("/", None, b"x", "attachment", "application/octet-stream"),
        ("..", None, b"x", "attachment", "application/octet-stream"),
        ("", None, b"x", "attachment", "application/octet-stream"),
        ('a"b;c.pdf', None, b"x", 'a"b;c.pdf', "application/pdf"),
        ("a b'c%41*.pdf", None, b"x", "a b'c%41*.pdf", "application/pdf"),
        ("=?utf-8?q?a?=.pdf", None, b"x", "=?utf-8?q?a?=.pdf", "application/pdf"),
        ("utf-8''a%41.pdf", None, b"x", "utf-8''a%41.pdf", "application/pdf"),
        ("Arve õäöü.pdf", None, b"x", "Arve õäöü.pdf", "application/pdf"),
        ("Счёт " * 60 + ".pdf", None, b"x", "Счёт " * 60 + ".pdf", "application/pdf"),
        ("x" * 300 + ".pdf", None, b"x", "x" * 300 + ".pdf", "application/pdf"),
    ],
)
def test_attachments(name: str, media_type: str | None, content: bytes, shown: str, described: str):
    """Of any name: whole where it can be, never a path; of the type it has, unless that may not be encoded."""
    letter = replace(LETTER, attachments=(Attachment(name=name, content=content, media_type=media_type),))
    raw = composed(letter)
    (new,) = modern(raw).iter_attachments()
    assert new.get_filename() == shown
    _, old = cast(list[Message], classic(raw).get_payload())
    assert old["Content-Type"] == described
    assert collapse_rfc2231_value(old.get_param("filename", header="Content-Disposition")) == shown
    assert (old.get_content_disposition(), old.get_payload(decode=True)) == ("attachment", content)
    third = flanker_scan()(raw).parts[1]
    assert third.content_disposition[1]["filename"] == shown
    assert (third.body if isinstance(third.body, bytes) else third.body.encode()) == content or "csv" in name


def test_attachment_names_in_the_message():
    """As short as they can be: the form that every program knows, one segment without a number, then several."""
    names = ("a.pdf", "õ.pdf", "õ" * 12 + ".pdf")
    raw = composed(replace(LETTER, attachments=tuple(Attachment(name=name, content=b"") for name in names)))
    assert re.findall(rb"(?<=Content-Disposition: )[^:]*(?=\r\nContent-T)", raw) == [
        b'attachment; filename="a.pdf"',
        b"attachment; filename*=utf-8''%C3%B5.pdf",
        b"attachment;\r\n filename*0*=utf-8''" + b"%C3%B5" * 7 + b";\r\n filename*1*=" + b"%C3%B5" * 5 + b".pdf",
    ]


def test_what_cannot_be_folded():
    """The longest address and id make long lines, and none that holds only the name of its field."""
    address = "a" * 64 + "@" + ".".join(["d" * 61] * 3) + ".ee"
    letter = replace(LETTER, to=(address,), cc=(f"Õie <{address}>",))
    raw = compose(letter, IDENTITY, message_id="x" * 900, trace="x" * 900, date=DATE)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert not re.search(rb"(?m)^[\w-]+:\r$", raw)
    assert people(classic(raw), "To") == [("", address)]
    assert people(classic(raw), "Cc") == [("Õie", address)]


BAD = ["\r", "\n", "\r\n", "\0", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\ud800", "\udcff"]
ENTRIES: dict[str, Callable[[str], tuple[Letter, Identity]]] = {
    "subject": lambda text: (replace(LETTER, subject=text), IDENTITY),
    "to": lambda text: (replace(LETTER, to=("a@example.com", f"{text} <b@example.com>")), IDENTITY),
    "cc": lambda text: (replace(LETTER, cc=(f"a@example.com{text}",)), IDENTITY),
    "bcc": lambda text: (replace(LETTER, bcc=(f"{text}a@example.com",)), IDENTITY),
    "from": lambda text: (LETTER, replace(IDENTITY, from_address=f"{text}@example.com")),
    "display name": lambda text: (LETTER, replace(IDENTITY, display_name=text)),
    "reply-to": lambda text: (LETTER, replace(IDENTITY, reply_to=f"a@example.com{text}")),
    "attachment 1 name": lambda text: (
        replace(LETTER, attachments=(Attachment(name=f"{text}/a.pdf", content=b""),)),
        IDENTITY,
    ),
    "attachment 2 media type": lambda text: (
        replace(
            LETTER,
            attachments=(
                Attachment(name="a", content=b""),
                Attachment(name="a", content=b"", media_type=f"text/plain{text}"),
            ),
        ),
        IDENTITY,
    ),
}


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("bad", BAD, ids=ascii)
def test_injection(name: str, bad: str):
    """What could bring in a field is refused in one clear line that names where it stood and shows none of it."""
    letter, identity = ENTRIES[name](f"x{bad}Bcc: eve@example.org")
    with pytest.raises(LetterError) as caught:
        composed(letter, identity)
    assert caught.value.field == name
    assert str(caught.value).startswith(f"{name}: ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("media_type", ["", "pdf", "a/b/c", "a/b; c", "a/b;", "a/b; c=", "õ/b", "a/" + "x" * 900])
def test_media_types_that_cannot_be_sent(media_type: str):
    """What is no media type is not passed on."""
    letter = replace(LETTER, attachments=(Attachment(name="a", content=b"", media_type=media_type),))
    with pytest.raises(LetterError, match=r"^attachment 1 media type: "):
        composed(letter)


def test_a_short_error():
    """A megabyte in a wrong place is not repeated to the operator."""
    with pytest.raises(LetterError) as caught:
        composed(replace(LETTER, to=("õ" * 1_000_000,)))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
@pytest.mark.parametrize("name", ["text", "html"])
def test_bodies_that_cannot_be_sent(name: str, text: str):
    """NUL goes through no server, half a character through no encoding."""
    with pytest.raises(LetterError, match=rf"^{name}: the character U\+") as caught:
        composed(replace(LETTER, **{name: text}))
    assert caught.value.field == name


@pytest.mark.parametrize("bad", ["", "a b", "a\r\nBcc:", "õ", "x" * 901])
def test_ids_that_cannot_be_sent(bad: str):
    """Our own ids are held to the same."""
    with pytest.raises(LetterError, match=r"^trace: "):
        compose(LETTER, IDENTITY, message_id=ID, trace=bad, date=DATE)
    with pytest.raises(LetterError, match=r"^message id: "):
        compose(LETTER, IDENTITY, message_id=bad, trace="t1", date=DATE)
    with pytest.raises(LetterError, match=r"^message id: "):
        message_id(OUTBOUND, bad)


def test_no_content_in_a_repr():
    """A letter in a log or a traceback shows nothing of what it says."""
    letter = replace(LETTER, text="hush", html="hush", attachments=(Attachment(name="a", content=b"hush"),))
    assert "hush" not in repr(letter)


@given(subject=LINE, name=LINE.map(str.strip), text=BODY, html=BODY, file=LINE)
@example(subject="a\xa0", name="\xa0a\u3000b", text="\x85", html="", file="\xa0")
@example(subject="=?", name="=?", text="=?", html="=?", file="=?")
def test_whatever_goes_in_comes_out(subject: str, name: str, text: str, html: str, file: str):
    """Any text in any field, as seven-bit lines, without one field more."""
    attachment = Attachment(name=file, content=text.encode())
    letter = replace(LETTER, subject=subject, text=text, html=html, attachments=(attachment,))
    raw = composed(letter, replace(IDENTITY, display_name=name))
    message = classic(raw)
    assert message.keys() == [*FIELDS, "Content-Type", "Content-Transfer-Encoding"]
    assert decoded(message["Subject"]) == subject
    assert modern(raw)["Subject"] == subject
    assert people(message, "From") == [(name, "mari@example.com")]
    assert [one.addr_spec for one in modern(raw)["From"].addresses] == ["mari@example.com"]
    plain, marked_up = message.get_payload(0).get_payload()
    assert (text_of(plain), text_of(marked_up)) == (lines_of(text), lines_of(html))
    kept = re.split(r"[/\\]", file)[-1].strip()
    assert message.get_payload(1).get_filename() == (kept if kept.strip(".") else "attachment")
    assert message.get_payload(1).get_payload(decode=True) == text.encode()


@given(st.text(max_size=60) | st.text(st.sampled_from('\r\n\0: a<>@,;"\\=?õ'), max_size=60))
def test_whatever_is_written_brings_in_nothing(text: str):
    """Whatever stands in any place: one clear error, or a message with the fields that it should have."""
    for name, entry in ENTRIES.items():
        letter, identity = entry(text)
        raw, error = outcome(letter, identity)
        if error:
            assert error.field == name
            assert str(error).isprintable()
            continue
        expected = {*FIELDS, "Content-Type", "Content-Transfer-Encoding"}
        expected |= {"Cc"} if name == "cc" else {"Reply-To"} if name == "reply-to" and identity.reply_to else set()
        assert sorted(classic(raw).keys()) == sorted(expected)
