"""Delivery status notifications: RFC 3464, internationalised by RFC 6533.

Recognised by: a part message/delivery-status or message/global-delivery-status, or a text part that holds nothing but
    its fields (gateways relabel it).
Shape: groups of fields parted by blank lines; the first is about the message, each further one about one recipient.
Beyond the letter: groups run into each other, fields are doubled or missing, Action and Status carry comments, the
    status says less (x.0.0) than the remote server's words, and those stand only in the part for people.
Fixtures: fixtures/dsn/
"""

from parsers import address
from parsers.fields import Group, groups, without_comments
from parsers.message import Mail
from parsers.part import Part
from parsers.report import Evidence, Kind, Report
from parsers.said import about, best_reply, best_status, unfold
from parsers.status import find_status, is_generic

STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status", "message/x-delivery-status"})
KIND_BY_ACTION = (
    ("fail", Kind.BOUNCE),
    ("delay", Kind.DELAY),
    ("deliver", Kind.DELIVERED),
    ("relay", Kind.RELAYED),
    ("expand", Kind.EXPANDED),
)
"""By how the Action's first word begins (RFC 3464 §2.3.3); some write "failure" or "delayed;"."""
KIND_BY_CLASS = {"2": Kind.DELIVERED, "4": Kind.DELAY, "5": Kind.BOUNCE}
RECIPIENT_FIELDS = ("final-recipient", "original-recipient", "x-actual-recipient")


def parse(mail: Mail) -> tuple[Report, ...]:
    """One Report for each recipient, in body order; () where there is no delivery report."""
    found = [group for part in mail.leaves if _is_status(part) for group in groups(part.text)]
    about_recipients = [group for group in found if _names_recipient(group)]
    about_message = {
        name: value for group in reversed(found) if not _names_recipient(group) for name, value in group.items()
    }
    only = len(about_recipients) == 1
    return tuple(_report(group, about_message | group, mail, only=only) for group in about_recipients)


def _is_status(part: Part) -> bool:
    if part.type in STATUS_TYPES:
        return True
    if part.type not in {"text/plain", "application/octet-stream"}:
        return False
    head = part.text[:300].lstrip().lower()
    return head.startswith(("reporting-mta:", "original-envelope-id:")) or (
        head.startswith(RECIPIENT_FIELDS) and "\naction:" in head
    )


def _names_recipient(group: Group) -> bool:
    return any(name in group for name in RECIPIENT_FIELDS) or ("action" in group and "status" in group)


def _report(group: Group, fields: Group, mail: Mail, *, only: bool) -> Report:
    final = address.typed(group.get("final-recipient"))
    original = address.typed(group.get("original-recipient"))
    if original and "+" in original:
        original = address.bare(address.xtext(original)) or original
    recipient = original or final or address.typed(group.get("x-actual-recipient"))
    stated = find_status(group.get("status", ""))
    words = _without_type(group.get("diagnostic-code"))
    code = best_reply(words)
    more = None
    if code is None or (is_generic(stated) and is_generic(find_status(words or ""))):
        more = about(mail.text, final) or about(mail.text, recipient) or (unfold(mail.text) if only else None)
        code = code or best_reply(more)
    status = best_status(stated, words, more)
    action = without_comments(group.get("action", "")).strip().split(" ")[0].strip(";,.").lower() or None
    envelope_id = fields.get("original-envelope-id")
    return Report(
        kind=_kind(action, status),
        recipient=recipient,
        original_recipient=original,
        final_recipient=final,
        action=action,
        status=status,
        smtp_code=code,
        diagnostic=words or more,
        remote_mta=_host(group.get("remote-mta")),
        reporting_mta=_host(fields.get("reporting-mta")),
        evidence=Evidence(envelope_id=address.xtext(envelope_id) if envelope_id else None),
    )


def _kind(action: str | None, status: str | None) -> Kind:
    for beginning, kind in KIND_BY_ACTION:
        if action and action.startswith(beginning):
            return kind
    return KIND_BY_CLASS[status[0]] if status else Kind.BOUNCE


def _without_type(diagnostic: str | None) -> str | None:
    """A Diagnostic-Code without its "smtp;" (RFC 3464 §2.3.6); the type is missing at times."""
    if not diagnostic:
        return None
    kind, semicolon, words = diagnostic.partition(";")
    return (words.strip() if semicolon and " " not in kind.strip() else diagnostic) or None


def _host(value: str | None) -> str | None:
    """The host in "dns; mx.example.com (192.0.2.1)"."""
    if not value:
        return None
    kind, semicolon, host = value.partition(";")
    words = (host if semicolon else kind).replace("(", " ").split()
    return words[0].rstrip(".") or None if words else None
