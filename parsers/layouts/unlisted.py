"""Notices in a layout that has no file of its own, in any language.

Recognised by: who wrote it, its subject, and what its first words say; the less the sender tells, the more the rest has
    to (see `_is_notice`).
Shape: whatever it is, the notice names whom the mail was for, in front of the returned message (see parsers.named), and
    what stands beside the name says why.
Fixtures: fixtures/layouts/unlisted-*.eml
"""

import re

from parsers import address, autoreply, named
from parsers.message import HEADER_TYPES, MESSAGE_TYPES, Mail
from parsers.original import before_original, returned
from parsers.patterns import PatternSet, Phrases
from parsers.report import Kind, Report
from parsers.said import about, best_reply, quoted, refusal, unfold
from parsers.sender import (
    ANSWERS,
    MAILER,
    is_answer,
    is_failure,
    is_mailer,
    is_named_mailer,
    is_passed_on,
    states_failure,
)

MAX_NOTICE = 20_000
"""Characters of the text that are looked at: a notice is short, what follows is the mail that it is about."""
SUMMARY = 80
"""Characters in front of a header block that say nothing: the notice begins with a summary of the mail, then tells."""

ID_FIELDS = ("message-id", "received")
"""What a returned message has, and no summary of an order."""
PROGRAMS = Phrases(
    r"undeliver(?:able|ed) (?:mail|message)|delivery status notification|returned mail:|failure notice"
    r"|^nd[nr]:|(?:mail|message) delivery fail|non-?delivery (?:report|notification)"
    r"|your message could not be delivered"
)
NAMED_HEADING = re.compile(r"^<[^<>\s@]{1,64}@[^<>\s]{1,255}>:", re.M)
"""qmail's heading, which many others write too."""
DIGEST = Phrases(
    r"quarantine|digest|summary|statistics|(?:daily|weekly|monthly) .{0,20}report|campaign|maintenance"
    r"|karantii?n|kokkuvõte|карантин"
)
"""In the subject of what a mail server's operator or filter sends to its own users."""
SENDER_OF_BULK = re.compile(r"bounces?\b.{0,60}@", re.I)
WRAPPED = re.compile(r"[45]\d\d <?[^\s<>]{1,320}>?\.\.\. (?=[45]\d\d )")
FORMAL = re.compile(
    r"following (?:recipient|user|address)(?:e?s|\(e?s\))?:\s{1,6}[\"'<>*\[ -]{0,6}[^\s@<>\"]{1,64}@"
    r"|^-{2,10} ?non-delivery report|^<<< |^RCPT TO:",
    re.I | re.M,
)
"""What programs write and people do not."""
DELAY = Phrases(
    r"\b(?:delayed|not yet (?:been )?delivered|still (?:trying|undelivered|being retried)"
    r"|(?:will|attempts) (?:keep trying|be retried|continue to (?:attempt|be made))|will continue"
    r"|no action is required|warning (?:message )?only|temporar(?:y|ily) (?:problem|failure))\b"
    r"|viibi|viiväst|задерж|verzögert|vertraagd|retardé|retrasad|ritard|atrasad|fördröjd|forsinke"
)
SUCCESSES = (
    (r"^delivery status notification \(expanded\)", Kind.EXPANDED),
    (
        r"^delivery status notification \(relay|\bsuccessfully relayed to\b|\brelayed (?:to|via) non",
        Kind.RELAYED,
    ),
    (
        r"^delivery status notification \(success|^delivery confirmation|\bsuccessfully delivered\b"
        r"|\bsuccessful delivery notifications|\byour (?:message|mail) (?:was|has been) delivered to\b"
        r"|toimetati kätte|erfolgreich zugestellt|remis avec succès|entregado correctamente|успешно доставлен",
        Kind.DELIVERED,
    ),
)
"""In the subject or the text of what was asked for (RFC 3461 §4.1, NOTIFY=SUCCESS)."""
SUCCESS = PatternSet(f"(?i){pattern}" for pattern, _ in SUCCESSES)
FINAL = re.compile(
    r"(?<!not a )\bpermanent (?:fatal )?(?:error|failure)|failed permanently|\b(?:given|giving|gave) up\b|too long\b"
    r"|will not (?:be )?(?:re-?tr|try)|(?:deleted|removed) from (?:the )?(?:mail )?queue|retry timeout|expired"
    r"|returned to sender|returned mail:",
    re.I,
)
"""A refusal for now that became a bounce: the reason may still be called temporary."""


def parse(mail: Mail) -> tuple[Report, ...]:
    """One Report per recipient named, in body order, or one without; () where the mail is no notice."""
    failure = is_failure(mail)
    if not failure and not is_mailer(mail):
        return ()
    text = _notice(mail.text)
    if success := _success(mail, text):
        delivered = named.recipients(mail, text)[: named.MAX_RECIPIENTS]
        return tuple(refusal(success, one, about(text, one) or unfold(text)) for one in delivered)
    if not _is_notice(mail, text, failure=failure):
        return ()
    recipients = named.recipients(mail, text)
    kind = _kind(mail.headers.get("subject") or "", text)
    if len(recipients) == 1:
        return (refusal(kind, recipients[0], _words(text, recipients[0])),)
    if not recipients:
        return (refusal(kind, None, quoted(text) or unfold(text)),) if _is_anonymous(mail, text) else ()
    recipients = recipients[: named.MAX_RECIPIENTS]
    lines = [(line, {one.lower() for _, _, one in named.addresses(line)}) for line in text.split("\n")]
    others = {one.lower() for one in recipients}
    return tuple(
        refusal(kind, one, _unwrapped(about(_apart(lines, one, others), one) or quoted(text) or unfold(text)))
        for one in recipients
    )


