"""The own scan: takes a mail apart within bounds, before any library sees it.

One pass over the octets, in linear time and without copies of them: a part is a pair of offsets.  The scan is tolerant
(what is missing is taken as it most likely was meant) and says what it had to be tolerant about, so that the caller
can ask somebody else.  Only multiparts are taken apart; a message inside the message is a leaf until it is asked for.

Sources: RFC 5322 §2.1 (header block), RFC 2046 §5.1.1 (multipart, delimiter lines).
"""

import re
from dataclasses import dataclass

from parsers.headers import Headers, read_headers
from parsers.part import Part

MAX_BYTES = 50 * 1024 * 1024
"""Octets read of one mail: what large providers accept as a message, and seldom return whole."""
MAX_HEADER_BYTES = 256 * 1024
"""Octets of one header block: a To field of some thousand addresses fits, a body mistaken for a header does not."""
MAX_PARTS = 500
"""Parts of one mail: a digest has a hundred, a report has three."""
MAX_DEPTH = 20
"""Multiparts within multiparts: forwarding a forward adds one or two each time."""
MAX_DELIMITERS = 50_000
"""Lines looked at that begin "--", most of them dashes in a text: more of them are no mail but an attack."""

MAX_SPLIT_BYTES = 1024 * 1024
"""Octets that may be split into lines: each takes 40 more, and a line may hold two."""

DELIMITER = re.compile(rb"\n--([^\n]*)")


@dataclass(frozen=True, slots=True)
class Scan:
    """A mail taken apart.

    data    the octets, at most MAX_BYTES of them, with LF as the only line end
    root    the tree of parts
    flaws   why the mail is not well formed; () where everybody reads it alike
    guessed whether the tree itself was guessed at, so that somebody else may know better
    limits  which bounds were met; () where all of it was read
    """

    data: bytes
    root: Part
    flaws: tuple[str, ...]
    guessed: bool
    limits: tuple[str, ...]


def scan(raw: bytes) -> Scan:
    """Take `raw` apart.  Line ends may be LF, CRLF or CR.  Never raises."""
    limits: list[str] = []
    if len(raw) > MAX_BYTES:
        raw = raw[:MAX_BYTES]
        limits.append(f"only the first {MAX_BYTES} bytes were read")
    data = _with_lf(raw)
    blank = len(data) - len(data.lstrip(b"\n")) if data.startswith(b"\n") else 0
    # an mbox's line is no part of the mail
    start = data.find(b"\n", blank) + 1 if data.startswith(b"From ", blank) else blank
    if not limits and not blank and (root := _well_formed(data, start)):
        return Scan(data, root, (), guessed=False, limits=())
    return _Scanner(data, limits, ["blank lines in front"] if blank else []).run(start)


def _with_lf(raw: bytes) -> bytes:
    """`raw` with LF as the only line end."""
    if b"\r" not in raw:
        return raw
    if len(raw) <= MAX_SPLIT_BYTES:
        lines = b"\n".join(raw.split(b"\r\n"))  # less work than to replace them, and nearly always all
        if b"\r" not in lines:
            return lines
    return raw.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _well_formed(data: bytes, start: int) -> Part | None:
    """The tree of a mail that nobody can read otherwise: a text, or one multipart with all its delimiters in place.

    Most mails are so, and are taken apart in a few leaps from one delimiter to the next.  None: it is not so plain.
    """
    root = _part_with_body(data, start)
    if root is None or not root.head.multipart:
        return root
    delimiter = b"\n--" + root.params.get("boundary", "").encode("utf-8", "surrogateescape")
    parts: list[Part] = []
    at = data.find(delimiter, root.body - 1)
    while at >= 0 and len(delimiter) > len(b"\n--") and len(parts) < MAX_PARTS:
        behind = at + len(delimiter)
        end = data.find(b"\n", behind)
        line = data[behind : end if end >= 0 else None].rstrip(b" \t")
        if line in (b"", b"--"):
            if parts:
                if parts[-1].body > at:
                    return None
                parts[-1].end = at
            if line:
                root.parts = tuple(parts)
                return root if parts else None
            part = _part_with_body(data, end + 1)
            if part is None or part.head.multipart:
                return None
            parts.append(part)
            behind = part.body - 1
        at = data.find(delimiter, behind)
    return None


def _part_with_body(data: bytes, start: int) -> Part | None:
    """The part from octet `start` to the end; None where its header block is not well formed."""
    if data.startswith(b"\n", start):
        return Part(data, start, start + 1, len(data))
    blank = data.find(b"\n\n", start, start + MAX_HEADER_BYTES)
    if blank < 0:
        return None
    part = Part(data, start, blank + 2, len(data))
    return None if part.head.flaws else part


