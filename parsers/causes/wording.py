"""A reply text made ready for the rules: what a person wrote stays, what names a host, person or code goes.

A recipient spam@example.com or a host spf.example.net must not decide a cause, so addresses, hosts, links, paths and
numbers with dots become the words ADDRESS, HOST, URL, PATH and IP (the only words in upper case).  Reply codes and
enhanced statuses go: a reply of several lines repeats them in the middle of a sentence, and the rules ask for them by
`code` and `status`.  Punctuation goes too, so that "User, unknown" and "<user>: unknown" need no rules of their own.
"""

import re

MAX_TEXT = 4_000
"""Characters looked at; a diagnostic is shorter, and a server's reply stands in front."""

# Left inside words: . : / @ - ' _ for what they tell about a token, everything else parts words.
_APART = dict.fromkeys(map(ord, '<>()[]{}"`,;=|!*?#$^&~\\«»„“”‹›。、，！？：；（）「」『』【】・…\x00'), " ")
_APART |= {ord("’"): "'", ord("‘"): "'", ord("´"): "'", ord("‐"): "-", ord("–"): " ", ord("—"): " "}

# Every pattern is tried on one token from its first character, with possessive parts: linear.
_CODE = re.compile(r"[2-5]\d\d(?:-(?=\D|[245]\.\d)|\Z)|(?:[2-5]\d\d-)?[245]\.\d{1,3}\.\d{1,3}\Z", re.ASCII)
_IP = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?:[:/]\d{1,5})?\Z|[0-9a-f]{0,4}(?::[0-9a-f.]{0,15}){2,8}\Z", re.ASCII | re.I)
_SENTENCE_END = re.compile(r"(?<=[^\W\d_])\.(?=[A-Z][a-z])|\.{2,}|(?<=[^\W\d_])\.(?=\d)")
_NUMBER = re.compile(r"[\d.,:/%-]++\Z", re.ASCII)


def fold(text: str) -> str:
    """The text with single spaces and in lower case, cut to MAX_TEXT: what the `raw` patterns see."""
    return " ".join(text[:MAX_TEXT].split()).lower()


def words(text: str) -> str:
    """What the `text` patterns see: lower-case words parted by single spaces; hosts and the like blanked.

    cost     linear in min(len(text), MAX_TEXT)
    >>> words("550-5.1.1 <spam@example.com>... User unknown,\\r\\n550 5.1.1 see https://example.com/spam")
    'ADDRESS user unknown see URL'
    """
    tokens = text[:MAX_TEXT].translate(_APART).split()
    told = " ".join(filter(None, [token.lower() if token.isalpha() else _plain(token) for token in tokens]))
    return told.replace("cannot", "can not")


def _plain(token: str) -> str:
    """One token with a sign or digit in it, as words or as the name of its kind; "" drops it."""
    if "://" in token or token.startswith("www."):
        return "URL"
    token = token.strip(".:-'_")
    if token.isalpha():
        return token.lower()
    if "@" in token:
        return "ADDRESS"
    if found := _CODE.match(token):
        rest = token[found.end() :]
        return _plain(rest) if rest else ""
    if _IP.match(token):
        return "IP"
    if token.startswith("/"):
        return "PATH"
    if "." in token:
        parted = _SENTENCE_END.sub(" ", token)
        if " " in parted:
            return " ".join(map(_plain, parted.split()))
        return token if _NUMBER.match(token) else "HOST"
    return token.lower().replace("can't", "can not").replace("n't", " not").translate(_INNER)


_INNER = {ord("_"): " ", ord("/"): " ", ord(":"): " ", ord("'"): None}
