"""The state of a database's tables, and how to bring them up to date. The migrations come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from cds_service.feedback.database import Database

_FOLDER = Path(__file__).resolve().parent / "migrations"


class Status(msgspec.Struct, frozen=True):
    """`at` and `newest` are migration ids; `at` is empty where there are no tables yet."""

    state: Literal["current", "behind", "empty", "newer"]
    at: str
    newest: str


def status(database: Database) -> Status:
    """Where the tables stand. Raises SQLAlchemy's errors when the database cannot be asked."""
    scripts = ScriptDirectory.from_config(_config(database))
    newest = scripts.get_current_head() or ""
    with database.durable.connect() as connection:
        at = MigrationContext.configure(connection).get_current_revision() or ""
    if at == newest:
        return Status("current", at, newest)
    known = {script.revision for script in scripts.walk_revisions()}
    return Status("empty" if not at else "behind" if at in known else "newer", at, newest)


def upgrade(database: Database) -> None:
    """Brings the tables up to date. Safe to call from several processes: they wait for each other."""
    command.upgrade(_config(database), "head")


def _config(database: Database) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    # a migration may take longer than any request may wait, so it has connections of its own
    config.attributes["engine"] = create_engine(database.url, poolclass=NullPool)
    return config
