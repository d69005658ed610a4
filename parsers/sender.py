"""Who wrote a mail: a mail server, another program, or a person.

Layouts are recognised by sentences that people quote when they ask what a bounce means; so a layout that does not
stand alone on the first line of the text asks here too.

Sources: RFC 5321 §4.5.5 (null reverse-path), RFC 3834 §5 (Auto-Submitted).
"""

import re

from parsers.message import Mail

MAILER = re.compile(
    r"mailer-?_?daemon|\bpost[_-]?master\b|mail[ .-]?delivery|delivery[ .-](?:sub)?system|mail[ -](?:sub)?system"
    r"|mdaemon|mail[ -]administrator|bounces?\b.{0,60}@|system administrator|microsoft exchange|majordomo-owner|\bndr@"
    r"|delivery[ -](?:status|notification|failure|report)",
    re.I,
)
FAILURE = re.compile(
    r"undeliver|non[ -]?deliver|not (?:yet )?(?:been )?delivered|can(?:not|'t| not) (?:be )?deliver"
    r"|deliver(?:y|ed|ing)? .{0,30}(?:fail|status|problem|delay|notif|report|error)"
    r"|fail(?:ed|ure) .{0,30}deliver|failure notice|returned (?:mail|to sender|message)|mail (?:failure|error|returned)"
    r"|mail system error|bounce|rejected|could not be delivered|unable to deliver"
    r"|unzustellbar|nicht zugestellt|nicht zustellbar|zustellung .{0,20}fehl|zustellungsfehler|onbestelbaar"
    r"|avis de non[ -](?:remise|distribution)|non (?:remis|délivré|distribué)|échec de (?:la )?(?:remise|distribution)"
    r"|no (?:se )?(?:ha |pudo )?(?:sido )?(?:podido )?entrega|mancat[ao] (?:recapito|consegna)"
    r"|não (?:foi )?(?:possível )?entreg"
    r"|tagastatud|kohale toimetamata|(?:edastamine|saatmine|kohaletoimetamine) ebaõnnestus|ei (?:saanud|saa) edastada"
    r"|ei voitu toimittaa|toimitus epäonnistui|toimittamatta|kunde inte levereras"
    r"|недоставлен|не (?:может быть |был[ао]? )?доставлен|невозможно доставить|ошибка доставки"
    r"|niedostarcz|nie można dostarczyć|配信(?:不能|エラー|できません)|送信(?:エラー|できません)|退信|投递失败",
    re.I,
)
STATEMENT = re.compile(
    r"undeliverable"
    r"|\b(?:not|unable|fail\w{0,5}|cannot|couldn't|wasn't|impossible|unsuccessful|delay\w{0,3})\b[^.!?]{0,60}\bdeliver"
    r"|\bdeliver\w{0,5}\b[^.!?]{0,60}\b(?:fail|abort|error|impossible|not possible|delay|unsuccessful)"
    r"|\bnot (?:receive|reach)\b|non-delivery report|returned to (?:the )?sender|error was detected while processing"
    r"|\b(?:user unknown|unknown user|no such user|user not found|invalid (?:final|user|recipient|mailbox))\b"
    r"|mailbox (?:is )?full|exceed\w{0,3} [^.!?]{0,20}quota|not be (?:sent|relayed)|rejected by"
    r"|nicht (?:zugestellt|zustellbar|ausgeliefert)|unzustellbar|niet (?:worden )?(?:bezorgd|afgeleverd)"
    r"|pas (?:pu )?être (?:remis|délivré|distribué|acheminé)|n'existe pas"
    r"|no (?:se )?(?:ha |pudo |puede )?(?:sido |podido )?(?:ser )?entrega"
    r"|non (?:è stato possibile|può) [^.!?]{0,20}consegn"
    r"|ei (?:saanud|saa|õnnestunud|olnud võimalik) [^.!?]{0,40}(?:toimetada|edastada)|ei toimetatud"
    r"|ei (?:voitu|voida) toimittaa|toimitus epäonnistui|kunde inte levereras"
    r"|не (?:может быть |могло быть |был[ао]? |удалось )?достав(?:лен|ить)|невозможно доставить|не найден"
    r"|(?:送信|配信|配達)(?:が)?(?:でき|不能)|无法(?:投递|送达)",
    re.I,
)
"""What a notice says of itself in its first sentences."""
MAX_FIRST_WORDS = 2_000
"""Characters of a text in which the statement is looked for."""
ANSWERS = re.compile(r"(?:re|aw|sv|vs|vast|odp|ответ)\s?(?:\[\d+\])?:", re.I)


def is_mailer(mail: Mail) -> bool:
    """Whether the mail comes from a mail server's own address, or from nobody."""
    path = mail.headers.raw("return-path")
    if path is not None and path.strip() == "<>":
        return True
    return is_named_mailer(mail)


def is_named_mailer(mail: Mail) -> bool:
    """Whether From is a mail server's own address; vacation replies too come from nobody (RFC 3834 §3.3)."""
    return MAILER.search(mail.headers.get("from") or "") is not None


def is_failure(mail: Mail) -> bool:
    """Whether the mail's subject is that of a delivery notice."""
    return FAILURE.search(mail.headers.get("subject") or "") is not None


def is_answer(mail: Mail) -> bool:
    """Whether the mail looks like a person's answer to another."""
    headers = mail.headers
    if "references" in headers or "in-reply-to" in headers:
        return True
    return ANSWERS.match(headers.get("subject") or "") is not None


def states_failure(text: str) -> bool:
    """Whether the first words of `text` say that a mail was not delivered, in words of its own: no quoted line."""
    text = text[:MAX_FIRST_WORDS]
    return any(
        not text.startswith((">", "|"), text.rfind("\n", 0, found.start()) + 1) for found in STATEMENT.finditer(text)
    )