def part_at(data: bytes, start: int, end: int) -> Part:
    """The part from octet `start` to octet `end` of `data`, its header block ending at the first blank line."""
    if data.startswith(b"\n", start):
        return Part(data, start, start + 1, end)
    blank = data.find(b"\n\n", start, end)
    return Part(data, start, blank + 2 if blank >= 0 else end, end)


def header_block(data: bytes, start: int, end: int | None = None) -> Headers:
    """The header block alone of the message from octet `start` to octet `end`; blank lines in front are ignored."""
    end = len(data) if end is None else end
    while data.startswith(b"\n", start, end):
        start += 1
    window = min(end, start + MAX_HEADER_BYTES)
    blank = data.find(b"\n\n", start, window)
    return read_headers(data[start : blank if blank >= 0 else window])


class _Scanner:
    """The state of one scan."""

    def __init__(self, data: bytes, limits: list[str], flaws: list[str]) -> None:
        self.data, self.limits, self.flaws = data, limits, flaws
        self.guessed = False
        self.count = 0
        # The multiparts that are open, innermost last: their delimiter, themselves, their parts so far.
        self.open: list[tuple[bytes, Part, list[Part]]] = []
        self.closed: set[bytes] = set()  # the same lines of those that are closed
        self.level_of: dict[bytes, int] = {}  # what stands behind the dashes of a delimiter line -> index into `open`

    def run(self, start: int) -> Scan:
        root = self.begin(start)
        if self.open:
            self.split(root.body)
        return Scan(self.data, root, tuple(self.flaws), self.guessed, tuple(self.limits))

    def guess(self, flaw: str) -> None:
        self.flaws.append(flaw)
        self.guessed = True

    def split(self, start: int) -> None:
        """Follow the delimiter lines from `start` on to the end of the outermost multipart."""
        for number, found in enumerate(DELIMITER.finditer(self.data, start - 1)):
            if number == MAX_DELIMITERS:
                self.limits.append(f"only the first {MAX_DELIMITERS} lines of dashes were read")
                break
            line = found[1].rstrip(b" \t")
            level = self.level_of.get(line)
            if level is None:
                if line in self.closed:
                    self.flaws.append("delimiter behind the end")
                continue
            if level + 1 < len(self.open):
                self.guess("multipart without end")
                self.close(level + 1, found.start())
            boundary, _, parts = self.open[level]
            if parts:
                parts[-1].end = found.start()
            if line != boundary:
                self.close(level, found.start())
                if not self.open:
                    return
            elif self.count == MAX_PARTS:
                self.limits.append(f"only the first {MAX_PARTS} parts were read")
                break
            else:
                parts.append(self.begin(min(found.end() + 1, len(self.data))))
        self.close(0, len(self.data))

    def begin(self, start: int) -> Part:
        """The part that begins at `start` and, for now, reaches to the end; a multipart is opened."""
        self.count += 1
        part = Part(self.data, start, self.body_of(start), len(self.data))
        head = part.head
        if head.flaws:
            self.flaws += head.flaws
            self.guessed = self.guessed or head.odd
        if head.multipart:
            boundary = head.params.get("boundary", "").encode("utf-8", "surrogateescape")
            if not boundary:
                self.flaws.append("multipart without boundary")
            elif len(self.open) == MAX_DEPTH:
                self.limits.append(f"only {MAX_DEPTH} multiparts within each other were read")
            else:
                if boundary in self.level_of or part.type == "multipart/digest":
                    self.guess("odd multipart")
                self.open.append((boundary, part, []))
                self.watch()
        return part

    def body_of(self, start: int) -> int:
        """Where the header block that begins at `start` ends."""
        data = self.data
        if data.startswith(b"\n", start):
            return start + 1
        window = min(len(data), start + MAX_HEADER_BYTES)
        blank = data.find(b"\n\n", start, window)
        body = blank + 2 if blank >= 0 else window
        if self.open and data.find(b"\n--", start - 1, body) >= 0:
            for found in DELIMITER.finditer(data, start - 1, body):
                if found[1].rstrip(b" \t") in self.level_of:
                    self.guess("header without end")
                    return max(start, found.start())
        if blank < 0:
            self.guess("header without end")
            if window < len(data):
                self.limits.append(f"only the first {MAX_HEADER_BYTES} bytes of a header were read")
        return body

    def close(self, level: int, end: int) -> None:
        """Close the multiparts from `level` inwards: what they still have open ends at `end`."""
        for boundary, part, parts in self.open[level:]:
            self.closed |= {boundary, boundary + b"--"}
            if not parts:
                self.guess("multipart without parts")
            elif parts[-1].end > end:
                parts[-1].end = end
            part.parts = tuple(parts)
        del self.open[level:]
        self.watch()

    def watch(self) -> None:
        """Bring `level_of` up to date."""
        self.level_of = {}
        for level, (boundary, _, _) in enumerate(self.open):
            self.level_of[boundary] = self.level_of[boundary + b"--"] = level
