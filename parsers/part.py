"""One part of a mail: a header block and a stretch of octets, decoded when somebody asks.

Sources: RFC 2045 §6 (transfer encodings), RFC 2046 (types).
"""

import re
from binascii import Error as BinasciiError
from binascii import a2b_base64, a2b_qp
from collections.abc import Iterator
from functools import cached_property, lru_cache
from html import unescape

from parsers.charset import decode
from parsers.headers import Headers, content_type, read_headers

MAX_TEXT = 1_048_576
"""Octets of one part that are decoded to text.  Notices have a few thousand; what follows is the returned message."""

MAX_REPORT = 8 * MAX_TEXT
"""The same of a delivery report: 800 octets for each of 10,000 recipients."""

SHORT = 300
"""Octets of a header block that may come again; a whole message's never does."""

ENCODED = {"base64", "quoted-printable"}
HIDDEN = re.compile(r"<(style|script|title)\b", re.I)
LINE_TAG = re.compile(r"<(?:br|/?p|/?div|/?tr|/?table|/?li|/?h[1-6]|/?pre|hr)\b[^<>]*>", re.I)
CELL_TAG = re.compile(r"</t[dh]\b[^<>]*>", re.I)
TAG = re.compile(r"<(?:!--)?[a-zA-Z/!?][^<>]*>")


def _long_head(block: bytes) -> tuple[Headers, str, str, dict[str, str], bool]:
    headers = read_headers(block)
    encoding = headers.raw("content-transfer-encoding")
    return (
        headers,
        encoding.partition(";")[0].strip().lower() if encoding else "7bit",
        *content_type(headers.raw("content-type")),
    )


_head = lru_cache(maxsize=512)(_long_head)
"""The header blocks of parts are short and always the same ones: "Content-Type: message/delivery-status"."""


class Part:
    """A part of a mail, or the whole of it.

    type      "text/plain", lower case
    params    the Content-Type's parameters by lower-case name
    encoding  the Content-Transfer-Encoding, lower case; "7bit" where none is given
    parts     what a multipart holds; () for everything else, a multipart that could not be taken apart included
    """

    def __init__(self, data: bytes, start: int, body: int, end: int) -> None:
        """Octets `start` to `end` of `data`; the header block with its blank line reaches to `body`."""
        self.data, self.start, self.body, self._end = data, start, body, max(body, end)
        head = data[start:body]
        read = _head if len(head) < SHORT else _long_head
        self.headers, self.encoding, self.type, self.params, self.is_plain_type = read(head)
        self.parts: tuple[Part, ...] = ()

    @property
    def end(self) -> int:
        """The first octet behind the part; whoever takes the mail apart may learn it late."""
        return self._end

    @end.setter
    def end(self, end: int) -> None:
        self._end = max(self.body, end)

    @property
    def is_multipart(self) -> bool:
        """Whether the type says so; there may be no `parts` all the same."""
        return self.type.startswith("multipart/")

    @property
    def is_text(self) -> bool:
        """Whether it is to be read by a person; a multipart that could not be taken apart is read as it stands."""
        return (self.type.startswith("text/") and self.type != "text/rfc822-headers") or self.is_multipart

    @property
    def is_encoded(self) -> bool:
        """Whether the octets are base64 or quoted-printable."""
        return self.encoding in ENCODED

    @property
    def payload(self) -> bytes:
        """The octets as they came, still encoded."""
        return self.data[self.body : self._end]

    def content(self, limit: int) -> bytes:
        """The first `limit` octets with the transfer encoding undone; damaged encodings as far as they can be read."""
        encoding = self.encoding
        if encoding not in ENCODED:
            return self.data[self.body : min(self._end, self.body + limit)]
        # base64 needs 4 octets for 3 and its line ends, quoted-printable 3 for 1
        encoded = self.data[self.body : min(self._end, self.body + 3 * limit)]
        if encoding == "quoted-printable":
            return a2b_qp(encoded)[:limit]
        try:
            return a2b_base64(encoded + b"==")[:limit]
        except BinasciiError:
            return encoded[:limit]

    @property
    def text_limit(self) -> int:
        """How many octets of it are decoded to text."""
        return MAX_REPORT if self.type.endswith("delivery-status") else MAX_TEXT

    @cached_property
    def text(self) -> str:
        """The content as text, at most `text_limit` octets of it; HTML without its tags.  Lines end in LF."""
        text = decode(self.content(self.text_limit), self.params.get("charset"))
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return strip_html(text) if self.type == "text/html" else text

    def leaves(self) -> Iterator["Part"]:
        """Every part that holds no others, in body order."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.leaves()


def strip_html(text: str) -> str:
    """What a reader sees of a page, a line for a paragraph.  Linear: no tag reaches over the next "<"."""
    out, at = [], 0
    while hidden := HIDDEN.search(text, at):
        out.append(text[at : hidden.start()])
        close = text.find("</" + hidden[1], hidden.end())
        if close < 0:  # never closed: hidden to the end
            at = len(text)
            break
        at = close
    text = "".join(out) + text[at:]
    text = " ".join(text.split("\n")) if "<pre" not in text and "<PRE" not in text else text
    return unescape(TAG.sub("", CELL_TAG.sub(" ", LINE_TAG.sub("\n", text))))
