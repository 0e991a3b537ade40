"""Coverage names exactly what no scenario reaches."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from cds_service.review.bench import Prepared, prepare, scenarios_of
from cds_service.review.coverage import Covered, measure, unreachable
from cds_service.ruleset import load_ruleset

ROOT = Path(__file__).resolve().parents[2]
RULESET = load_ruleset(ROOT / "rules")


@functools.cache
def all_prepared() -> tuple[Prepared, ...]:
    return tuple(prepare(RULESET, scenarios_of(RULESET, [ROOT / "fixtures" / "scenarios"])))


@functools.cache
def covered() -> dict[str, Covered]:
    return {f"{one.target.what} {one.target.name}": one for one in measure(RULESET, all_prepared())}


def reached_by(*titles: str) -> set[str]:
    chosen = [one for one in all_prepared() if one.scenario.title in titles]
    assert chosen
    return {f"{one.target.what} {one.target.name}" for one in measure(RULESET, chosen) if one.by}


def told(one: Covered) -> str:
    return f"{one.target.file}:{one.target.line} {one.target.what} {one.target.name}"


def test_everything_is_reached_or_its_reason_is_written_down() -> None:
    assert [told(one) for one in covered().values() if not one.by and not one.unreachable_because] == []


def test_what_is_called_unreachable_is_there_and_not_reached() -> None:
    known = unreachable(ROOT / "rules")
    assert {key for key in known if f"{key[0]} {key[1]}" not in covered()} == set()
    assert [told(one) for one in covered().values() if one.by and one.unreachable_because] == []
    assert all(known.values())


@pytest.mark.parametrize(
    "name",
    [
        "band lab-hypokalemia severe",
        "gate row potassium-chloride GK17",
        "row of then potassium-chloride recheck in 7 days",
        "patient gate gate-age",
        "sweep row sweep-enac",
        "freeze exception potassium-chloride on the card of lab-hypokalemia",
        "tier floor moderate by lab-hypokalemia",
    ],
)
def test_every_kind_of_target_is_measured(name: str) -> None:
    assert covered()[name].by


def test_one_scenario_reaches_its_own_band_and_nothing_of_others() -> None:
    reached = reached_by("below 2.5 is critical")
    assert "band lab-hypokalemia severe" in reached
    assert "band lab-hypokalemia mild" not in reached
    assert "gate row potassium-chloride GK3" in reached
    assert "gate row potassium-chloride GK17" not in reached
    # the sweep is asked although the gate had forbidden already
    assert "sweep row sweep-potassium-critical" in reached
