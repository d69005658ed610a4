"""Amazon SES notifications that come as mail by way of Amazon SNS: JSON as plain text.

Recognised by: the header field x-amz-sns-message-id and a text that begins with "{", or a text that begins with the
    first key of such an object.
Shape: "notificationType" (or "eventType") names the one further object that holds the recipients: "bounce",
    "complaint", "delivery" or "deliveryDelay"; a footer may follow.  The whole may stand as a string in "Message".
    "mail" tells about the message: its "headers" where they are included, "commonHeaders", and the "messageId" that
    Amazon answered with when it took the message, and put in place of its Message-ID.
Source: Amazon, SES developer guide, Amazon SNS notification contents
Fixtures: fixtures/layouts/sns-*.eml
"""

import json
import re
from typing import Any

from parsers import address
from parsers.headers import NAME, Headers
from parsers.message import Mail
from parsers.report import Kind, Report
from parsers.said import best_status, refusal
from parsers.status import find_status

BEGINNING = re.compile(r'\{\s{0,99}"(?:notificationType|eventType|Type)"\s{0,99}:')
COMMON_HEADERS = (
    ("Message-ID", "messageId"),
    ("From", "from"),
    ("Reply-To", "replyTo"),
    ("To", "to"),
    ("Subject", "subject"),
    ("Date", "date"),
)
MAX_JSON = 262_144
"""Characters of the text; SNS sends no more octets (Amazon SNS, quotas)."""
MAX_ENTRIES = 1_000
"""Entries of one list; SES takes 50 recipients of a message (Amazon SES, quotas)."""


def parse(mail: Mail) -> tuple[Report, ...]:
    """One Report per recipient named, in body order; () where the text is not such a notification."""
    text = mail.text
    if not text.startswith("{"):
        return ()
    if "x-amz-sns-message-id" not in mail.headers and not BEGINNING.match(text):
        return ()
    found = _object(text)
    if isinstance(message := found.get("Message"), str):
        found = _object(message)
    kind = str(found.get("notificationType") or found.get("eventType") or "").lower()
    mail.returned = _headers(_dict(found.get("mail")))  # what the evidence is taken from
    if kind == "bounce":
        about = _dict(found.get("bounce"))
        return tuple(_refused(Kind.BOUNCE, one, about) for one in _dicts(about.get("bouncedRecipients")))
    if kind == "deliverydelay":
        about = _dict(found.get("deliveryDelay"))
        return tuple(_refused(Kind.DELAY, one, about) for one in _dicts(about.get("delayedRecipients")))
    if kind == "delivery":
        about = _dict(found.get("delivery"))
        words, host = str(about.get("smtpResponse") or ""), _text(about.get("reportingMTA"))
        recipients = about.get("recipients")
        recipients = recipients[:MAX_ENTRIES] if isinstance(recipients, list) else []
        return tuple(refusal(Kind.DELIVERED, _text(one), words, reporting_mta=host) for one in recipients)
    if kind == "complaint":
        about = _dict(found.get("complaint"))
        feedback = _text(about.get("complaintFeedbackType"))
        return tuple(
            Report(kind=Kind.COMPLAINT, recipient=address.bare(_text(one.get("emailAddress"))), feedback_type=feedback)
            for one in _dicts(about.get("complainedRecipients"))
        )
    return ()


def _refused(kind: Kind, one: dict[str, Any], about: dict[str, Any]) -> Report:
    words = (_text(one.get("diagnosticCode")) or "").removeprefix("smtp;").strip()
    words = words or _text(about.get("bounceSubType")) or _text(about.get("delayType")) or ""
    host = _host(_text(about.get("reportingMTA")))
    report = refusal(kind, _text(one.get("emailAddress")), words, reporting_mta=host)
    return report._replace(status=best_status(find_status(_text(one.get("status")) or ""), words))


def _headers(sent: dict[str, Any]) -> Headers:
    """The header block of the message that the notification is about."""
    common = _dict(sent.get("commonHeaders"))
    fields = [(_text(one.get("name")), one.get("value")) for one in _dicts(sent.get("headers"))]
    fields += [(name, common.get(key)) for name, key in COMMON_HEADERS]
    fields += [("To", sent.get("destination"))]
    if own := _text(sent.get("messageId")):
        fields += [("X-Original-Message-ID", f"<{own}>")]
    lines = [f"{name}: {' '.join(_listed(value).split())}" for name, value in fields if name and NAME.fullmatch(name)]
    return Headers("\n".join(lines))


def _listed(value: object) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list) else _text(value) or ""


def _object(text: str) -> dict[str, Any]:
    try:
        found, _ = json.JSONDecoder().raw_decode(text[:MAX_JSON])
    except (ValueError, RecursionError):  # the reader calls itself for each open bracket
        return {}
    return _dict(found)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value[:MAX_ENTRIES] if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _host(value: str | None) -> str | None:
    return value.rpartition(";")[2].strip() or None if value else None
