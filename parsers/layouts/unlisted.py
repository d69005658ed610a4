"""Notices in a layout that has no file of its own, in any language.

Recognised by: who wrote it, its subject, and what its first words say; the less the sender tells, the more the rest has
    to (see `_is_notice`).
Shape: whatever it is, the notice names whom the mail was for.  So an address counts that stands in the text, before the
    returned message begins, and is one that the returned message went to, or that X-Failed-Recipients names, or else
    one that opens a line, or stands where a recipient stands: "RCPT TO:<...>", "Unknown user: ...", "... not found".
    Addresses of the sender and of the reporting host never count.
Fixtures: fixtures/layouts/unlisted-*.eml
"""

import re
from collections.abc import Iterator

from parsers import address, autoreply
from parsers.causes.cause import Cause
from parsers.causes.classify import classify
from parsers.message import HEADER_TYPES, MESSAGE_TYPES, Mail
from parsers.original import before_original, returned
from parsers.patterns import Phrases
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
MAX_RECIPIENTS = 100
"""Recipients taken from such a text."""
SUMMARY = 80
"""Characters in front of a header block that say nothing: the notice begins with a summary of the mail, then tells."""

MAX_PARAGRAPHS = 20
"""Paragraphs that are read because an address stands in them."""

LOCAL_PART_REVERSED = re.compile(r"[\w.+'=/-]{1,64}")
DOMAIN = re.compile(r"@[\w-]{1,63}(?:\.[\w-]{1,63}){1,10}")
OPENING = re.compile(r"(?:^|\n)(?:[ \t<\"*>\[•-]{0,12}|[45]\d\d [<\"]?)\Z")
LABEL = re.compile(
    r"(?:\b(?:recipients?|rcpt to|users?|user ?id|accounts?|address(?:es|ee)?|mailbox|error-for|delivered to|deliver to"
    r"|undeliverable\s{1,3}to|delivery to|message to|sent to|reach|full|attempts|destination|destinataire"
    r"|destinat[aá]ri[oa]|empfänger|adressat|ontvanger|mottagare|modtager|mottaker|saaja|vastaanottaja|aadress(?:ile|il|i)?|adresāt\w{1,3}"
    r"|gavėj\w{1,3}|получател\w{1,3}|адрес\w{0,3}|одержувач\w{0,3}|odbiorc\w{1,3}|příjemc\w{1,3}|címzett|alıcı)"
    r"|宛先|受信者|收件人|收件者|받는 ?사람|수신자)(?:\([^()\n]{1,20}\))?"
    r"[\s:=：]{1,4}[\"'<\[(]{0,3}\Z",
    re.I,
)
ID_FIELDS = ("message-id", "received")
"""What a returned message has, and no summary of an order."""
ROLE = re.compile(r"(?:postmaster|mailer-daemon|abuse|support|help-?desk|help|no-?reply)@")
"""Whom a notice names as its own people (RFC 2142); they count only where the returned message went to them."""
SUMMED_UP = re.compile(r"\n[ \t]{0,8}To:[ \t]{0,8}[<\"]?\Z", re.I)
"""In front of an address: the notice sums up the mail instead of returning it."""
IN_SUMMARY = re.compile(r"[ \t]{0,8}(?:To|Cc|An|À|Para|A|Kellele|Кому)[ \t]?:", re.I)
"""What begins the line of such a summary that names all whom the mail went to."""
HEADED = re.compile(r">?[ \t]?:[ \t]")
PROGRAMS = Phrases(
    r"undeliver(?:able|ed) (?:mail|message)|delivery status notification|returned mail:|failure notice"
    r"|^nd[nr]:|(?:mail|message) delivery fail|non-?delivery (?:report|notification)"
    r"|your message could not be delivered"
)
SENDER = re.compile(
    r"(?<!expanded )(?<!generated )\b(?:from|sender|absender|expéditeur|remitente|mittente|saatjalt"
    r"|saatja|lähettäjä|отправител\w{1,2}|от)"
    r"[\s:=]{1,4}[\"'<\[(]{0,3}\Z",
    re.I,
)
"""In front of an address that a mail came from."""
REFUSES = re.compile(r"\b(?:message|mail) to[\s:]{1,4}[\"'<\[(]{0,3}\Z", re.I)
"""In front of the notice's own From: a mailbox's filter refuses in the name of its owner."""
FAILING = re.compile(
    r"[>\"')\]]{0,3}[ :,.-]{0,4}(?:is |was |has been |does |could |can)?(?:unavailable|unknown"
    r"|not (?:found|exist|be|known)|full|disabled|failed|rejected|over quota|unbekannt|не найден|не существует)",
    re.I,
)
NAMED_HEADING = re.compile(r"^<[^<>\s@]{1,64}@[^<>\s]{1,255}>:", re.M)
"""qmail's heading, which many others write too."""
DIGEST = Phrases(
    r"quarantine|digest|summary|statistics|(?:daily|weekly|monthly) .{0,20}report|campaign|maintenance"
    r"|karantii?n|kokkuvõte|карантин"
)
"""In the subject of what a mail server's operator or filter sends to its own users."""
SENDER_OF_BULK = re.compile(r"bounces?\b.{0,60}@", re.I)
AFTERMATH = re.compile(r"\n[45]\d\d [<\"]?\Z")
"""In front of an address: Sendmail's own line about a recipient, "554 <a@example.com>... 550 Host unknown"."""
WRAPPED = re.compile(r"[45]\d\d <?[^\s<>]{1,320}>?\.\.\. (?=[45]\d\d )")
FORWARDED = Phrases(r"expanded from|generated from|forwarded to")
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


