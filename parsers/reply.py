"""SMTP reply codes in text (RFC 5321 §4.2), told from port numbers, sizes, counts and parts of addresses.

Three digits mean little by themselves, so a candidate counts for its place: before an enhanced status, at the start
of a line, or after what introduces a server's answer ("smtp;", "said:", "error", "[").
"""

import re

# Every pattern is bounded in what one candidate may take, so a search is linear.
# Second digits: 0-5 by RFC 5321 §4.2.1; 7 because servers do write 571.
WITH_STATUS = re.compile(r"(?<![\w.@/+])([2-5][0-57]\d)[ -]{1,3}[(\[<]?#?[245]\.\d{1,3}\.\d{1,3}(?!\d|\.\d)", re.ASCII)
LINE_START = re.compile(
    r"^[ \t<>\[(\"']{0,8}(?:smtp;[ \t]{0,8}|x-\w{1,20};[ \t]{0,8})?(2(?:00|1[14]|2[01]|35|5[0-3])|3[35]4|[45][0-57]\d)(?=[ \t\])>:;,-]|$)",
    re.I | re.M | re.ASCII,
)
INTRODUCED = re.compile(
    r"(?:smtp;|said|says|was|errors?|err|codes?|reply|replied|response|responded|status|returned|answer|answered|message"
    r"|reason|failure|failed|rejected|refused|denied|with|server|smtp|lmtp|rcpt|data|mail|host|command|dsn|diagnostic"
    r"|[;:=\[(<>\"'])"
    r"[ \t\r\n:;=(\[\"']{0,4}"
    r"(?<![\w.@/+#-])(?<!\]:)#?([45][0-57]\d)"
    r"(?![\w@%]|[.:]\d|-\d\d\b)",
    re.I | re.ASCII,
)
NOT_A_REPLY_BEFORE = re.compile(
    r"\b(?:port|size|limit|length|quota|line|id|pid|max|maximum|bytes|count)[ \t:=(\[]{0,3}\Z", re.I
)
NOT_A_REPLY_AFTER = re.compile(
    r"[ \t]{0,2}(?:[kmg]i?b|bytes?|octets?|seconds?|sec|minutes?|hours?|days?|weeks?|messages|e?-?mails"
    r"|recipients|connections|times|lines|characters?|users|rue|street)\b",
    re.I,
)
BEFORE = 14
"""Characters looked at in front of a candidate for a word like "port"."""


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
    for pattern in (WITH_STATUS, LINE_START, INTRODUCED):
        for found in pattern.finditer(text):
            start, end = found.span(1)
            if not NOT_A_REPLY_AFTER.match(text, end) and not NOT_A_REPLY_BEFORE.search(
                text, max(0, start - BEFORE), start
            ):
                return int(found[1])
    return None
