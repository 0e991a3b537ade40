"""The words of scenarios: what they become in FHIR, and what an author is told who slips."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from cds_service.engine.source import RuleError
from cds_service.scenarios import Case, Scenario, read_file, shift_to
from cds_service.scenarios.case import encoded
from cds_service.scenarios.when import Calendar
from cds_service.settings import Settings
from tests.scenarios.shared import ROOT, fixture_scenarios, runner

TODAY = date(2026, 3, 10)


def case_of(**told: Any) -> Case:
    told = {"name": "a case", "expect": {"cards": "none"}, **told}
    return runner().case(Scenario(name="a case", told=told, today=TODAY, file="case.yaml", line=1))


def only(case: Case, resource_type: str) -> dict[str, Any]:
    found = [one for one in case.resources if one["resourceType"] == resource_type]
    assert len(found) == 1
    return found[0]


def test_a_case_is_valid_fhir() -> None:
    for scenario in fixture_scenarios():
        bundle = runner().case(scenario).bundle()
        Bundle.model_validate_json(encoded(bundle))


def test_a_medicine_in_one_line() -> None:
    order = only(case_of(on=["furosemide 40 mg twice daily since 18 months ago on-hold"]), "MedicationRequest")
    assert order["status"] == "on-hold"
    assert order["authoredOn"] == "2024-09-10"
    dosage = order["dosageInstruction"][0]
    assert dosage["doseAndRate"][0]["doseQuantity"]["value"] == Decimal(40)
    assert dosage["timing"]["repeat"]["frequency"] == 2


@pytest.mark.parametrize("name", ["hydrochlorothiazide", "Potassium chloride", "cyclosporine", "co-trimoxazole"])
def test_a_medicine_is_found_by_its_names(name: str) -> None:
    coding = only(case_of(on=[name]), "MedicationRequest")["medicationCodeableConcept"]["coding"][0]
    assert runner().ruleset.terminology.ingredients(coding["system"], coding["code"])


def test_every_ingredient_has_a_code_that_stands_for_it_alone() -> None:
    words = runner().words
    for name in words.said["products"]:
        coding = words.drug(name)["coding"][0]
        assert runner().ruleset.terminology.lookup(coding["system"], coding["code"]), name


@pytest.mark.parametrize(
    ("told", "value", "unit", "at"),
    [
        ("potassium 3.20 mmol/L 5 days ago", "3.20", "mmol/L", "2026-03-05T23:59:59Z"),
        ("potassium <2.5 mmol/L 6 hours ago", "2.5", "mmol/L", "2026-03-10T17:59:59Z"),
        ("egfr 38 today", "38", "mL/min/{1.73_m2}", "2026-03-10T23:59:59Z"),
        ("potassium 2.1 no unit 1 day ago", "2.1", None, "2026-03-09T23:59:59Z"),
        ("2828-2 20 mmol/L 2026-03-01", "20", "mmol/L", "2026-03-01"),
    ],
)
def test_a_result_in_one_line(told: str, value: str, unit: str | None, at: str) -> None:
    result = only(case_of(results=[told]), "Observation")
    assert str(result["valueQuantity"]["value"]) == value
    assert result["valueQuantity"].get("unit") == unit
    assert result["valueQuantity"].get("comparator") == ("<" if "<" in told else None)
    assert result["effectiveDateTime"] == at


def test_a_value_travels_as_it_is_written() -> None:
    assert b'"value":3.20' in encoded(case_of(results=["potassium 3.20 mmol/L today"]).request())


def test_the_code_fits_the_unit() -> None:
    mass = only(case_of(results=["magnesium 1.7 mg/dL today"]), "Observation")
    substance = only(case_of(results=["magnesium 1.4 meq/L today"]), "Observation")
    assert mass["code"]["coding"] != substance["code"]["coding"]


def test_a_condition_in_one_line() -> None:
    condition = only(case_of(conditions=["N18.4 provisional recorded 5 days ago"]), "Condition")
    assert condition["verificationStatus"]["coding"][0]["code"] == "provisional"
    assert condition["recordedDate"] == "2026-03-05"


def test_results_of_the_case_stand_for_those_of_patient_d() -> None:
    case = case_of(default=True, results=["potassium 3.2 mmol/L 1 day ago", "egfr 38 1 day ago"])
    assert sorted(one["id"] for one in case.resources) == ["egfr-1", "magnesium-1", "potassium-1"]


def test_what_was_not_supplied_has_no_key() -> None:
    prefetch = case_of(default=True, not_supplied=["medications"]).request()["prefetch"]
    assert "observations" in prefetch
    assert not [key for key in prefetch if key.startswith("medication")]


def test_ages_count_in_years_and_days() -> None:
    calendar = Calendar(TODAY, Settings().zone)
    assert calendar.born("17 years 364 days") == "2008-03-11"
    assert calendar.born("18 years 0 days") == "2008-03-10"


WRONG = {
    "an unknown key": ("  - {name: a, expect: {cards: none}, ona: [x]}", "the key 'ona' is not known here"),
    "an unknown drug": ("  - {name: a, expect: {cards: none}, on: [nonsensamide]}", "'nonsensamide'"),
    "an unknown analyte": ("  - {name: a, expect: {cards: none}, results: [kalium 3 mmol/L]}", "kalium"),
    "no unit": ("  - {name: a, expect: {cards: none}, results: [magnesium 1.7 today]}", "give magnesium a unit"),
    "a strange date": ("  - {name: a, expect: {cards: none}, conditions: [I10 lately]}", "I10 lately"),
    "no such set": ("  - {name: a, expect: {cards: none}, conditions: [flu]}", "neither a code nor the id"),
    "no expectation": ("  - {name: a, on: [furosemide]}", "'expect' is a required property"),
    "the same name twice": (
        "  - {name: a, expect: {cards: none}}\n  - {name: a, expect: {cards: none}}",
        "stands in line 4 already",
    ),
}


def build_all(path: Path) -> None:
    for scenario in read_file(path, ROOT / "rules", "wrong.yaml"):
        runner().case(scenario)


@pytest.mark.parametrize(("told", "message"), WRONG.values(), ids=WRONG)
def test_an_author_is_told_where_and_what(tmp_path: Path, told: str, message: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(f"about: wrong\ntoday: 2026-03-10\nscenarios:\n{told}\n", encoding="utf-8")
    with pytest.raises(RuleError) as caught:
        build_all(path)
    assert str(caught.value).startswith("wrong.yaml:")
    assert message in str(caught.value)


def test_shift_to_moves_every_date_by_the_same_days() -> None:
    told = {
        "birthDate": "1959-12-01",
        "effectiveDateTime": "2026-03-05T23:59:59Z",
        "onsetDateTime": "2019",
        "period": {"start": "2026-01", "end": "2026-03-10"},
        "code": "2019",
        "value": 3.2,
    }
    moved = shift_to([told], TODAY, date(2027, 3, 10))[0]
    assert moved == {
        "birthDate": "1960-11-30",
        "effectiveDateTime": "2027-03-05T23:59:59Z",
        "onsetDateTime": "2020",
        "period": {"start": "2027-01", "end": "2027-03-10"},
        "code": "2019",
        "value": 3.2,
    }
    assert told["birthDate"] == "1959-12-01"
