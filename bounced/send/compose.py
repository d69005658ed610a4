"""A letter -> the message that is sent: the same octets for the same letter.

All of it is 7-bit lines, so that no server on the way has to convert it; only an address whose local part is beyond
ASCII stands in its field as it is (RFC 6532), and takes a server that offers SMTPUTF8.
Sources: RFC 5322 (message), RFC 2045 §6, RFC 2046 §5 (bodies), RFC 2183 (attachments), RFC 6857 (addresses made ASCII).
"""

import binascii
import re
from base64 import encodebytes
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from hashlib import blake2b
from mimetypes import MimeTypes
from pathlib import PurePosixPath
from uuid import UUID

from bounced.errors import InputError, LetterError
from bounced.log import CONTROLS
from bounced.send import headers
from bounced.send.recipients import ascii_domain, envelope_address, read_all
from bounced.send.sender import SenderConfig

TRACE = "X-Directo-Trace"
"""The field that leads from a returned message to what was sent."""

MAX_SHOWN = 100  # characters of an address in an error
MAX_UNFOLDED = 900  # characters of an id or a media type, so that its line has less than 998 (RFC 5322 §2.1.1)

UNFIT = re.compile(r"[\x00\ud800-\udfff]")  # for a body; other control characters may stand there
PLAIN = re.compile(rb"(?:(?!From )[\t -~]{0,78}\r\n)*")  # needs no encoding
MANGLED = re.compile(rb"^F(?=rom )", re.M)  # a mailbox file gets ">" in front of such a line (RFC 4155), which is seen
ID = re.compile(rf"[!-~]{{1,{MAX_UNFOLDED}}}")
WORD = r"[A-Za-z0-9!#$&^_.+-]+"
MEDIA_TYPE = re.compile(rf'{WORD}/{WORD}(?:; ?{WORD}=(?:{WORD}|"[ !#-\[\]-~]*"))*')

LISTS = re.compile(r"^(To|Cc):((?:.*\r\n)(?:[ \t].*\r\n)*)", re.M)
LISTED = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+')  # an address or a word of a name, with the comma after it

