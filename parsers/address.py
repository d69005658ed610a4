"""Addresses out of fields and text.  The one file that knows flanker's addresslib.

What is plain is read here; flanker is asked only where tolerance is needed, after our own checks of length and control
characters: it can be slow, and it reads "a@example.com CR LF Bcc: b@example.com" as the latter.

Sources: RFC 5321 §4.1.2 (mailbox, source route), RFC 5322 §3.4 (fields), RFC 3461 §4 (xtext), RFC 6533 §3 (utf-8 type).
"""

import re

from parsers.quiet import flanker_address

MAX_ADDRESS = 320
"""Characters of an address: 64 of local part, "@", 255 of domain (RFC 5321 §4.5.3.1)."""
MAX_FIELD = 65_536
"""Characters read of a field of addresses; a bounce's own fields name a few."""

ATOM = r'[^\s\x00-\x20\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"(),:;<>@\[\]\\]'
SIMPLE = re.compile(rf"{ATOM}+@{ATOM}+")
NAMED = re.compile(rf'[^<>"(),]*<({ATOM}+@{ATOM}+)>?')
ONE_NAMED = re.compile(rf'(?:[^<>"(),]*|[ \t]*"[^"\\]*"[ \t]*)<({ATOM}+@{ATOM}+)>[ \t]*')
MAILBOX = re.compile(rf'(?:{ATOM}+|"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*")@(?:{ATOM}+|\[[\w.:-]+\])')
PIECE = re.compile(r'"(?:[^"\\]|\\.)*"?|\([^()]*\)?|<[^<>]*>?|,|[^",(<]+|.', re.S)
EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")


def bare(text: str | None) -> str | None:
    """The address in `text`, without name, brackets, comments and source route.

    text     one address as fields and texts write it: `a@example.com`, `"A" <a@example.com>`, `<@relay:a@example.com>`
    returns  `local@domain` in the case it came in; None where there is none, or where it is longer than MAX_ADDRESS
    raises   nothing
    """
    if not text:
        return None
    text = text.strip(" \t\n<>")
    if len(text) <= MAX_ADDRESS and SIMPLE.fullmatch(text):
        return text.rstrip(".")
    if len(text) > 4 * MAX_ADDRESS:
        return None
    return _from_pieces(PIECE.findall(text))


def tolerant(text: str | None) -> str | None:
    """The same for a field that is there to hold an address, however badly it is written: flanker is asked too.

    It is shown nothing that it is known to read wrongly.
    """
    found = bare(text)
    if found or not text or len(text) > MAX_ADDRESS or "@" not in text or not text.isprintable():
        return found
    parsed = flanker_address()(text)
    return _checked(parsed.address) if parsed is not None else None


def plain(value: str) -> str | None:
    """The address in a field that holds nothing else but perhaps a name, as it stands in the header.

    None: it is not written so plainly that `all_of` need not be asked.
    """
    if len(value) > MAX_ADDRESS:
        return None
    if "<" not in value:
        address = value.strip(" \t")
        found = SIMPLE.fullmatch(address) is not None
    elif named := ONE_NAMED.fullmatch(value):
        address, found = named[1], True
    else:
        return None
    return address if found and "=?" not in address else None


def all_of(values: list[str]) -> tuple[str, ...]:
    """Every address in fields that hold lists of them, each once, in order."""
    found: dict[str, None] = {}
    for value in values:
        if len(value) <= MAX_ADDRESS:
            if "<" not in value:
                if SIMPLE.fullmatch(value):
                    found[value] = None
                    continue
            elif named := NAMED.fullmatch(value):
                found[named[1]] = None
                continue
        one: list[str] = []
        for piece in [*PIECE.findall(value[:MAX_FIELD]), ","]:
            if piece != ",":
                one.append(piece)
                continue
            if address := _from_pieces(one):
                found[address] = None
            one = []
    return tuple(found)


def typed(value: str | None, *, patient: bool = True) -> str | None:
    r"""The address in a field "type; address" of a delivery report; the type may be missing (RFC 3464 §2.3.1).

    patient  whether flanker is asked about what cannot be read otherwise
    >>> typed("utf-8; j\\x{F5}ul@example.com")
    'jõul@example.com'
    """
    if not value:
        return None
    kind, semicolon, rest = value.partition(";")
    read = tolerant if patient else bare
    if not semicolon:
        return read(value)
    if kind.strip().lower() in {"utf-8", "utf8"}:
        rest = EMBEDDED.sub(_character, rest)
    return read(rest)


def xtext(value: str) -> str:
    """`value` with its xtext undone (RFC 3461 §4); what is no xtext stays as it is."""
    return re.sub(r"\+([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), value)


def _character(found: re.Match[str]) -> str:
    point = int(found[1], 16)
    return chr(point) if point <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF else ""


def _from_pieces(pieces: list[str]) -> str | None:
    for piece in reversed(pieces):
        if piece.startswith("<"):
            return _checked(piece.strip("<> \t\n"))
    return _checked("".join(piece for piece in pieces if not piece.startswith("(")).strip())


def _checked(address: str) -> str | None:
    if address.startswith("@") and ":" in address:  # source route (RFC 5321 §4.1.1.3)
        address = address.rpartition(":")[2]
    address = address.removeprefix("mailto:").rstrip(".")
    if len(address) > MAX_ADDRESS or not MAILBOX.fullmatch(address):
        return None
    return address