def parse(mail: Mail) -> tuple[Report, ...]:
    """One Report per recipient named, in body order, or one without; () where the mail is no notice."""
    failure = is_failure(mail)
    if not failure and not is_mailer(mail):
        return ()
    text = _notice(mail.text)
    if not _is_notice(mail, text, failure=failure):
        return ()
    recipients = _recipients(mail, text)
    kind = Kind.DELAY if DELAY.found_in(mail.headers.get("subject") or "") or DELAY.found_in(text) else Kind.BOUNCE
    if len(recipients) == 1:
        return (refusal(kind, recipients[0], _words(text, recipients[0])),)
    if not recipients:
        return (refusal(kind, None, quoted(text) or unfold(text)),) if _is_anonymous(mail, text) else ()
    recipients = recipients[:MAX_RECIPIENTS]
    lines = [(line, {one.lower() for _, _, one in _addresses(line)}) for line in text.split("\n")]
    others = {one.lower() for one in recipients}
    return tuple(
        refusal(kind, one, _unwrapped(about(_apart(lines, one, others), one) or quoted(text) or unfold(text)))
        for one in recipients
    )


def _apart(lines: list[tuple[str, set[str]]], recipient: str, all_of_them: set[str]) -> str:
    """The text of `lines` with blank ones in the place of those that name other recipients than this."""
    own = recipient.lower()
    return "\n".join("" if own not in named and not named.isdisjoint(all_of_them) else line for line, named in lines)


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
    be no answer.
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
    return _returns_ours(mail) or FORMAL.search(text, 0, SUMMARY * 4) is not None


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
    if words is None or (best_reply(words) is None and (best_reply(text) is not None or not _says_why(words))):
        return unfold(text)
    return _unwrapped(words)


def _says_why(words: str) -> bool:
    return classify(text=words, status=None, smtp_code=None, kind=Kind.BOUNCE).cause is not Cause.UNKNOWN


def _unwrapped(words: str) -> str:
    return WRAPPED.sub("", words, count=1) if WRAPPED.match(words) else words


def _addresses(text: str) -> Iterator[tuple[int, int, str]]:
    """Where addresses begin and end in `text`, and they."""
    at = text.find("@")
    while at >= 0:
        reversed_local, domain = LOCAL_PART_REVERSED.match(text[max(0, at - 64) : at][::-1]), DOMAIN.match(text, at)
        if reversed_local and domain and (local := reversed_local[0][::-1].lstrip("'")):
            yield at - len(local), domain.end(), local + domain[0]
        at = text.find("@", at + 1)


def _recipients(mail: Mail, text: str) -> list[str]:
    sent = returned(mail)
    failed = address.all_of(mail.headers.all("x-failed-recipients"))
    sent_to = address.all_of(sent.all("to") + sent.all("cc"))
    ours = mail.headers.all("from") + mail.headers.all("to") + sent.all("from") + sent.all("reply-to")
    never = {one.lower() for one in address.all_of(ours)} - {one.lower() for one in failed}
    sender = (address.bare(mail.headers.get("from")) or "").lower()
    wanted = {one.lower() for one in (*failed, *sent_to)}
    named: dict[str, str] = {}
    placed: dict[str, str] = {}
    summed_up: dict[str, str] = {}
    mentioned: dict[str, str] = {}  # and the paragraphs that they stand in
    several = not FORWARDED.found_in(text)
    for start, end, one in _addresses(text):
        key = one.lower()
        before = text[max(0, start - 40) : start]
        if key in never and not (key == sender and REFUSES.search(before)):
            continue
        if key in wanted and IN_SUMMARY.match(text, text.rfind("\n", 0, start) + 1, start):
            summed_up.setdefault(key, one)
        elif key in wanted or (several and AFTERMATH.search(before)):
            named.setdefault(key, one)
        elif (ROLE.match(key) and not HEADED.match(text, end)) or SENDER.search(before):
            continue
        elif OPENING.search(before) or LABEL.search(before) or FAILING.match(text, end):
            placed.setdefault(key, one)
        elif SUMMED_UP.search(before):
            summed_up.setdefault(key, one)
        elif len(mentioned) < MAX_PARAGRAPHS:
            mentioned.setdefault(one, _paragraph(text, start))
    if named and several:
        named |= {key: one for key, one in [*placed.items()][:MAX_RECIPIENTS] if _is_refused(text, one)}
    if named or placed:
        return list((named or placed).values())
    # A post to a list went on to its members, and the list is none of them.
    if not failed and len(sent_to) == 1 and "list-id" not in sent:
        return list(sent_to)
    if failed or summed_up or not is_named_mailer(mail):
        return list(failed or summed_up.values())
    return [one for one in mentioned if states_failure(mentioned[one]) or _is_refused(text, one)]


def _is_refused(text: str, recipient: str) -> bool:
    words = about(text, recipient)
    return words is not None and (best_reply(words) is not None or _says_why(words))


def _paragraph(text: str, at: int) -> str:
    end = text.find("\n\n", at)
    return text[max(0, text.rfind("\n\n", 0, at)) : end if end >= 0 else len(text)]
