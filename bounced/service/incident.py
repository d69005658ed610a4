"""What is wrong with a way that nothing goes over, as one report: by the server's words, else by the step that failed.

Sources: RFC 5321 §4.2 (replies), RFC 4954 §6 (refused logins).
"""

from bounced.send.failure import ConnectError, LoginError, TlsError, TokenError, TransportError
from bounced.send.record import Subject
from bounced.send.refusal import AT_SENDING, NO_TOKEN, UNREACHABLE, refused
from bounced.store.people import MailSender
from parsers.causes.cause import Cause
from parsers.report import Report

STEPS = (
    (TlsError, Cause.TLS_FAILED, AT_SENDING),
    (LoginError, Cause.LOGIN_FAILED, AT_SENDING),
    (TokenError, Cause.LOGIN_FAILED, NO_TOKEN),
    (ConnectError, Cause.NETWORK_FAILURE, UNREACHABLE),
)
"""Why a way is paused, and by which rule, where the server's words do not say it."""
OF_A_WAY = {
    Cause.LOGIN_FAILED,
    Cause.TLS_FAILED,
    Cause.IP_BLOCKED,
    Cause.BAD_REPUTATION,
    Cause.NO_REVERSE_DNS,
    Cause.RATE_LIMITED,
}
"""What a server's words may say of one: all other causes are a recipient's or a message's."""
LOGIN_UNAVAILABLE = "login-unavailable"
"""The rule for a server that could not tell whether a login is right."""
NO_SMTP_AUTH = "microsoft-smtp-auth-off"
"""So begin the rules for what Microsoft refuses whatever the login is."""


def incident(error: TransportError, about: Subject) -> Report:
    """The one report about a way that does not work: no recipient's fault, so without one.

    about  one of the messages that wait for it
    """
    reply = error.reply
    text = reply.verbatim if reply else error.what
    if reply and isinstance(error, LoginError) and error.challenge:
        text += f" ({error.challenge})"
    report = refused(
        None,
        code=reply.code if reply else None,
        text=text,
        host=about.host,
        evidence=about.evidence,
        final=not error.retry,
    )
    cause, rule = next((cause, rule) for kind, cause, rule in STEPS if isinstance(error, kind))
    if cause is Cause.LOGIN_FAILED and about.mode == MailSender.MICROSOFT365:
        rule = NO_TOKEN
    if isinstance(error, LoginError) and reply and reply.temporary:
        rule = LOGIN_UNAVAILABLE
    said = reply is not None and report.cause in OF_A_WAY
    if said and report.cause is Cause.LOGIN_FAILED and rule == NO_TOKEN:
        said = (report.rule or "").startswith(NO_SMTP_AUTH)  # the other rules' remedies are about a password
    return report if said else report._replace(cause=cause, permanent=False, rule=rule)
