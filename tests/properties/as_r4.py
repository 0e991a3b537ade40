"""Invented patients as the R4 request that tells them, and what the service answers."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import timedelta
from functools import cache

from cds_service.assess import Assessment, assess
from cds_service.facts.reading import decode_request
from cds_service.fhir.prefetch import gather
from cds_service.ruleset import Ruleset, load_ruleset
from cds_service.settings import Settings
from tests.properties.patients import (
    DECIMALS,
    LOINC,
    NOW,
    RXNORM,
    SNOMED,
    SUBJECT,
    UCUM,
    UNITS,
    Json,
    Patient,
    Problem,
    Result,
    Taken,
)

# -- as R4 JSON


def _at(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat().replace("+00:00", "Z")


def _order(taken: Taken) -> Json:
    state = taken.state
    common: Json = {"medicationCodeableConcept": taken.drug.concept(), "subject": SUBJECT}
    if state == "statement":
        period = {"start": _at(taken.days)}
        return {"resourceType": "MedicationStatement", "status": "active", "effectivePeriod": period} | common
    known = {"on-hold", "stopped", "completed", "cancelled", "entered-in-error", "draft"}
    status = state if state in known else "completed" if state == "supplied" else "active"
    order = {"resourceType": "MedicationRequest", "status": status, "intent": "order", "authoredOn": _at(taken.days)}
    order |= common
    if state == "supplied":
        supply = {"value": taken.days + 60, "unit": "days", "system": UCUM, "code": "d"}
        order["dispenseRequest"] = {"expectedSupplyDuration": supply}
    if state == "reported":
        order |= {"intent": "plan", "reportedBoolean": True}
    if state == "not-to-be-given":
        order["doNotPerform"] = True
    if state == "zero":
        order["dosageInstruction"] = [{"doseAndRate": [{"doseQuantity": {"value": 0, "unit": "mg", "code": "mg"}}]}]
    return order


def _condition(problem: Problem) -> Json:
    state = problem.state
    verification = "confirmed" if state in ("resolved", "patient-told") else state
    condition = {
        "resourceType": "Condition",
        "clinicalStatus": {"coding": [{"code": "resolved" if state == "resolved" else "active"}]},
        "verificationStatus": {"coding": [{"code": verification}]},
        "code": {"coding": [{"system": problem.system, "code": problem.code}]},
        "subject": SUBJECT,
        "recordedDate": _at(problem.days),
    }
    return condition | ({"asserter": SUBJECT} if state == "patient-told" else {})


def _observation(result: Result) -> Json:
    unit = UNITS[result.analyte][result.unit or 0]
    value = round(result.value * unit.per, DECIMALS.get(unit.code, 2))
    observation: Json = {
        "resourceType": "Observation",
        "status": result.status,
        "code": {"coding": [{"system": LOINC, "code": unit.loinc}]},
        "subject": SUBJECT,
    }
    if result.days is not None:
        observation["effectiveDateTime"] = _at(result.days)
    if result.text:
        return observation | {"valueString": f"{value} {unit.code}"}
    quantity: Json = {"value": value}
    if result.unit is not None:
        quantity |= {"unit": unit.code, "system": UCUM, "code": unit.code}
    if result.comparator:
        quantity["comparator"] = result.comparator
    if result.hemolyzed:
        observation["note"] = [{"text": "Sample hemolyzed"}]
    return observation | {"valueQuantity": quantity}


def _person_resource(patient: Patient) -> Json:
    person: Json = {"resourceType": "Patient", "id": "p1"}
    if patient.sex is not None:
        person["gender"] = patient.sex
    if patient.age is not None:
        person["birthDate"] = (NOW - timedelta(days=patient.age * 365.2425)).date().isoformat()
    if patient.deceased:
        person["deceasedBoolean"] = True
    return person


KEYS = {
    "MedicationRequest": "medications",
    "MedicationStatement": "medication-statements",
    "Condition": "conditions",
    "Observation": "observations",
    "AllergyIntolerance": "allergies",
    "Procedure": "procedures",
    "ServiceRequest": "service-requests",
}
KINDS = {"medication-statements": "medications"}


def resources(patient: Patient) -> list[Json]:
    """Everything on record, each with an id that does not depend on where it stands."""
    found = [_order(taken) for taken in patient.drugs if taken.state != "draft"]
    found += [_condition(problem) for problem in patient.problems]
    found += [_observation(result) for result in patient.results]
    for code in patient.allergies:
        concept = {"coding": [{"system": RXNORM, "code": code}]}
        found.append({"resourceType": "AllergyIntolerance", "code": concept, "patient": SUBJECT})
    if patient.dialyzed_days is not None:
        code = {"coding": [{"system": SNOMED, "code": "302497006"}]}
        at = _at(patient.dialyzed_days)
        done = {"resourceType": "Procedure", "status": "completed", "code": code, "performedDateTime": at}
        found.append(done | {"subject": SUBJECT})
    return [{"id": f"r{number}"} | one for number, one in enumerate([*found, *patient.extra])]


def request(patient: Patient, order: random.Random | None = None) -> Json:
    """The hook request: patient-view, or order-sign when something is drafted. `order` shuffles whatever has none."""
    record = resources(patient)
    drafts = [_order(taken) | {"id": f"d{n}"} for n, taken in enumerate(patient.drugs) if taken.state == "draft"]
    if order is not None:
        order.shuffle(record)
        order.shuffle(drafts)
    lists: dict[str, list[Json]] = {key: [] for key in KEYS.values()} | {"rest-of-chart": []}
    for one in record:
        lists[KEYS.get(one["resourceType"], "rest-of-chart")].append(one)
    prefetch = {
        key: _bundle(found) for key, found in lists.items() if KINDS.get(key, key) not in patient.not_supplied
    } | {"patient": _person_resource(patient)}
    if not lists["rest-of-chart"]:
        prefetch.pop("rest-of-chart")
    if order is not None:
        keys = list(prefetch)
        order.shuffle(keys)
        prefetch = {key: prefetch[key] for key in keys}
    context: Json = {"userId": "Practitioner/1", "patientId": "p1"}
    if drafts:
        context["draftOrders"] = _bundle(drafts, "collection")
    return {
        "hook": "order-sign" if drafts else "patient-view",
        "hookInstance": "00000000-0000-4000-8000-000000000000",
        "context": context,
        "prefetch": prefetch,
    }


def _bundle(found: Iterable[Json], kind: str = "searchset") -> Json:
    entries = [{"resource": one} for one in found]
    return {"resourceType": "Bundle", "type": kind} | ({"entry": entries} if entries else {})


# -- what the service says


@cache
def ruleset() -> Ruleset:
    return load_ruleset()


def ask(patient: Patient, order: random.Random | None = None) -> Assessment:
    """The real road: bytes, decoded, gathered, assessed."""
    body = json.dumps(request(patient, order)).encode()
    return assess(gather(decode_request(body)), ruleset(), Settings(), NOW)


TREATMENTS = {
    "potassium": ("potassium chloride",),
    "magnesium": ("magnesium oxide",),
    "calcium": ("calcium carbonate", "calcium citrate"),
    "vitamin-d": ("cholecalciferol", "vitamin d"),
}


def drafted(assessment: Assessment) -> list[Json]:
    """Every medication that accepting something would start."""
    return [
        action.resource
        for card in assessment.cards
        for suggestion in card.suggestions
        for action in suggestion.actions
        if action.type == "create" and action.resource["resourceType"] == "MedicationRequest"
    ]


def offered(assessment: Assessment) -> frozenset[str]:
    """The treatments offered, told by the words of their drafts. One that is none of the four fails."""
    found = set()
    for resource in drafted(assessment):
        words = json.dumps(resource["medicationCodeableConcept"]).lower()
        names = {name for name, parts in TREATMENTS.items() if any(part in words for part in parts)}
        assert len(names) == 1, f"an unexpected medication is offered: {words}"
        found |= names
    return frozenset(found)
