"""The returned message, and what ties a notice to it.

It comes as message/rfc822 or message/global, as its headers alone (text/rfc822-headers, message/global-headers), under
a transfer encoding or not, as plain text behind the notice, or pasted into the notice's own text.

Sources: RFC 3462 (multipart/report), RFC 6533 §4 (message/global*), RFC 5322 §3.6.4 (Message-ID).
"""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_tz
from functools import lru_cache

from parsers import address
from parsers.headers import Headers, clean
from parsers.message import HEADER_TYPES, MESSAGE_TYPES, Mail
from parsers.part import Part
from parsers.report import Evidence
from parsers.scan import header_block
from parsers.tidy import MAX_LINE, tidy, tidy_all

MAX_IDS = 50
"""Message-IDs taken from one mail: References of a long thread."""
MAX_ADDRESSES = 100
"""Addresses taken from one field."""

MAX_BLOCKS = 200
"""Blocks of a text that are tried as the returned message's header."""

TELLING = frozenset({"received", "from", "to", "subject", "date", "message-id"})
"""A block that has three of these is a message's header block."""
BLOCK = re.compile(
    r"\n(?:Return-Path|Received|Delivered-To|From|To|Subject|Date|Message-ID|MIME-Version|DKIM-Signature|X-[\w-]{1,60}):",
    re.I,
)
MESSAGE_ID = re.compile(r"<([^<>\s]{1,998})>")
PLAIN_DATE = re.compile(
    r"[ \t]*(?:[A-Z][a-z]{2}, {1,2})?(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d\d:\d\d:\d\d)"
    r" ([+-](?:0\d|1\d)[0-5]\d)(?: |$)",
    re.ASCII,
)
"""What nearly everybody writes; the standard library's reading of all the rest takes ten times as long."""
MONTHS = {"Jan": "01", "Feb": "02", "Mar": "03", "Apr": "04", "May": "05", "Jun": "06"}
MONTHS |= {"Jul": "07", "Aug": "08", "Sep": "09", "Oct": "10", "Nov": "11", "Dec": "12"}
ANSWERED = ("in-reply-to", "references")
"""In a notice: what it is about.  In the returned message: other messages, that it answered itself."""
REWRITTEN = (
    "x-microsoft-original-message-id",
    "x-ms-exchange-parent-message-id",
    "x-google-original-message-id",
    "x-original-message-id",
)
TRACE = "x-directo-trace"
"""In our own messages: it stays where a server puts another Message-ID in place of ours."""
FROM, REPLY_TO, SENT_TO, FAILED = ("from",), ("reply-to",), ("to", "cc"), ("x-failed-recipients",)
DELIVERED = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to", "to")


def evidence(mail: Mail) -> Evidence:
    """All that `mail` says about the message that it answers, whatever kind of notice it is."""
    own, sent = mail.headers, returned(mail)
    own_id, original_id = message_id(own), message_id(sent)
    answered = _ids(own, ANSWERED)
    if original_id in answered:  # Exim names the thread that the returned message stands in, too
        answered = []
    known, trace = (own_id, original_id), sent.get(TRACE)
    related = [one for one in (*answered, *_ids(own, REWRITTEN), *_ids(sent, REWRITTEN)) if one not in known]
    related += [trace] if trace else []
    return Evidence(
        message_id=tidy(own_id, MAX_LINE),
        original_message_id=tidy(original_id, MAX_LINE),
        related_ids=tidy_all(dict.fromkeys(related), MAX_LINE)[:MAX_IDS] if related else (),
        failed_recipients=_addresses(own, FAILED),
        delivered_to=_addresses(own, DELIVERED),
        original_from=_first(sent, FROM),
        original_reply_to=_first(sent, REPLY_TO),
        original_to=_addresses(sent, SENT_TO),
        original_subject=tidy(sent.get("subject"), MAX_LINE),
        original_date=date(sent),
        subject=tidy(own.get("subject"), MAX_LINE),
        date=date(own),
    )


def returned(mail: Mail) -> Headers:
    """The returned message's header block; an empty one where none was returned."""
    if mail.returned is None:
        mail.returned = _find_returned(mail)
    return mail.returned


def _find_returned(mail: Mail) -> Headers:
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
        return header_block(part.content(part.text_limit).replace(b"\r\n", b"\n"), 0)
    return header_block(part.data, part.body, part.end)


def before_original(text: str) -> str:
    """The part of a notice's text in front of the header block that was pasted into it."""
    start, _ = _find_block(text)
    return text[:start]


def _pasted(text: str) -> Headers | None:
    return _find_block(text)[1]


@lru_cache(maxsize=4)  # of one text it is asked several times
def _find_block(text: str) -> tuple[int, Headers | None]:
    """Where the first block in `text` that reads like a message's header begins, and the block."""
    lines, at = f"\n{text}", 0
    for _ in range(MAX_BLOCKS):
        found = BLOCK.search(lines, at)
        if found is None:
            break
        end = lines.find("\n\n", found.end())
        end = len(lines) if end < 0 else end
        headers = Headers(lines[found.start() + 1 : end])
        if len(TELLING.intersection(headers.names())) >= 3:
            return found.start(), headers
        at = end
    return len(text), None


def message_id(headers: Headers) -> str | None:
    """The id in a Message-ID field without its angle brackets; what has none is taken up to its first blank."""
    value = headers.raw("message-id")
    if value and "=?" not in value and value.isascii() and (found := MESSAGE_ID.search(value)):
        return found[1]
    if not (value := headers.get("message-id")):
        return None
    if found := MESSAGE_ID.search(value):
        return found[1]
    return value.split()[0].strip("<>") or None


def date(headers: Headers) -> datetime | None:
    """A Date field (RFC 5322 §3.3) as aware UTC; a missing zone is UTC."""
    value = headers.raw("date")
    if not value:
        return None
    try:
        if found := PLAIN_DATE.match(value):
            day, month, year, time, zone = found.groups()
            return datetime.fromisoformat(f"{year}-{MONTHS[month]}-{day:0>2}T{time}{zone}").astimezone(UTC)
        if parsed := parsedate_tz(clean(value)):
            return datetime(*parsed[:6], tzinfo=UTC) - timedelta(seconds=parsed[9] or 0)
    except (ValueError, OverflowError, IndexError, TypeError, KeyError):
        pass  # the 31st of February, a zone of years, or what parsedate_tz itself stumbles over
    return None


def _ids(headers: Headers, names: tuple[str, ...]) -> list[str]:
    found = headers.all_of(names)
    return MESSAGE_ID.findall(" ".join(found)) if found else []


def _addresses(headers: Headers, names: tuple[str, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for name in names:
        if (value := headers.raw(name)) is not None:
            one = address.plain(value) if headers.count(name) == 1 else None
            if one is None:  # not so plain
                return address.all_of(headers.all_of(names))[:MAX_ADDRESSES]
            if one not in found:
                found.append(one)
    return tuple(found)


def _first(headers: Headers, names: tuple[str, ...]) -> str | None:
    found = _addresses(headers, names)
    return found[0] if found else None
