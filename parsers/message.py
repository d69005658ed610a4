"""Bytes to a Mail.  The one file that knows flanker's MIME, with a standard-library way out.

A mail is taken apart in one of three ways, with the same result wherever more than one can read it:

1.  The scan's own slices, where the mail is well formed, or ill formed in a way that leaves no doubt about its parts.
     The scan has to walk the octets anyway, to bound them before
    a library sees them; on a well-formed mail it then knows where each part lies, and nine mails of ten are so.
    The libraries would need three to five times as long to say the same.
2.  flanker, where the scan had to guess at a multipart: it is tolerant of what mailers get wrong.
3.  The standard library, where flanker raises (multiparts without boundary or first delimiter, some 2 % of bounces).

The libraries only say where the parts lie; reading headers, transfer encodings and charsets is ours each time, so the
ways cannot differ in it.  A library's answer counts when it found no fewer parts than the scan did.  What is out of
bounds is never shown to a library: the scan's tree stands as far as it reads.
"""

import contextlib
import email.message
import email.parser
from collections.abc import Callable
from typing import Any

from parsers.headers import MAX_CONTENT_TYPE, Headers
from parsers.part import MAX_TEXT, Part, ration
from parsers.quiet import flanker_scan
from parsers.scan import Scan, part_at, scan

MAX_LIBRARY_BYTES = 256 * 1024
"""Octets that a library is shown.  Both make an object of each line or token; a malformed mail is a small one."""
MAX_ENCLOSED_DEPTH = 4
"""Messages within messages that are opened: a forwarded bounce has two."""

MESSAGE_TYPES = frozenset({"message/rfc822", "message/global", "message/news"})
HEADER_TYPES = frozenset({"text/rfc822-headers", "message/rfc822-headers", "message/global-headers"})


class Mail:
    """One message, taken apart.

    root       the tree of parts
    problems   for the log: what was out of bounds or had to be guessed
    truncated  whether a bound was met, so that not all of it was read
    is_report_cut  the same of its delivery reports alone
    """

    def __init__(self, root: Part, problems: tuple[str, ...] = (), *, truncated: bool = False, depth: int = 0) -> None:
        self.root, self.problems, self.truncated, self._depth = root, problems, truncated, depth
        self.leaves = tuple(root.leaves())
        self.is_report_cut = root.end - root.start > MAX_TEXT and ration(self.leaves)
        self._text: str | None = None
        self.returned: Headers | None = None  # kept by parsers.original once it has looked
        self.answers: dict[Callable[[Mail], bool], bool] = {}  # kept by parsers.sender

    @property
    def headers(self) -> Headers:
        """The message's own header block."""
        return self.root.headers

    @property
    def text(self) -> str:
        """What a person reads first: the first text part that says something, plain rather than HTML."""
        if self._text is None:
            self._text = self._first_text()
        return self._text

    def _first_text(self) -> str:
        html = ""
        for part in self.leaves:
            if part.type == "text/html":
                html = html or part.text.strip()
            elif part.is_text and (text := part.text.strip()):
                return text
        return html

    def enclosed(self, part: Part) -> "Mail | None":
        """The message that `part` holds, transfer encoding undone; None where it holds none or nests too deep."""
        if part.type not in MESSAGE_TYPES or self._depth == MAX_ENCLOSED_DEPTH:
            return None
        return read(part.content(limit=part.end - part.body), depth=self._depth + 1)


def read(raw: bytes, *, depth: int = 0) -> Mail:
    """Take `raw` apart.  Never raises: what cannot be read is one part of plain text."""
    found = scan(raw)
    root, problems = found.root, list(found.limits)
    if found.guessed and root.head.multipart and not found.limits and len(found.data) <= MAX_LIBRARY_BYTES:
        root = _ask_libraries(found)
    return Mail(root, tuple(problems), truncated=bool(found.limits), depth=depth)


def _ask_libraries(found: Scan) -> Part:
    """The tree of a mail that is not well formed, by the first library that sees no less than the scan did."""
    enough = _count(found.root)
    for way in (by_flanker, by_standard_library):
        # Either library may raise anything at all on a mail like this; that is what the next way is for.
        with contextlib.suppress(Exception):
            root = way(found.data[found.root.start :])
            if _count(root) >= enough:
                return root
    return found.root


def _count(root: Part) -> int:
    return len(root.leaves())


def by_flanker(data: bytes) -> Part:
    """The tree as flanker sees it.

    data    with LF as the only line end
    raises  whatever flanker does: DecodingError on multiparts without a boundary, other errors on other faults
    """
    # As Latin-1 each octet is one character, so that flanker's places in the text are places in the data.
    return _from_flanker(data, flanker_scan()(data.decode("latin-1")))


def _from_flanker(data: bytes, found: Any) -> Part:
    stream = found._container
    part = part_at(data, stream.start, stream.end + 1)
    if found.content_type.is_multipart():
        part.parts = tuple(_from_flanker(data, one) for one in found.parts)
    return part


def by_standard_library(data: bytes) -> Part:
    """The tree as the standard library sees it.

    data    with LF as the only line end
    raises  nothing that is known of
    """
    return _from_message(email.parser.Parser(_MimeOnly).parsestr(data.decode("latin-1")))


class _MimeOnly(email.message.Message):
    """Keeps the parser from taking apart anything but multiparts.

    It would open a base64 message undecoded, and turn a delivery status into headers and lose what is malformed in it.
    """

    def get_boundary(self, failobj: Any = None) -> Any:
        # The parameters of a field are looked for anew at each ";", all the way to its end.
        if len(self.get("content-type", "")) > MAX_CONTENT_TYPE:
            return failobj
        return super().get_boundary(failobj)

    def get_content_maintype(self) -> str:
        main = super().get_content_maintype()
        return "text" if main == "message" else main

    def get_content_type(self) -> str:
        return super().get_content_type().replace("message/", "text/")


def _from_message(message: email.message.Message) -> Part:
    head = "".join(f"{name}:{value}\n" for name, value in message.raw_items())
    payload: Any = message.get_payload()
    if isinstance(payload, list):
        part = _whole(head, "")
        part.parts = tuple(_from_message(one) for one in payload)
        return part
    return _whole(head, payload)


def _whole(head: str, body: str) -> Part:
    data = f"{head}\n{body}".encode("latin-1")
    return Part(data, 0, len(head) + 1, len(data))
