"""An event as a sentence, and the way of the message that it is about: what support reads first."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bounced.cli.words import language, word

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Connection

    from bounced.model import Event
    from bounced.send.sender import SenderConfig
    from bounced.store.history import Fate, Tried

MOST = 50
"""Recipients, and events, of one message that are told."""

HAPPENED = {
    "bounce": "{mail} was refused",
    "delay": "{mail} is delayed",
    "delivered": "{mail} was delivered",
    "relayed": "{mail} was passed on to a server that tells no more",
    "expanded": "{mail} was passed on to several",
    "complaint": "{mail} was complained about",
    "auto-reply": "{mail} was answered by a program",
}
"""What an event of each kind says; of the others there is nothing to tell."""
UNDELIVERED = "{mail} was not delivered"
UNREFUSED = frozenset({"suppressed", "delivery-expired", "network-failure", "domain-unknown", "domain-accepts-no-mail"})
"""Causes of a bounce by which nobody has refused the mail: no server was asked, or none was there."""
FED_BACK = "{mail} was reported by the receiving side"
"""What feedback says that is no complaint."""


def sender_config(snapshot: Mapping[str, Any] | None) -> "SenderConfig | None":
    """The sender config that a snapshot was made of; None where it is of a time that knew others."""
    from bounced.send.sender import from_snapshot

    try:
        return from_snapshot(snapshot) if snapshot else None
    except ValueError:
        return None


def settings(snapshot: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Each setting of a sender config with where it comes from; what cannot be read is shown as it was kept."""
    sender = sender_config(snapshot)
    if sender is None:
        yield from snapshot.items()
        return
    login = sender.login
    for name, value, origin in (
        ("Mail sender", sender.mode, sender.mode_origin),
        ("Server", sender.server, sender.server_origin),
        ("SSL/TLS", sender.tls or word("STARTTLS where it is offered"), sender.tls_origin),
        ("User name", login and login.username, login and login.origin),
    ):
        if value:
            yield name, f"{value} ({origin.in_words(word)})" if origin else value
    yield "From", sender.from_address
    yield "Envelope sender", sender.envelope_sender
    yield "Reply-To", sender.reply_to


def written_to(connection: "Connection", event: "Event") -> str | None:
    """Whom the message went to that an event is about, as far as it is known.

    A notice may name nobody, or only whom the mail was forwarded to: of a message to several nobody knows then.
    """
    from bounced.service.correlate import address_key
    from bounced.store import history

    named, message = event.report.recipient, event.match.outbound_id
    if message is None or event.source.startswith("smtp:"):  # what happens at sending time names whom it is about
        return named
    fates = history.fate(connection, message)
    if not fates or address_key(named or "") in {address_key(one.address) for one in fates}:
        return named
    sent_to = [one.address for one in fates if one.state != "suppressed"]
    return sent_to[0] if len(sent_to) == 1 else None


def sentence(event: "Event", recipient: str | None) -> str | None:
    """What happened to what, sent to whom and how; None where nothing is known of it.

    "Invoice 1042 to accounts@customer.example, sent by MARI through ... (server own, user name own) was refused: ..."
    """
    from bounced.model import complains
    from parsers.causes import texts

    report, match = event.report, event.match
    if report.kind.value not in HAPPENED or match.matched_by is None:
        return None
    incident = report.recipient is None and event.source.startswith("smtp:")  # nothing can be sent that way
    mail = word("Mail") if incident else match.document or report.evidence.original_subject or word("A message")
    if recipient:
        mail = word("{mail} to {recipient}").format(mail=mail, recipient=recipient)
    if sender := sender_config(match.sender_config):
        told = sender.in_words(word)
    else:
        told = word("sent by {user}").format(user=match.user)
    mail = f"{mail}, {told}" if match.matched_by != "reply-to" else f"{mail}, {word('presumably')} {told}"
    if report.kind.value == "complaint" and not complains(report):
        return f"{word(FED_BACK).format(mail=mail)}: {report.feedback_type}"
    happened = "{mail} cannot be sent" if incident else HAPPENED[report.kind.value]
    if report.kind.value == "bounce" and report.cause in UNREFUSED and not incident:
        happened = UNDELIVERED
    happened = word(happened).format(mail=mail)
    if report.cause is None:
        return happened
    return f"{happened}: {texts.describe(report.cause, language(), rule=report.rule).title}"


def timeline(connection: "Connection", outbound_id: "UUID", recipient: str | None) -> list[tuple[datetime, str]]:
    """What became of a message, each with its time.

    recipient  who is told of, where it has more than can be shown
    """
    from bounced.store import events, history

    submitted = history.submitted_at(connection, outbound_id)
    if submitted is None:
        return []
    fates = history.fate(connection, outbound_id)
    shown = fates if len(fates) <= MOST else [one for one in fates if one.address.lower() == (recipient or "").lower()]
    told = [(submitted, word("submitted"))]
    told += _deliveries(history.tried(connection, outbound_id)[:MOST], fates)
    told += _answers(shown)
    for event in events.of_message(connection, outbound_id, MOST):
        if event.received_at:
            report = event.report
            why = report.cause or report.feedback_type
            told.append((event.received_at, _joined(report.kind.value, report.recipient, why, event.id)))
    told += [(one.noticed_at, _joined(one.address, word(one.state))) for one in shown if one.noticed_at]
    return sorted(told, key=lambda one: one[0])


def _deliveries(deliveries: "Sequence[Tried]", fates: "Sequence[Fate]") -> Iterator[tuple[datetime, str]]:
    latest = max((one.changed_at for one in fates), default=None)
    for one in deliveries:
        tried = f"{word('tries')}: {one.tries}"
        if one.state == "queued":
            what = word("to be tried") if not one.tries else f"{tried}, {word('to be tried again')}"
            yield one.due_at, _joined(what, one.last_error)
        elif (at := one.ended_at or latest) is not None:
            yield at, _joined(tried, word(one.state), one.last_error)


def _answers(fates: "Sequence[Fate]") -> Iterator[tuple[datetime, str]]:
    for one in fates:
        if one.answer != "queued":
            yield one.changed_at, _joined(one.address, word(one.answer), one.reply)


def _joined(*parts: object) -> str:
    return ", ".join(str(part) for part in parts if part)
