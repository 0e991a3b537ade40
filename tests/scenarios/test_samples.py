"""Records published by others (../shared/samples): an answer or one clear line, never a traceback."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cds_service.cli import main
from cds_service.ruleset import load_ruleset
from tests.scenarios.shared import ROOT

SAMPLES = Path(os.environ.get("LEGCRAMP_SAMPLES", ROOT.parent / "shared" / "samples"))
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"the published sample records are not at {SAMPLES}")
EVERY_FILE = sorted(path for path in SAMPLES.rglob("*") if path.is_file() and path.suffix != ".md")


LOADED = functools.cache(load_ruleset)
"""Each folder once a process."""


@pytest.fixture(autouse=True)
def _load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cds_service.cli.console.load_ruleset", LOADED)


def check(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, ["check", "--json", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def answers(result: Result) -> dict[str, Any]:
    return {Path(told["input"]).name: told for told in map(json.loads, result.stdout.splitlines())}


def fired(told: dict[str, Any]) -> set[str]:
    return {finding["rule"] for finding in told["findings"] if finding["verdict"] == "yes"}


def test_every_sample_gets_an_answer_or_one_clear_line() -> None:
    result = check("--today", "2021-06-01", *EVERY_FILE)
    complaints = result.stderr.splitlines()
    assert len(answers(result)) + len(complaints) == len(EVERY_FILE)
    assert all(line.startswith(str(SAMPLES)) and ": " in line for line in complaints)
    assert result.exit_code == 1


def test_hook_samples_that_carry_a_patient_are_answered() -> None:
    told = answers(check("--today", "2021-06-01", *sorted((SAMPLES / "hooks").glob("*.json"))))
    assert told.keys() >= {
        "order-select-wrapped-prefetch.json",
        "patient-view-null-prefetch-values.json",
        "patient-view-r4-prefetch-bundles.json",
    }


@pytest.mark.parametrize(
    ("file", "today", "rule"),
    [
        ("loop-diuretic-heart-failure.json", "2020-09-01", "diuretic-loop"),  # "Lasix 40mg", 315971
        ("thiazide.json", "2007-06-01", "diuretic-thiazide"),  # 316049, a component code
        ("combination-tablet.json", "2020-06-01", "diuretic-combination"),  # 999967, three drugs in one tablet
        ("laba-inhaler-copd.json", "2012-01-01", "laba-cramp"),  # 896209, fluticasone/salmeterol
        ("diabetes-neuropathy.json", "2011-06-01", "diabetes-cramps"),
    ],
)
def test_drugs_are_found_by_their_real_codes(file: str, today: str, rule: str) -> None:
    told = answers(check("--today", today, SAMPLES / "synthea" / file))[file]
    assert rule in fired(told)
    finding = next(finding for finding in told["findings"] if finding["rule"] == rule)
    assert finding["evidence"]


@pytest.mark.parametrize("today", ["2012-01-01", "2021-06-01", "2026-03-10"])
def test_the_child_the_deceased_and_the_healthy_get_no_card(today: str) -> None:
    files = [SAMPLES / "synthea" / name for name in ("child-asthma.json", "deceased.json", "healthy-adult.json")]
    told = answers(check("--today", today, *files))
    assert len(told) == 3
    assert not [card for one in told.values() for card in one["cards"]]
    assert told["deceased.json"]["patient_gate"] == "gate-deceased"
    assert told["child-asthma.json"]["patient_gate"] == "gate-age"


def test_patients_without_cramps_are_quiet() -> None:
    told = answers(check("--today", "2021-06-01", *sorted((SAMPLES / "synthea").glob("*.json"))))
    for name, one in told.items():
        assert one["mode"] == "quiet", name
        assert all(card["indicator"] != "info" or "risk" in card["summary"].lower() for card in one["cards"]), name


def test_two_parts_of_one_record_are_taken_together() -> None:
    parts = sorted((SAMPLES / "other-versions").glob("stu3-*.json"))
    result = check("--together", "--today", "2015-01-01", *parts)
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1
    assert check("--today", "2015-01-01", parts[1]).exit_code == 1
