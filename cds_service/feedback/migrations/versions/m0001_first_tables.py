"""The first tables: shown cards, feedback, used tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_AT = sa.DateTime(timezone=True)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True)


def upgrade() -> None:
    op.create_table(
        "shown_card",
        _id(),
        sa.Column("card", sa.String(36), nullable=False),
        sa.Column("shown_at", _AT, nullable=False),
        sa.Column("client", sa.String(100), nullable=False),
        sa.Column("clinician_group", sa.String(100), nullable=False),
        sa.Column("service", sa.String(64), nullable=False),
        sa.Column("hook", sa.String(64), nullable=False),
        sa.Column("hook_instance", sa.String(64), nullable=False),
        sa.Column("patient", sa.String(64), nullable=False),
        sa.Column("rule", sa.String(100), nullable=False),
        sa.Column("topic", sa.String(100), nullable=False),
        sa.Column("indicator", sa.String(8), nullable=False),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.Column("offers", sa.Integer(), nullable=False),
        sa.Column("silent", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("ruleset", sa.String(64), nullable=False),
        sa.Column("knowledge", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_shown_card"),
        sa.UniqueConstraint("card", name="uq_shown_card_card"),
    )
    op.create_index("ix_shown_card_shown_at", "shown_card", ["shown_at"])
    op.create_index("ix_shown_card_patient", "shown_card", ["patient", "clinician_group"])
    op.create_table(
        "feedback",
        _id(),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("client", sa.String(100), nullable=False),
        sa.Column("service", sa.String(64), nullable=False),
        sa.Column("card", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(10), nullable=False),
        sa.Column("outcome_at", _AT, nullable=False),
        sa.Column("received_at", _AT, nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
        sa.UniqueConstraint("digest", name="uq_feedback_digest"),
    )
    op.create_index("ix_feedback_card", "feedback", ["card"])
    op.create_index("ix_feedback_received_at", "feedback", ["received_at"])
    op.create_table(
        "used_token",
        sa.Column("client", sa.String(100), nullable=False),
        sa.Column("jti", sa.String(64), nullable=False),
        sa.Column("expires_at", _AT, nullable=False),
        sa.PrimaryKeyConstraint("client", "jti", name="pk_used_token"),
    )
    op.create_index("ix_used_token_expires_at", "used_token", ["expires_at"])


def downgrade() -> None:
    for table in ("used_token", "feedback", "shown_card"):
        op.drop_table(table)
