"""The ruleset, loaded once for each test process, and every scenario there is."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from cds_service.ruleset import load_ruleset
from cds_service.scenarios import Runner, Scenario

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures"


@cache
def runner() -> Runner:
    return Runner(load_ruleset(ROOT / "rules"))


@cache
def fixture_scenarios() -> tuple[Scenario, ...]:
    return tuple(runner().in_files([FIXTURES / "scenarios"], shown_from=ROOT))


@cache
def rule_scenarios() -> tuple[Scenario, ...]:
    return tuple(runner().of_rules())


def ids_of(scenarios: tuple[Scenario, ...]) -> list[str]:
    return [f"{Path(scenario.file).stem}-{scenario.title}" for scenario in scenarios]


def must_exist(scenario: Scenario) -> None:
    """Skips a case whose rules are still being written."""
    waiting = [rule for rule in scenario.requires if rule not in runner().rules]
    if waiting:
        pytest.skip(f"waiting for {', '.join(waiting)}")


def fits_a_bundle(scenario: Scenario) -> bool:
    """Whether a bare record can tell the case. It cannot say that something was not supplied or not selected, nor
    which order in force is to be refilled; settings are the site's, not the file's."""
    told = scenario.told
    drafts = [one for one in told.get("drafting", ()) if isinstance(one, dict)]
    return not told.keys() & {"not_supplied", "selecting", "settings"} and not any("status" in one for one in drafts)
