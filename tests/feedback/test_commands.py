"""`legcramp database`, `report` and `purge`, on both databases."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from cds_service.cards.hold_back import CardBasis, Part
from cds_service.cli import main
from cds_service.feedback.database import Database
from cds_service.feedback.memory import Memory, Occasion, Shown
from cds_service.feedback.pseudonyms import Pseudonyms
from tests.feedback.conftest import Noted


def run(database: str, *arguments: str, **environment: str) -> Result:
    return CliRunner(env={"LEGCRAMP_DATABASE": database, **environment}).invoke(main, arguments)


def shown(database: Database, noted: Noted, at: datetime) -> None:
    occasion = Occasion("north", "wards", "s", "patient-view", str(uuid4()), "p")
    basis = CardBasis("lab-hypokalemia", "t", "warning", {"lab-hypokalemia": Part("warning", "mild", 2)})
    memory = Memory(database, Pseudonyms(b"key"), {}, noted)
    memory.note_shown(occasion, [Shown(basis, str(uuid4()))], ("d", "1"), at)
    assert memory.waiting == 0


def address_of(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


def test_the_tables_are_made_and_told(address: str) -> None:
    before = run(address, "database", "status")
    assert (before.exit_code, "legcramp database upgrade" in before.output) == (1, True)
    assert run(address, "database", "upgrade").exit_code == 0
    after = run(address, "database", "status")
    assert (after.exit_code, "up to date" in after.output) == (0, True)


@pytest.mark.parametrize("command", [["database", "status"], ["database", "upgrade"], ["report"], ["purge"]])
@pytest.mark.parametrize(
    ("address", "code"),
    [("none", 3), ("mysql://who:Zaphod@host/m", 3), ("postgresql://who:Zaphod@127.0.0.1:1/m", 1)],
)
def test_without_a_database_a_command_says_so_and_shows_no_password(
    command: list[str], address: str, code: int
) -> None:
    result = run(address, *command)
    assert result.exit_code == code
    assert result.stderr.strip()
    assert "Zaphod" not in result.output
    assert "Traceback" not in result.output


def test_a_report_in_the_terminal_as_json_and_as_csv(database: Database, noted: Noted) -> None:
    shown(database, noted, datetime.now(UTC))
    where = address_of(database)
    text = run(where, "report")
    assert text.exit_code == 0, text.output
    assert "R01 Low potassium" in text.output
    data: Any = json.loads(run(where, "report", "--json").output)
    assert (data["total"]["shown"], data["rules"][0]["name"]) == (1, "lab-hypokalemia")
    (row,) = csv.DictReader(io.StringIO(run(where, "report", "--csv", "rules").output))
    assert row["shown"] == "1"
    other = json.loads(run(where, "report", "--json", "--client", "south").output)
    assert other["total"]["shown"] == 0
    early = run(where, "report", "--json", "--since", "2020-01-01", "--until", "2020-01-31")
    assert json.loads(early.output)["total"]["shown"] == 0


@pytest.mark.parametrize("wrong", [["--since", "2026-02-01", "--until", "2026-01-01"], ["--json", "--csv", "rules"]])
def test_a_report_that_was_asked_for_wrongly(wrong: list[str], address: str) -> None:
    assert run(address, "report", *wrong).exit_code == 2


def test_purging_tells_and_removes(database: Database, noted: Noted) -> None:
    shown(database, noted, datetime.now(UTC) - timedelta(days=40))
    where = address_of(database)
    assert "Removed 0 cards" in run(where, "purge").output
    assert "Would remove 1 cards" in run(where, "purge", "--days", "30", "--dry-run").output
    assert "Removed 1 cards" in run(where, "purge", LEGCRAMP_RETENTION_DAYS="39").output


def test_a_missing_table_is_told_without_the_databases_own_words(address: str) -> None:
    result = run(address, "report")
    assert result.exit_code == 1
    assert "SELECT" not in result.output
