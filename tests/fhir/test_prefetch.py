"""The states of section 2.4.1 of the conformance reference, for required, needed and optional keys."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from cds_service.facts.gathered import Gathered
from cds_service.facts.reading import decode_request
from cds_service.fhir.prefetch import RequiredDataMissing, TooManyResources, gather
from cds_service.fhir.queries import QUERIES

PATIENT = {"resourceType": "Patient", "id": "1"}
DRUG = {"resourceType": "MedicationRequest", "id": "m1", "status": "active", "subject": {"reference": "Patient/1"}}
STATEMENT = {"resourceType": "MedicationStatement", "id": "s1", "status": "active"}
RESULT = {"resourceType": "Observation", "id": "o1", "status": "final"}
DIAGNOSIS = {"resourceType": "Condition", "id": "c1"}
ALL = {"patient", "medications", "conditions", "observations", "allergies", "procedures", "service-requests"}
NEEDED = ("medications", "conditions", "observations")


def outcome(severity: str, code: str = "processing") -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code}]}


def bundle(*resources: Any, **members: Any) -> dict[str, Any]:
    entries = {"entry": [{"resource": resource} for resource in resources]} if resources else {}
    return {"resourceType": "Bundle", "type": "searchset", **entries, **members}


def links(self: str | None = None, more: bool = False) -> list[dict[str, str]]:
    found = [{"relation": "self", "url": self}] if self else []
    return found + ([{"relation": "next", "url": "https://ehr.example/next"}] if more else [])


NO_DATA: list[Any] = [
    None,
    bundle(),
    bundle(total=0),
    bundle(outcome("warning"), total=0),
    bundle(outcome("information"), total=0),
    outcome("information"),
]
FAILED: list[Any] = [outcome("error"), outcome("fatal"), bundle(outcome("error")), bundle(outcome("fatal"))]


def read(prefetch: Any, **context: Any) -> Gathered:
    request = {
        "hook": "patient-view",
        "hookInstance": "x",
        "context": {"userId": "Practitioner/1", "patientId": "1", **context},
        "prefetch": prefetch,
    }
    return gather(decode_request(json.dumps(request).encode()))


def gaps(gathered: Gathered) -> set[tuple[str, str]]:
    return {(gap.kind, gap.what) for gap in gathered.gaps}


@pytest.mark.parametrize("prefetch", [None, {}, {"medications": bundle(DRUG)}])
def test_an_absent_patient_is_a_412(prefetch: Any) -> None:
    with pytest.raises(RequiredDataMissing) as raised:
        read(prefetch)
    assert raised.value.keys == ("patient",)


@pytest.mark.parametrize("value", FAILED)
def test_a_patient_that_the_client_could_not_fetch_is_a_412(value: Any) -> None:
    with pytest.raises(RequiredDataMissing):
        read({"patient": value})


@pytest.mark.parametrize("value", [*NO_DATA, bundle(DIAGNOSIS), {"resourceType": "Patient", "id": "another"}, 7])
def test_a_patient_key_without_this_patient_is_no_412(value: Any) -> None:
    gathered = read({"patient": value})
    assert "patient" in gathered.not_supplied
    assert "patient" in {gap.what for gap in gathered.gaps}


@pytest.mark.parametrize("value", [PATIENT, bundle(PATIENT), {"response": {"status": "200 OK"}, "resource": PATIENT}])
@pytest.mark.parametrize("key", ["patient", "Patient", "item1"])
@pytest.mark.parametrize("patient_id", ["1", "Patient/1", "https://ehr.example/r4/Patient/1"])
def test_a_patient_is_found_in_any_form(value: Any, key: str, patient_id: str) -> None:
    gathered = read({key: value}, patientId=patient_id)
    assert gathered.patient_id == "1"
    assert gathered.not_supplied == ALL - {"patient"}


@pytest.mark.parametrize("key", NEEDED)
@pytest.mark.parametrize("value", NO_DATA)
def test_no_data_is_supplied_and_empty(key: str, value: Any) -> None:
    gathered = read({"patient": PATIENT, key: value})
    assert key not in gathered.not_supplied
    # null answers, but no treatment rests on it (HZ-57): an empty search is the only proof of "none"
    assert gathered.incomplete == (frozenset() if value is not None else frozenset({key}))
    assert (key in {gap.what for gap in gathered.gaps}) == (value is None)


@pytest.mark.parametrize("code", ["incomplete", "suppressed", "too-costly", "timeout", "throttled"])
def test_a_mild_outcome_that_says_the_answer_is_not_whole_makes_it_incomplete(code: str) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": code}]}
    gathered = read({"patient": PATIENT, "medications": bundle(outcome)})
    assert "medications" in gathered.incomplete


def test_a_bundle_that_counts_more_matches_than_it_holds_is_cut() -> None:
    whole = bundle({"resourceType": "Condition", "id": "1"}) | {"total": 1}
    assert "conditions" not in read({"patient": PATIENT, "conditions": whole}).incomplete
    assert "conditions" in read({"patient": PATIENT, "conditions": whole | {"total": 700}}).incomplete


def test_statements_under_an_unknown_key_do_not_stand_for_the_medication_list() -> None:
    statement = {"resourceType": "MedicationStatement", "id": "1", "status": "active"}
    request = {"resourceType": "MedicationRequest", "id": "1", "status": "active", "intent": "order"}
    assert "medications" in read({"patient": PATIENT, "home-meds": bundle(statement)}).not_supplied
    assert "medications" not in read({"patient": PATIENT, "home-meds": bundle(request)}).not_supplied


@pytest.mark.parametrize("key", NEEDED)
@pytest.mark.parametrize("value", FAILED)
def test_a_failed_search_is_not_supplied(key: str, value: Any) -> None:
    gathered = read({"patient": PATIENT, key: value})
    assert key in gathered.not_supplied
    assert ("fetch-failed", key) in gaps(gathered)


@pytest.mark.parametrize("key", NEEDED)
def test_a_value_that_cannot_be_read_is_not_supplied(key: str) -> None:
    gathered = read({"patient": PATIENT, key: 7})
    assert key in gathered.not_supplied
    assert ("unreadable", key) in gaps(gathered)


@pytest.mark.parametrize(
    ("key", "resource"), [("medications", DRUG), ("observations", RESULT), ("conditions", DIAGNOSIS)]
)
def test_a_single_resource_is_a_list_of_one(key: str, resource: Any) -> None:
    gathered = read({"patient": PATIENT, key: resource})
    assert key not in gathered.not_supplied
    assert len(gathered.resources) == 2


@pytest.mark.parametrize("key", NEEDED)
def test_a_first_page_leaves_the_kind_incomplete(key: str) -> None:
    gathered = read({"patient": PATIENT, key: bundle(DRUG, link=links(more=True))})
    assert key not in gathered.not_supplied
    assert gathered.incomplete == {key}
    assert ("truncated", key) in gaps(gathered)


def test_a_full_page_without_a_next_link_is_whole() -> None:
    gathered = read({"patient": PATIENT, "medications": bundle(*([DRUG] * 500), link=links("MedicationRequest?a=b"))})
    assert not gathered.incomplete


def test_results_with_an_error_among_them_are_incomplete() -> None:
    gathered = read({"patient": PATIENT, "medications": bundle(DRUG, outcome("error"))})
    assert gathered.incomplete == {"medications"}
    assert "medications" not in gathered.not_supplied
    assert len(gathered.resources) == 3


def test_a_warning_among_results_is_no_gap() -> None:
    gathered = read({"patient": PATIENT, "medications": bundle(DRUG, outcome("warning"))})
    assert not gathered.incomplete


def test_resources_of_another_type_do_not_supply_their_kind() -> None:
    gathered = read({"patient": PATIENT, "medications": bundle(DRUG, DIAGNOSIS)})
    assert "conditions" in gathered.not_supplied
    assert "medications" not in gathered.not_supplied


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (bundle(DRUG), "medications"),
        (bundle(DRUG, STATEMENT), "medications"),
        (bundle(bundle(RESULT)), "observations"),
        (DIAGNOSIS, "conditions"),
        (bundle(link=links("https://ehr.example/r4/Condition?patient=1")), "conditions"),
        (bundle(link=links("MedicationRequest?patient=1&status=active")), "medications"),
        (bundle(link=links("Observation?patient=1&category=laboratory")), "observations"),
    ],
)
def test_renamed_keys_are_recognized_by_type(value: Any, kind: str) -> None:
    gathered = read({"patient": PATIENT, "item7": value})
    assert gathered.not_supplied == ALL - {"patient", kind}


@pytest.mark.parametrize(
    "value",
    [
        None,
        bundle(),
        outcome("error"),
        7,
        bundle(link=links("Observation?patient=1&category=vital-signs")),
        bundle(link=links("Observation?patient=1&code=39156-5")),
        bundle(RESULT, link=links("Observation?patient=1&category=vital-signs")),
    ],
)
def test_a_renamed_key_that_tells_nothing_supplies_nothing(value: Any) -> None:
    assert read({"patient": PATIENT, "item7": value}).not_supplied == ALL - {"patient"}


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("MedicationRequest", "medications"),
        ("Condition", "conditions"),
        ("Observation", "observations"),
        ("AllergyIntolerance", "allergies"),
        ("Procedure", "procedures"),
        ("ServiceRequest", "service-requests"),
    ],
)
def test_a_key_named_by_type_is_known(key: str, kind: str) -> None:
    assert kind not in read({"patient": PATIENT, key: None}).not_supplied


@pytest.mark.parametrize("key", ["vital-signs", "social-history", "clinical-tests"])
def test_other_observations_do_not_stand_for_the_laboratory(key: str) -> None:
    assert "observations" in read({"patient": PATIENT, key: bundle(RESULT)}).not_supplied
    assert "observations" in read({"patient": PATIENT, key: None}).not_supplied


def test_statements_do_not_stand_for_requests() -> None:
    gathered = read({"patient": PATIENT, "medication-statements": bundle(STATEMENT)})
    assert "medications" in gathered.not_supplied
    assert len(gathered.resources) == 2, "what came is used nevertheless"


def test_statements_may_be_absent() -> None:
    gathered = read({"patient": PATIENT, "medications": bundle(DRUG)})
    assert "medications" not in gathered.not_supplied | gathered.incomplete
    assert "medications" not in {gap.what for gap in gathered.gaps}


def test_a_server_without_statements_is_no_gap() -> None:
    prefetch = {
        "patient": PATIENT,
        "medications": bundle(DRUG),
        "medication-statements": outcome("error", "not-supported"),
    }
    gathered = read(prefetch)
    assert "medications" not in gathered.incomplete
    assert "medications" not in {gap.what for gap in gathered.gaps}


@pytest.mark.parametrize("value", [outcome("error"), bundle(STATEMENT, link=links(more=True)), 7])
def test_statements_that_failed_or_were_cut_leave_medications_incomplete(value: Any) -> None:
    gathered = read({"patient": PATIENT, "medications": bundle(DRUG), "medication-statements": value})
    assert gathered.incomplete == {"medications"}
    assert "medications" in {gap.what for gap in gathered.gaps}


def test_a_page_of_newest_vital_signs_is_named_but_closes_nothing() -> None:
    prefetch = {"patient": PATIENT, "observations": bundle(), "vital-signs": bundle(RESULT, link=links(more=True))}
    gathered = read(prefetch)
    assert not gathered.incomplete
    assert ("truncated", "observations") in gaps(gathered)


def test_a_failed_key_beside_a_renamed_one_is_incomplete() -> None:
    gathered = read({"patient": PATIENT, "medications": outcome("error"), "meds": bundle(DRUG)})
    assert gathered.incomplete == {"medications"}
    assert "medications" not in gathered.not_supplied


def test_drafts_and_selections() -> None:
    drafts = bundle({"resourceType": "MedicationRequest", "id": "d1"}, {"resourceType": "Medication", "id": "x"})
    gathered = read({"patient": PATIENT}, selections=["MedicationRequest/d1"], draftOrders=drafts)
    assert len(gathered.drafts) == 2
    assert gathered.selections == {"MedicationRequest/d1"}


def test_too_many_resources() -> None:
    request = {"context": {"patientId": "1"}, "prefetch": {"patient": PATIENT, "medications": bundle(DRUG, DRUG)}}
    with pytest.raises(TooManyResources):
        gather(decode_request(json.dumps(request).encode()), 2)


def test_any_subset_of_keys_is_answered() -> None:
    """PREF-7: 2^n subsets over representative states; only the patient's absence refuses."""
    values = {query.key: None for query in QUERIES if query.key != "patient"}
    for size in (0, 1, 2, len(values) - 1, len(values)):
        for keys in itertools.combinations(values, size):
            gathered = read({"patient": PATIENT} | dict.fromkeys(keys))
            main = {query.kind for query in QUERIES if query.key in keys and not query.supplement}
            assert gathered.not_supplied == ALL - {"patient"} - main
            assert {gap.what for gap in gathered.gaps} == gathered.not_supplied | gathered.incomplete


def test_gaps_hold_nothing_of_the_request() -> None:
    gathered = read({"patient": PATIENT, "Jane Doe's list": bundle(DRUG, link=links(more=True))})
    assert all("Jane" not in gap.text for gap in gathered.gaps)
