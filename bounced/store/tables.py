"""The tables, as typed definitions: no object of these classes is ever made, all queries and inserts are Core.

What is not known is NULL, except in the key of `counter` (two NULLs are never the same key).
Texts that stand for one of a closed list (kind, cause, mail sender, ...) are the list's own words.
"""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Date,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bounced.store.types import ID, MOMENT, NUMBER

SCHEMA = "0002"
"""The revision that these tables are; the newest file of migrations/versions."""


def _now() -> datetime:
    return datetime.now(UTC)


def _only(rows: ColumnElement[bool]) -> dict[str, Any]:
    """Of an index: that it holds these rows alone, in both databases."""
    return {"sqlite_where": rows, "postgresql_where": rows}


class Table(DeclarativeBase):
    """Base of the table definitions."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  read by SQLAlchemy when the class is made
        str: Text(),
        bytes: LargeBinary(),
        datetime: MOMENT,
        date: Date(),
        UUID: ID,
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
    }


class Company(Table):
    """A customer.  `name` is the local part of its event address, in lower case."""

    __tablename__ = "company"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    mail_sending_user_code: Mapped[str | None]  # the user whose SMTP settings are the base for all
    mass_mail: Mapped[bool] = mapped_column(default=False, server_default=false())  # has the mass-mail module
    suppress: Mapped[bool] = mapped_column(default=False, server_default=false())  # keeps a suppression list
    created_at: Mapped[datetime] = mapped_column(default=_now)


class User(Table):
    """A user card.  `email_key` is the e-mail address as it is compared: case-folded."""

    __tablename__ = "user_card"  # "user" is a reserved word of PostgreSQL

    id: Mapped[int] = mapped_column(primary_key=True)
    company_id: Mapped[int] = mapped_column(ForeignKey("company.id"))
    code: Mapped[str]
    name: Mapped[str | None]
    email: Mapped[str | None]
    email_key: Mapped[str | None]
    mail_sender: Mapped[str | None]  # directo | smtp | directo-reply-to | microsoft365; NULL: not set
    smtp_server: Mapped[str | None]  # host:port, or the name of a preset
    smtp_tls: Mapped[str | None]  # ssl | starttls | none
    smtp_username: Mapped[str | None]
    password: Mapped[bytes | None]  # encrypted
    password_version: Mapped[int] = mapped_column(default=0, server_default=text("0"))  # how often it was set
    token: Mapped[bytes | None]  # what Microsoft 365 gave at the login, encrypted
    token_version: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(default=_now)

    __table_args__ = (
        UniqueConstraint("company_id", "code"),
        Index("ix_user_card_email", "company_id", "email_key"),
    )


class Mailbox(Table):
    """A polled mailbox: how far it was read, who reads it, how it fares.  How to reach it is in bounced.toml alone."""

    __tablename__ = "mailbox"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    company_id: Mapped[int | None] = mapped_column(ForeignKey("company.id"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_card.id"))
    uidvalidity: Mapped[int | None] = mapped_column(BigInteger)
    cursor: Mapped[int] = mapped_column(BigInteger)  # the last UID taken
    lease_owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    last_poll_at: Mapped[datetime | None]
    last_success_at: Mapped[datetime | None]
    last_error: Mapped[str | None]  # of the last poll; NULL: it went well
    failures: Mapped[int]  # polls that failed since the last good one
    backlog: Mapped[int] = mapped_column(BigInteger)  # messages above the cursor, at the last poll
    waiting_since: Mapped[datetime | None]  # about when the oldest of them came


class Mail(Table):
    """A message that was seen.  The row outlives its raw bytes and events, or it would be taken in again.

    mailbox_id NULL: a replayed file.  stored_at NULL: open, it could not be fetched yet.
    """

    __tablename__ = "mail"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    mailbox_id: Mapped[int | None] = mapped_column(ForeignKey("mailbox.id"))
    uidvalidity: Mapped[int | None] = mapped_column(BigInteger)
    uid: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[bytes | None]  # of the bytes that were fetched
    size: Mapped[int | None] = mapped_column(BigInteger)  # bytes of the whole message
    truncated: Mapped[bool]
    received_at: Mapped[datetime | None]
    stored_at: Mapped[datetime | None]
    tries: Mapped[int]  # fetches that failed
    reason: Mapped[str | None]  # why the last of them failed
    action: Mapped[str | None]  # still to do in the mailbox: seen | move:FOLDER | delete

    __table_args__ = (
        UniqueConstraint("mailbox_id", "uidvalidity", "uid"),
        Index("ix_mail_sha256", "sha256", "mailbox_id"),
    )


Index("uq_mail_file", Mail.sha256, unique=True, **_only(Mail.mailbox_id.is_(None)))
Index("ix_mail_action", Mail.mailbox_id, Mail.uidvalidity, Mail.uid, **_only(Mail.action.is_not(None)))
Index("ix_mail_open", Mail.mailbox_id, Mail.uidvalidity, Mail.uid, **_only(Mail.stored_at.is_(None)))


class RawMail(Table):
    """The bytes of a message, compressed with zlib (RFC 1950)."""

    __tablename__ = "raw_mail"

    mail_id: Mapped[UUID] = mapped_column(ForeignKey("mail.id"), primary_key=True)
    data: Mapped[bytes]


class Event(Table):
    """One report about one recipient, with where it came from and what it was matched to."""

    __tablename__ = "event"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    mail_id: Mapped[UUID | None] = mapped_column(ForeignKey("mail.id"))  # NULL: a refusal at sending time
    position: Mapped[int]  # of the report in the mail, from 0
    source: Mapped[str]
    mailbox_id: Mapped[int | None] = mapped_column(ForeignKey("mailbox.id"))
    received_at: Mapped[datetime]
    truncated: Mapped[bool]

    kind: Mapped[str]
    cause: Mapped[str | None]
    permanent: Mapped[bool | None]
    recipient: Mapped[str | None]
    original_recipient: Mapped[str | None]
    final_recipient: Mapped[str | None]
    recipient_domain: Mapped[str | None]  # of `recipient`, in lower case
    action: Mapped[str | None]
    status: Mapped[str | None]
    smtp_code: Mapped[int | None]
    diagnostic: Mapped[str | None]
    remote_mta: Mapped[str | None]
    reporting_mta: Mapped[str | None]
    feedback_type: Mapped[str | None]
    rule: Mapped[str | None]

    occurred_at: Mapped[datetime | None]
    message_id: Mapped[str | None]
    original_message_id: Mapped[str | None]
    envelope_id: Mapped[str | None]
    subject: Mapped[str | None]
    original_subject: Mapped[str | None]
    evidence: Mapped[dict[str, Any] | None]  # what else parsers.report.Evidence held; NULL: nothing

    matched_by: Mapped[str | None]
    forged: Mapped[bool]
    company_id: Mapped[int | None] = mapped_column(ForeignKey("company.id"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_card.id"))
    document: Mapped[str | None]
    mode: Mapped[str | None]
    sender_config: Mapped[dict[str, Any] | None]
    outbound_id: Mapped[UUID | None]
    tried_ids: Mapped[list[str] | None]

    __table_args__ = (
        UniqueConstraint("mail_id", "position"),
        Index("ix_event_received_at", "received_at"),
        Index("ix_event_company", "company_id", "received_at"),
        Index("ix_event_domain", "recipient_domain", "received_at"),
        Index("ix_event_cause", "cause", "received_at"),
        Index("ix_event_kind", "kind", "received_at"),
    )


# Addresses are compared without regard to case.  The other two addresses are nearly always absent or the same as
# `recipient`: their indexes hold the odd ones only, and so cost an insert next to nothing.
for _name, _column in (("original", Event.original_recipient), ("final", Event.final_recipient)):
    _differs = _column.is_distinct_from(Event.recipient)
    Index(f"ix_event_{_name}_recipient", func.lower(_column), **_only(_differs))
Index("ix_event_recipient", func.lower(Event.recipient))
Index("ix_event_user", Event.user_id, Event.received_at, **_only(Event.user_id.is_not(None)))
Index("ix_event_document", Event.document, **_only(Event.document.is_not(None)))
Index("ix_event_outbound", Event.outbound_id, **_only(Event.outbound_id.is_not(None)))


class SenderConfig(Table):
    """What messages went out with, resolved; never changed, kept for ever, without any secret."""

    __tablename__ = "sender_config"

    id: Mapped[int] = mapped_column(primary_key=True)
    company_id: Mapped[int] = mapped_column(ForeignKey("company.id"))
    digest: Mapped[str]  # of the fields and the credential's version
    snapshot: Mapped[dict[str, Any]]

    __table_args__ = (UniqueConstraint("company_id", "digest"),)


class SenderPause(Table):
    """A sender config whose server is not reached, or refuses TLS or the login: nothing is sent with it until then."""

    __tablename__ = "sender_pause"

    sender_config_id: Mapped[int] = mapped_column(ForeignKey("sender_config.id"), primary_key=True)
    since: Mapped[datetime]
    until: Mapped[datetime]
    failures: Mapped[int]  # in a row


class Outbound(Table):
    """A message handed over to be sent.  The row outlives its bytes."""

    __tablename__ = "outbound"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    company_id: Mapped[int] = mapped_column(ForeignKey("company.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("user_card.id"))
    sender_config_id: Mapped[int] = mapped_column(ForeignKey("sender_config.id"))  # of the last attempt
    document: Mapped[str | None]
    subject: Mapped[str | None]
    message_id: Mapped[str]
    mass: Mapped[bool]  # one of many of the same kind
    created_at: Mapped[datetime]


class RawOutbound(Table):
    """The bytes of a message to be sent, compressed with zlib (RFC 1950); From is put in front when it is sent."""

    __tablename__ = "raw_outbound"

    outbound_id: Mapped[UUID] = mapped_column(ForeignKey("outbound.id"), primary_key=True)
    data: Mapped[bytes]


class Delivery(Table):
    """One SMTP transaction of a message; with VERP each recipient has its own.  Its id is what a token signs."""

    __tablename__ = "delivery"

    id: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    outbound_id: Mapped[UUID] = mapped_column(ForeignKey("outbound.id"))
    state: Mapped[str]  # queued | claimed | sending | done | uncertain | dropped
    due_at: Mapped[datetime]  # not to be tried before
    tries: Mapped[int]
    lease_owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    last_error: Mapped[str | None]  # of the last attempt
    ended_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_delivery_outbound", "outbound_id"),)


Index("ix_delivery_due", Delivery.due_at, **_only(Delivery.state == "queued"))
Index(
    "ix_delivery_open",
    Delivery.state,
    Delivery.lease_until,
    **_only(Delivery.state.in_(("claimed", "sending", "uncertain"))),
)


class OutboundRecipient(Table):
    """What is known of one recipient of a message."""

    __tablename__ = "outbound_recipient"

    id: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("delivery.id"))
    company_id: Mapped[int] = mapped_column(ForeignKey("company.id"))
    address: Mapped[str]  # as written to
    address_key: Mapped[str]  # as it is compared
    # queued | accepted | refused | delayed | bounced | delivered | complained | uncertain | suppressed
    state: Mapped[str]
    to_send: Mapped[bool]  # no server has said its last word yet
    reply: Mapped[str | None]  # the server's, verbatim
    changed_at: Mapped[datetime]  # when it was queued, or what the server said was noted
    noticed_at: Mapped[datetime | None]  # when the notice came that the state is from; NULL: no notice told it

    __table_args__ = (
        Index("ix_outbound_recipient_delivery", "delivery_id"),
        Index("ix_outbound_recipient_address", "company_id", "address_key", "changed_at"),
    )


class OutboundKey(Table):
    """An id that a bounce may name a message by: its Message-ID, or what a server told instead."""

    __tablename__ = "outbound_key"

    company_id: Mapped[int] = mapped_column(ForeignKey("company.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    outbound_id: Mapped[UUID] = mapped_column(ForeignKey("outbound.id"), primary_key=True)


class Suppression(Table):
    """An address that a company does not write to any more."""

    __tablename__ = "suppression"

    company_id: Mapped[int] = mapped_column(ForeignKey("company.id"), primary_key=True)
    address_key: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str]
    cause: Mapped[str | None]  # NULL: added by hand
    event_id: Mapped[UUID | None]
    created_at: Mapped[datetime]


class Counter(Table):
    """How many events of one sort came on one UTC day.  Survives the purge.  What is not known is 0 or ''."""

    __tablename__ = "counter"

    day: Mapped[date] = mapped_column(primary_key=True)
    company_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    mailbox_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sender_config: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    cause: Mapped[str] = mapped_column(primary_key=True)
    recipient_domain: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012  read by SQLAlchemy when the class is made
