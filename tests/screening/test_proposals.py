"""Proposed Flags and DetectedIssues: valid R4, one for each card, never active by themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from fhir.resources.R4B.bundle import Bundle

from cds_service.cli import main
from tests.screening.generate import FIXTURES, as_export, records
from tests.screening.running import rows, ruleset, write


@pytest.fixture(autouse=True)
def _load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cds_service.cli.console.load_ruleset", lambda *_, **__: ruleset())


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    people = records(FIXTURES)
    write(
        folder / "all.ndjson",
        *(one for at, person in enumerate(people) for one in as_export(person, f"p{at}", f"{at}-")),
    )
    return folder


@pytest.mark.parametrize(("kind", "status"), [("flags", "inactive"), ("detected-issues", "preliminary")])
def test_each_card_is_a_proposal(kind: str, status: str, export: Path, tmp_path: Path) -> None:
    command = ["screen", str(export), "--today", "2026-03-10", "--out", str(tmp_path), "--fhir", kind, "--workers", "1"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    files = sorted(tmp_path.glob(f"{kind}-*.json"))
    made = [entry["resource"] for path in files for entry in json.loads(path.read_bytes())["entry"]]
    cards = [(row["patient"], card) for row in rows(tmp_path).values() for card in row.get("cards", ())]
    assert len(made) == len(cards) > 0
    assert {one["status"] for one in made} == {status}
    assert {one["identifier"][0]["value"] for one in made} == {f"{card['rule']}.{patient}" for patient, card in cards}
    if kind == "detected-issues":
        assert any(one.get("implicated") for one in made)
    before = [path.read_bytes() for path in files]
    assert CliRunner().invoke(main, command).exit_code == 0
    assert [path.read_bytes() for path in files] == before
    for path in files:
        Bundle.model_validate_json(path.read_bytes())
