"""Automatic replies: RFC 3834, and what was written before it and beside it.  A vacation reply is not a bounce.

Recognised by: Auto-Submitted: auto-replied; a header that only answering machines write; or a subject that begins with
    the words for "automatic reply" or "out of office", as Exchange and webmail put them in the user's language, or the
    text does.
Not: what a mail server sends, whatever it calls itself (Exim and Postfix mark their bounces auto-replied), reports,
    and mailing lists.
Fixtures: fixtures/autoreply/
"""

import re

from parsers import address
from parsers.message import Mail
from parsers.report import Kind, Report
from parsers.sender import MAILER, is_failure

OWN_HEADERS = (
    "x-autoreply",
    "x-autorespond",
    "x-autoresponder",
    "x-autoreply-from",
    "x-mail-autoreply",
    "x-ms-exchange-inbox-rules-loop",
    "x-vacation",
)
HINTS = ("x-auto-response-suppress", "precedence", "auto-submitted", "in-reply-to")
"""Headers that others write too: they count beside words in the subject."""

SUBJECT = re.compile(
    r"(?:re: ?|aw: ?|\[[^\]]{1,40}\] ?)?(?:"
    r"auto(?:matic|matic(?:al)?ly generated|mated)?[ -]?(?:reply|response|respon[sd]er?|answer)"
    r"|out[ -]of[ -](?:the[ -])?office"
    r"|away from (?:my|the) |on (?:vacation|holiday|leave)\b|vacation (?:reply|message|response)|i am (?:out|away)"
    r"|automaatvastus|automaatne (?:vastus|teade)|kontorist (?:ära|väljas)|(?:olen )?(?:puhkusel|puhkuse|eemal)\b"
    r"|puhkus\b"
    r"|automaattinen (?:vastaus|poissaolo)|poissa(?:olo)?\b|lomalla\b"
    r"|automatische? (?:antwort|antwoord|abwesenheit|rückantwort|reactie)|abwesen|nicht im (?:büro|haus)"
    r"|réponse automatique|absence du bureau|absent du bureau|message d'absence"
    r"|respuesta automática|fuera de la oficina|risposta automatica|fuori (?:sede|ufficio)|resposta automática"
    r"|автоответ|автоматический ответ|нет на (?:месте|работе)|в отпуске|autosvar|frånvar|fravær|automatisk svar"
    r"|afwezig|absence\b|ausente\b|assente\b|nieobecno|urlop\b|semester(?:svar)?\b|feriesvar|puudun\b"
    r"|automātisk|automatinis atsakymas|automatyczna odpowiedź|odpověď v nepřítomnosti|自動(?:応答|返信)|不在"
    r")",
    re.I,
)
AWAY = re.compile(
    r"(?:(?:hi|hello|dear|tere|hei|hallo|bonjour|hola|hej|buongiorno)\b[^\n]{0,40}\n\s{0,9})?"
    r"(?:(?:thank you|thanks|many thanks|aitäh|tänan|kiitos|vielen dank|danke|merci|gracias|grazie|tack|dziękuję)\b"
    r"[^\n.!]{0,60}[.!]\s{1,9})?"
    r"(?:i am|i'm|i will be|olen(?: praegu| tällä hetkellä)?|ich bin|je suis|estoy|sono|jag är|jeg er|ik ben|jestem|я)"
    r" (?:currently |derzeit |actuellement |sarò )?"
    r"(?:out of (?:the )?office|on (?:annual |parental |sick )?(?:vacation|holidays?|leave)|away (?:from|until)"
    r"|puhkusel|kontorist (?:ära|väljas)|lomalla|poissa|nicht im (?:büro|haus)|im urlaub|absent"
    r"|en (?:congés?|vacances|vacaciones)|fuera de la oficina|in ferie|fuori (?:sede|ufficio)|på semester|på ferie"
    r"|afwezig|met vakantie|na urlopie|в отпуске)\b",
    re.I,
)
"""The first words of a vacation reply that has no header of its own."""


def parse(mail: Mail) -> tuple[Report, ...]:
    """One Report naming who answered; () where no machine did."""
    headers = mail.headers
    if mail.root.type == "multipart/report" or "list-id" in headers or "list-post" in headers:
        return ()
    sender = headers.get("from") or ""
    if MAILER.found_in(sender):
        return ()
    submitted = (headers.raw("auto-submitted") or "").strip().lower()
    subject = headers.get("subject") or ""
    by_subject = SUBJECT.match(subject) and (":" in subject or any(name in headers for name in HINTS))
    if is_failure(mail) and not by_subject:
        return ()
    if (
        by_subject
        or submitted.startswith("auto-replied")
        or any(name in headers for name in OWN_HEADERS)
        or "vacation" in (headers.raw("x-apple-action") or "").lower()
        or (headers.raw("precedence") or "").strip().lower() in {"auto_reply", "auto-reply"}
        or AWAY.match(mail.text)
    ):
        return (Report(kind=Kind.AUTO_REPLY, recipient=address.tolerant(sender)),)
    return ()
