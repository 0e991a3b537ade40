"""The tables. A change here needs a migration beside it; a test compares the two on both databases.

No column holds text of a record: a patient, a card that is none of ours and an odd hook instance are keyed hashes, and
only a site that switches it on keeps the comment of a feedback.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(column_0_label)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """An aware instant, in UTC whatever the database keeps."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _id() -> Column[int]:
    # only a plain INTEGER counts up by itself in SQLite
    return Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True)


SHOWN = Table(
    "shown_card",
    METADATA,
    _id(),
    Column("card", String(36), nullable=False, unique=True),
    Column("shown_at", Instant(), nullable=False, index=True),
    Column("client", String(100), nullable=False),
    Column("clinician_group", String(100), nullable=False),
    Column("service", String(64), nullable=False),
    Column("hook", String(64), nullable=False),
    Column("hook_instance", String(64), nullable=False),
    Column("patient", String(64), nullable=False),
    Column("rule", String(100), nullable=False),
    Column("topic", String(100), nullable=False),
    Column("indicator", String(8), nullable=False),
    Column("parts", Text(), nullable=False),
    Column("offers", Integer(), nullable=False),
    Column("silent", Boolean(create_constraint=False), nullable=False),
    Column("ruleset", String(64), nullable=False),
    Column("knowledge", String(64), nullable=False),
    Index("ix_shown_card_patient", "patient", "clinician_group"),
)
"""One row for each card. `rule` is what it is about, `parts` (JSON, `cards.hold_back.Part` by rule) all that it names.
`offers` counts its suggestions. `silent`: it was not sent."""

FEEDBACK = Table(
    "feedback",
    METADATA,
    _id(),
    Column("digest", String(64), nullable=False, unique=True),
    Column("client", String(100), nullable=False),
    Column("service", String(64), nullable=False),
    Column("card", String(64), nullable=False, index=True),
    Column("outcome", String(10), nullable=False),
    Column("outcome_at", Instant(), nullable=False),
    Column("received_at", Instant(), nullable=False, index=True),
    Column("reason", String(64), nullable=False),
    Column("accepted", Integer(), nullable=False),
    Column("comment", Text(), nullable=True),
)
"""One row for each thing that was told of a card; `digest` makes telling it again change nothing. `accepted` counts the
suggestions that were taken. Not tied to `shown_card`: feedback on cards that are not known is kept."""

REPLAY = Table(
    "used_token",
    METADATA,
    Column("client", String(100), primary_key=True),
    Column("jti", String(64), primary_key=True),
    Column("expires_at", Instant(), nullable=False, index=True),
)
"""Tokens that were accepted, `jti` as a hash."""
