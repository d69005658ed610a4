"""The returned message, and what ties a notice to it.

It comes as message/rfc822 or message/global, as its headers alone (text/rfc822-headers, message/global-headers), under
a transfer encoding or not, as plain text behind the notice, or pasted into the notice's own text.

Sources: RFC 3462 (multipart/report), RFC 6533 §4 (message/global*), RFC 5322 §3.6.4 (Message-ID).
"""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_tz

from parsers import address
from parsers.headers import Headers
from parsers.message import HEADER_TYPES, MESSAGE_TYPES, Mail
from parsers.part import Part
from parsers.report import Evidence
from parsers.scan import MAX_HEADER_BYTES, part_at

MAX_IDS = 50
"""Message-IDs taken from one mail: References of a long thread."""
MAX_ADDRESSES = 100
"""Addresses taken from one field."""

TELLING = ("received", "from", "to", "subject", "date", "message-id")
"""A block that has three of these is a message's header block."""
BLOCK = re.compile(
    r"^(?:Return-Path|Received|Delivered-To|From|To|Subject|Date|Message-ID|MIME-Version|DKIM-Signature|X-[\w-]{1,60}):",
    re.I | re.M,
)
MESSAGE_ID = re.compile(r"<([^<>\s]{1,998})>")
RELATED = (
    "in-reply-to",
    "references",
    "x-microsoft-original-message-id",
    "x-ms-exchange-parent-message-id",
    "x-google-original-message-id",
    "x-original-message-id",
)
DELIVERED = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to", "to")


def evidence(mail: Mail) -> Evidence:
    """All that `mail` says about the message that it answers, whatever kind of notice it is."""
    own, sent = mail.headers, returned(mail)
    original_id = message_id(sent.get("message-id"))
    own_id = message_id(own.get("message-id"))
    related = {
        one: None
        for headers in (own, sent)
        for name in RELATED
        if name in headers
        for value in headers.all(name)
        for one in MESSAGE_ID.findall(value)
    }
    related.pop(original_id or "", None)
    related.pop(own_id or "", None)
    return Evidence(
        message_id=own_id,
        original_message_id=original_id,
        related_ids=tuple(related)[:MAX_IDS],
        failed_recipients=_addresses(own, ("x-failed-recipients",)),
        delivered_to=_addresses(own, DELIVERED),
        original_from=_first(sent, "from"),
        original_reply_to=_first(sent, "reply-to"),
        original_to=_addresses(sent, ("to", "cc")),
        original_subject=sent.get("subject"),
        original_date=date(sent.get("date")),
        subject=own.get("subject"),
        date=date(own.get("date")),
    )


def returned(mail: Mail) -> Headers:
    """The returned message's header block; an empty one where none was returned."""
    for part in mail.leaves:
        headers = None
        if part.type in MESSAGE_TYPES:
            headers = _head(part)
        elif part.type in HEADER_TYPES:
            headers = _pasted(part.text)
        if headers:
            return headers
    for part in mail.leaves:
        if part.is_text and (headers := _pasted(part.text)):
            return headers
    return Headers("")


def _head(part: Part) -> Headers:
    if part.is_encoded:
        content = part.content().replace(b"\r\n", b"\n").lstrip(b"\n")
        return part_at(content, 0, len(content)).headers
    start = part.body
    while part.data.startswith(b"\n", start) and start < part.end:
        start += 1
    return part_at(part.data, start, min(part.end, start + MAX_HEADER_BYTES)).headers


def _pasted(text: str) -> Headers | None:
    """The first block in `text` that reads like a message's header."""
    at = 0
    while found := BLOCK.search(text, at):
        end = text.find("\n\n", found.start())
        end = len(text) if end < 0 else end
        headers = Headers(text[found.start() : end])
        if sum(name in headers for name in TELLING) >= 3:
            return headers
        at = end
    return None


def message_id(value: str | None) -> str | None:
    """A Message-ID field's id without its angle brackets; what has none is taken up to its first blank."""
    if not value:
        return None
    if found := MESSAGE_ID.search(value):
        return found[1]
    return value.split()[0].strip("<>") or None


def date(value: str | None) -> datetime | None:
    """A Date field (RFC 5322 §3.3) as aware UTC; a missing zone is UTC."""
    if not value:
        return None
    try:
        found = parsedate_tz(value)
        if found is None:
            return None
        return datetime(*found[:6], tzinfo=UTC) - timedelta(seconds=found[9] or 0)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None  # the 31st of February, a zone of years, or what parsedate_tz itself stumbles over


def _addresses(headers: Headers, names: tuple[str, ...]) -> tuple[str, ...]:
    values = [value for name in names if name in headers for value in headers.all(name)]
    return address.all_of(values)[:MAX_ADDRESSES] if values else ()


def _first(headers: Headers, name: str) -> str | None:
    found = _addresses(headers, (name,))
    return found[0] if found else None
