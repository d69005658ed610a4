"""Mail that is sent: credentials on user cards, sender configs, the outbox, suppressions."""

import sqlalchemy as sa
from alembic import op

from bounced.store.types import ID, MOMENT, NUMBER

revision = "0002"
down_revision = "0001"

OPEN = "state IN ('claimed', 'sending', 'uncertain')"


def upgrade() -> None:
    """Add columns and tables."""
    for name in ("mass_mail", "suppress"):
        op.add_column("company", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    for name in ("password", "token"):
        op.add_column("user_card", sa.Column(name, sa.LargeBinary(), nullable=True))
        version = sa.Column(f"{name}_version", sa.Integer(), nullable=False, server_default=sa.text("0"))
        op.add_column("user_card", version)
    op.create_index(
        "ix_event_outbound",
        "event",
        ["outbound_id"],
        sqlite_where=sa.text("outbound_id IS NOT NULL"),
        postgresql_where=sa.text("outbound_id IS NOT NULL"),
    )
    op.create_table(
        "sender_config",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("company_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("snapshot", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_sender_config_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_sender_config"),
        sa.UniqueConstraint("company_id", "digest", name="uq_sender_config_company_id_digest"),
    )
    op.create_table(
        "sender_pause",
        sa.Column("sender_config_id", sa.Integer(), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["sender_config_id"], ["sender_config.id"], name="fk_sender_pause_sender_config_id"),
        sa.PrimaryKeyConstraint("sender_config_id", name="pk_sender_pause"),
    )
    op.create_table(
        "outbound",
        sa.Column("id", ID, nullable=False),
        sa.Column("company_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("sender_config_id", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("mass", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_outbound_company_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user_card.id"], name="fk_outbound_user_id"),
        sa.ForeignKeyConstraint(["sender_config_id"], ["sender_config.id"], name="fk_outbound_sender_config_id"),
        sa.PrimaryKeyConstraint("id", name="pk_outbound"),
    )
    op.create_table(
        "raw_outbound",
        sa.Column("outbound_id", ID, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["outbound_id"], ["outbound.id"], name="fk_raw_outbound_outbound_id"),
        sa.PrimaryKeyConstraint("outbound_id", name="pk_raw_outbound"),
    )
    op.create_table(
        "delivery",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("outbound_id", ID, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["outbound_id"], ["outbound.id"], name="fk_delivery_outbound_id"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
    )
    op.create_index("ix_delivery_outbound", "delivery", ["outbound_id"])
    op.create_index(
        "ix_delivery_due",
        "delivery",
        ["due_at"],
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_delivery_open",
        "delivery",
        ["state", "lease_until"],
        sqlite_where=sa.text(OPEN),
        postgresql_where=sa.text(OPEN),
    )
    op.create_table(
        "outbound_recipient",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("delivery_id", NUMBER, nullable=False),
        sa.Column("company_id", sa.Integer(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("to_send", sa.Boolean(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("noticed_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name="fk_outbound_recipient_delivery_id"),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_outbound_recipient_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_outbound_recipient"),
    )
    op.create_index("ix_outbound_recipient_delivery", "outbound_recipient", ["delivery_id"])
    op.create_index("ix_outbound_recipient_address", "outbound_recipient", ["company_id", "address_key", "changed_at"])
    op.create_table(
        "outbound_key",
        sa.Column("company_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("outbound_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_outbound_key_company_id"),
        sa.ForeignKeyConstraint(["outbound_id"], ["outbound.id"], name="fk_outbound_key_outbound_id"),
        sa.PrimaryKeyConstraint("company_id", "key", "outbound_id", name="pk_outbound_key"),
    )
    op.create_table(
        "suppression",
        sa.Column("company_id", sa.Integer(), nullable=False),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("event_id", ID, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_suppression_company_id"),
        sa.PrimaryKeyConstraint("company_id", "address_key", name="pk_suppression"),
    )
