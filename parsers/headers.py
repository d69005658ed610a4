"""One block of header fields: names without case, values unfolded and decoded only when asked for.

Sources: RFC 5322 §2.2 (fields, folding), RFC 2047 (encoded words), RFC 2045 §5.1 (Content-Type), RFC 6532 (raw UTF-8).
How long a block may be is bounded by the scan.
"""

import re
from binascii import Error as BinasciiError
from binascii import a2b_base64, a2b_qp
from collections.abc import Iterator, KeysView
from functools import lru_cache

from parsers.charset import decode

MAX_FIELDS = 2_000
"""Fields read of one block.  Mail that has crossed many relays has two hundred."""
MAX_CONTENT_TYPE = 2_000
"""Characters read of a Content-Type; keeps the search for parameters, which may start anew at each ";", cheap."""

LINE = re.compile(r"\n(?![ \t])")
NAME = re.compile(r"[!-9;-~]+")
FOLD = re.compile(r"\n[ \t]*")
ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
PARAMETER = re.compile(r';[ \t]*([\w.*-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;]*))', re.ASCII)
PLAIN_TYPE = re.compile(r'[\w.+-]+/[\w.+-]+(?:;[ \t]*[\w.-]+=(?:"[^"\\]*"|[^\s;"=?()\\]+))*;?', re.ASCII)


class Headers:
    """The fields of one block, in their order.

    flawless  every line was a field, or went on with one
    """

    __slots__ = ("_first", "_lines", "_repeated", "flawless")

    def __init__(self, block: str) -> None:
        lines = LINE.split(block, MAX_FIELDS) if block else []
        self._index(lines)
        names = "".join(self._first)
        self.flawless = (
            len(lines) <= MAX_FIELDS
            and "" not in self._first
            and " " not in names
            and names.isascii()
            and names.isprintable()
        )
        if not self.flawless:
            self._index(_salvaged(lines[:MAX_FIELDS]))

    def _index(self, lines: list[str]) -> None:
        self._lines = lines
        self._first: dict[str, str] = {}
        self._repeated: list[str] = []
        first = self._first
        for line in reversed(lines):
            name, colon, value = line.partition(":")
            name = name.lower() if colon else ""
            if name in first:
                self._repeated.append(name)
            first[name] = value

    def __contains__(self, name: str) -> bool:
        return name in self._first

    def __bool__(self) -> bool:
        return bool(self._first)

    def names(self) -> KeysView[str]:
        """The lower-case names."""
        return self._first.keys()

    def count(self, name: str) -> int:
        """How many fields are called `name` (lower case)."""
        return (name in self._first) + self._repeated.count(name)

    def raw(self, name: str) -> str | None:
        """The first field `name` (lower case) as it stands, folds and all."""
        return self._first.get(name)

    def get(self, name: str) -> str | None:
        """The first field `name` (lower case), unfolded and decoded; None where it is missing or empty."""
        value = self._first.get(name)
        return clean(value) or None if value is not None else None

    def all(self, name: str) -> list[str]:
        """Every field `name` (lower case) that is not empty, unfolded and decoded."""
        return self.all_of((name,))

    def all_of(self, names: tuple[str, ...]) -> list[str]:
        """Every field of `names` (lower case) that is not empty, in the order of `names`."""
        found: list[str] = []
        for name in names:
            if name in self._repeated:
                found += [text for one, value in self.items() if one == name and (text := clean(value))]
            elif name in self._first and (text := clean(self._first[name])):
                found.append(text)
        return found

    def items(self) -> Iterator[tuple[str, str]]:
        """Every field as (lower-case name, value as it stands)."""
        for line in self._lines:
            name, _, value = line.partition(":")
            yield name.lower(), value


def read_headers(block: bytes) -> Headers:
    """The fields of a header block, with or without blank lines behind it."""
    # Octets that are no UTF-8 stay recognisable (as surrogates) until somebody asks for that field.
    return Headers(block.rstrip(b"\n").decode("utf-8", "surrogateescape"))


def _salvaged(lines: list[str]) -> list[str]:
    """The fields among lines that are none; blanks behind a name are forgiven."""
    fields = [line.partition(":") for line in lines]
    named = [(name.rstrip(" \t"), value) for name, colon, value in fields if colon]
    return [f"{name}:{value}" for name, value in named if NAME.fullmatch(name)]


def clean(value: str) -> str:
    """A field's value: unfolded, encoded words and raw octets decoded, no blanks around it."""
    if "\n" in value:
        value = FOLD.sub(" ", value)
    if not value.isascii():
        value = decode(value.encode("utf-8", "surrogateescape"))
    if "=?" in value:
        value = decode_words(value)
    return value.strip()


def decode_words(value: str) -> str:
    """`value` with its encoded words decoded (RFC 2047 §6.2); a word that cannot be read stays as it is."""
    out: list[str] = []
    octets, charset, at = bytearray(), None, 0  # grows in place: a field may hold 100,000 words
    for word in ENCODED_WORD.finditer(value):
        more = _octets(word[2], word[3])
        if more is None:
            continue
        label = word[1].partition("*")[0].lower()  # RFC 2231 §5: charset*language
        between = value[at : word.start()]
        adjacent = charset is not None and not between.strip()
        # Characters are cut in two at times, so neighbours of one charset are joined before they are decoded.
        if not adjacent or label != charset:
            out.append(decode(bytes(octets), charset))
            octets = bytearray()
        if not adjacent:
            out.append(between)
        octets += more
        charset, at = label, word.end()
    out += decode(bytes(octets), charset), value[at:]
    return "".join(out)


def _octets(encoding: str, text: str) -> bytes | None:
    encoded = text.encode("utf-8", "replace")
    if encoding in "qQ":
        return a2b_qp(encoded, header=True)
    try:
        return a2b_base64(encoded + b"==")
    except BinasciiError:
        return None


def content_type(value: str | None) -> tuple[str, dict[str, str], bool]:
    """A Content-Type field (RFC 2045 §5.1).

    value    as it stands in the header
    returns  the lower-case type ("text/plain" where there is none), the parameters by lower-case name, and
             whether it is written so plainly that nobody reads it otherwise
    """
    if value is None:
        return "text/plain", {}, True
    return _content_type(value) if len(value) < 100 else _content_type.__wrapped__(value)


@lru_cache(maxsize=256)
def _content_type(value: str) -> tuple[str, dict[str, str], bool]:
    value = value[:MAX_CONTENT_TYPE]
    value = (FOLD.sub(" ", value) if "\n" in value else value).strip()
    kind = value.partition(";")[0].strip().lower()
    if kind.count("/") != 1 or not kind.isascii():
        kind = "text/plain"
    parameters: dict[str, str] = {}
    for name, quoted, token in PARAMETER.findall(value):
        parameters.setdefault(name.lower(), (quoted.replace("\\", "") if quoted else token).strip())
    return kind, parameters, PLAIN_TYPE.fullmatch(value) is not None