UNKNOWN_TYPE = "application/octet-stream"
MEDIA_TYPES = {
    **MimeTypes().types_map[True],  # Python's own; what the machine has beside them differs
    ".asice": "application/vnd.etsi.asic-e+zip",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that goes with a letter."""

    name: str  # of a path, the last part is used
    content: bytes = field(repr=False)
    media_type: str | None = None  # "application/pdf"; None: what the name tells


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is handed over to be sent."""

    subject: str
    to: tuple[str, ...]  # each as recipients.read takes it
    text: str | None = field(default=None, repr=False)
    html: str | None = field(default=None, repr=False)
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom a letter is from.  Addresses are bare."""

    from_address: str
    display_name: str | None
    reply_to: str | None


def compose(letter: Letter, *, message_id: str, trace: str, date: datetime) -> bytes:
    """The message but for whose it is, with CRLF line ends.

    Hidden recipients (bcc) are checked, and stand nowhere in it.

    message_id  with its angle brackets
    trace       printable ASCII without blanks
    date        aware
    raises      LetterError: something cannot be sent as it is; nothing brings in a field of its own
    """
    to, cc = _recipients("to", letter.to), _recipients("cc", letter.cc)
    _recipients("bcc", letter.bcc)
    fields = [headers.field("Date", [format_datetime(date)])]
    if to or not cc:  # a server might add a line of its own where all recipients are hidden
        fields.append(headers.field("To", headers.mailboxes(to) or ["undisclosed-recipients:;"]))
    if cc:
        fields.append(headers.field("Cc", headers.mailboxes(cc)))
    fields += [
        headers.field("Subject", headers.text(checked("subject", letter.subject))),
        headers.field("Message-ID", [_id("message id", message_id)]),
        headers.field(TRACE, [_id("trace", trace)]),
        headers.field("MIME-Version", ["1.0"]),
    ]
    return "".join(fields).encode() + _content(letter)


def origin(identity: Identity) -> bytes:
    """From and Reply-To, to stand in front of a composed message: known when its final sender config is.

    raises      LetterError: they cannot stand there
    """
    name = checked("display name", identity.display_name or "")
    fields = [headers.field("From", headers.mailboxes([(name, _address("from", identity.from_address))]))]
    if identity.reply_to:
        fields.append(headers.field("Reply-To", [_address("reply-to", identity.reply_to)]))
    return "".join(fields).encode()


def without_smtputf8(message: bytes) -> bytes:
    """A signed message for the other recipients, where the server can write to nobody whose address is beyond ASCII.

    Such an address in To and Cc becomes a name, of a group without members: so it is still shown, and nobody can reply
    to it.  Whom the message is from stays as it is.
    """
    head, _, body = message.partition(b"\r\n\r\n")
    fields = LISTS.sub(lambda found: headers.field(found[1], _shown(found[2])), f"{head.decode()}\r\n")
    return f"{fields}\r\n".encode() + body


def _shown(addresses: str) -> list[str]:
    """The words of a list of addresses, in ASCII."""
    words: list[str] = []
    for word in LISTED.findall(addresses):
        if word.isascii():
            words.append(word)
            continue
        address = word.removesuffix(",")
        # behind a name with a blank of its own: that between two encoded words is none (RFC 2047 §6.2)
        shown = f" {address[1:-1]}" if address.startswith("<") else address
        words += headers.text(shown)
        words[-1] += " :;" + word[len(address) :]
    return words


def identity_of(config: SenderConfig) -> Identity:
    """Whom a letter is from that goes out with a sender config."""
    return Identity(from_address=config.from_address, display_name=config.display_name, reply_to=config.reply_to)


def message_id(outbound_id: UUID, domain: str) -> str:
    """The Message-ID of an outbound message, with its angle brackets.

    domain   that of the From address: servers replace an id whose domain is not real
    raises   LetterError: it is no domain
    """
    try:
        return f"<{outbound_id}@{ascii_domain(domain)}>"
    except InputError as error:
        raise LetterError("message id", str(error)) from None


def checked(name: str, value: str) -> str:
    """`value`, if nothing in it steers a header or a terminal.  Raises LetterError."""
    if found := CONTROLS.search(value):
        raise LetterError(name, f"the character U+{ord(found[0]):04X} is not allowed in it")
    return value


def _id(name: str, value: str) -> str:
    if not ID.fullmatch(value):
        raise LetterError(name, f"it has 1 to {MAX_UNFOLDED} printable ASCII characters, and no blanks")
    return value


def _address(name: str, written: str) -> str:
    try:
        return envelope_address(written)
    except InputError as error:
        raise LetterError(name, _about(written, str(error))) from None


def _recipients(name: str, written: Iterable[str]) -> list[tuple[str | None, str]]:
    recipients = read_all(written)
    for refused in recipients.unusable:
        raise LetterError(name, _about(refused.written, refused.reason))
    return [(recipient.name, recipient.envelope) for recipient in recipients.usable]


def _about(written: str, reason: str) -> str:
    return f"{written[:MAX_SHOWN]!r}: {reason}"


def _content(letter: Letter) -> bytes:
    """All that follows the fields of the message itself, those that describe its body first."""
    bodies = []
    if letter.text is not None or letter.html is None:
        bodies.append(_text("text", "text/plain", letter.text or ""))
    if letter.html is not None:
        bodies.append(_text("html", "text/html", letter.html))
    body = bodies[0] if len(bodies) == 1 else _multipart("multipart/alternative", bodies)
    if not letter.attachments:
        return body
    attachments = [_attachment(f"attachment {number}", one) for number, one in enumerate(letter.attachments, start=1)]
    return _multipart("multipart/mixed", [body, *attachments])


def _text(name: str, media_type: str, written: str) -> bytes:
    """A part that ends with a line end.  CR, LF and CRLF end a line alike."""
    if found := UNFIT.search(written):
        raise LetterError(name, f"the character U+{ord(found[0]):04X} is not allowed in it")
    lines = re.split(r"\r\n|\r|\n", written)
    content = "\r\n".join(lines if not lines[-1] else [*lines, ""]).encode()
    described = headers.described(media_type, charset="utf-8")
    if PLAIN.fullmatch(content):
        return _part(described, "7bit", content)
    # a soft line end in it: coded as =46 it would make the line longer than there is room for (RFC 2045 §6.7)
    quoted, coded = MANGLED.sub(b"F=\r\n", binascii.b2a_qp(content)), _base64(content)
    if len(quoted) <= len(coded):
        return _part(described, "quoted-printable", quoted)
    return _part(described, "base64", coded)


def _attachment(which: str, attachment: Attachment) -> bytes:
    name = re.split(r"[/\\]", checked(f"{which} name", attachment.name))[-1].strip()
    if not name.strip("."):
        name = "attachment"
    media_type = attachment.media_type
    if media_type is None:
        media_type = MEDIA_TYPES.get(PurePosixPath(name).suffix.lower(), UNKNOWN_TYPE)
    elif len(media_type) > MAX_UNFOLDED or not MEDIA_TYPE.fullmatch(media_type):
        raise LetterError(f"{which} media type", "it is not written like application/pdf")
    if media_type.lower().startswith(("message/", "multipart/")):  # may not be base64 (RFC 2045 §6.4)
        media_type = UNKNOWN_TYPE
    disposition = headers.field("Content-Disposition", headers.described("attachment", filename=name))
    described = [media_type]
    if re.match("text/(?!.*charset=)", media_type, re.I) and _is_utf8(attachment.content):
        described = headers.described(media_type, charset="utf-8")
    return _part(described, "base64", _base64(attachment.content), disposition)


def _multipart(media_type: str, parts: Sequence[bytes]) -> bytes:
    # nobody can write a text that holds its own hash; "=_" is in no encoded one (RFC 2045 §6.7)
    boundary = "=_" + blake2b(b"".join(parts), digest_size=16).hexdigest()
    between = f"--{boundary}\r\n".encode()
    content = b"".join(between + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
    return _part(headers.described(media_type, boundary=boundary), "7bit", content)


def _part(described: Sequence[str], encoding: str, content: bytes, disposition: str = "") -> bytes:
    """Content with the fields that describe it.

    described  the words of its media type
    """
    content_type = headers.field("Content-Type", described)
    return f"{content_type}{disposition}Content-Transfer-Encoding: {encoding}\r\n\r\n".encode() + content


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _base64(content: bytes) -> bytes:
    return encodebytes(content).replace(b"\n", b"\r\n")
