"""Which rules answer on which hook, as docs/decisions-clinical.md has it; and what is new or standing in a request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from cds_service.assess import Assessment, assess
from cds_service.engine.model import Rule
from cds_service.facts.reading import decode_request
from cds_service.fhir.context import HOOKS, check_request
from cds_service.fhir.prefetch import gather
from cds_service.ruleset import load_ruleset
from cds_service.settings import Settings

RULESET = load_ruleset()
RULES = RULESET.knowledge.active_rules
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
PATIENT = {"resourceType": "Patient", "id": "1", "gender": "female", "birthDate": "1950-02-03"}


def can_alarm(rule: Rule) -> bool:
    return any(band.indicator in ("warning", "critical") for band in rule.bands)


def folder(rule: Rule) -> str:
    return rule.file.split("/")[-2]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_answers_where_the_table_says(rule: Rule) -> None:
    if folder(rule) == "order":
        expected = {"order-select", "order-sign", "medication-refill"}
    else:
        expected = {"patient-view", "encounter-start"}
        if folder(rule) != "condition" or can_alarm(rule) or rule.id == "background-factors":
            expected.add("encounter-discharge")
        if rule.id != "cramp-risk-summary":
            expected.add("problem-list-item-create")
        if rule.id == "monitoring-gap":
            expected.add("medication-refill")
    assert rule.hooks == expected


def test_every_hook_has_rules_and_every_rule_a_hook_that_is_served() -> None:
    assert {hook for rule in RULES for hook in rule.hooks} == set(HOOKS)


def condition(id_: str, code: str, **members: Any) -> dict[str, Any]:
    coding = {"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": code}
    return {
        "resourceType": "Condition", "id": id_, "code": {"coding": [coding]}, "subject": {"reference": "Patient/1"},
        "recordedDate": "2026-03-10",
    } | members  # fmt: skip


def diuretic(id_: str, status: str) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest", "id": id_, "status": status, "intent": "order", "authoredOn": "2026-01-02",
        "subject": {"reference": "Patient/1"}, "medicationCodeableConcept": {"text": "Hydrochlorothiazide 25 mg"},
    }  # fmt: skip


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}


def asked(hook: str, context: dict[str, Any], **prefetch: Any) -> Assessment:
    lists = {key: bundle() for key in ("medications", "conditions", "observations")}
    body = {
        "hook": hook, "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "context": {"userId": "Practitioner/1", "patientId": "1", **context},
        "prefetch": {"patient": PATIENT, **lists, **prefetch},
    }  # fmt: skip
    request = decode_request(msgspec.json.encode(body))
    check_request(request, hook)
    return assess(gather(request), RULESET, Settings(), NOW)


def rules_of(assessment: Assessment) -> list[str]:
    return [basis.rule for basis in assessment.bases]


CRAMPS = condition("c1", "G47.62")


def test_a_new_problem_that_is_nowhere_else_counts() -> None:
    answer = asked("problem-list-item-create", {"conditions": bundle(CRAMPS)})
    assert (answer.mode, rules_of(answer)) == ("full", ["cramp-documented"])


def test_a_new_problem_that_is_prefetched_too_counts_once_and_as_new() -> None:
    older = condition("c1", "G47.62", recordedDate="2026-03-09")
    answer = asked("problem-list-item-create", {"conditions": bundle(CRAMPS)}, conditions=bundle(older))
    assert rules_of(answer) == ["cramp-documented"]
    assert not [gap for gap in answer.data_gaps if gap.what == "conditions" and gap.kind == "conflict"]


def test_cramps_that_are_only_prefetched_are_not_new() -> None:
    answer = asked(
        "problem-list-item-create", {"conditions": bundle(condition("c2", "I10"))}, conditions=bundle(CRAMPS)
    )
    assert (answer.mode, rules_of(answer)) == ("full", [])


def test_another_patients_new_problem_is_ignored() -> None:
    strange = condition("c1", "G47.62", subject={"reference": "Patient/2"})
    assert rules_of(asked("problem-list-item-create", {"conditions": bundle(strange)})) == []


def test_a_new_problem_never_stands_for_the_list() -> None:
    answer = asked("problem-list-item-create", {"conditions": bundle(CRAMPS)}, conditions=None)
    assert rules_of(answer) == ["cramp-documented"]
    lists = {"conditions": {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception"}]}}
    failed = asked("problem-list-item-create", {"conditions": bundle(CRAMPS)}, **lists)
    assert [gap for gap in failed.data_gaps if gap.what == "conditions"]


def test_a_standing_order_to_be_refilled_is_current_and_cannot_be_deleted() -> None:
    order = diuretic("m1", "active")
    for record in (bundle(), bundle(order)):
        answer = asked("medication-refill", {"medications": bundle(order)}, medications=record)
        assert rules_of(answer) == ["monitoring-gap"]
        assert not [gap for gap in answer.data_gaps if gap.kind == "conflict"]
        actions = [action for card in answer.cards for one in card.suggestions for action in one.actions]
        assert not [action for action in actions if action.type == "delete"]


def test_a_draft_to_be_refilled_may_be_removed() -> None:
    low = {
        "resourceType": "Observation", "id": "o1", "status": "final", "subject": {"reference": "Patient/1"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]},
        "effectiveDateTime": "2026-03-08T08:00:00Z",
        "valueQuantity": {"value": 2.8, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
    }  # fmt: skip
    for status, deletions in (("draft", 1), ("active", 0)):
        answer = asked(
            "medication-refill", {"medications": bundle(diuretic("m1", status))}, observations=bundle(low)
        )  # fmt: skip
        assert rules_of(answer)[0] == "order-diuretic-low-potassium"
        actions = [action for card in answer.cards for one in card.suggestions for action in one.actions]
        assert len([action for action in actions if action.type == "delete"]) == deletions
