"""Each scenario of the fixtures and of every rule is one case, by the road of a request."""

from __future__ import annotations

import re

import pytest

from cds_service.scenarios import Scenario
from cds_service.scenarios.compare import Comparison
from tests.scenarios.shared import fixture_scenarios, ids_of, must_exist, rule_scenarios, runner


@pytest.mark.parametrize("scenario", fixture_scenarios(), ids=ids_of(fixture_scenarios()))
def test_fixture_scenario(scenario: Scenario) -> None:
    must_exist(scenario)
    outcome = runner().run(scenario)
    assert outcome.passed, "\n" + outcome.text()


@pytest.mark.parametrize("scenario", rule_scenarios(), ids=ids_of(rule_scenarios()))
def test_rule_scenario(scenario: Scenario) -> None:
    must_exist(scenario)
    outcome = runner().run(scenario)
    assert outcome.passed, "\n" + outcome.text()


@pytest.mark.parametrize("scenario", fixture_scenarios(), ids=ids_of(fixture_scenarios()))
def test_what_holds_for_every_card(scenario: Scenario) -> None:
    """P3, P4, P5 and the limits of CDS Hooks, whatever the case."""
    case = runner().case(scenario)
    cards = runner().assess(case).cards
    for card in cards:
        assert 0 < len(card.summary) < 140
        assert card.source.topic.code.isalnum()
        assert card.extension["org.legcramp.assessment"]["rules"]
        for suggestion in card.suggestions:
            created = [action.resource for action in suggestion.actions if action.type == "create"]
            assert all(resource["status"] == "draft" for resource in created), "nothing is ordered by itself"
            kinds = [resource["resourceType"] for resource in created]
            assert "MedicationRequest" not in kinds or "ServiceRequest" in kinds, "a treatment without its test"
            assert "MedicationRequest" not in kinds or not case.settings.client.one_action_per_suggestion
        assert scenario.hook == "patient-view" or all(
            action.type != "update" for suggestion in card.suggestions for action in suggestion.actions
        )
    assert len({card.source.topic.code for card in cards}) == len(cards), "one card for each rule"


def test_every_case_of_section_7_is_told() -> None:
    told = {case for scenario in fixture_scenarios() for case in scenario.cases}
    assert told == {f"T{number:02}" for number in range(1, 100)}


def test_every_hazard_has_a_case() -> None:
    """Hazards without a case here are properties of texts and pages, tested where those are."""
    elsewhere = {"HZ-43", "HZ-46"}
    told = {hazard for scenario in fixture_scenarios() for hazard in scenario.hazards}
    assert told | elsewhere >= {f"HZ-{number:02}" for number in range(1, 65)}
    assert all(re.fullmatch(r"HZ-\d\d", hazard) for hazard in told)


def test_a_scenario_that_is_wrong_tells_what_differs() -> None:
    right = next(scenario for scenario in fixture_scenarios() if "T05" in scenario.cases)
    wrong = Scenario(
        name="wrong on purpose",
        told={
            **right.told,
            "expect": {
                "cards": [{"rule": "lab-hypokalemia", "offers": ["potassium-chloride 40 meq", "potasium-chloride"]}],
                "tier": "high",
                "gates": {"potassium-chloride": "GK5"},
                "absent": ["bmp-and-magnesium", "no-such-rule"],
                "nowhere_contains": ["potassium 3.2"],
            },
        },
        today=right.today,
        file="wrong.yaml",
        line=7,
    )
    text = runner().run(wrong).text()
    assert text.startswith("wrong.yaml:7: ")
    for part in (
        "potassium-chloride 40 meq",
        "'potasium-chloride' is no rule, order or gate",
        "expected  high",
        "GK17",
        "no bmp-and-magnesium on any card",
        "'no-such-rule' is no rule, order or gate",
        "nothing like 'potassium 3.2'",
        "facts used: ",
        "Observation/potassium-1",
    ):
        assert part in text


def test_the_order_of_resources_never_matters() -> None:
    for scenario in fixture_scenarios():
        case = runner().case(scenario)
        forward = runner().assess(case)
        case_backward = type(case)(
            **{
                name: tuple(reversed(getattr(case, name))) if name in ("resources", "drafts") else getattr(case, name)
                for name in case.__struct_fields__
            }
        )
        backward = runner().assess(case_backward)
        assert backward.cards == forward.cards, scenario.place
        assert backward.findings == forward.findings, scenario.place


def test_comparison_knows_a_rule_by_its_topic() -> None:
    scenario = next(scenario for scenario in fixture_scenarios() if "T03" in scenario.cases)
    case = runner().case(scenario)
    shown = Comparison(case, runner().assess(case), runner().ruleset).cards
    assert [one.rule for one in shown] == ["cramp-documented"]
