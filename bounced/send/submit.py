"""Hands a message to the outbox, in the caller's transaction: it is sent if, and only if, that is committed.

What can never work is refused here, before anything is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection

from bounced.config import Config
from bounced.errors import InputError, LetterError
from bounced.send import cards, compose, recipients
from bounced.send.compose import Letter
from bounced.send.record import Subject, record
from bounced.send.refusal import suppressed
from bounced.send.sender import SenderConfig
from bounced.send.settings import check_mass_mail, uses_verp
from bounced.store import outbound, people, sender_configs, suppressions
from bounced.store.ids import new_id

MAX_RECIPIENTS = 1_000
"""Of one message: ten times what every server takes in one transaction (RFC 5321 §4.5.3.1.8)."""
MAX_DOCUMENT = 255
MAX_SHOWN = 80
"""Characters of a bad address in an error."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A message that is in the outbox."""

    outbound_id: UUID
    left_out: tuple[str, ...]  # recipients that are on the company's suppression list


def submit(
    connection: Connection,
    config: Config,
    letter: Letter,
    *,
    company: str,
    user: str,
    document: str | None = None,
    mass: bool = False,
) -> Submitted:
    """Queue a letter.

    connection  of a writing transaction
    company     its name
    user        code of the user whose letter it is
    document    what it is about, as support knows it: "Invoice 1042"
    mass        one of many: invoices in bulk, customer letters
    raises      InputError (LetterError among them), SettingsError, ConfigError: nothing was queued
    """
    owner = people.find_company(connection, company)
    card = people.find_user(connection, owner.id, user) if owner else None
    if owner is None or card is None:
        raise InputError(f"there is no user {user[:MAX_DOCUMENT]!a} in company {company[:MAX_DOCUMENT]!a}")
    sender = cards.sender_config(connection, owner, card, config)
    if mass:
        check_mass_mail(sender, config.directo, has_module=owner.mass_mail)
    if document is not None:
        compose.checked("document", document)
        if len(document) > MAX_DOCUMENT:
            raise LetterError("document", f"it has more than {MAX_DOCUMENT} characters")
    everybody = _everybody(letter)
    left_out = suppressions.among(connection, owner.id, everybody) if owner.suppress else set()
    wanted = [address for address in everybody if address not in left_out]
    now, outbound_id = datetime.now(UTC), new_id()
    message_id = compose.message_id(outbound_id, sender.from_address.rpartition("@")[2])
    raw = compose.compose(letter, message_id=message_id, trace=str(outbound_id), date=now)
    compose.origin(compose.identity_of(sender))  # whether it can be told
    snapshot = sender.snapshot()
    message = outbound.Outbound(
        id=outbound_id,
        company_id=owner.id,
        user_id=card.id,
        sender_config_id=sender_configs.keep_sender_config(connection, owner.id, snapshot),
        document=document or None,
        subject=letter.subject or None,
        message_id=message_id.strip("<>"),
        mass=mass,
        created_at=now,
    )
    outbound.put(connection, message, raw, _transactions(wanted, sender, config), sorted(left_out))
    about = Subject(message=message, company=owner.name, user=card.code, snapshot=snapshot)
    record(connection, about, [suppressed(address, about.evidence) for address in sorted(left_out)], now)
    return Submitted(outbound_id, tuple(sorted(left_out)))


def _everybody(letter: Letter) -> list[str]:
    """Whom a letter is for, as mail servers are told it; who is named twice gets it once."""
    found = recipients.read_all((*letter.to, *letter.cc, *letter.bcc))
    for refused in found.unusable:
        raise LetterError("recipient", f"{refused.written[:MAX_SHOWN]!a}: {refused.reason}")
    if not found.usable:
        raise LetterError("recipients", "there is none")
    if len(found.usable) > MAX_RECIPIENTS:
        raise LetterError("recipients", f"there are more than {MAX_RECIPIENTS}")
    return [one.envelope for one in found.usable]


def _transactions(addresses: Sequence[str], sender: SenderConfig, config: Config) -> list[list[str]]:
    """Whom each SMTP transaction is for: with VERP each address comes back by itself.  None, where nobody is left."""
    if uses_verp(sender, config.directo):
        return [[address] for address in addresses]
    return [list(addresses)] if addresses else []
