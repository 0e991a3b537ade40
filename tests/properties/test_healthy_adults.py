"""A thousand healthy adults on common medicines with normal results: no card at all (0.7: silence for the many)."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from cds_service.assess import Assessment, assess
from cds_service.facts.reading import decode_request
from cds_service.fhir.prefetch import gather
from cds_service.settings import Settings
from tests.properties.as_r4 import ruleset
from tests.properties.patients import ICD, LOINC, NOW, RXNORM, SUBJECT, UCUM, Json

TOLD: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("harmless-drugs.yaml").read_text(encoding="utf-8"))


def day(ago: int) -> str:
    return (NOW - timedelta(days=ago)).isoformat().replace("+00:00", "Z")


def adult(seed: int) -> tuple[Json, list[str]]:
    """A request about a healthy adult of 18 to 90 years, and what he or she takes."""
    dice = random.Random(seed)
    age_days = dice.randint(int(18.05 * 365.25), int(90 * 365.25))
    drugs = dice.sample(TOLD["drugs"], dice.choice((0, 1, 1, 2, 2, 3)))
    problems = dice.sample(TOLD["problems"], dice.choice((0, 1, 2)))
    # a young adult may never have been tested: no result is no finding
    results = TOLD["results"] if dice.random() < 0.8 else dice.sample(TOLD["results"], 6)
    if any("hydrochlorothiazide" in drug["name"] for drug in drugs):
        results = TOLD["results"]
    lists: dict[str, list[Json]] = {
        "medications": [_order(drug, dice.randint(5, 300)) for drug in drugs],
        "conditions": [_condition(code, dice.randint(20, 2000)) for code in problems],
        "observations": [_result(told, dice) for told in results],
        "allergies": [],
        "procedures": [],
        "service-requests": [],
        "medication-statements": [],
        "vital-signs": [],
        "social-history": [],
    }
    prefetch: Json = {"patient": _person(dice, age_days)}
    for key, found in lists.items():
        entries = [{"resource": {"id": f"{key}-{number}"} | one} for number, one in enumerate(found)]
        prefetch[key] = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
        if entries:
            prefetch[key]["entry"] = entries
    request = {
        "hook": "patient-view",
        "hookInstance": "00000000-0000-4000-8000-000000000000",
        "context": {"userId": "Practitioner/1", "patientId": "p1"},
        "prefetch": prefetch,
    }
    return request, [drug["name"] for drug in drugs]


def _person(dice: random.Random, age_days: int) -> Json:
    born = (NOW - timedelta(days=age_days)).date().isoformat()
    return {"resourceType": "Patient", "id": "p1", "gender": dice.choice(("female", "male")), "birthDate": born}


def _order(drug: Json, ago: int) -> Json:
    concept: Json = {"text": drug["name"]}
    if "rxnorm" in drug:
        concept["coding"] = [{"system": RXNORM, "code": drug["rxnorm"]}]
    return {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": concept,
        "subject": SUBJECT,
        "authoredOn": day(ago),
    }


def _condition(code: str, ago: int) -> Json:
    return {
        "resourceType": "Condition",
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "verificationStatus": {"coding": [{"code": "confirmed"}]},
        "code": {"coding": [{"system": ICD, "code": code}]},
        "subject": SUBJECT,
        "recordedDate": day(ago),
    }


def _result(told: Json, dice: random.Random) -> Json:
    value = round(dice.uniform(told["from"], told["to"]), told["decimals"])
    unit = told["unit"]
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": told["loinc"]}]},
        "subject": SUBJECT,
        "effectiveDateTime": day(dice.randint(1, 300)),
        "valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": unit},
    }


def answer(request: Json) -> Assessment:
    return assess(gather(decode_request(json.dumps(request).encode())), ruleset(), Settings(), NOW)


def test_a_thousand_healthy_adults_get_no_card() -> None:
    spoken: Counter[str] = Counter()
    for seed in range(1000):
        request, drugs = adult(seed)
        assessment = answer(request)
        assert not assessment.gate
        for card in assessment.cards:
            spoken[f"{card.source.topic.code}: {card.summary} ({', '.join(drugs)})"] += 1
        # a medicine in words that the service does not know is named, and is no reason for a card
        gaps = [gap for gap in assessment.data_gaps if gap.kind != "not-understood"]
        assert not gaps, (seed, gaps)
    assert spoken == {}


@pytest.mark.parametrize("drug", TOLD["drugs"], ids=lambda drug: drug["name"])
def test_each_of_the_drugs_is_met(drug: Json) -> None:
    assert sum(drug["name"] in adult(seed)[1] for seed in range(1000)) >= 10


def test_one_low_potassium_among_them_is_not_passed_over() -> None:
    """The silence above is not deafness."""
    request, _ = adult(1)
    low = _result({"loinc": "2823-3", "unit": "mmol/L", "from": 2.3, "to": 2.4, "decimals": 1}, random.Random(1))
    entries = request["prefetch"]["observations"].setdefault("entry", [])
    entries.append({"resource": {"id": "low"} | low | {"effectiveDateTime": NOW.isoformat()}})
    request["prefetch"]["observations"]["total"] = len(entries)
    assert [card.indicator for card in answer(request).cards] == ["critical"]
