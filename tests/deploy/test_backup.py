"""The lines of docs/deployment.md that back up and restore, run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from tests.faults.service import ROOT, Service
from tests.feedback import postgresql

pytestmark = pytest.mark.heavy
_SECTION = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8").partition("## Back up, restore")[2]
BACK_UP_SQLITE, RESTORE_SQLITE, BACK_UP_POSTGRESQL, RESTORE_POSTGRESQL = re.findall(r"```sh\n(.*?)```", _SECTION, re.S)


def run(lines: str, programs: Path | None = None, **environ: str) -> None:
    path = os.environ["PATH"] if programs is None else f"{programs}:{os.environ['PATH']}"
    done = subprocess.run(["sh", "-ec", lines], env={"PATH": path} | environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def is_held_back(service: Service) -> bool:
    return not any(card["source"]["topic"]["code"] == "labhypokalemia" for card in service.cards())


def override(service: Service) -> None:
    """So that the copy can be told from an empty database: the card stays back."""
    for card in service.cards():
        if card["source"]["topic"]["code"] == "labhypokalemia":
            assert service.tell(card["uuid"], overridden="OR-managed") == 200
    assert is_held_back(service)


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="sqlite3 is missing; `make deployment` installs it")
def test_sqlite_is_copied_while_it_is_written_and_comes_back(tmp_path: Path) -> None:
    file, copy = tmp_path / "memory.sqlite3", tmp_path / f"{uuid4()}.copy"
    with Service(tmp_path, workers=1) as service:
        override(service)
        run(BACK_UP_SQLITE, FILE=str(file), COPY=str(copy))
        service.stop()
    file.unlink()
    run(RESTORE_SQLITE, FILE=str(file), COPY=str(copy))
    with Service(tmp_path, workers=1) as service:
        assert is_held_back(service)


@pytest.mark.skipif(postgresql.PROGRAMS is None, reason="PostgreSQL is missing; `make postgresql` installs it")
def test_postgresql_is_dumped_while_it_is_written_and_comes_back(tmp_path: Path) -> None:
    assert postgresql.PROGRAMS is not None
    programs, copy = postgresql.PROGRAMS.parent, str(tmp_path / "copy")
    with postgresql.running() as server:
        url, empty = server.url("first"), server.url("second")
        Service.command("database", "upgrade", DATABASE=url)
        with Service(tmp_path, workers=1, DATABASE=url) as service:
            override(service)
            run(BACK_UP_POSTGRESQL, programs, URL=url, COPY=copy)
        run(RESTORE_POSTGRESQL, programs, EMPTY=empty, COPY=copy)
        assert "up to date" in Service.command("database", "status", DATABASE=empty)
        with Service(tmp_path, workers=1, DATABASE=empty) as service:
            assert is_held_back(service)
