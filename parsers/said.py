"""What a notice's text says about one recipient, and the codes that the words hold.

Sources: RFC 3463 (status), RFC 5321 §4.2 (reply), RFC 3464 §2.3 (fields that say the same, or less).
"""

import re
from functools import lru_cache

from parsers import address
from parsers.reply import find_reply
from parsers.report import MAX_DIAGNOSTIC, Kind, Report
from parsers.status import find_status, is_generic

MAX_MENTIONS = 10
"""Places looked at where a text names the recipient: the notice names it two or three times, the returned mail more."""

BRACKETS = " <>()[]:;.,\"'"
HEADING = re.compile(r"(?:\n|\A|generated (?:by|from) )[ \t<\"]*\Z")
"""In front of an address that is a heading; Exim names so whose address led to a command or a file."""
NEXT_HEADING = re.compile(r"\n[ \t<]{0,8}[^\s<>@:]{1,64}@[^\s<>:]{1,255}>?(?::|[ \t]{0,8}(?:\n|\Z))")
ANSWER = re.compile(r"\n[ \t]{0,8}(<<< |Out: )?([45][0-5]\d[ -][^\n]{1,1000})")

END = re.compile(r"\n(?:\n|[ \t|+]{0,8}-{5})")
"""The end of a paragraph: a blank line, or a line of dashes."""
MAX_INDENT = 16
"""Characters looked at in front of a sentence or an address."""

ANSWERED = re.compile(r"[2-5](?<![\w.@/+].)[0-5]\d[ -]{1,3}[#']?([245]\.\d\.\d{1,3})(?!\d|\.\d)")
"""An enhanced status in its place behind the reply code (RFC 2034 §4)."""

EXPIRED = frozenset({"4.4.7", "5.4.7"})
"""Statuses that only say that the sending side gave up; the remote server's own words say why."""


def about(text: str, recipient: str | None) -> str | None:
    """The words in `text` about `recipient`, unfolded: of the places that name it the one with the most to say.

    An address at the start of a line is a heading and no part of the words, which reach to the next heading or blank
    line; where it stands alone in its paragraph, the next one counts if it quotes a server.
    cost     linear in len(text)
    """
    if not recipient:
        return None
    best, most = None, -1
    lower, wanted, at = _lower(text), recipient.lower(), 0
    for _ in range(MAX_MENTIONS):
        at = lower.find(wanted, at)
        if at < 0:
            break
        behind = at + len(wanted)
        end = _end_of_paragraph(text, behind)
        if HEADING.search(text, max(0, at - MAX_INDENT), at):
            next_heading = NEXT_HEADING.search(text, behind, end)
            words = _words(text, behind, next_heading.start() if next_heading else end).lstrip(BRACKETS)
            words = words[:-1] if words.endswith(")") and "(" not in words else words  # "address (user not found)"
            if not words:
                words = _words(text, end, _end_of_paragraph(text, end + 2))
                words = words if find_reply(words) or find_status(words) else ""
        else:
            start = text.rfind("\n", 0, at) + 1
            if text[start:at].lstrip().startswith("("):  # Sendmail's "(expanded from: <address>)" ends a paragraph
                start = text.rfind("\n\n", 0, start) + 2
            words = _words(text, start, end)
        if words.endswith(":") or not any(map(str.isalpha, words.lower().replace(wanted, ""))):
            words = ""  # the beginning of what is said about the next one, or nothing but the address
        much = 2 * (find_reply(words) is not None) + (find_status(words) is not None)
        if words and much > most:
            best, most = words, much
        at = end
    return best


@lru_cache(maxsize=1)
def _lower(text: str) -> str:
    """Lower case, kept for the next recipient of the same notice."""
    return text.lower()


def quoted(text: str) -> str | None:
    """The lines of `text` that are a server's answer, as transcripts have them: "<<< 550 5.1.1 no such user".

    Where some are marked so, the others are the sending server's own.
    """
    found = ANSWER.findall(f"\n{text}")
    marked = [answer for mark, answer in found if mark]
    return unfold(" ".join(marked or [answer for _, answer in found]))[:MAX_DIAGNOSTIC] or None


def _words(text: str, start: int, end: int) -> str:
    words = text[start : min(end, start + MAX_DIAGNOSTIC)]
    return (quoted(words) if "\n<<< " in words else None) or unfold(words)


def _end_of_paragraph(text: str, at: int) -> int:
    end = END.search(text, at)
    return end.start() if end else len(text)


def line_at(text: str, *beginnings: str) -> int:
    """Where `text` has the first of `beginnings` at the start of a line, blanks forgiven; -1 where it has none.

    A sentence within a line, or behind a ">", is quoted by somebody.
    """
    for beginning in beginnings:
        at = text.find(beginning)
        while at > 0 and text[max(0, at - MAX_INDENT) : at].rpartition("\n")[2].strip(" \t"):
            at = text.find(beginning, at + len(beginning))
        if at >= 0:
            return at
    return -1


def unfold(text: str) -> str:
    """`text` on one line."""
    return " ".join(text.split())


def best_status(stated: str | None, *words: str | None) -> str | None:
    """The status that says most.

    stated   the Status field's
    words    the remote server's own words, best first: what stands in its answer behind the reply code wins, and any
             status there over a stated one that says nothing, or only that the sending side gave up
    """
    for text in words:
        if text and (answered := ANSWERED.search(text)) and not is_generic(answered[1]):
            return answered[1]
    if stated is not None and not is_generic(stated) and stated not in EXPIRED:
        return stated
    for text in words:
        if text and (found := find_status(text)):
            if not is_generic(found):
                return found
            stated = stated or found
    return stated


def best_reply(*words: str | None) -> int | None:
    """The first reply code in `words`, best first."""
    for text in words:
        if text and (code := find_reply(text)):
            return code
    return None


def refusal(
    kind: Kind,
    recipient: str | None,
    reason: str,
    *,
    original: str | None = None,
    remote_mta: str | None = None,
    reporting_mta: str | None = None,
) -> Report:
    """The Report of a layout that gives for each recipient nothing but an address and words.

    original   the address before forwarding, where the notice names it: that is the one written to
    """
    final = address.bare(recipient)
    before = address.bare(original)
    words = unfold(reason[: 2 * MAX_DIAGNOSTIC])
    return Report(
        kind=kind,
        recipient=before or final,
        original_recipient=before,
        final_recipient=final,
        status=best_status(None, words),
        smtp_code=best_reply(words),
        diagnostic=words or None,
        remote_mta=remote_mta,
        reporting_mta=reporting_mta,
    )
