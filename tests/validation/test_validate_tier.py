"""`legcramp validate-tier` from the outside, on people who do not exist."""

from __future__ import annotations

import functools
import importlib
import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from cds_service.cli.validate_tier import validate_tier
from cds_service.ruleset import load_ruleset
from tests.validation.invent import FILE, rows, text

ROOT = Path(__file__).resolve().parents[2]
FEW = ("--replicates", "60")


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(validate_tier, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@functools.cache
def reported() -> dict[str, Any]:
    result = run(FILE, "--json", *FEW)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def contributor(rule: str) -> dict[str, Any]:
    return next(row for row in reported()["contributors"] if row["exposure"]["rule"] == rule)


def test_every_baseline_stands_beside_the_tier() -> None:
    for outcome in reported()["outcomes"]:
        assert [row["score"] for row in outcome["scores"]] == [
            "age and sex",
            "number of prescription drugs",
            "points of contributor-level",
            "level of contributor-level",
            "age, sex and the tier's points",
            "logistic regression, all features",
        ]
        for row in outcome["scores"]:
            for kind in ("plain", "weighted"):
                assert 0 < row[kind]["low"] <= row[kind]["value"] <= row[kind]["high"] < 1


def test_what_was_put_into_the_people_is_found_again() -> None:
    loop, thiazide = contributor("diuretic-loop"), contributor("diuretic-thiazide")
    assert loop["weighted"]["low"] > 1
    assert loop["exposure"]["basis"] == "published ratio"
    assert thiazide["weighted"]["low"] < 1 < thiazide["weighted"]["high"]
    unscored = next(row for row in reported()["contributors"] if row["exposure"]["bands"] == ["unscored"])
    assert unscored["reading"] == "stronger than its points"
    assert unscored["proposed"] == 1
    assert unscored["chance"] < 0.05 < unscored["chance_of_all"]


def test_levels_count_everybody_once() -> None:
    report = reported()
    (tier,) = report["tiers"]
    assert sum(row["people"] for row in tier["levels"]) == report["examined"]
    assert sum(row["population"]["value"] for row in tier["levels"]) == pytest.approx(1)
    assert sum(row["cases"] for row in tier["levels"]) == report["outcomes"][1]["cases"]


def test_what_cannot_be_judged_is_said_with_the_reason() -> None:
    told = {row["rule"]: row["why"] for row in reported()["not_judged"]}
    assert told["lab-hypomagnesemia"] == "Serum magnesium is not measured in NHANES."
    assert told["dialysis-cramps"] == "Nobody has it."
    quinine = contributor("quinine-use")
    assert quinine["limits"].startswith("given for leg cramps")
    assert quinine["chance"] is None


def test_a_published_value_is_never_proposed_anew() -> None:
    assert all(row["proposed"] is None for row in reported()["contributors"] if row["exposure"]["basis"] != "judged")


def test_the_same_file_gives_the_same_report() -> None:
    again = json.loads(run(FILE, "--json", *FEW).stdout)
    assert again == reported()


def test_a_folder_gets_the_report_and_charts_that_need_no_color(tmp_path: Path) -> None:
    out = tmp_path / "report"
    assert run(FILE, "--out", out, *FEW).exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["contributors.svg", "levels.svg", "report.json", "report.md"]
    words = (out / "report.md").read_text(encoding="utf-8")
    assert "| none |" in words
    assert "](contributors.svg)" in words
    for name in ("contributors.svg", "levels.svg"):
        drawn = ElementTree.parse(out / name)
        spoken = " ".join("".join(one.itertext()) for one in drawn.iter("{http://www.w3.org/2000/svg}text"))
        assert "NHANES 2005-2006" in spoken
    assert json.loads((out / "report.json").read_text(encoding="utf-8")) == reported()


def test_small_counts_are_hidden_in_words() -> None:
    result = run(FILE, *FEW)
    assert result.exit_code == 0
    assert "under 5" in result.stdout
    assert "Levels of contributor-level" in result.stdout


def test_a_version_is_proposed_loads_and_is_judged_as_fitted_on_its_own_table(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", rules)
    proposal = rules / "tiers" / "from-invented-people.yaml"
    assert run(FILE, "--propose", proposal, *FEW).exit_code == 0
    tier = load_ruleset(rules, tier="from-invented-people").knowledge.tier
    assert tier is not None
    assert tier.points == {"cramp-associated-drug": {"unscored": 1}}
    result = run(FILE, "--tier", "from-invented-people", "--rules", rules, "--json", *FEW)
    seen = {one["tier"]: one["seen"] for one in json.loads(result.stdout)["tiers"]}
    assert seen == {
        "contributor-level": "points not fitted on any table",
        "from-invented-people": "fitted on this very table",
    }
    other = tmp_path / "later.csv"
    other.write_text(text(rows("2007-2008", seed=8)), encoding="utf-8")
    result = run(other, "--tier", "from-invented-people", "--rules", rules, "--json", *FEW)
    assert json.loads(result.stdout)["tiers"][1]["seen"] == "fitted on 2005-2006, not on this"


def test_points_are_never_fitted_on_the_cycle_that_judges_them(tmp_path: Path) -> None:
    later = tmp_path / "later.csv"
    later.write_text(text(rows("2007-2008")), encoding="utf-8")
    result = run(later, "--propose", tmp_path / "tier.yaml", *FEW)
    assert result.exit_code == 1
    assert "points are fitted on 2005-2006 only; this table is 2007-2008, which judges them" in result.stderr
    assert not (tmp_path / "tier.yaml").exists()


def test_a_file_of_two_cycles_needs_one_chosen(tmp_path: Path) -> None:
    both = tmp_path / "both.csv"
    table = rows(people=300) + [row | {"seqn": f"9{row['seqn']}"} for row in rows("2007-2008", people=300)]
    both.write_text(text(table), encoding="utf-8")
    result = run(both, *FEW)
    assert result.exit_code == 1
    assert "holds 2005-2006, 2007-2008; choose one with --cycle" in result.stderr
    chosen = run(both, "--cycle", "2007-2008", "--json", *FEW)
    assert json.loads(chosen.stdout)["respondents"] == 300
    assert "has no rows of that cycle" in run(both, "--cycle", "1999-2000").stderr


def test_what_is_called_wrongly_is_told(tmp_path: Path) -> None:
    assert run(FILE, "--outcome", "weekly").exit_code == 2
    missing = run(tmp_path / "nobody.csv")
    assert (missing.exit_code, missing.stderr) == (1, "nobody.csv: cannot be read (No such file or directory)\n")
    unknown = run(FILE, "--tier", "contributor-lvel")
    assert unknown.exit_code == 3
    assert "there is no tier 'contributor-lvel'" in unknown.stderr
    young = tmp_path / "young.csv"
    young.write_text(text([row | {"age": "18", "pregnant": "0"} for row in rows(people=5)]), encoding="utf-8")
    assert "nobody is old enough and answered the question" in run(young).stderr


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = importlib.import_module

    def absent(name: str, package: str | None = None) -> Any:
        if name == "statsmodels":
            raise ImportError(name=name)
        return fetched(name, package)

    monkeypatch.setattr(importlib, "import_module", absent)
    result = run(FILE)
    assert result.exit_code == 3
    assert result.stderr == (
        "validate-tier needs statsmodels: install the extra, pip install 'leg-cramp-cds[validation]'\n"
    )


def test_the_command_line_starts_without_the_statistics() -> None:
    import subprocess
    import sys

    code = "import sys, cds_service.cli; print([m for m in ('numpy', 'scipy', 'statsmodels') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
