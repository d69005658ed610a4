"""Companies, users, mailboxes, mails with their bytes, events, counters."""

import sqlalchemy as sa
from alembic import op

from bounced.store.types import ID, MOMENT

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "company",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mail_sending_user_code", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_company"),
        sa.UniqueConstraint("name", name="uq_company_name"),
    )
    op.create_table(
        "counter",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("company_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mailbox_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sender_config", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("recipient_domain", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "day",
            "company_id",
            "mailbox_id",
            "user_id",
            "sender_config",
            "kind",
            "cause",
            "recipient_domain",
            name="pk_counter",
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "user_card",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("company_id", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("email_key", sa.Text(), nullable=True),
        sa.Column("mail_sender", sa.Text(), nullable=True),
        sa.Column("smtp_server", sa.Text(), nullable=True),
        sa.Column("smtp_tls", sa.Text(), nullable=True),
        sa.Column("smtp_username", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_user_card_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_user_card"),
        sa.UniqueConstraint("company_id", "code", name="uq_user_card_company_id_code"),
    )
    op.create_index("ix_user_card_email", "user_card", ["company_id", "email_key"], unique=False)
    op.create_table(
        "mailbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("company_id", sa.Integer(), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("uidvalidity", sa.BigInteger(), nullable=True),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("last_poll_at", MOMENT, nullable=True),
        sa.Column("last_success_at", MOMENT, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("backlog", sa.BigInteger(), nullable=False),
        sa.Column("waiting_since", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_mailbox_company_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user_card.id"], name="fk_mailbox_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_mailbox"),
        sa.UniqueConstraint("name", name="uq_mailbox_name"),
    )
    op.create_table(
        "mail",
        sa.Column("id", ID, nullable=False),
        sa.Column("mailbox_id", sa.Integer(), nullable=True),
        sa.Column("uidvalidity", sa.BigInteger(), nullable=True),
        sa.Column("uid", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("received_at", MOMENT, nullable=True),
        sa.Column("stored_at", MOMENT, nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.id"], name="fk_mail_mailbox_id"),
        sa.PrimaryKeyConstraint("id", name="pk_mail"),
        sa.UniqueConstraint("mailbox_id", "uidvalidity", "uid", name="uq_mail_mailbox_id_uidvalidity_uid"),
    )
    op.create_index(
        "ix_mail_action",
        "mail",
        ["mailbox_id", "uidvalidity", "uid"],
        unique=False,
        sqlite_where=sa.text("action IS NOT NULL"),
        postgresql_where=sa.text("action IS NOT NULL"),
    )
    op.create_index(
        "ix_mail_open",
        "mail",
        ["mailbox_id", "uidvalidity", "uid"],
        unique=False,
        sqlite_where=sa.text("stored_at IS NULL"),
        postgresql_where=sa.text("stored_at IS NULL"),
    )
    op.create_index("ix_mail_sha256", "mail", ["sha256", "mailbox_id"], unique=False)
    op.create_index(
        "uq_mail_file",
        "mail",
        ["sha256"],
        unique=True,
        sqlite_where=sa.text("mailbox_id IS NULL"),
        postgresql_where=sa.text("mailbox_id IS NULL"),
    )
    op.create_table(
        "event",
        sa.Column("id", ID, nullable=False),
        sa.Column("mail_id", ID, nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("mailbox_id", sa.Integer(), nullable=True),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("permanent", sa.Boolean(), nullable=True),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("original_recipient", sa.Text(), nullable=True),
        sa.Column("final_recipient", sa.Text(), nullable=True),
        sa.Column("recipient_domain", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("smtp_code", sa.Integer(), nullable=True),
        sa.Column("diagnostic", sa.Text(), nullable=True),
        sa.Column("remote_mta", sa.Text(), nullable=True),
        sa.Column("reporting_mta", sa.Text(), nullable=True),
        sa.Column("feedback_type", sa.Text(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=True),
        sa.Column("occurred_at", MOMENT, nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("original_message_id", sa.Text(), nullable=True),
        sa.Column("envelope_id", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("original_subject", sa.Text(), nullable=True),
        sa.Column("evidence", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("matched_by", sa.Text(), nullable=True),
        sa.Column("forged", sa.Boolean(), nullable=False),
        sa.Column("company_id", sa.Integer(), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("document", sa.Text(), nullable=True),
        sa.Column("mode", sa.Text(), nullable=True),
        sa.Column("sender_config", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("outbound_id", ID, nullable=True),
        sa.Column("tried_ids", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_event_company_id"),
        sa.ForeignKeyConstraint(["mail_id"], ["mail.id"], name="fk_event_mail_id"),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.id"], name="fk_event_mailbox_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user_card.id"], name="fk_event_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sa.UniqueConstraint("mail_id", "position", name="uq_event_mail_id_position"),
    )
    op.create_index("ix_event_cause", "event", ["cause", "received_at"], unique=False)
    op.create_index("ix_event_company", "event", ["company_id", "received_at"], unique=False)
    op.create_index(
        "ix_event_document",
        "event",
        ["document"],
        unique=False,
        sqlite_where=sa.text("document IS NOT NULL"),
        postgresql_where=sa.text("document IS NOT NULL"),
    )
    op.create_index("ix_event_domain", "event", ["recipient_domain", "received_at"], unique=False)
    op.create_index("ix_event_kind", "event", ["kind", "received_at"], unique=False)
    op.create_index("ix_event_received_at", "event", ["received_at"], unique=False)
    op.create_index(
        "ix_event_user",
        "event",
        ["user_id", "received_at"],
        unique=False,
        sqlite_where=sa.text("user_id IS NOT NULL"),
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
    op.create_table(
        "raw_mail",
        sa.Column("mail_id", ID, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["mail_id"], ["mail.id"], name="fk_raw_mail_mail_id"),
        sa.PrimaryKeyConstraint("mail_id", name="pk_raw_mail"),
    )
    op.create_index("ix_event_recipient", "event", [sa.text("lower(recipient)")])
    for name in ("original_recipient", "final_recipient"):
        op.create_index(
            f"ix_event_{name}",
            "event",
            [sa.text(f"lower({name})")],
            sqlite_where=sa.text(f"{name} IS NOT recipient"),
            postgresql_where=sa.text(f"{name} IS DISTINCT FROM recipient"),
        )
