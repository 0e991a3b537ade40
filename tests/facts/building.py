"""Small FHIR JSON and the Facts made of it. Dates are relative to `NOW`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cds_service.facts.decode import build_facts
from cds_service.facts.gathered import gathered_from_bundle, gathered_from_request
from cds_service.facts.model import Facts, Measurement, Medication
from cds_service.facts.reading import decode_bundle, decode_request
from cds_service.facts.terminology import Terminology
from cds_service.settings import Settings

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
RULES = Path(__file__).parents[2] / "rules"
SAMPLES = Path(__file__).parents[3] / "shared" / "samples"

LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
SNOMED = "http://snomed.info/sct"

Json = dict[str, Any]


@cache
def terminology() -> Terminology:
    return Terminology.load(RULES)


def days_ago(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat()


def concept(system: str, code: str, **more: Any) -> Json:
    return {"coding": [{"system": system, "code": code}], **more}


def patient(**more: Any) -> Json:
    return {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1960-01-01", **more}


def result(
    id_: str, loinc: str = "2823-3", value: Any = 4.2, unit: str | None = "mmol/L", at: str | None = None, **more: Any
) -> Json:
    quantity: Json = {} if value is None else {"value": value}
    if unit is not None:
        quantity |= {"unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
    made = {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": concept(LOINC, loinc),
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": days_ago(5) if at is None else at,
        "valueQuantity": quantity,
        **more,
    }
    return {name: member for name, member in made.items() if member is not None}


def order(id_: str, code: str | None = "4603", **more: Any) -> Json:
    made = {
        "resourceType": "MedicationRequest",
        "id": id_,
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p"},
        "medicationCodeableConcept": concept(RXNORM, code) if code else None,
        "authoredOn": days_ago(30),
        **more,
    }
    return {name: member for name, member in made.items() if member is not None}


def statement(id_: str, code: str = "4603", **more: Any) -> Json:
    return {
        "resourceType": "MedicationStatement",
        "id": id_,
        "status": "active",
        "subject": {"reference": "Patient/p"},
        "medicationCodeableConcept": concept(RXNORM, code),
        **more,
    }


def condition(id_: str, code: str = "N18.4", system: str = ICD10CM, **more: Any) -> Json:
    made = {
        "resourceType": "Condition",
        "id": id_,
        "clinicalStatus": concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
        "verificationStatus": concept("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"),
        "code": concept(system, code),
        "subject": {"reference": "Patient/p"},
        **more,
    }
    return {name: member for name, member in made.items() if member is not None}


def bundle(*resources: Json) -> bytes:
    return json.dumps({"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}).encode()


def facts_of(*resources: Json, zone: str = "UTC", hook: str = "patient-view", with_patient: bool = True) -> Facts:
    body = bundle(*((patient(),) if with_patient else ()), *resources)
    gathered = gathered_from_bundle([decode_bundle(body)], hook)
    return build_facts(gathered, terminology(), Settings(zone=ZoneInfo(zone)), NOW)


def facts_of_request(request: Json) -> Facts:
    read = decode_request(json.dumps(request).encode())
    gathered = gathered_from_request(read, (read.prefetch or {}).values())
    return build_facts(gathered, terminology(), Settings(), NOW)


def only(facts: Facts, analyte: str = "potassium") -> Measurement:
    (one,) = facts.results[analyte]
    return one


def medication(facts: Facts) -> Medication:
    (one,) = facts.medications
    return one


def ids(one: Medication) -> list[str]:
    return [ingredient.id for ingredient in one.ingredients]
