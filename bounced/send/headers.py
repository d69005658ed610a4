"""Header fields: text of any script as lines of ASCII.

The standard library's policies are not asked to write them.  They decode what looks like an encoded word in a subject
or a name, and lose what follows a line end in it; they join blanks, put blanks into names that take two encoded words,
and each version of Python does it differently.  What reads like an encoded word without being one is encoded here.
Sources: RFC 5322 §2.2.3 (folding), §3.2 (words), RFC 2047 (encoded words), RFC 2231 §3, §4 (parameters).
"""

import re
from collections.abc import Iterable, Sequence
from email.charset import Charset
from itertools import repeat
from urllib.parse import quote

MAX_LINE = 76
"""Characters of a line with an encoded word (RFC 2047 §2).  Only an address or an id can make a line longer."""
MAX_WORD = 60
"""Characters of a word, so that the first one has a place beside the name of its field."""

MAX_SEGMENT = 50
"""Characters of a segment of a parameter.  None ends inside a character: some programs decode each by itself."""

WORDS = re.compile(rf"[!-~]{{1,{MAX_WORD}}}(?: [!-~]{{1,{MAX_WORD}}})*")
PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")  # atoms (RFC 5322 §3.2.3)
ENCODED = "=?"  # an encoded word begins so

UTF8 = Charset("utf-8")


def field(name: str, words: Sequence[str]) -> str:
    """A field as lines: its words with one blank between them, or a line end and a blank.

    words    of printable characters; a space inside stays where it is
    """
    lines = [f"{name}:"]
    for number, word in enumerate(words):
        # a first line of nothing but the name is allowed, and stumbled over
        if number and len(lines[-1]) + 1 + len(word) > MAX_LINE:
            lines.append("")
        lines[-1] += f" {word}"
    return "".join(f"{line}\r\n" for line in lines)


def text(value: str) -> list[str]:
    """The words of a field that holds text, such as Subject."""
    if not value:
        return []
    if WORDS.fullmatch(value) and ENCODED not in value:
        return value.split(" ")
    return _encoded(value)


def mailboxes(of: Iterable[tuple[str | None, str]]) -> list[str]:
    """The words of a list of addresses, each with the name of whom it belongs to."""
    words: list[str] = []
    for name, address in of:
        if words:
            words[-1] += ","
        words += [*_phrase(name), f"<{address}>"] if name else [address]
    return words


def _phrase(name: str) -> list[str]:
    if not _is_short(name):
        return _encoded(name)
    if PHRASE.fullmatch(name):
        return name.split(" ")
    return ['"' + re.sub(r'(["\\])', r"\\\1", name) + '"']


def described(value: str, **parameters: str) -> list[str]:
    """The words of a value with parameters, such as `attachment; filename="a.pdf"`."""
    words = [value]
    for name, content in parameters.items():
        for word in _parameter(name, content):
            words[-1] += ";"
            words.append(word)
    return words


def _parameter(name: str, value: str) -> list[str]:
    if _is_short(value) and '"' not in value and "\\" not in value:
        return [f'{name}="{value}"']
    segments = ["utf-8''"]
    for letter in value:
        coded = quote(letter, safe="")
        if len(segments[-1]) + len(coded) > MAX_SEGMENT:
            segments.append("")
        segments[-1] += coded
    if len(segments) == 1:
        return [f"{name}*={segments[0]}"]
    return [f"{name}*{number}*={segment}" for number, segment in enumerate(segments)]


def _is_short(value: str) -> bool:
    """Whether it may stand between quotation marks: ASCII, of single blanks, and not like an encoded word."""
    return len(value) <= MAX_WORD and WORDS.fullmatch(value) is not None and ENCODED not in value


def _encoded(value: str) -> list[str]:
    """The text as encoded words, none of which ends inside a character."""
    return [word for word in UTF8.header_encode_lines(value, repeat(MAX_WORD)) if word]
