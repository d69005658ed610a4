"""SMTP reply codes in text (RFC 5321 §4.2), told from port numbers, sizes, counts and parts of addresses.

Three digits mean little by themselves, so a candidate counts for its place: before an enhanced status, at the start
of a line, or after what introduces a server's answer ("smtp;", "said:", "error", "[").
"""

import re
from functools import lru_cache

# Every pattern is bounded in what one candidate may take, so a search is linear.
# Of the codes below 400 those that RFC 5321 and its extensions know; second digits above 5 because servers write 571.
# The digits come first and what must stand before them after: so the search leaps from digit to digit.
CODE = re.compile(
    r"([2-5]\d\d)(?<=200|21[14]|22[01]|235|25[0-3]|3[35]4|[45][0-57]\d)(?<![\w.@/+]\d\d\d)"
    r"(?![\w@%]|[.:]\d|-\d\d\b)",
    re.ASCII,
)
PLAIN = re.compile(r"([45][0-57]\d)[ -][245]\.\d\.\d{1,3}(?!\d|\.\d)", re.ASCII)
"""How nearly all replies begin: "550 5.1.1 no such user"."""
STATUS_BEHIND = re.compile(r"[ -]{1,3}[(\[<]?#?[245]\.\d{1,3}\.\d{1,3}(?!\d|\.\d)", re.ASCII)
LINE_START = re.compile(r"\n[ \t<>\[(\"']{0,8}(?:(?:smtp|x-\w{1,20});[ \t]{0,8})?\Z", re.I | re.ASCII)
INTRODUCTIONS = (
    *("said", "says", "was", "error", "errors", "err", "code", "codes", "reply", "replied", "response", "responded"),
    *("status", "returned", "answer", "answered", "message", "reason", "failure", "failed", "rejected", "refused"),
    *("denied", "with", "server", "smtp", "lmtp", "rcpt", "data", "mail", "host", "command", "dsn", "diagnostic"),
    *("<", ">"),
)
"""What stands in front of a server's answer, with nothing but PUNCTUATION between."""
PUNCTUATION = " \t\r\n,:：;=([\"'#"
TELLING_PUNCTUATION = frozenset(";:：=([\"'")
"""What introduces an answer by itself."""
MAX_PUNCTUATION = 4
NO_REPLY_BEFORE = re.compile(
    r"(?:\b(?:port|size|limit|length|quota|line|id|pid|max|maximum|bytes|count)[ \t:=(\[]{0,3}|\]:|-|\w#)\Z", re.I
)
NO_REPLY_BEHIND = re.compile(
    r"[ \t]{0,2}(?:[kmg]i?b|bytes?|octets?|seconds?|sec|minutes?|hours?|days?|weeks?|messages|e?-?mails|recipients"
    r"|connections|times|lines|characters?|users|rue|street)\b",
    re.I,
)
BEFORE = 32
"""Characters looked at in front of a candidate."""
BEHIND = (" giving up on ", " (in reply to ")
"""How qmail and Postfix go on after the remote server's reply."""
SENDER_COMMAND = "mail from"
LOWEST_ANYWHERE = 400
"""Codes below are numbers like any other, unless they begin a line or stand before a status."""


def find_reply(text: str) -> int | None:
    """The SMTP reply code that `text` quotes: the best placed one, of equals the first.

    text     any length
    returns  200..599; None if there is none
    raises   nothing
    cost     linear in len(text)
    source   RFC 5321 §4.2
    >>> find_reply("host mx.example.com[192.0.2.1]:25 said: 550 5.1.1 no such user")
    550
    """
    return _best_placed(text)[0]


def own_words(text: str) -> tuple[str, str]:
    """The reply itself, from its code on and without what sending servers put behind it; and the words in front of it.

    All of `text` is the reply where none is quoted, and where the command that was refused is about the sender.
    >>> own_words("Remote host said: 550 5.1.1 no such user Giving up on 192.0.2.1.")
    ('550 5.1.1 no such user', 'Remote host said: ')
    """
    start = _best_placed(text)[1]
    lower = text.lower()
    if len(lower) != len(text):  # some letters become two
        lower = text
    if SENDER_COMMAND in lower:
        return text, ""
    end = max([lower.rfind(behind, start) for behind in BEHIND])
    return text[start : end if end > start else None], text[:start]


@lru_cache(maxsize=8)  # of one report the same words are asked several times
def _best_placed(text: str) -> tuple[int | None, int]:
    """The best placed code, and where it is met first: a reply of several lines repeats it."""
    if plain := PLAIN.match(text):
        return int(plain[1]), 0
    first: dict[int, int] = {}
    at_start = introduced = None
    for found in CODE.finditer(text):
        start, end = found.span()
        code = int(found[1])
        if STATUS_BEHIND.match(text, end):
            return code, first.get(code, start)
        if at_start or (NO_REPLY_BEHIND.match(text, end) and not _begins_a_sentence(text, start, code)):
            continue
        before = text[start - BEFORE : start] if start > BEFORE else "\n" + text[:start]
        if LINE_START.search(before):
            at_start = code
        elif introduced or code < LOWEST_ANYWHERE:
            continue
        elif _is_introduction(before) and not NO_REPLY_BEFORE.search(before):
            introduced = code
        else:
            continue
        first.setdefault(code, start)
    code_found = at_start or introduced
    return code_found, first[code_found] if code_found else 0


def _begins_a_sentence(text: str, start: int, code: int) -> bool:
    """Whether what is counted behind the code is none of its number: "said: 550 messages must be signed"."""
    if code < LOWEST_ANYWHERE:
        return False
    return not start or text[max(0, start - BEFORE) : start].rstrip(PUNCTUATION).lower().endswith("said")


def _is_introduction(before: str) -> bool:
    """Whether a server's answer follows.  Done without a pattern: one that ends in so many words would be slow."""
    words = before.rstrip(PUNCTUATION)
    between = before[len(words) :]
    if len(between) <= MAX_PUNCTUATION and words.lower().endswith(INTRODUCTIONS):
        return True
    return not TELLING_PUNCTUATION.isdisjoint(between[-MAX_PUNCTUATION - 1 :])
