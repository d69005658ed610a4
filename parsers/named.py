"""Whom a notice names that comes in no known layout: an address that stands where a recipient does.

The returned message and X-Failed-Recipients say whom to look for, if they are there.  The sender's own addresses, the
operator's, and those of a summary that lists all whom the mail went to, never count against a better one.
"""

import re
from collections.abc import Iterator

from parsers import address
from parsers.causes.cause import Cause
from parsers.causes.classify import classify
from parsers.message import Mail
from parsers.original import returned
from parsers.patterns import Phrases
from parsers.report import Kind
from parsers.said import about, best_reply
from parsers.sender import is_named_mailer, states_failure

MAX_RECIPIENTS = 100
"""Recipients taken from such a text."""
MAX_PARAGRAPHS = 20
"""Paragraphs that are read because an address stands in them."""

LOCAL_PART_REVERSED = re.compile(r"[\w.+'=/-]{1,64}")
DOMAIN = re.compile(r"@[\w-]{1,63}(?:\.[\w-]{1,63}){1,10}")
OPENING = re.compile(r"(?:^|\n)(?:[ \t<\"*>\[•-]{0,12}|[45]\d\d [<\"]?)\Z")
LABEL = re.compile(
    r"(?:\b(?:recipients?|rcpt to|users?|user ?id|accounts?|address(?:es|ee)?|mailbox|error-for|delivered to|deliver to"
    r"|undeliverable\s{1,3}to|delivery to|message to|sent to|reach|full|attempts|destination|destinataire"
    r"|destinat[aá]ri[oa]|empfänger|adressat|ontvanger|mottagare|modtager|mottaker|saaja|vastaanottaja|aadress(?:ile|il|i)?"
    r"|adresāt\w{1,3}"
    r"|gavėj\w{1,3}|получател\w{1,3}|адрес\w{0,3}|одержувач\w{0,3}|odbiorc\w{1,3}|příjemc\w{1,3}|címzett|alıcı)"
    r"|宛先|受信者|收件人|收件者|받는 ?사람|수신자)(?:\([^()\n]{1,20}\))?"
    r"[\s:=：]{1,4}[\"'<\[(]{0,3}\Z",
    re.I,
)
ROLE = re.compile(r"(?:postmaster|mailer-daemon|abuse|support|help-?desk|help|no-?reply)@")
"""Whom a notice names as its own people (RFC 2142); they count only where the returned message went to them."""
SUMMED_UP = re.compile(r"\n[ \t]{0,8}To:[ \t]{0,8}[<\"]?\Z", re.I)
"""In front of an address: the notice sums up the mail instead of returning it."""
IN_SUMMARY = re.compile(r"[ \t]{0,8}(?:To|Cc|An|À|Para|A|Kellele|Кому)[ \t]?:", re.I)
"""What begins the line of such a summary that names all whom the mail went to."""
HEADED = re.compile(r">?[ \t]?:[ \t]")
SENDER = re.compile(
    r"(?<!expanded )(?<!generated )\b(?:from|sender|absender|expéditeur|remitente|mittente|saatjalt"
    r"|saatja|lähettäjä|отправител\w{1,2}|от)"
    r"[\s:=]{1,4}[\"'<\[(]{0,3}\Z",
    re.I,
)
"""In front of an address that a mail came from."""
CONTACT = re.compile(
    r"(?:[^\n@]{0,80}\b)?(?:contact|support|help|questions?|assistance|kontakt|küsimus\w{0,4}|abi|помощ\w)\b[^\n@]{0,80}\n",
    re.I,
)
"""The first line of a paragraph whose addresses are those of the server's people."""
REFUSES = re.compile(r"\b(?:message|mail) to[\s:]{1,4}[\"'<\[(]{0,3}\Z", re.I)
"""In front of the notice's own From: a mailbox's filter refuses in the name of its owner."""
FAILING = re.compile(
    r"[>\"')\]]{0,3}[ :,.-]{0,4}(?:is |was |has been |does |could |can)?(?:unavailable|unknown"
    r"|not (?:found|exist|be|known)|full|disabled|failed|rejected|over quota|unbekannt|не найден|не существует)",
    re.I,
)
AFTERMATH = re.compile(r"\n[45]\d\d [<\"]?\Z")
"""In front of an address: Sendmail's own line about a recipient, "554 <a@example.com>... 550 Host unknown"."""
FORWARDED = Phrases(r"expanded from|generated from|forwarded to")


