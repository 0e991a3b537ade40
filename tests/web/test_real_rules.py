"""The bundled rules behind the real address: every answer is one that CDS Hooks allows, by every route."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask

from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring, wire
from tests.web.cds_hooks import check_cards
from tests.web.fakes import body, bundle, hook_request

SYNTHEA = Path(__file__).resolve().parents[3] / "shared" / "samples" / "synthea"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SUBJECT = {"reference": "Patient/pt-4711"}
PATIENT = {"resourceType": "Patient", "id": "pt-4711", "gender": "female", "birthDate": "1950-02-03"}
CRAMP = {
    "resourceType": "Condition",
    "id": "c1",
    "clinicalStatus": {"coding": [{"code": "active"}]},
    "code": {"coding": [{"system": "http://snomed.info/sct", "code": "449918009"}]},
    "subject": SUBJECT,
    "recordedDate": "2026-02-01",
}
LOOP_DIURETIC = {
    "resourceType": "MedicationRequest",
    "id": "m1",
    "status": "active",
    "intent": "order",
    "medicationCodeableConcept": {
        "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "4603"}],
        "text": "furosemide",
    },
    "subject": SUBJECT,
    "authoredOn": "2026-01-05",
}


def result(id_: str, code: str, value: float, unit: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": SUBJECT,
        "effectiveDateTime": "2026-02-20T08:00:00Z",
        "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
    }


RESULTS = [
    result("k", "2823-3", 3.2, "mmol/L"),
    result("mg", "19123-9", 2.0, "mg/dL"),
    result("cr", "2160-0", 0.8, "mg/dL"),
]
PREFETCH = {
    "patient": PATIENT,
    "medications": bundle(LOOP_DIURETIC),
    "conditions": bundle(CRAMP),
    "observations": bundle(*RESULTS),
}


@pytest.fixture(scope="module")
def wiring() -> Wiring:
    return wire(WebConfig(development=True))


def make(wiring: Wiring, now: datetime = NOW) -> Flask:
    return create_app(WebConfig(), msgspec.structs.replace(wiring, now=lambda: now), make_log(io.BytesIO()))


def cards(app: Flask, prefetch: Any, patient: str = "pt-4711") -> list[dict[str, Any]]:
    request = hook_request(context={"userId": "Practitioner/1", "patientId": patient}, prefetch=prefetch)
    response = app.test_client().post("/cds-services/leg-cramp-patient-view", data=body(request),
                                      content_type="application/json")  # fmt: skip
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = check_cards(response.data, request)["cards"]
    return found


def anonymous(found: list[dict[str, Any]]) -> list[Any]:
    """Cards without the identifiers that are new each time."""
    text = json.dumps(found)
    for card in found:
        text = text.replace(card["uuid"], "")
        for suggestion in card.get("suggestions", []):
            text = text.replace(suggestion["uuid"], "")
            for action in suggestion["actions"]:
                text = text.replace(action["resource"]["id"], "")
    plain: list[Any] = json.loads(text)
    return plain


def medications_offered(found: list[dict[str, Any]]) -> int:
    text = json.dumps(found)
    return text.count('"MedicationRequest"')


def test_a_finding_becomes_a_card(wiring: Wiring) -> None:
    found = cards(make(wiring), PREFETCH)
    assert any("lab-hypokalemia" in card["extension"]["org.legcramp.assessment"]["rules"] for card in found)
    assert any(card.get("suggestions") for card in found)
    assert any(card.get("links") for card in found)


def test_a_healthy_patient_gets_no_card(wiring: Wiring) -> None:
    quiet = {"patient": PATIENT, "medications": None, "conditions": None, "observations": None}
    assert cards(make(wiring), quiet) == []


@pytest.mark.parametrize("key", ["medications", "conditions", "observations"])
@pytest.mark.parametrize("state", ["absent", "failed", "truncated"])
def test_treatment_is_withheld_without_the_needed_data(wiring: Wiring, key: str, state: str) -> None:
    assert medications_offered(cards(make(wiring), PREFETCH)) > 0
    lost: dict[str, Any] = dict(PREFETCH)
    if state == "absent":
        del lost[key]
    elif state == "failed":
        lost[key] = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}
    else:
        lost[key] = {**lost[key], "link": [{"relation": "next", "url": "https://ehr.example/2"}]}
    assert medications_offered(cards(make(wiring), lost)) == 0


def test_the_same_data_by_other_routes_gives_the_same_cards(wiring: Wiring) -> None:
    app = make(wiring)
    known = anonymous(cards(app, PREFETCH))
    by_type = dict(zip(("Patient", "MedicationRequest", "Condition", "Observation"), PREFETCH.values(), strict=True))
    renamed = {f"item{at}": value for at, value in enumerate(PREFETCH.values())}
    wrapped = {key: {"response": {"status": "200 OK"}, "resource": value} for key, value in PREFETCH.items()}
    backwards = dict(reversed(PREFETCH.items()))
    for prefetch in (by_type, renamed, wrapped, backwards):
        assert anonymous(cards(app, prefetch)) == known


def test_another_patients_data_are_never_mixed_in(wiring: Wiring) -> None:
    other = {"reference": "Patient/other"}
    stranger = bundle(*({**one, "subject": other} for one in RESULTS))
    assert not [
        card for card in cards(make(wiring), {**PREFETCH, "observations": stranger}) if "3.2" in json.dumps(card)
    ]


@pytest.mark.skipif(not SYNTHEA.is_dir(), reason=f"published samples are not at {SYNTHEA}")
@pytest.mark.parametrize("name", sorted(path.name for path in SYNTHEA.glob("*.json")))
def test_published_patients(wiring: Wiring, name: str) -> None:
    entries = json.loads((SYNTHEA / name).read_text(encoding="utf-8"))["entry"]
    resources = [entry["resource"] for entry in entries]
    (patient,) = (resource for resource in resources if resource["resourceType"] == "Patient")
    dates = [str(one.get(field, ""))[:10] for one in resources for field in ("effectiveDateTime", "authoredOn")]
    now = datetime.fromisoformat(max(dates)).replace(hour=23, tzinfo=UTC)
    prefetch = {"patient": patient, "everything": {"resourceType": "Bundle", "type": "collection", "entry": entries}}
    cards(make(wiring, now), prefetch, patient["id"])
