"""The requests of the benchmarks are what they claim to be: else the figures say nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from cds_service.assess import assess
from cds_service.facts.reading import decode_request
from cds_service.fhir.prefetch import gather
from cds_service.ruleset import Ruleset, load_ruleset
from cds_service.settings import Settings
from tests.benchmarks.hook_requests import Detail, bundles_of, make_hook_request

NOW = datetime(2026, 11, 2, 15, 30, tzinfo=UTC)
READ_CODES = {"Observation", "Condition", "MedicationRequest", "ServiceRequest"}
DETAILS: tuple[Detail, ...] = ("lean", "usual", "rich")


@pytest.fixture(scope="module")
def ruleset() -> Ruleset:
    return load_ruleset()


def resources_of(body: bytes) -> Iterator[dict[str, Any]]:
    for value in json.loads(body)["prefetch"].values():
        if value["resourceType"] == "Bundle":
            yield from (entry["resource"] for entry in value.get("entry", ()))
        else:
            yield value


def is_read(resource: dict[str, Any], ruleset: Ruleset) -> bool:
    if resource["resourceType"] == "Patient":
        return True
    if resource["resourceType"] not in READ_CODES:
        return False
    concept = resource.get("medicationCodeableConcept") or resource["code"]
    return any(ruleset.terminology.lookup(coding["system"], coding["code"]) for coding in concept["coding"])


@pytest.mark.parametrize("size", [20, 200, 1000])
def test_half_of_the_resources_are_noise(size: int, ruleset: Ruleset) -> None:
    resources = list(resources_of(make_hook_request(size, NOW)))
    assert len(resources) == size
    assert sum(is_read(resource, ruleset) for resource in resources) == size - size // 2


@pytest.mark.parametrize("detail", DETAILS)
def test_resources_are_as_heavy_as_real_ones(detail: Detail) -> None:
    assert 600 <= len(make_hook_request(1000, NOW, detail=detail)) / 1000 <= 980


@pytest.mark.parametrize("detail", DETAILS)
def test_bundles_are_valid(detail: Detail) -> None:
    for bundle in bundles_of(make_hook_request(200, NOW, detail=detail)):
        Bundle.model_validate_json(bundle)


def test_a_seed_makes_one_request() -> None:
    assert make_hook_request(50, NOW, seed=3) == make_hook_request(50, NOW, seed=3)
    assert make_hook_request(50, NOW, seed=3) != make_hook_request(50, NOW, seed=4)


@pytest.mark.parametrize("size", [20, 1000])
def test_the_patient_yields_cards_and_no_gap(size: int, ruleset: Ruleset) -> None:
    gathered = gather(decode_request(make_hook_request(size, NOW)))
    assessment = assess(gathered, ruleset, Settings(), NOW)
    assert "lab-hypokalemia" in {finding.rule.id for finding in assessment.findings if finding.fired}
    assert len(assessment.cards) >= 2
    assert any(card.suggestions for card in assessment.cards)
    assert assessment.data_gaps == ()
