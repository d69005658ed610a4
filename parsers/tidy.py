"""Text that is fit to be stored and shown: on one line, no control characters, no lone surrogates, bounded in length.

Nothing of a mail leaves the parsers but through `tidy`.
"""

import re
from collections.abc import Iterable

MAX_WORD = 320
"""Characters of an address, a host or an action: the longest address (RFC 5321 §4.5.3.1); no longer one is real."""
MAX_LINE = 998
"""Characters of a subject or an id: the longest line of a header (RFC 5322 §2.1.1)."""

BLANKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]")
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""Control characters, lone surrogates, and what turns the direction of all text that follows it."""


def tidy(text: str | None, limit: int) -> str | None:
    """At most `limit` characters of `text` without what no text field may hold; None where nothing is left."""
    if text is None:
        return None
    if len(text) > limit:
        text = text[: 2 * limit]  # first of all: ten thousand reports may share one text of megabytes
    if not text.isprintable():
        text = UNSEEN.sub("", BLANKS.sub(" ", text))
    return text[:limit].strip() or None


def tidy_all(texts: Iterable[str], limit: int) -> tuple[str, ...]:
    """The same for each of `texts`; what is empty then is left out."""
    return tuple(one for text in texts if (one := tidy(text, limit)))
