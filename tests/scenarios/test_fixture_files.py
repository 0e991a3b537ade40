"""The patients and requests under fixtures: valid, invented, and answered as their index says."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from fhir.resources.R4B.bundle import Bundle

from cds_service.assess import Assessment, assess
from cds_service.cards.response import encode_response
from cds_service.facts.gathered import gathered_from_bundle
from cds_service.facts.reading import decode_bundle
from cds_service.scenarios import end_of_day, shift_to
from cds_service.scenarios.when import day
from cds_service.settings import Settings
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring
from tests.scenarios.shared import FIXTURES, runner

PATIENTS: dict[str, Any] = yaml.safe_load((FIXTURES / "patients" / "index.yaml").read_text(encoding="utf-8"))
REQUESTS: dict[str, Any] = yaml.safe_load((FIXTURES / "requests" / "index.yaml").read_text(encoding="utf-8"))
NOW = end_of_day(day(str(PATIENTS["today"])), Settings().zone)


def shown(cards: list[Any]) -> list[str]:
    topics = {rule.topic: rule.id for rule in runner().ruleset.knowledge.rules}
    return [f"{topics[card['source']['topic']['code']]} {card['indicator']}" for card in cards]


def answered(body: bytes, service: str) -> tuple[int, Any, list[Assessment]]:
    seen: list[Assessment] = []

    def remember(*given: Any) -> Assessment:
        seen.append(assess(*given))
        return seen[-1]

    wiring = Wiring(
        ruleset=runner().ruleset, assess=remember, encode_response=encode_response, now=lambda: NOW, new_id=lambda: "id"
    )
    client = create_app(WebConfig(), wiring).test_client()
    answer = client.post(f"/cds-services/{service}", data=body, content_type="application/json")
    return answer.status_code, answer.get_json(), seen


@pytest.mark.parametrize("told", PATIENTS["patients"], ids=lambda told: told["file"])
def test_a_patient_is_answered_as_the_index_says(told: dict[str, Any]) -> None:
    body = (FIXTURES / "patients" / told["file"]).read_bytes()
    Bundle.model_validate_json(body)
    gathered = gathered_from_bundle([decode_bundle(body)])
    assessment = assess(gathered, runner().ruleset, Settings(), NOW)
    cards = json.loads(encode_response(assessment.cards, lambda: "id"))["cards"]
    assert shown(cards) == told["cards"]
    assert not assessment.data_gaps


@pytest.mark.parametrize("told", REQUESTS["requests"], ids=lambda told: told["file"])
def test_a_request_is_answered_as_the_index_says(told: dict[str, Any]) -> None:
    status, answer, seen = answered((FIXTURES / "requests" / told["file"]).read_bytes(), told["service"])
    assert status == told["status"]
    if status != 200:
        assert answer["resourceType"] == "OperationOutcome"
        return
    assert shown(answer["cards"]) == told["cards"]
    gaps = " ".join(gap.text for gap in seen[0].data_gaps)
    assert all(words in gaps for words in told.get("gaps", ()))
    if told.get("offers_no_medication"):
        assert "MedicationRequest" not in json.dumps(answer)


def test_every_file_stands_in_its_index() -> None:
    for folder, index in (("patients", PATIENTS["patients"]), ("requests", REQUESTS["requests"])):
        files = {path.name for path in (FIXTURES / folder).glob("*.json")}
        assert files == {told["file"] for told in index}


def test_nobody_in_the_fixtures_can_be_real() -> None:
    for path in [*(FIXTURES / "patients").glob("*.json"), *(FIXTURES / "requests").glob("*.json")]:
        text = path.read_text(encoding="utf-8-sig")
        if '"family"' in text:
            assert '-Example"' in text
        assert "http" not in text or "example.org" in text


@pytest.mark.parametrize("years", [1, 3, 10])
def test_shifted_requests_say_the_same_years_later(years: int) -> None:
    """The dates move and nothing else, so README's example and the page never go stale."""
    told = json.loads((FIXTURES / "requests" / "patient-view.json").read_bytes())
    later = NOW.replace(year=NOW.year + years)
    moved = shift_to(told, NOW.date(), later)
    assert json.dumps(moved) != json.dumps(told)
    resources = [value for value in moved["prefetch"].values() if value]
    gathered = gathered_from_bundle([decode_bundle(json.dumps(value).encode()) for value in resources])
    assessment = assess(gathered, runner().ruleset, Settings(), later)
    assert [card.source.topic.code for card in assessment.cards] == ["labhypokalemia"]
