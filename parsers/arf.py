"""Complaints: the abuse reporting format, RFC 5965 (and RFC 6591 for authentication failures).

Recognised by: a part message/feedback-report; without one, a returned message under the subject of a complaint, or the
    header field of a program that unsubscribes for its user: Apple Mail's, whose button writes to the address in
    List-Unsubscribe (RFC 2369 §3.2) and marks the mail so.
Shape: one group of fields, of which Original-Rcpt-To may stand more than once; the message follows as in a bounce.
    A provider that hides whom the message was for leaves the field out or writes "redacted".
Fixtures: fixtures/arf/
"""

import re

from parsers import address
from parsers.headers import Headers
from parsers.message import MESSAGE_TYPES, Mail
from parsers.original import returned
from parsers.report import Evidence, Kind, Report

REPORT_TYPE = "message/feedback-report"
SUBJECT = re.compile(
    r"complaint about (?:a )?(?:message|e-?mail) from|(?:spam|abuse|feedback) (?:report|complaint)\b", re.I
)
UNSUBSCRIBES = "x-apple-unsubscribe"
RETURNED_FIELDS = ("x-hmxmroriginalrecipient",)
"""In the returned message: for whom it was, put there by the provider that complains."""
RECIPIENT_FIELDS = ("original-rcpt-to", "removal-recipient", "redacted-address")


def parse(mail: Mail) -> tuple[Report, ...]:
    """One Report for each recipient that the complaint names, or one without; () where there is no feedback report."""
    for part in mail.leaves:
        if part.type == REPORT_TYPE:
            break
    else:
        return _unmarked(mail)
    fields = Headers("\n".join(line for line in part.text.split("\n") if line and not line.isspace()))
    envelope_id = fields.get("original-envelope-id")
    # Once for all: there may be 2,000 recipients, and a megabyte of these.
    about_message = Evidence(envelope_id=address.xtext(envelope_id) if envelope_id else None)
    host, feedback_type = _host(fields.get("reporting-mta")), (fields.get("feedback-type") or "").lower() or None
    named = "original-rcpt-to" in fields
    return tuple(
        Report(
            kind=Kind.COMPLAINT,
            recipient=recipient,
            original_recipient=recipient if named else None,
            feedback_type=feedback_type,
            reporting_mta=host,
            evidence=about_message,
        )
        for recipient in _recipients(fields, mail) or (None,)
    )


def _unmarked(mail: Mail) -> tuple[Report, ...]:
    """A complaint without a feedback report."""
    headers = mail.headers
    if (headers.raw(UNSUBSCRIBES) or "").strip().lower() == "true":
        return (Report(kind=Kind.COMPLAINT, recipient=address.bare(headers.get("from")), feedback_type="opt-out"),)
    if not SUBJECT.match(headers.get("subject") or "") or all(part.type not in MESSAGE_TYPES for part in mail.leaves):
        return ()
    sent = returned(mail)
    found = address.all_of(sent.all_of(RETURNED_FIELDS)) or address.all_of(sent.all("to"))
    recipient = found[0] if len(found) == 1 else None
    return (Report(kind=Kind.COMPLAINT, recipient=recipient, feedback_type="abuse"),)


def _recipients(fields: Headers, mail: Mail) -> tuple[str, ...]:
    for name in RECIPIENT_FIELDS:
        if found := address.all_of(fields.all(name)):
            return found
    sent = returned(mail)
    found = address.all_of(sent.all("to"))
    return found if len(found) == 1 else ()


def _host(value: str | None) -> str | None:
    return value.rpartition(";")[2].strip() or None if value else None
