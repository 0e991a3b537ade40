"""Alembic runs this: one transaction, held by one process at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from cds_service.feedback.tables import METADATA

_LOCK = 0x1E6C7A4D  # any number of our own, the same in every process

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    if engine.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA busy_timeout=30000")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    context.configure(connection=connection, target_metadata=METADATA, transaction_per_migration=False)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
