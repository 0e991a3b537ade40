"""A second version of the tier: it counts only where it is asked for, and is checked wherever it lies."""

from __future__ import annotations

import json
import math
import shutil
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from cds_service.assess import assess
from cds_service.engine.model import TierResult
from cds_service.engine.source import RulesetError
from cds_service.facts.gathered import gathered_from_bundle
from cds_service.facts.reading import decode_resource
from cds_service.ruleset import load_ruleset
from cds_service.settings import Settings
from tests.engine.conftest import Change

ROOT = Path(__file__).resolve().parents[2]
OTHER = """\
tier: other
based_on: level
title: Other points
version: 0.1.0
status: proposed
fitted_on: {table: people, cycle: "2005", outcome: two or more a month, adjusted_for: age and sex}
points: {low: {found: {points: 3, instead_of: 0, ratio: 2.80, low: 2.10, high: 3.70, people: 120}}}
"""


def errors(load: Change, text: str) -> str:
    with pytest.raises(RulesetError) as caught:
        load({"tiers/other.yaml": text})
    return str(caught.value)


def test_the_version_that_nobody_asked_for_changes_nothing(load: Change) -> None:
    knowledge = load({"tiers/other.yaml": OTHER})
    assert knowledge.tier is not None
    assert knowledge.tier.id == "level"
    assert [name for name in knowledge.sources if name.startswith("tiers/")] == ["tiers/level.yaml"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("based_on: level", "based_on: levle", "other.yaml:2: there is no tier 'levle' to start from"),
        ("points: {low: {", "points: {lowish: {", "other.yaml:7: there is no rule 'lowish'"),
        ("{found: {", "{mild: {", "other.yaml:7: the rule low has no band 'mild'"),
        ("tier: other", "tier: another", "other.yaml:1: tier 'another' must equal the file name"),
        ("people: 120", "peple: 120", "other.yaml:7: the key 'peple' is not known here"),
    ],
)
def test_a_mistake_in_it_is_told_all_the_same(load: Change, old: str, new: str, told: str) -> None:
    assert told in errors(load, OTHER.replace(old, new))


def test_a_name_that_no_file_has_is_told() -> None:
    with pytest.raises(RulesetError, match="there is no tier 'contributor-lvel'; known are contributor-level"):
        load_ruleset(ROOT / "rules", tier="contributor-lvel")


DIABETIC = [
    {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1985-01-01"},
    {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"},
     "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "E11.9"}]}},
    {"resourceType": "Observation", "id": "k", "status": "final", "subject": {"reference": "Patient/p"},
     "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]}, "effectiveDateTime": "2026-01-20",
     "valueQuantity": {"value": 3.2, "unit": "mmol/L"}},
]  # fmt: skip


def counted(rules: Path, tier: str) -> TierResult:
    ruleset = load_ruleset(rules, tier=tier)
    resources = [decode_resource(json.dumps(one).encode()) for one in DIABETIC]
    now = datetime(2026, 3, 10, tzinfo=UTC)  # the potassium is 49 days old: past its window it counts nothing
    result = assess(gathered_from_bundle(resources), ruleset, Settings(), now).tier
    assert result is not None
    return result


def test_asked_for_it_counts_its_own_points(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", rules)
    for one in (rules / "tiers").glob("*.yaml"):
        if one.stem != "contributor-level":
            one.unlink()
    bands = "lab-hypokalemia: {mild: {points: 5, instead_of: 2, ratio: 5.60, low: 4.10, high: 7.70, people: 120}}"
    text = OTHER.replace("level", "contributor-level").replace("low: {found", "diabetes-cramps: {found")
    (rules / "tiers" / "other.yaml").write_text(text.replace("}}}", "}}, " + bands + "}"))
    default, other = counted(rules, ""), counted(rules, "other")
    assert (default.points, default.level) == (2, "low")
    assert (other.points, other.level) == (3, "moderate")
    assert load_ruleset(rules).digest == load_ruleset(ROOT / "rules").digest != load_ruleset(rules, tier="other").digest


def test_points_of_a_published_ratio_follow_from_it() -> None:
    ruleset = load_ruleset(ROOT / "rules")
    tier = ruleset.knowledge.tier
    assert tier is not None
    rules = {rule.id: rule for rule in ruleset.knowledge.rules}
    assert tier.published
    for name, told in tier.published.items():
        wide = told.low is not None and told.high is not None and told.high > 5 * told.low
        ratio = told.low if wide and told.low is not None else told.ratio
        points = 2 * math.log2(ratio)
        expected = max(round(round(points) / 2) if told.halved else round(points), 0)
        assert rules[name].bands[0].points == expected, name
        assert told.cites in ruleset.knowledge.references


def test_every_rule_with_points_is_published_associated_or_judged() -> None:
    ruleset = load_ruleset(ROOT / "rules")
    tier = ruleset.knowledge.tier
    assert tier is not None
    told = tier.published.keys() | tier.associations
    judged = {rule.id for rule in ruleset.knowledge.rules if any(band.points for band in rule.bands)} - told
    assert {"diabetes-cramps", "smoking", "dialysis-cramps", "lab-hypokalemia"} <= judged
    assert tier.published["laba-cramp"].ratio == Decimal("2.42")
