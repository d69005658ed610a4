"""One part of a mail: a header block and a stretch of octets, decoded when somebody asks.

Sources: RFC 2045 §6 (transfer encodings), RFC 2046 (types).
"""

import re
from binascii import Error as BinasciiError
from binascii import a2b_base64, a2b_qp
from collections.abc import Iterable
from functools import lru_cache
from html import unescape

from parsers.charset import decode
from parsers.headers import content_type, read_headers

MAX_TEXT = 1_048_576
"""Octets of one part that are decoded to text.  Notices have a few thousand; what follows is the returned message."""

MAX_REPORT = 8 * MAX_TEXT
"""The same of a delivery report: 800 octets for each of 10,000 recipients."""

MAX_TEXTS = 4 * MAX_TEXT
"""The same of all parts of one mail together, but for its delivery reports."""

SHORT = 300
"""Octets of a header block that may come again; a whole message's never does."""

ENCODED = {"base64", "quoted-printable"}
HIDDEN = re.compile(r"<(style|script|title)\b", re.I)
LINE_TAG = re.compile(r"<(?:br|/?p|/?div|/?tr|/?table|/?li|/?h[1-6]|/?pre|hr)\b[^<>]*>", re.I)
CELL_TAG = re.compile(r"</t[dh]\b[^<>]*>", re.I)
TAG = re.compile(r"<(?:!--)?[a-zA-Z/!?][^<>]*>")
NO_CHARACTER = re.compile(r"&#\d{100,};?", re.ASCII)
"""Python reads no number of more than 4,300 digits, and raises."""


class Head:
    """What a header block says of its part.

    type       "text/plain", lower case
    params     the Content-Type's parameters by lower-case name
    encoding   the Content-Transfer-Encoding, lower case; "7bit" where none is given
    multipart  whether the type says so
    is_report  whether it says delivery report (RFC 3464), by whichever of its names
    flaws      what is not well formed; () where everybody reads it alike
    odd        whether somebody may read the Content-Type otherwise
    """

    __slots__ = ("encoding", "flaws", "headers", "is_report", "multipart", "odd", "params", "type")

    def __init__(self, block: bytes) -> None:
        self.headers = headers = read_headers(block)
        encoding = headers.raw("content-transfer-encoding")
        self.encoding = encoding.partition(";")[0].strip().lower() if encoding else "7bit"
        self.type, self.params, plain = content_type(headers.raw("content-type"))
        self.multipart = self.type.startswith("multipart/")
        self.is_report = self.type.endswith("delivery-status")
        self.odd = not plain or headers.count("content-type") > 1
        flaws = (
            ("header line without a name", not headers.flawless),
            ("odd Content-Type", self.odd),
            ("boundary without multipart", "boundary" in self.params and not self.multipart),
        )
        self.flaws = tuple([flaw for flaw, there in flaws if there])


_head = lru_cache(maxsize=512)(Head)
"""The header blocks of parts are short and always the same ones: "Content-Type: message/delivery-status"."""


class Part:
    """A part of a mail, or the whole of it.

    head      what its header block says, of which headers, type, params and encoding are at hand here
    parts     what a multipart holds; () for everything else, a multipart that could not be taken apart included
    text_limit  how many octets of it are decoded to text
    """

    def __init__(self, data: bytes, start: int, body: int, end: int) -> None:
        """Octets `start` to `end` of `data`; the header block with its blank line reaches to `body`."""
        self.data, self.start, self.body, self._end = data, start, body, end if end > body else body
        block = data[start:body]
        self.head = head = _head(block) if len(block) < SHORT else Head(block)
        self.headers, self.type, self.params, self.encoding = head.headers, head.type, head.params, head.encoding
        self.parts: tuple[Part, ...] = ()
        self.text_limit = MAX_REPORT if head.is_report else MAX_TEXT
        self._text: str | None = None  # kept by hand: compiled, functools.cached_property keeps nothing

    @property
    def end(self) -> int:
        """The first octet behind the part; whoever takes the mail apart may learn it late."""
        return self._end

    @end.setter
    def end(self, end: int) -> None:
        self._end = max(self.body, end)

    @property
    def is_text(self) -> bool:
        """Whether it is to be read by a person; a multipart that could not be taken apart is read as it stands."""
        return (self.type.startswith("text/") and self.type != "text/rfc822-headers") or self.head.multipart

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
    def text(self) -> str:
        """The content as text, at most `text_limit` octets of it; HTML without its tags.  Lines end in LF."""
        if self._text is None:
            self._text = self._decoded()
        return self._text

    def _decoded(self) -> str:
        text = decode(self.content(self.text_limit), self.params.get("charset"))
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return strip_html(text) if self.type == "text/html" else text

    def leaves(self) -> list["Part"]:
        """Every part that holds no others, in body order."""
        if not self.parts:
            return [self]
        found: list[Part] = []
        for part in self.parts:
            if part.parts:
                found += part.leaves()
            else:
                found.append(part)
        return found


def ration(leaves: Iterable[Part]) -> bool:
    """Bound what is decoded of all `leaves` together: MAX_REPORT of the delivery reports, MAX_TEXTS of the others.

    returns  whether less than the whole of a delivery report will be read
    """
    left = {True: MAX_REPORT, False: MAX_TEXTS}
    cut = False
    for part in leaves:
        size = part.end - part.body
        part.text_limit = min(part.text_limit, left[part.head.is_report])
        left[part.head.is_report] -= min(part.text_limit, size)
        cut = cut or (part.head.is_report and size > part.text_limit)
    return cut


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
    return unescape(NO_CHARACTER.sub("", TAG.sub("", CELL_TAG.sub(" ", LINE_TAG.sub("\n", text)))))
