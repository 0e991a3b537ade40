"""The tables come by migration, on both databases, and are those that the code knows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from cds_service.feedback.database import BadDatabase, Database, open_database
from cds_service.feedback.migrate import status, upgrade
from cds_service.feedback.tables import METADATA

ROOT = Path(__file__).resolve().parents[2]


def test_an_empty_database_says_so_and_is_current_after_the_upgrade(address: str) -> None:
    database = open_database(address)
    assert status(database).state == "empty"
    upgrade(database)
    assert status(database).state == "current"
    upgrade(database)
    assert status(database).at == status(database).newest
    database.close()


def test_the_migrations_make_the_tables_that_the_code_knows(database: Database) -> None:
    with database.durable.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_several_processes_may_upgrade_at_once(address: str) -> None:
    code = (
        "import sys; from cds_service.feedback.database import open_database;"
        "from cds_service.feedback.migrate import upgrade; upgrade(open_database(sys.argv[1]))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, address], cwd=ROOT) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    database = open_database(address)
    assert status(database).state == "current"
    database.close()


def test_a_database_of_a_newer_release_is_told_apart(database: Database) -> None:
    with database.durable.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert status(database).state == "newer"


def test_sqlite_writes_ahead_and_syncs_what_must_last(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/m.sqlite3")
    for engine, synchronous in ((database.quick, 1), (database.durable, 2)):
        with engine.connect() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == synchronous
    database.close()


@pytest.mark.parametrize("address", ["nonsense", "sqlite://", "sqlite:///:memory:", "mysql://who:secret@host/name", ""])
def test_what_is_no_database_is_refused_without_being_repeated(address: str) -> None:
    with pytest.raises(BadDatabase) as caught:
        open_database(address)
    assert "secret" not in str(caught.value)


def test_a_password_is_never_shown() -> None:
    assert "secret" not in open_database("postgresql://who:secret@127.0.0.1:1/name").shown
