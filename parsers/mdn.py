"""Message disposition notifications: RFC 8098.  A read receipt says nothing about delivery; a rejecting filter does.

Recognised by: a part message/disposition-notification.
Shape: one group of fields; "Disposition: automatic-action/MDN-sent-automatically; deleted" with words of rejection in
    the part for people is how a filter (RFC 5429 §2.1.2) refuses a mail that it had accepted.
Fixtures: fixtures/other/, fixtures/dsn/
"""

import re

from parsers import address
from parsers.fields import groups
from parsers.message import Mail
from parsers.report import Kind, Report
from parsers.said import best_reply, best_status, unfold

TYPES = frozenset({"message/disposition-notification", "message/global-disposition-notification"})
REJECTION = re.compile(r"\b(?:automatically rejected|rejected|refused|was denied|not accepted)\b", re.I)


def parse(mail: Mail) -> tuple[Report, ...]:
    """A bounce where a filter rejected the mail, `other` for every other disposition; () without a notification."""
    for part in mail.leaves:
        if part.type in TYPES:
            break
    else:
        return ()
    found = groups(part.text)
    fields = found[0] if found else {}
    disposition = fields.get("disposition", "").lower()
    text = mail.text
    if not disposition.startswith("automatic-action") or not disposition.rstrip().endswith(
        ("deleted", "denied", "failed")
    ):
        return (Report(kind=Kind.OTHER),)
    if not REJECTION.search(text):
        return (Report(kind=Kind.OTHER),)
    words = unfold(text)
    return (
        Report(
            kind=Kind.BOUNCE,
            recipient=address.typed(fields.get("original-recipient")) or address.typed(fields.get("final-recipient")),
            original_recipient=address.typed(fields.get("original-recipient")),
            final_recipient=address.typed(fields.get("final-recipient")),
            status=best_status(None, words),
            smtp_code=best_reply(words),
            diagnostic=words,
        ),
    )