def recipients(mail: Mail, text: str) -> list[str]:
    """The addresses in `text`, a notice without the returned message, that it is about; in its order, each once."""
    sent = returned(mail)
    failed = address.all_of(mail.headers.all("x-failed-recipients"))
    sent_to = address.all_of(sent.all("to") + sent.all("cc"))
    ours = mail.headers.all("from") + mail.headers.all("to") + sent.all("from") + sent.all("reply-to")
    never = {one.lower() for one in address.all_of(ours)} - {one.lower() for one in failed}
    sender = (address.bare(mail.headers.get("from")) or "").lower()
    wanted = {one.lower() for one in (*failed, *sent_to)}
    named: dict[str, str] = {}
    placed: dict[str, str] = {}
    further: dict[str, str] = {}  # of these the ones that no reply about somebody else may have named
    summed_up: dict[str, str] = {}
    mentioned: dict[str, str] = {}  # and the paragraphs that they stand in
    several = not FORWARDED.found_in(text)
    for start, end, one in addresses(text):
        key = one.lower()
        before = text[max(0, start - 40) : start]
        if key in never and not (key == sender and REFUSES.search(before)):
            continue
        if key in wanted and IN_SUMMARY.match(text, text.rfind("\n", 0, start) + 1, start):
            summed_up.setdefault(key, one)
        elif key in wanted or (several and AFTERMATH.search(before)):
            named.setdefault(key, one)
        elif (ROLE.match(key) and not HEADED.match(text, end)) or SENDER.search(before) or _is_contact(text, start):
            continue
        elif OPENING.search(before) or LABEL.search(before) or FAILING.match(text, end):
            placed.setdefault(key, one)
            if best_reply(text[text.rfind("\n", 0, start) + 1 : start]) is None:
                further.setdefault(key, one)
        elif SUMMED_UP.search(before):
            summed_up.setdefault(key, one)
        elif len(mentioned) < MAX_PARAGRAPHS:
            mentioned.setdefault(one, _paragraph(text, start))
    if named and several:
        named |= {key: one for key, one in [*further.items()][:MAX_RECIPIENTS] if _is_refused(text, one)}
    if named or placed:
        return list((named or placed).values())
    # A post to a list went on to its members, and the list is none of them.
    if not failed and len(sent_to) == 1 and "list-id" not in sent:
        return list(sent_to)
    if failed or summed_up or not is_named_mailer(mail):
        return list(failed or summed_up.values())
    return [one for one in mentioned if states_failure(mentioned[one]) or _is_refused(text, one)]


def _is_contact(text: str, at: int) -> bool:
    paragraph = text.rfind("\n\n", 0, at)
    return CONTACT.match(text, paragraph + 2 if paragraph >= 0 else 0) is not None


def _is_refused(text: str, recipient: str) -> bool:
    words = about(text, recipient)
    return words is not None and (best_reply(words) is not None or says_why(words))


def says_why(words: str) -> bool:
    """Whether `words` give a cause."""
    return classify(text=words, status=None, smtp_code=None, kind=Kind.BOUNCE).cause is not Cause.UNKNOWN


def addresses(text: str) -> Iterator[tuple[int, int, str]]:
    """Where addresses begin and end in `text`, and they."""
    at = text.find("@")
    while at >= 0:
        reversed_local, domain = LOCAL_PART_REVERSED.match(text[max(0, at - 64) : at][::-1]), DOMAIN.match(text, at)
        if reversed_local and domain and (local := reversed_local[0][::-1].lstrip("'")):
            yield at - len(local), domain.end(), local + domain[0]
        at = text.find("@", at + 1)


def _paragraph(text: str, at: int) -> str:
    end = text.find("\n\n", at)
    return text[max(0, text.rfind("\n\n", 0, at)) : end if end >= 0 else len(text)]
