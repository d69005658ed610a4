"""What a notice's text says about one recipient, and the codes that the words hold.

Sources: RFC 3463 (status), RFC 5321 §4.2 (reply), RFC 3464 §2.3 (fields that say the same, or less).
"""

from parsers import address
from parsers.reply import find_reply
from parsers.report import MAX_DIAGNOSTIC, Kind, Report
from parsers.status import find_status, is_generic

MAX_MENTIONS = 10
"""Places looked at where a text names the recipient: the notice names it two or three times, the returned mail more."""

MAX_INDENT = 8
"""Blanks looked at in front of a sentence."""

EXPIRED = frozenset({"4.4.7", "5.4.7"})
"""Statuses that only say that the sending side gave up; the remote server's own words say why."""


def about(text: str, recipient: str | None) -> str | None:
    """The words in `text` about `recipient`: the paragraph that names it with the most to say, unfolded.

    cost     linear in len(text)
    """
    if not recipient:
        return None
    best, most = None, -1
    lower, wanted, at = text.lower(), recipient.lower(), 0
    for _ in range(MAX_MENTIONS):
        at = lower.find(wanted, at)
        if at < 0:
            break
        start = text.rfind("\n", 0, at) + 1
        end = text.find("\n\n", at)
        end = len(text) if end < 0 else end
        if not text[at + len(wanted) : end].strip(" \t\n<>()[]:;.,\"'"):  # alone: its reason is the next paragraph
            end = text.find("\n\n", end + 2)
            end = len(text) if end < 0 else end
        words = unfold(text[start : min(end, start + MAX_DIAGNOSTIC)])
        much = 2 * (find_reply(words) is not None) + (find_status(words) is not None)
        if much > most:
            best, most = words, much
        at = min(end, at + MAX_DIAGNOSTIC)
    return best


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
    words    the remote server's own words, best first; they win over a status that says nothing, or only that the
             sending side gave up
    """
    if stated is not None and not is_generic(stated) and stated not in EXPIRED:
        return stated
    found = [status for text in words if text and (status := find_status(text))]
    return next((status for status in found if not is_generic(status)), stated or next(iter(found), None))


def best_reply(*words: str | None) -> int | None:
    """The first reply code in `words`, best first."""
    return next((code for text in words if text and (code := find_reply(text))), None)


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
    words = unfold(reason)
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