def _success(mail: Mail, text: str) -> Kind | None:
    """What a mail server says went well; None where it says anything else."""
    if not is_named_mailer(mail) or states_failure(text) or (best_reply(text) or 0) >= 400:
        return None
    words = f"{mail.headers.get('subject') or ''}\n{text}"
    found = SUCCESS.found_in(words)
    return SUCCESSES[min(found)][1] if found else None


def _kind(subject: str, text: str) -> Kind:
    if DELAY.found_in(subject):
        return Kind.DELAY
    return Kind.DELAY if DELAY.found_in(text) and not FINAL.search(f"{subject}\n{text}") else Kind.BOUNCE


def _apart(lines: list[tuple[str, set[str]]], recipient: str, all_of_them: set[str]) -> str:
    """The text of `lines` with blank ones in the place of those that name other recipients than this."""
    own = recipient.lower()
    return "\n".join("" if own not in names and not names.isdisjoint(all_of_them) else line for line, names in lines)


def _notice(text: str) -> str:
    """What the server wrote: the text in front of the returned message, or behind a summary of it."""
    before = before_original(text)
    if len(before) < len(text) and len(before.strip()) < SUMMARY and not states_failure(before):
        behind = text[len(before) :].partition("\n\n")[2]
        return before_original(behind)[:MAX_NOTICE] if states_failure(behind) else before
    return before[:MAX_NOTICE]


def _is_notice(mail: Mail, text: str, *, failure: bool) -> bool:
    """Whether all that is known of the mail says so.

    From a mail server's address a failure's subject is enough, or an SMTP reply, or words of failure.  Nobody's address
    is that of vacation replies too, and of shops, banks and couriers: what failed has to be a mail.  On a mailing list,
    or from any other address, a subject may be anybody's: there the text has to begin like a notice, and the mail must
    be no answer.  Whoever sends an invoice back, for it is not in order, returns a mail too.
    """
    headers = mail.headers
    subject = headers.get("subject") or ""
    if DIGEST.found_in(subject):
        return False
    on_list = "list-id" in headers or "list-unsubscribe" in headers
    if on_list and is_named_mailer(mail):
        sender = (headers.get("from") or "").lower()
        if "user-agent" in headers or SENDER_OF_BULK.search(sender) or is_answer(mail):
            return False
        return (failure or "mailer-daemon" in sender) and _tells(text)
    if ANSWERS.match(subject) and not states_failure(text):
        return False
    if is_named_mailer(mail):
        return failure or best_reply(text) is not None or states_failure(text, of_mail=is_answer(mail))
    if is_mailer(mail) and not on_list:
        if not returned(mail).all_of(ID_FIELDS) and not states_failure(f"{subject}\n\n{text}", of_mail=True):
            return False
        return (failure or best_reply(text) is not None or states_failure(text)) and not autoreply.parse(mail)
    if is_passed_on(mail) or not states_failure(text):
        return False
    if FORMAL.search(text, 0, SUMMARY * 4):
        return True
    return _returns_ours(mail) and (best_reply(text) is not None or states_failure(text, of_mail=True))


def _returns_ours(mail: Mail) -> bool:
    """Whether a message is returned, and not by its own sender, who asks about it; nor is it a notice itself."""
    if not any(part.type in MESSAGE_TYPES or part.type in HEADER_TYPES for part in mail.leaves):
        return False
    sent_by = returned(mail).get("from") or ""
    return not MAILER.found_in(sent_by) and address.bare(sent_by) != address.bare(mail.headers.get("from"))


def _is_anonymous(mail: Mail, text: str) -> bool:
    """Whether a notice that names nobody is one for sure, and no postmaster's announcement.

    It returns a mail, or has the subject that a program gives to its notices.
    """
    if not is_failure(mail) or not states_failure(text):
        return False
    sent = returned(mail)
    if "from" in sent or "subject" in sent:
        return True
    return is_mailer(mail) and PROGRAMS.found_in(mail.headers.get("subject") or "")


def _tells(text: str) -> bool:
    return states_failure(text) or best_reply(text) is not None or NAMED_HEADING.search(text) is not None


def _words(text: str, recipient: str) -> str:
    """What the notice says about its only recipient; the remote server's answers before the sending one's.

    The sentence that names the recipient often tells nothing more; then the notice as a whole counts.
    """
    words, answer = about(text, recipient), quoted(text)
    if words is None or (best_reply(words) or 0) < 400 or "\n<<< " in text or (answer and words in answer):
        words = answer or words
    if words is None or (best_reply(words) is None and (best_reply(text) is not None or not named.says_why(words))):
        return unfold(text)
    return _unwrapped(words)


def _unwrapped(words: str) -> str:
    return WRAPPED.sub("", words, count=1) if WRAPPED.match(words) else words
