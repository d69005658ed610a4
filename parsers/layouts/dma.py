"""DragonFly Mail Agent: plain text without MIME, one mail for each recipient.

Recognised by: "This is the DragonFly Mail Agent" at the start of a line, from a mail server's address.
Shape: "There was an error delivering your mail to <address>." and the reason, up to "Message headers follow." or
    "Original message follows."
Source: dma, bounce.c
Fixtures: fixtures/layouts/dma-*.eml
"""

import re

from parsers.message import Mail
from parsers.report import Kind, Report
from parsers.said import line_at, refusal
from parsers.sender import is_mailer

SENTENCE = re.compile(r"This is the DragonFly Mail Agent \S{1,20} at (\S{1,255}?)\.?$", re.M)
RECIPIENT = re.compile(r"^There was an error delivering your mail to <([^<>\n]{1,320})>\.$", re.M)
END = re.compile(r"^(?:Message headers follow|Original message follows)\.$", re.M)
REMOTE = re.compile(r"^(\S{1,255}) \[[^\]\n]{1,50}\] did not like our ", re.M)


def parse(mail: Mail) -> tuple[Report, ...]:
    """One Report; () where the text is not dma's."""
    text = mail.text
    at = line_at(text, "This is the DragonFly Mail Agent ")
    if at < 0 or not (start := SENTENCE.match(text, at)) or not is_mailer(mail):
        return ()
    recipient = RECIPIENT.search(text, start.end())
    if recipient is None:
        return ()
    end = END.search(text, recipient.end())
    reason = text[recipient.end() : end.start() if end else len(text)].strip()
    remote = REMOTE.match(reason)
    return (
        refusal(
            Kind.BOUNCE,
            recipient[1],
            reason[remote.end() :].partition(":\n")[2] if remote else reason,
            remote_mta=remote[1] if remote else None,
            reporting_mta=start[1],
        ),
    )
