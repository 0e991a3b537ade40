"""Counts of what was shown and of what came of it, straight from the database: by day, rule, outcome and reason."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, func, select

from cds_service.feedback.database import Database
from cds_service.feedback.tables import FEEDBACK, SHOWN


class Count(msgspec.Struct, frozen=True):
    """So many cards of one kind. `outcome` is empty where nothing was told; of several outcomes the last counts."""

    day: date
    rule: str
    indicator: str
    silent: bool
    offering: bool
    outcome: str
    reason: str
    cards: int


class Counts(msgspec.Struct, frozen=True):
    shown: tuple[Count, ...]
    clients: tuple[str, ...]
    """All clients that cards were ever shown to, for a choice among them."""
    unknown: int
    """Feedback of the same days about cards that are not known here."""


def read_counts(database: Database, since: date, until: date, client: str = "") -> Counts:
    """Counts of the days from `since` to `until`, both included, in UTC; of all clients unless one is named.

    Raises SQLAlchemy's errors.
    """
    first = datetime.combine(since, time(), UTC)
    end = datetime.combine(until, time(), UTC) + timedelta(days=1)
    with database.durable.connect() as connection:
        return Counts(
            tuple(_shown(connection, first, end, client)),
            tuple(connection.execute(select(SHOWN.c.client).distinct().order_by(SHOWN.c.client)).scalars()),
            _unknown(connection, first, end, client),
        )


def _shown(connection: Connection, first: datetime, end: datetime, client: str) -> Iterator[Count]:
    newest = func.row_number().over(
        partition_by=(FEEDBACK.c.client, FEEDBACK.c.card), order_by=(FEEDBACK.c.outcome_at.desc(), FEEDBACK.c.id.desc())
    )
    told = select(
        FEEDBACK.c.client, FEEDBACK.c.card, FEEDBACK.c.outcome, FEEDBACK.c.reason, newest.label("newest")
    ).subquery()
    kinds = (
        func.date(SHOWN.c.shown_at).label("day"), SHOWN.c.rule, SHOWN.c.indicator, SHOWN.c.silent,
        (SHOWN.c.offers > 0).label("offering"), told.c.outcome, told.c.reason,
    )  # fmt: skip
    statement = (
        select(*kinds, func.count().label("cards"))
        .select_from(
            SHOWN.outerjoin(
                told, and_(told.c.card == SHOWN.c.card, told.c.client == SHOWN.c.client, told.c.newest == 1)
            )
        )
        .where(SHOWN.c.shown_at >= first, SHOWN.c.shown_at < end, *_of(SHOWN, client))
        .group_by(*kinds)
    )
    for row in connection.execute(statement):
        # SQLite tells a day as text
        day = date.fromisoformat(row.day) if isinstance(row.day, str) else row.day
        yield Count(
            day, row.rule, row.indicator, row.silent, bool(row.offering), row.outcome or "", row.reason or "", row.cards
        )


def _unknown(connection: Connection, first: datetime, end: datetime, client: str) -> int:
    known = select(SHOWN.c.id).where(SHOWN.c.card == FEEDBACK.c.card, SHOWN.c.client == FEEDBACK.c.client).exists()
    statement = (
        select(func.count())
        .select_from(FEEDBACK)
        .where(FEEDBACK.c.received_at >= first, FEEDBACK.c.received_at < end, ~known, *_of(FEEDBACK, client))
    )
    return int(connection.execute(statement).scalar_one())


def _of(table: Any, client: str) -> list[Any]:
    return [table.c.client == client] if client else []
