"""A notice that a gateway wrapped into a mail of its own, to add a disclaimer or the word of a virus scanner.

Exchange's rule for disclaimers says "wrap" for what it may not change, and mailboxes and lists pass notices on whole.

Recognised by: a mail server's address on both, and an outer text that says nothing of a failure: otherwise the outer
    mail is the notice, and the inner one the mail that it returns.
Fixtures: fixtures/dsn/rewrapped-*.eml
"""

from parsers import dsn
from parsers.message import MESSAGE_TYPES, Mail
from parsers.original import returned
from parsers.report import Report
from parsers.sender import is_named_mailer, states_failure

MAX_WRAPPED = 3
"""Messages that are opened to look for a notice; each may be malformed, and take the libraries their time."""


def parse(mail: Mail) -> tuple[Report, ...]:
    """What the wrapped delivery report says; () where there is none."""
    if not is_named_mailer(mail) or states_failure(mail.text):
        return ()
    for part in [part for part in mail.leaves if part.type in MESSAGE_TYPES][:MAX_WRAPPED]:
        inner = mail.enclosed(part)
        if inner is None or not is_named_mailer(inner):
            continue
        if reports := dsn.parse(inner):
            mail.returned = returned(inner)  # what the evidence is taken from
            return reports
    return ()
