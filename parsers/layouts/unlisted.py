"""Notices in a layout that has no file of its own, in any language.

Recognised by: a mail server's address or the null sender, and either the subject of a failure or a server's answer
    (a reply code) in the text.
Shape: whatever it is, the notice names whom the mail was for.  So an address counts that stands in the text, before the
    returned message begins, and is one that the returned message went to, or that X-Failed-Recipients names, or else
    that opens a line.  Addresses of the sender and of the reporting host never count.
Fixtures: fixtures/layouts/
"""

import re
from collections.abc import Iterator

from parsers import address
from parsers.message import Mail
from parsers.original import before_original, returned
from parsers.report import Kind, Report
from parsers.said import about, best_reply, quoted, refusal, unfold
from parsers.sender import is_failure, is_mailer

MAX_NOTICE = 20_000
"""Characters of the text that are looked at: a notice is short, what follows is the mail that it is about."""
MAX_RECIPIENTS = 100
"""Recipients taken from such a text."""

LOCAL_PART = re.compile(r"[\w.+'=/-]{1,64}\Z")
DOMAIN = re.compile(r"@[\w-]{1,63}(?:\.[\w-]{1,63}){1,10}")
OPENING = re.compile(r"(?:^|\n)[ \t<\"*]{0,12}\Z")
DELAY = re.compile(
    r"\b(?:delayed|not yet (?:been )?delivered|still (?:trying|undelivered|being retried)"
    r"|will (?:keep trying|be retried)|no action is required|warning only"
    r"|temporar(?:y|ily) (?:problem|failure))\b|viibi|задерж",
    re.I,
)


def parse(mail: Mail) -> tuple[Report, ...]:
    """One Report per recipient named, in body order; () where the mail is no notice, or names nobody."""
    headers = mail.headers
    if not is_mailer(mail) or "list-id" in headers or "list-unsubscribe" in headers:
        return ()
    text = before_original(mail.text)[:MAX_NOTICE]
    if not is_failure(mail) and best_reply(text) is None:
        return ()
    recipients = _recipients(mail, text)
    kind = Kind.DELAY if DELAY.search(headers.get("subject") or "") or DELAY.search(text) else Kind.BOUNCE
    if len(recipients) == 1:
        words = about(text, recipients[0])
        if words is None or best_reply(words) is None:
            words = quoted(text) or words or unfold(text)
        return (refusal(kind, recipients[0], words),)
    return tuple(refusal(kind, one, about(text, one) or "") for one in recipients[:MAX_RECIPIENTS])


def _addresses(text: str) -> Iterator[tuple[int, str]]:
    """Where addresses begin in `text`, and they."""
    at = text.find("@")
    while at >= 0:
        local, domain = LOCAL_PART.search(text, max(0, at - 64), at), DOMAIN.match(text, at)
        if local and domain:
            yield local.start(), local[0] + domain[0]
        at = text.find("@", at + 1)


def _recipients(mail: Mail, text: str) -> list[str]:
    sent = returned(mail)
    failed = address.all_of(mail.headers.all("x-failed-recipients"))
    sent_to = address.all_of(sent.all("to") + sent.all("cc"))
    ours = mail.headers.all("from") + mail.headers.all("to") + sent.all("from") + sent.all("reply-to")
    never = {one.lower() for one in address.all_of(ours)} - {one.lower() for one in failed}
    wanted = {one.lower() for one in (*failed, *sent_to)}
    named: dict[str, str] = {}
    opening: dict[str, str] = {}
    for start, one in _addresses(text):
        key = one.lower()
        if key in never:
            continue
        if key in wanted:
            named.setdefault(key, one)
        elif OPENING.search(text, max(0, start - 16), start):
            opening.setdefault(key, one)
    if named or opening:
        return list((named or opening).values())
    return list(failed or (sent_to if len(sent_to) == 1 else ()))
