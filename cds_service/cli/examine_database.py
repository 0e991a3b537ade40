"""Whether the database can be used, and whether its tables are those of this version."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from cds_service.cli.finding import Finding
from cds_service.feedback import migrate
from cds_service.feedback.database import BadDatabase, open_database

_ABOUT = "database"


def examine_database(address: str | None, offline: bool) -> Finding:
    """Looks at the database of a URL; makes neither a file nor a table."""
    if not address or address == "none":
        what = "none is set: feedback is not kept, and a token is known as used to one worker alone"
        return Finding(_ABOUT, "warn", what, "Set LEGCRAMP_DATABASE.")
    missing = _missing_file(address)
    if missing is not None:
        folder = next(folder for folder in missing.absolute().parents if folder.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            return Finding(_ABOUT, "fail", f"{missing} cannot be made", f"Let the service write into {folder}.")
        return Finding(_ABOUT, "warn", f"{missing} is not there yet", "It is made when the service starts.")
    if offline and not address.startswith("sqlite"):
        return Finding(_ABOUT, "ok", "was not asked, because of --offline")
    try:
        database = open_database(address)
    except BadDatabase as error:
        return Finding(_ABOUT, "fail", str(error), "Set LEGCRAMP_DATABASE as docs/integrating.md says.")
    try:
        status = migrate.status(database)
    except SQLAlchemyError as error:
        mend = "Is it running, may this machine reach it, are user and password right?"
        return Finding(_ABOUT, "fail", f"{database.shown} does not answer ({type(error).__name__})", mend)
    finally:
        database.close()
    match status.state:
        case "current":
            return Finding(_ABOUT, "ok", f"{database.shown}, tables at {status.at}")
        case "newer":
            what = f"{database.shown}: its tables are of a newer version ({status.at})"
            return Finding(_ABOUT, "fail", what, "Run the version of the service that made them, or a later one.")
        case "empty" | "behind":
            stand = f"tables at {status.at}" if status.at else "no tables yet"
            what = f"{database.shown}: {stand}, newest is {status.newest}"
            return Finding(_ABOUT, "warn", what, "They are brought up to date when the service starts.")


def _missing_file(address: str) -> Path | None:
    """The file of a SQLite URL that is not there; None in any other case."""
    try:
        url = make_url(address)
    except ArgumentError:
        return None
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    path = Path(url.database)
    return None if path.exists() else path
