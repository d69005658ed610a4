"""A reply text made ready for the rules: what a person wrote stays, what names a host, person or code goes.

A recipient spam@example.com or a host spf.example.net must not decide a cause, so addresses, hosts, links, paths and
addresses of machines become the words ADDRESS, HOST, URL, PATH and IP (the only ones in upper case).  Reply codes and
enhanced statuses go: a reply of several lines repeats them in the middle of a sentence, and the rules ask for them by
`code` and `status`.  Punctuation and filler words go too: "The mailbox has been disabled", "mailbox: DISABLED" and
"mailbox is disabled." are one phrase to a rule, and "couldn't be found", "could not be found", "is not found" another.
Phrases without gaps are also what lets hundreds of them be matched at once at little cost.
"""

import re

MAX_TEXT = 4_000
"""Characters looked at; a diagnostic is shorter, and a server's reply stands in front."""
MAX_REMEMBERED = 4_096
"""Tokens that are remembered; then all are forgotten."""
LONG = 40
"""Characters of a token that is a name and never comes again."""

FILLER = frozenset(
    """
    a an the this that these those any some
    am is are was were be been being has have had having do does did
    can could will would shall should may might
    to of for in on at as into with and or nor
    i it its he she you your we our us my his her their they
    please sorry here there currently now also just so then
    """.split()  # noqa: SIM905  lines of words are easier to read than a column of strings
)
"""Words that the `text` patterns never see; "not", "no", "from", "by", "too" and the like do matter and stay."""

# What parts words.  Left in: . : / @ - ' _ for what they tell about a token, and ? = & # that make a link.
_APART: dict[int, int | str] = {code: code for code in range(128)}  # looking up what is not there is slow
_APART |= dict.fromkeys(map(ord, '<>()[]{}"`,;|!*$^~\\«»„“”‹›。、，！？：；（）「」『』【】・…\x00'), " ")
_APART |= {ord("’"): "'", ord("‘"): "'", ord("´"): "'", ord("‐"): "-", ord("–"): " ", ord("—"): " "}
_EDGES = ".:-'_"
_QUERY = dict.fromkeys(map(ord, "?=&#"), " ")
_INNER = {ord("_"): " ", ord("/"): " ", ord(":"): " ", ord("-"): " ", ord("'"): None}

# Every pattern is tried on one token from its first character, and bounded: linear.
_CODE = re.compile(r"(?:[2-5]\d\d-)?[245]\.\d{1,3}\.\d{1,3}\Z|[2-5]\d\d(?:-(?=\D)|\Z)", re.ASCII)
_IP = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?:[:/]\d{1,5})?\Z|[0-9a-f]{0,4}(?::[0-9a-f.]{0,15}){2,8}\Z", re.ASCII | re.I)
_NUMBER = re.compile(r"[\d.,:/%-]++\Z", re.ASCII)
# "full.Please", "quota...", "RESOLVER.ADR.RecipNotFound": a sentence or a component's name, no host.
_NO_HOST = re.compile(r"(?<=[^\W\d_])\.(?=[A-Z][a-z])|\.{2,}|(?<=[^\W\d_])\.(?=\d)")


def on_one_line(text: str) -> str:
    """The text with single spaces, cut to MAX_TEXT; in lower case it is what the `raw` patterns see."""
    return " ".join(text[:MAX_TEXT].split())


def words(text: str) -> str:
    """What the `text` patterns see: lower-case words parted by single spaces, hosts and the like blanked, no filler.

    cost     linear in min(len(text), MAX_TEXT)
    >>> words("550-5.1.1 <spam@example.com>... The user doesn't exist, please 550 5.1.1 see https://example.com/spam")
    'ADDRESS user not exist see URL'
    """
    return " ".join(filter(None, map(_TOLD.__getitem__, text[:MAX_TEXT].translate(_APART).split())))


class _Told(dict[str, str]):
    """What is left of each token, words parted by single spaces; the vocabulary of mail servers is remembered."""

    def __missing__(self, token: str) -> str:
        told = token.lower() if token.isalpha() else _plain(token)
        told = " ".join([word for word in told.replace("cannot", "not").split() if word not in FILLER])
        if len(token) < LONG:
            if len(self) == MAX_REMEMBERED:
                self.clear()
            self[token] = told
        return told


_TOLD = _Told()


def _plain(token: str) -> str:
    """One token with a sign or digit in it, as words or as the name of its kind; "" drops it."""
    token = token.strip(_EDGES)
    if token.isalpha():
        return token.lower()
    if not token or token.isdigit():
        return ""
    if "://" in token or token.startswith("www."):
        return "URL"
    if "@" in token:
        return "ADDRESS"
    if (parted := token.translate(_QUERY)) != token:
        return " ".join(map(_plain, parted.split()))
    if found := _CODE.match(token):
        token = token[found.end() :].strip(_EDGES)
        if not token or token.isalpha():
            return token.lower()
    if _IP.match(token):
        return "IP"
    if token.startswith("/"):
        return "PATH"
    if "." in token:
        parted = _NO_HOST.sub(" ", token)
        if " " in parted:
            return " ".join(map(_plain, parted.split()))
        return token if _NUMBER.match(token) else "HOST"
    return token.lower().replace("can't", "not").replace("n't", " not").replace("e-mail", "email").translate(_INNER)
