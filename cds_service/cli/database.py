"""`legcramp database`: the tables of the memory, and how to bring them up to date."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError

from cds_service.cli.console import FAILED, configuration, say, stop
from cds_service.feedback import migrate
from cds_service.feedback.database import BadDatabase, Database, open_database

_WORDS = {
    "current": "The tables are up to date ({at}).",
    "behind": "The tables are old ({at}; this release wants {newest}). Run: legcramp database upgrade",
    "empty": "There are no tables yet. Run: legcramp database upgrade",
    "newer": "The tables belong to a newer release ({at}; this one knows {newest}).",
}


@click.group()
def database() -> None:
    """The database of LEGCRAMP_DATABASE: is it ready, and make it so."""


@database.command()
def status() -> None:
    """Tell whether the tables are there and up to date. Ends with 1 when they are not."""
    with opened(configuration()) as database:
        found = migrate.status(database)
        say(f"{database.shown}\n{_WORDS[found.state].format(at=found.at, newest=found.newest)}")
    if found.state != "current":
        raise SystemExit(FAILED)


@database.command()
def upgrade() -> None:
    """Make the tables, or bring them up to date. Changes nothing when they are."""
    with opened(configuration()) as database:
        if migrate.status(database).state == "newer":
            stop("The tables belong to a newer release; nothing was changed.", FAILED)
        migrate.upgrade(database)
        say(f"{database.shown}\n{_WORDS['current'].format(at=migrate.status(database).at)}")


@contextlib.contextmanager
def opened(config: Any) -> Iterator[Database]:
    """The configured database, or the end of the command with the reason, without any word of the database's own."""
    if config.database in ("", "none"):
        stop("LEGCRAMP_DATABASE: names no database, so there is nothing to look at.")
    try:
        database = open_database(config.database, quick_seconds=30, durable_seconds=300)
    except BadDatabase as error:
        stop(f"LEGCRAMP_DATABASE: {error}")
    try:
        yield database
    except (SQLAlchemyError, OSError) as error:
        stop(
            f"{database.shown}: cannot be used ({type(error).__name__}). Is it running, and are its tables there?",
            FAILED,
        )
    finally:
        database.close()
