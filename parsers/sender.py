"""Who wrote a mail: a mail server, another program, or a person.

Layouts are recognised by sentences that people quote when they ask what a bounce means; so a layout that does not
stand alone on the first line of the text asks here too.

Sources: RFC 5321 §4.5.5 (null reverse-path), RFC 3834 §5 (Auto-Submitted).
"""

import re

from parsers.message import Mail

MAILER = re.compile(
    r"mailer-?_?daemon|\bpostmaster\b|mail[ -]?delivery|delivery[ -](?:sub)?system|mail[ -](?:sub)?system|mdaemon"
    r"|mail[ -]administrator|bounces?\b.{0,60}@|system administrator|microsoft exchange|majordomo-owner",
    re.I,
)
FAILURE = re.compile(
    r"undeliver|non[ -]?deliver|not delivered"
    r"|deliver(?:y|ed|ing)? .{0,30}(?:fail|status|problem|delay|notif|report|error)"
    r"|fail(?:ed|ure) .{0,30}deliver|failure notice|returned (?:mail|to sender|message)|mail (?:failure|error|returned)"
    r"|bounce|rejected|could not be delivered|unzustellbar|nicht zugestellt|tagastatud|kohale toimetamata|недоставлен",
    re.I,
)


def is_mailer(mail: Mail) -> bool:
    """Whether the mail comes from a mail server's own address, or from nobody."""
    headers = mail.headers
    path = headers.raw("return-path")
    if path is not None and path.strip() == "<>":
        return True
    return MAILER.search(headers.get("from") or "") is not None


def is_failure(mail: Mail) -> bool:
    """Whether the mail's subject is that of a delivery notice."""
    return FAILURE.search(mail.headers.get("subject") or "") is not None
