"""Enhanced status codes in text (RFC 3463), told from version numbers, dates and IP addresses."""

import re
from functools import lru_cache

# Bounded quantifiers only, so a search is linear.  Subjects above 9 and details above 999 are nobody's status.
# The first digit comes first and what must stand before it after: so the search leaps from digit to digit.
STATUS = re.compile(r"[2-5](?<![\w.@/+-].)(?:\d\d-[245]|(?<!3))\.\d\.\d{1,3}(?!\d|\.\d|/)", re.ASCII)
VERSION = re.compile(
    r"\b(?:v|ver|version|release|revision|build|server|postfix|exim|sendmail|mailer)[ .:(]{1,2}\Z", re.I
)
BEFORE = 12
"""Characters looked at in front of a candidate for a word like "version"."""


@lru_cache(maxsize=8)  # of one report the same words are asked several times
def find_status(text: str) -> str | None:
    """First enhanced status code in `text`.

    text     any length
    returns  "class.subject.detail" such as "5.1.1", class 2, 4 or 5; None if there is none
    raises   nothing
    cost     linear in len(text)
    source   RFC 3463 §2 (grammar); also written "#5.1.1" (qmail, old Exchange) and "550-5.1.1" (Gmail)
    >>> find_status("550 5.1.1 no such user")
    '5.1.1'
    """
    for found in STATUS.finditer(text):
        if not VERSION.search(text, max(0, found.start() - BEFORE), found.start()):
            return found[0].rpartition("-")[2]
    return None


def is_generic(status: str | None) -> bool:
    """Whether a status says no more than its class (RFC 3463 §3.1: X.0.0 "other undefined status")."""
    return status is None or status.endswith(".0.0")
