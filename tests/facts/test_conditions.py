"""Sections 0.2 and 0.3: the patient, conditions, allergies, procedures and orders."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tests.facts.building import (
    LOINC,
    RXNORM,
    SNOMED,
    concept,
    condition,
    days_ago,
    facts_of,
    facts_of_request,
    order,
    patient,
    result,
)

STATUS = "http://terminology.hl7.org/CodeSystem/condition-clinical"


def state(**more: Any) -> str | None:
    found = facts_of(condition("c", **more)).conditions
    return found[0].state if found else None


def clinical(code: str) -> dict[str, Any]:
    return {"clinicalStatus": concept(STATUS, code)}


def verified(code: str) -> dict[str, Any]:
    return {"verificationStatus": concept(STATUS, code)}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "present"),
        ({"verificationStatus": None}, "present"),
        ({"clinicalStatus": None}, "present"),
        (clinical("recurrence"), "present"),
        (clinical("relapse"), "present"),
        *((clinical(code), "history") for code in ("inactive", "remission", "resolved")),
        *((verified(code), "possible") for code in ("unconfirmed", "provisional", "differential")),
        (verified("refuted"), None),
        (verified("entered-in-error"), None),
        ({**verified("refuted"), **clinical("resolved")}, None),
        ({"abatementDateTime": days_ago(1)}, "history"),
        ({"abatementDateTime": days_ago(-1)}, "present"),
        ({"abatementDateTime": "2026-06"}, "possible"),
        ({"abatementDateTime": "2025"}, "history"),
        ({"abatementPeriod": {"start": "2020", "end": "2021"}}, "history"),
        ({"abatementPeriod": {"start": "2020"}}, "present"),
        ({"abatementString": "years ago"}, "possible"),
        ({"abatementAge": {"value": 30}}, "possible"),
        ({"abatementBoolean": True}, "possible"),
        ({"abatementBoolean": False}, "present"),
        ({"abatementString": "years ago", "clinicalStatus": None}, "history"),
        ({"asserter": {"reference": "Patient/p"}}, "possible"),
        ({"asserter": {"reference": "Practitioner/x"}}, "present"),
        ({"clinicalStatus": "active", "verificationStatus": "confirmed"}, "present"),
        ({"clinicalStatus": "resolved", "verificationStatus": "confirmed"}, "history"),
        (clinical("odd"), "possible"),
        (verified("odd"), "possible"),
        ({"code": {"text": "Chronic kidney disease, stage 4"}}, None),
        ({"code": None}, None),
    ],
)
def test_states(more: dict[str, Any], expected: str | None) -> None:
    assert state(**more) == expected


def test_a_patients_own_word_on_cramps_counts() -> None:
    (one,) = facts_of(condition("c", "449918009", SNOMED, asserter={"reference": "Patient/p"})).conditions
    assert (one.state, one.patient_asserted) == ("present", True)


@pytest.mark.parametrize("code", ["G40.909", "R56.9"])
def test_epilepsy_is_no_cramp(code: str) -> None:
    found = facts_of(condition("c", code)).conditions
    assert all("leg-cramp-symptom" not in one.sets for one in found)


def test_names_and_times() -> None:
    (one,) = facts_of(condition("c", "E87.6", recordedDate="2026-05", onsetDateTime="2026-05-02")).conditions
    assert one.name == "Hypokalemia"
    assert one.stated_active
    assert one.recorded is not None
    assert str(one.recorded.earliest)[:10] == "2026-05-01"
    assert one.onset is not None
    assert str(one.onset.latest) == "2026-05-02 23:59:59+00:00"


def test_codes_with_and_without_dot_and_below_a_category() -> None:
    sets = [facts_of(condition("c", code)).conditions[0].sets for code in ("N18.4", "N184", "n18.4 ", "I83.90")]
    assert sets[0] == sets[1] == sets[2]
    assert "ckd-stage-4" in sets[0]
    assert "varicose-veins" in sets[3]


# the patient


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"birthDate": "1960-01-01"}, (date(1960, 1, 1), date(1960, 1, 1))),
        ({"birthDate": "1960-02"}, (date(1960, 2, 1), date(1960, 2, 29))),
        ({"birthDate": "1960"}, (date(1960, 1, 1), date(1960, 12, 31))),
        ({"birthDate": "1960-01-01T10:00:00Z"}, (date(1960, 1, 1), date(1960, 1, 1))),
        ({"birthDate": None}, (None, None)),
        ({"birthDate": "01/02/1960"}, (None, None)),
    ],
)
def test_birth_dates(more: dict[str, Any], expected: tuple[date | None, date | None]) -> None:
    one = facts_of(patient(**more), with_patient=False).patient
    assert (one.born_earliest, one.born_latest) == expected


@pytest.mark.parametrize(("gender", "sex"), [("male", "male"), ("female", "female"), ("other", None), (None, None)])
def test_sex(gender: str | None, sex: str | None) -> None:
    assert facts_of(patient(gender=gender), with_patient=False).patient.sex == sex


@pytest.mark.parametrize(
    ("more", "dead"),
    [({"deceasedBoolean": True}, True), ({"deceasedDateTime": "2020"}, True), ({"deceasedBoolean": False}, False)],
)
def test_deceased(more: dict[str, Any], dead: bool) -> None:
    assert facts_of(patient(**more), with_patient=False).patient.deceased is dead


def request(patient_id: str, *resources: dict[str, Any]) -> dict[str, Any]:
    return {
        "hook": "patient-view",
        "hookInstance": "x",
        "context": {"patientId": patient_id, "userId": "Practitioner/x"},
        "prefetch": {str(index): one for index, one in enumerate(resources)},
    }


def test_a_server_that_numbers_its_patient_otherwise() -> None:
    facts = facts_of_request(request("2-1", patient(), result("k")))
    assert facts.patient.id == "p"
    assert facts.results["potassium"]
    assert [gap.kind for gap in facts.gaps] == ["wrong-patient"]
    assert facts.incomplete == {"medications", "conditions", "observations"}


def test_patients_are_never_mixed() -> None:
    mine = result("mine", subject={"reference": "Patient/2-1"})
    facts = facts_of_request(request("Patient/2-1", patient(), mine, result("other")))
    assert facts.patient.id == "2-1"
    assert facts.patient.born_latest is None
    assert [one.reference for one in facts.results["potassium"]] == ["Observation/mine"]
    assert [(gap.kind, gap.what) for gap in facts.gaps] == [
        ("wrong-patient", "observations"),
        ("wrong-patient", "patient"),
    ]


def test_two_patients_in_a_bundle_and_none_named() -> None:
    facts = facts_of(patient(), patient(id="q"), result("k"), with_patient=False)
    assert facts.patient.id == ""
    assert facts.results == {}


# the rest


def test_allergies() -> None:
    allergy = {
        "resourceType": "AllergyIntolerance",
        "patient": {"reference": "Patient/p"},
        "code": concept(RXNORM, "8591"),
    }
    void = {"verificationStatus": concept(STATUS, "refuted")}
    over = {"clinicalStatus": concept(STATUS, "resolved")}
    by_text = {"id": "t", "code": {"text": "potassium chloride"}}
    facts = facts_of(
        {**allergy, "id": "a"}, {**allergy, "id": "b", **void}, {**allergy, "id": "c", **over}, {**allergy, **by_text}
    )
    assert [one.reference for one in facts.allergies] == ["AllergyIntolerance/a", "AllergyIntolerance/t"]
    assert all("potassium-chloride" in one.sets for one in facts.allergies)


@pytest.mark.parametrize("substance", [concept(RXNORM, "8591"), {"text": "Klor-Con"}])
def test_an_allergy_whose_reaction_names_the_substance(substance: dict[str, Any]) -> None:
    """FHIR R4 lets the reaction be more exact than the allergy ("a potassium supplement": which one is said there)."""
    stated = {
        "code": {"text": "see reactions"},
        "reaction": [{"manifestation": [{"text": "rash"}]}, {"substance": substance}],
    }
    for allergy in (stated, {"reaction": stated["reaction"]}):
        found = facts_of(
            {"resourceType": "AllergyIntolerance", "id": "a", "patient": {"reference": "Patient/p"}, **allergy}
        )
        assert "potassium-chloride" in found.allergies[0].sets


def test_procedures() -> None:
    one = {
        "resourceType": "Procedure",
        "status": "completed",
        "code": concept(SNOMED, "265764009"),
        "subject": {"reference": "Patient/p"},
        "performedPeriod": {"start": days_ago(9), "end": days_ago(8)},
    }
    facts = facts_of({**one, "id": "a"}, {**one, "id": "b", "status": "not-done"})
    (found,) = facts.procedures
    assert found.performed is not None
    assert found.performed.latest.isoformat() == days_ago(8)


def test_service_orders() -> None:
    one = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "code": concept(LOINC, "24321-2"),
        "subject": {"reference": "Patient/p"},
        "authoredOn": days_ago(2),
    }
    facts = facts_of(
        {**one, "id": "a"}, {**one, "id": "b", "status": "completed"}, {**one, "id": "c", "doNotPerform": True}
    )
    (found,) = facts.service_orders
    assert found.reference == "ServiceRequest/a"
    assert found.sets


def test_the_order_of_resources_never_matters() -> None:
    some = [condition("c"), result("k"), result("l", at="2026-06"), order("m"), order("n", "9997"), result("k")]
    assert facts_of(*some) == facts_of(*reversed(some))
