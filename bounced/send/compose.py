"""A letter as a message (RFC 5322, RFC 2045-2047): octets of 7 bits, so that no server has to convert it.

Only an address beyond ASCII needs more (RFC 6532); names, subjects, texts and the names of attachments never do.
Whose message it is stands in front, apart from the rest: the sender config that it finally goes out with gives it.
"""

import mimetypes
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, quote
from uuid import UUID

from bounced.log import CONTROLS
from bounced.send.recipients import LetterError, Recipient
from bounced.send.sender import SenderConfig

TRACE = "X-Directo-Trace"
"""The field that tells a message of ours again wherever it is returned: the outbound message's id."""
WIDTH = 76
"""Characters of a header's line, as far as it can be folded (RFC 5322 §2.1.1, RFC 2047 §2)."""
MAX_SUBJECT = 10_000
MAX_NAME = 255
POLICY = SMTP.clone(cte_type="7bit")
MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,126}/[a-z0-9][a-z0-9.+-]{0,126}", re.ASCII)
PLAIN_NAME = re.compile(r"[\w!#$%&'*+/=?^`{|}~ -]{1,60}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that goes along."""

    name: str
    content: bytes = field(repr=False)
    media_type: str | None = None  # None: told by the name


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What somebody wants to send."""

    subject: str
    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    text: str | None = field(default=None, repr=False)
    html: str | None = field(default=None, repr=False)
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose message it is."""

    from_address: str
    display_name: str | None = None
    reply_to: str | None = None


def compose(
    letter: Letter,
    to: Sequence[Recipient],
    cc: Sequence[Recipient],
    *,
    message_id: str,
    outbound_id: UUID,
    date: datetime,
) -> bytes:
    """The message but for whose it is, lines ending in CR LF.

    to, cc      the letter's recipients who are named in the header
    message_id  without angle brackets
    raises      LetterError: a control character, or nothing to say
    """
    fields = [
        ("Date", format_datetime(date)),
        ("Message-ID", f"<{message_id}>"),
        ("Subject", _unstructured("Subject", checked("subject", letter.subject, MAX_SUBJECT))),
        *((name, _mailboxes(name, people)) for name, people in (("To", to), ("Cc", cc)) if people),
        (TRACE, str(outbound_id)),
    ]
    return _lines(fields) + _content(letter).as_bytes(policy=POLICY)


def sign(message: bytes, identity: Identity) -> bytes:
    """A composed message with From and Reply-To in front.

    raises   LetterError: a control character
    """
    name = None if identity.display_name is None else checked("display name", identity.display_name, MAX_NAME)
    author = Recipient(name, identity.from_address, identity.from_address)
    fields = [("From", _mailboxes("From", [author]))]
    if identity.reply_to:
        fields.append(("Reply-To", identity.reply_to))
    return _lines(fields) + message


def identity_of(config: SenderConfig) -> Identity:
    """Whose message it is that goes out with a sender config."""
    return Identity(from_address=config.from_address, display_name=config.display_name, reply_to=config.reply_to)


def new_message_id(outbound_id: UUID, from_address: str) -> str:
    """A Message-ID in the domain of the sender: what is malformed is replaced by some servers."""
    return f"{outbound_id}@{from_address.rpartition('@')[2]}"


def _lines(fields: Sequence[tuple[str, str]]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode()


def checked(what: str, text: str, limit: int) -> str:
    """`text`, if it may stand in a header.  Raises LetterError."""
    if CONTROLS.search(text):
        raise LetterError(f"{what}: it has control characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise LetterError(f"{what}: it is not Unicode text") from None
    if len(text) > limit:
        raise LetterError(f"{what}: it has more than {limit} characters")
    return text


def _unstructured(name: str, text: str) -> str:
    """A text in a header, folded; in encoded words where it must be."""
    plain = text.isascii() and "=?" not in text and all(len(word) < WIDTH for word in text.split(" "))
    header = Header(text, "us-ascii" if plain else "utf-8", maxlinelen=WIDTH, header_name=name)
    return header.encode(linesep="\r\n")


def _mailboxes(field_name: str, people: Sequence[Recipient]) -> str:
    return ",\r\n ".join(_mailbox(field_name, person) for person in people)


def _mailbox(field_name: str, person: Recipient) -> str:
    if not person.name:
        return person.address
    if PLAIN_NAME.fullmatch(person.name) and "=?" not in person.name:
        return f'"{quote(person.name)}" <{person.address}>'
    words = Header(person.name, "utf-8", maxlinelen=WIDTH, header_name=field_name).encode(linesep="\r\n")
    return f"{words}\r\n <{person.address}>"


def _content(letter: Letter) -> EmailMessage:
    message = EmailMessage(policy=POLICY)
    text, html = (_body(name, body) for name, body in (("text", letter.text), ("html", letter.html)))
    if text is None and html is None and not letter.attachments:
        raise LetterError("the message is empty: it has neither text nor HTML nor an attachment")
    if text is not None or html is None:
        message.set_content(text or "")
    if html is not None:
        if text is None:
            message.set_content(html, subtype="html")
        else:
            message.add_alternative(html, subtype="html")
    for attachment in letter.attachments:
        name = checked("attachment's name", attachment.name, MAX_NAME)
        name = name.replace("\\", "/").rpartition("/")[2].strip() or "attachment"
        kind, _, detail = _media_type(attachment, name).partition("/")
        message.add_attachment(attachment.content, maintype=kind, subtype=detail, filename=name)
    return message


def _body(what: str, text: str | None) -> str | None:
    if text is None:
        return None
    if "\0" in text:
        raise LetterError(f"{what}: it has a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise LetterError(f"{what}: it is not Unicode text") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _media_type(attachment: Attachment, name: str) -> str:
    if attachment.media_type is None:
        found = mimetypes.guess_type(name)[0] or "application/octet-stream"
    else:
        found = attachment.media_type.lower()
        if not MEDIA_TYPE.fullmatch(found):
            raise LetterError(f"attachment {name!a}: its type is none: {attachment.media_type[:100]!a}")
    # these would be taken apart on the way, and need not be what they say
    return "application/octet-stream" if found.startswith(("multipart/", "message/")) else found
