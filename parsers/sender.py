"""Who wrote a mail: a mail server, another program, or a person.

Layouts are recognised by sentences that people quote when they ask what a bounce means; so a layout that does not
stand alone on the first line of the text asks here too.

Sources: RFC 5321 §4.5.5 (null reverse-path), RFC 3834 §5 (Auto-Submitted).
"""

import re
from collections.abc import Callable
from functools import lru_cache, wraps

from parsers.message import Mail
from parsers.patterns import Phrases

MAILER = Phrases(
    r"mailer-?_?daemon|(?:^|[^\w.])post[_-]?master\b|mail[ .-]?delivery|delivery[ .-](?:sub)?system"
    r"|mail[ -](?:sub)?system"
    r"|mdaemon|mail[ -]administrator|bounces?\b.{0,60}@|system administrator|microsoft ?exchange|majordomo-owner|\bndr@"
    r"|delivery[ -]status"
)
NOT_DELIVERED = (
    r"unzustellbar|nicht (?:zugestellt|zustellbar|ausgeliefert)|zustellung .{0,20}(?:fehl|gescheitert|verzögert)"
    r"|verzögerte zustellung|zustell(?:ungs)?fehler"  # German
    r"|niet[ -](?:worden )?(?:bezorgd|afgeleverd)|onbestelbaar|bezorging (?:is )?mislukt"  # Dutch
    r"|avis de non[ -](?:remise|distribution)|non (?:remis|délivré|distribué|livré)"
    r"|impossible de (?:remettre|distribuer)|pas (?:pu )?(?:être )?(?:remis|délivré|distribué|acheminé)"
    r"|échec de (?:la )?(?:remise|distribution)"  # French
    r"|no (?:se )?(?:ha |pudo |puede )?(?:sido |podido )?(?:ser )?entrega|entrega fallida|no entregable"  # Spanish
    r"|não (?:foi )?(?:possível )?(?:p[ôo]de )?(?:ser )?entreg|falha na entrega"  # Portuguese
    r"|mancat[ao] (?:recapito|consegna)|non (?:è stato possibile|può) [^.!?]{0,20}consegn|non recapita"
    r"|impossibile recapitare|non (?:è stato )?consegnat"  # Italian
    r"|(?:kunde|kan) inte levereras|inte (?:kunnat )?levererat?s|olevererbar|leveransfel|fördröjd"  # Swedish
    r"|(?:kunne|kan) ikke (?:blive )?lever|ikke lever[et]|uleverbar|leveringsfe[ij]l"  # Danish, Norwegian
    r"|ei (?:voitu|voida|voi|pystytty) toimittaa|toimitus epäonnistui|toimittamatta|ei toimitettu"  # Finnish
    r"|ei (?:saanud|saa|õnnestunud|olnud võimalik) [^.!?]{0,40}(?:toimetada|edastada)|ei toimetatud|tagastatud"
    r"|kohale toimetamata|(?:edastamine|saatmine|kohaletoimetamine) ebaõnnestus"  # Estonian
    r"|nevar(?:ēja)? [^.!?]{0,40}piegādāt|nav piegādāt|nepavyko pristatyti|nepristatyt"  # Latvian, Lithuanian
    r"|недоставлен|не (?:может быть |могло быть |был[ао]? |удалось )?достав(?:лен|ить)|невозможно доставить"
    r"|ошибка доставки|не вдалося доставити|неможливо доставити"  # Russian, Ukrainian
    r"|niedostarcz|nie (?:można|mogła?|udało się|został[ao]?) [^.!?]{0,20}dostarcz"  # Polish
    r"|nedoruč|n(?:elze|epodařilo se) [^.!?]{0,20}doručit|nepodarilo doručiť|nepodařilo doručit"  # Czech, Slovak
    r"|kézbesíthetetlen|nem (?:sikerült|lehet) [^.!?]{0,20}kézbesít|teslim edil[ei]me"  # Hungarian, Turkish
    r"|nu a putut fi livrat|δεν (?:παραδόθηκε|ήταν δυνατή η παράδοση)"  # Romanian, Greek
    r"|(?:送信|配信|配達)(?:が)?(?:でき|不能|エラー)|届きませんでした"  # Japanese
    r"|退信|退回|(?:无法|未能|無法)[^。]{0,4}(?:投递|送达|发送|投遞|傳遞)|(?:投递|发送|投遞|傳送)失[败敗]"  # Chinese
    r"|(?:배달|전달|발송|전송)(?:되지|할 수 없| ?실패)|반송"  # Korean
)
"""Of a mail or of a parcel, in a subject as in a sentence."""
FAILURE = Phrases(
    r"undeliver|non[ -]?deliver|not (?:yet )?(?:been )?delivered|can(?:not|'t| not) (?:be )?deliver"
    r"|deliver(?:y|ed|ing)? .{0,30}(?:fail|status|problem|delay|notif|report|error)"
    r"|fail(?:ed|ure) .{0,30}deliver|failure notice|returned (?:mail|to sender|message)|mail (?:failure|error|returned)"
    r"|(?:mail|message) (?:is |was |has been )?(?:delayed|blocked)|message you sent blocked|cannot send message"
    r"|mail system error|bounce|rejected|could not (?:be delivered|send message)|\bnot sent\b|^nd[nr]:"
    r"|unable to deliver"
    rf"|{NOT_DELIVERED}"
)
STATEMENT = (
    r"undeliver(?:able|ed)|\bundelivery\b"
    r"|\b(?:not|unable|fail\w{0,5}|cannot|couldn't|wasn't|impossible|unsuccessful|delay\w{0,3})\b[^.!?]{0,60}\bdeliver"
    r"|\bdeliver\w{0,5}\b[^.!?]{0,60}\b(?:fail|abort|error|impossible|not possible|delay|unsuccessful|problem)"
    r"|\bnot (?:receive|reach)\b|non-delivery report|returned to (?:the )?sender|error was detected while processing"
    r"|\b(?:user unknown|unknown user|no such user|user not found|invalid (?:final|user|recipient|mailbox))\b"
    r"|was (?:automatically )?(?:rejected|refused|blocked|returned)"
    r"|addresses had (?:permanent|transient)|mailbox (?:is )?full|exceed\w{0,3} [^.!?]{0,20}quota"
    r"|not (?:be |been )?(?:sent|relayed)|rejected by|n'existe pas|не найден"
    rf"|{NOT_DELIVERED}"
)
STATEMENTS = Phrases(STATEMENT)
"""What a notice says of itself in its first sentences."""
QUOTED = re.compile(r"\n[>|]")
MAX_FIRST_WORDS = 2_000
"""Characters of a text in which the statement is looked for."""
MAIL = re.compile(
    r"message|\be?-?mails?\b|nachricht|bericht|courriel|mensaje|correo|mensage[mn]|messaggio"
    r"|meddelande|meddelelse|melding|beskjed|besked|viesti|sähköposti|\bkir(?:i|ja)\b|sõnum|vēstul|laišk"
    r"|письм|сообщени|повідомлен|лист|wiadomoś|zpráv|správ|levél|üzenet|ileti|e-?posta|mesaj|μήνυμα|posta\b"
    r"|メール|メッセージ|邮件|郵件|메일",
    re.I,
)
"""What a mail server's notice is about; a courier's, a bank's or a shop's is about something else."""
ACCOUNT = re.compile(r"user |unknown|no such|invalid|mailbox|exceed", re.I)
"""How a statement begins that may as well be about a login or a quota."""
MAX_SENTENCE = 200
"""Characters beside a statement that are looked at for a word of MAIL."""
ANSWERS = re.compile(r"(?:re|aw|sv|vs|vast|odp|ответ)\s?(?:\[\d+\])?:", re.I)
FORWARDS = re.compile(r"(?:(?:re|aw|sv|vs|vast|odp): ?)?(?:fwd?|wg|tr|vl|vb|rv|enc|pd|edasi|ed|doorst|i)\s?:", re.I)
"""How mail programs mark what a person passes on: English, German, French, Finnish, Swedish, Spanish, ..."""


