"""Every test of the memory runs on SQLite and on a PostgreSQL that was really started."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from cds_service.feedback.database import Database, open_database
from cds_service.feedback.migrate import upgrade
from tests.engine.conftest import load
from tests.feedback import postgresql

__all__ = ["load"]

PATIENCE_SECONDS = 30.0
"""No test depends on how fast a shared machine is, but those about waiting."""


@pytest.fixture(scope="session")
def server() -> Iterator[postgresql.Server]:
    if postgresql.PROGRAMS is None:
        pytest.skip("PostgreSQL is not installed; `make postgresql` installs it")
    with postgresql.running() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/memory.sqlite3"
    server: postgresql.Server = request.getfixturevalue("server")
    return server.url(f"t{uuid.uuid4().hex}")


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    """A database with its tables."""
    opened = open_database(address, PATIENCE_SECONDS, PATIENCE_SECONDS)
    upgrade(opened)
    yield opened
    opened.close()


class Noted(Counter[str]):
    """Counts events, as metrics do."""

    def __call__(self, event: str, count: int = 1) -> None:
        self[event] += count


@pytest.fixture
def noted() -> Noted:
    return Noted()
