"""Removes what is older than a site keeps it."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Column, Table, delete, func, select

from cds_service.feedback.database import Database
from cds_service.feedback.tables import FEEDBACK, REPLAY, SHOWN

_AT_ONCE = 5_000
"""Rows for each transaction: the server's own writes get their turn in between."""


class Purged(msgspec.Struct, frozen=True):
    """How many rows went, or would go."""

    shown: int
    feedback: int
    tokens: int


def purge(database: Database, now: datetime, keep: timedelta, dry_run: bool = False) -> Purged:
    """Removes cards and feedback older than `keep`, and tokens that have expired. Raises SQLAlchemy's errors."""
    before = now - keep
    rows = [
        _remove(database, table, column, limit, dry_run)
        for table, column, limit in (
            (SHOWN, SHOWN.c.shown_at, before),
            (FEEDBACK, FEEDBACK.c.received_at, before),
            (REPLAY, REPLAY.c.expires_at, now),
        )
    ]
    return Purged(*rows)


def _remove(database: Database, table: Table, column: Column[datetime], limit: datetime, dry_run: bool) -> int:
    if dry_run:
        with database.durable.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(table).where(column < limit)).scalar_one())
    # by a subquery: neither database has a DELETE with a limit
    one = table.c.jti if table is REPLAY else table.c.id
    some = select(one).where(column < limit).limit(_AT_ONCE).scalar_subquery()
    removed = 0
    while True:
        with database.durable.begin() as connection:
            gone = connection.execute(delete(table).where(one.in_(some), column < limit)).rowcount
        removed += gone
        if not gone:
            return removed
