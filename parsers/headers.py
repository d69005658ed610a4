"""One block of header fields: names without case, values unfolded and decoded only when asked for.

Sources: RFC 5322 §2.2 (fields, folding), RFC 2047 (encoded words), RFC 2045 §5.1 (Content-Type), RFC 6532 (raw UTF-8).
How long a block may be is bounded by the scan.
"""

import re
from binascii import Error as BinasciiError
from binascii import a2b_base64, a2b_qp
from functools import lru_cache

from parsers.charset import decode

MAX_FIELDS = 2_000
"""Fields read of one block.  Mail that has crossed many relays has two hundred."""
MAX_CONTENT_TYPE = 2_000
"""Characters read of a Content-Type; keeps the search for parameters, which may start anew at each ";", cheap."""

FIELD_END = re.compile(r"\n(?![ \t])")
FOLD = re.compile(r"\n[ \t]*")
ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?\n]*)\?=")
PARAMETER = re.compile(r';[ \t]*([\w.*-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;]*))', re.ASCII)
PLAIN_TYPE = re.compile(r'[\w.+-]+/[\w.+-]+(?:;[ \t]*[\w.-]+=(?:"[^"\\]*"|[^\s;"=?()\\]+))*;?', re.ASCII)


class Headers:
    """The fields of one block, in their order.

    flawless  every line was a field, or went on with one
    """

    __slots__ = ("_fields", "flawless")

    def __init__(self, block: str) -> None:
        fields: dict[str, list[str]] = {}
        self._fields = fields
        self.flawless = True
        if not block:
            return
        lines = FIELD_END.split(block, MAX_FIELDS)
        if len(lines) > MAX_FIELDS:
            lines.pop()
            self.flawless = False
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or " " in name or not name.isprintable() or not name.isascii() or not name:
                self.flawless = False
                name = name.rstrip(" \t")
                if not colon or not name or " " in name or "\n" in name:
                    continue
            name = name.lower()
            if name in fields:
                fields[name].append(value)
            else:
                fields[name] = [value]

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def __bool__(self) -> bool:
        return bool(self._fields)

    def count(self, name: str) -> int:
        """How many fields are called `name` (lower case)."""
        return len(self._fields.get(name, ()))

    def raw(self, name: str) -> str | None:
        """The first field `name` (lower case) as it stands, folds and all."""
        values = self._fields.get(name)
        return values[0] if values else None

    def get(self, name: str) -> str | None:
        """The first field `name` (lower case), unfolded and decoded; None where it is missing or empty."""
        values = self._fields.get(name)
        return (clean(values[0]) or None) if values else None

    def all(self, name: str) -> list[str]:
        """Every field `name` (lower case) that is not empty, unfolded and decoded."""
        return [text for value in self._fields.get(name, ()) if (text := clean(value))]

    def items(self) -> list[tuple[str, str]]:
        """Every field as (lower-case name, value as it stands), like names together."""
        return [(name, value) for name, values in self._fields.items() for value in values]


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
    octets, charset, at = b"", None, 0
    for word in ENCODED_WORD.finditer(value):
        more = _octets(word[2], word[3])
        if more is None:
            continue
        label = word[1].partition("*")[0].lower()  # RFC 2231 §5: charset*language
        between = value[at : word.start()]
        adjacent = charset is not None and not between.strip()
        # Characters are cut in two at times, so neighbours of one charset are joined before they are decoded.
        if not adjacent or label != charset:
            out.append(decode(octets, charset))
            octets = b""
        if not adjacent:
            out.append(between)
        octets, charset, at = octets + more, label, word.end()
    out += decode(octets, charset), value[at:]
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
    value = FOLD.sub(" ", value[:MAX_CONTENT_TYPE]).strip()
    kind = value.partition(";")[0].strip().lower()
    if kind.count("/") != 1 or not kind.isascii():
        kind = "text/plain"
    parameters: dict[str, str] = {}
    for name, quoted, token in PARAMETER.findall(value):
        parameters.setdefault(name.lower(), (quoted.replace("\\", "") if quoted else token).strip())
    return kind, parameters, PLAIN_TYPE.fullmatch(value) is not None
