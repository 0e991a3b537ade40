"""The difference of two rules folders: in words, and in what comes of the scenarios."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cds_service.cli import main
from cds_service.review.diff import compare
from cds_service.ruleset import load_ruleset

ROOT = Path(__file__).resolve().parents[2]
NEW = load_ruleset(ROOT / "rules")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The rules as they stand now, to be changed into those that were before."""
    return Path(shutil.copytree(ROOT / "rules", tmp_path / "rules"))


def replace(file: Path, before: str, after: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after, 1), encoding="utf-8")


def diff(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["rules", "diff", *map(str, arguments)])


def test_nothing_differs_from_itself() -> None:
    assert compare(NEW, NEW, [], []).is_empty


def test_a_threshold_a_row_a_wording_and_a_rule_are_told(old: Path) -> None:
    replace(old / "laboratory/lab-hypokalemia.yaml", "below: 2.5 mmol/L", "below: 2.6 mmol/L")
    replace(old / "laboratory/lab-hypokalemia.yaml", "title: Low potassium", "title: Potassium low")
    replace(old / "gates/potassium-chloride.yaml", "dose: 20 meq, times_a_day: 2", "dose: 10 meq, times_a_day: 2")
    (old / "medication/laba-cramp.yaml").unlink()
    found = compare(load_ruleset(old), NEW, [], [])
    told = {(one.file, one.how): [f"{c.where}: {c.text}" for c in one.changes] for one in found.files}
    assert any(
        "below: 2.6 mmol/L is now 2.5 mmol/L" in line for line in told["laboratory/lab-hypokalemia.yaml", "changed"]
    )
    assert 'title: "Potassium low" is now "Low potassium"' in told["laboratory/lab-hypokalemia.yaml", "changed"]
    assert told["gates/potassium-chloride.yaml", "changed"] == ["rows > GK17b > allow > dose: 10 meq is now 20 meq"]
    assert ("medication/laba-cramp.yaml", "new") in told
    outcome = next(one for one in found.outcomes if one.title == "a combination inhaler")
    assert any("laba-cramp" in line for line in outcome.only_after)
    assert outcome.place.startswith("rules/medication/laba-cramp.yaml:")


def test_codes_that_left_a_value_set_are_counted(old: Path) -> None:
    path = old / "value-sets/ingredient/albuterol.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["compose"]["include"][0]["concept"].pop()
    path.write_text(json.dumps(data), encoding="utf-8")
    (changed,) = compare(load_ruleset(old), NEW, [], []).value_sets
    assert (changed.id, changed.added, changed.removed) == ("albuterol", 1, 0)
    assert changed.before is not None
    assert changed.after == changed.before + 1


def test_the_command_ends_with_1_when_something_changes(old: Path) -> None:
    assert diff(ROOT / "rules", ROOT / "rules").exit_code == 0
    replace(old / "tiers/contributor-level.yaml", "moderate: 3", "moderate: 2")
    result = diff(old, ROOT / "rules")
    assert result.exit_code == 1
    assert "levels > moderate: 2 is now 3" in result.output
    assert "scenarios end otherwise" in result.output
    as_json = json.loads(diff("--json", old, ROOT / "rules").output)
    assert [one["file"] for one in as_json["files"]] == ["tiers/contributor-level.yaml"]
    assert as_json["outcomes"]