def _once(ask: Callable[[Mail], bool]) -> Callable[[Mail], bool]:
    """What is asked of a mail by many detectors is worked out once."""

    @wraps(ask)
    def answer(mail: Mail) -> bool:
        if ask not in mail.answers:
            mail.answers[ask] = ask(mail)
        return mail.answers[ask]

    return answer


@_once
def is_mailer(mail: Mail) -> bool:
    """Whether the mail comes from a mail server's own address, or from nobody."""
    path = (mail.headers.raw("return-path") or "").strip()
    if path == "<>" or path.lower().startswith(("<mailer-daemon>", "<mailer-daemon@")):
        return True
    return not mail.headers.raw("from") or is_named_mailer(mail)


@_once
def is_named_mailer(mail: Mail) -> bool:
    """Whether From is a mail server's own address; vacation replies too come from nobody (RFC 3834 §3.3)."""
    sender = mail.headers.get("from") or ""
    return MAILER.found_in(sender) and " on behalf of " not in sender  # Exchange's, about meetings


@_once
def is_failure(mail: Mail) -> bool:
    """Whether the mail's subject is that of a delivery notice."""
    return FAILURE.found_in(mail.headers.get("subject") or "")


def is_answer(mail: Mail) -> bool:
    """Whether the mail looks like a person's answer to another."""
    headers = mail.headers
    if "references" in headers or "in-reply-to" in headers:
        return True
    return ANSWERS.match(headers.get("subject") or "") is not None


def is_marked(subject: str) -> bool:
    """Whether a subject says that the mail answers or passes on another."""
    return ANSWERS.match(subject) is not None or FORWARDS.match(subject) is not None


def is_passed_on(mail: Mail, in_front: str = "") -> bool:
    """Whether a person forwards or quotes what reads like a notice, to ask about it: so that it is none of ours.

    in_front   the text before the words of the notice: the person's own, unless the subject is a notice's
    """
    if is_mailer(mail):
        return False
    if is_answer(mail) or FORWARDS.match(mail.headers.get("subject") or ""):
        return True
    return bool(in_front.strip()) and not is_failure(mail)


@lru_cache(maxsize=4)  # of one text it is asked several times
def states_failure(text: str, *, of_mail: bool = False) -> bool:
    """Whether the first words of `text` say that something was not delivered, in words of its own: no quoted line.

    of_mail   whether a word beside them has to say that it is a mail
    """
    text = text[:MAX_FIRST_WORDS]
    if not STATEMENTS.found_in(text):
        return False
    if not of_mail and not QUOTED.search(f"\n{text}"):
        return True
    for start, end in STATEMENTS.places(text):
        if text.startswith((">", "|"), text.rfind("\n", 0, start) + 1):
            continue
        if not of_mail:
            return True
        if not ACCOUNT.match(text[start:end]) and MAIL.search(text, max(0, start - MAX_SENTENCE), end + MAX_SENTENCE):
            return True
    return False
