"""The same patient by prefetch, by fetching, and mixed gives the same assessment."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cds_service.assess import Assessment, assess
from cds_service.fhir.queries import QUERIES
from cds_service.ruleset import Ruleset, load_ruleset
from cds_service.settings import Settings
from tests.fhir.ehr_record import EhrRecord, record_of, with_references
from tests.fhir.fake_ehr import FakeEhr, gathered, request_of

ROOT = Path(__file__).resolve().parents[2]
OURS = sorted((ROOT / "fixtures" / "patients").glob("*.json"))
SYNTHEA = sorted((ROOT.parent / "shared" / "samples" / "synthea").glob("*.json"))
NOW = datetime(2026, 3, 10, 23, 59, 59, tzinfo=UTC)
KEYS = [query.key for query in QUERIES]
ROUTES: dict[str, list[str]] = {
    "all prefetched": KEYS,
    "all fetched": [],
    "only the patient prefetched": ["patient"],
    "every other key prefetched": KEYS[::2],
    "the remaining keys prefetched": KEYS[1::2],
}


@cache
def ruleset() -> Ruleset:
    return load_ruleset(None)


@cache
def record(path: Path, referring: bool = False) -> EhrRecord:
    found = record_of(json.loads(path.read_text(encoding="utf-8")))
    return with_references(found) if referring else found


def assessed(found: EhrRecord, prefetch: Any, **members: Any) -> Assessment:
    request = request_of(found, prefetch, **members)
    return assess(gathered(FakeEhr(found), request), ruleset(), Settings(), NOW)


@cache
def by_prefetch(path: Path, referring: bool = False) -> Assessment:
    found = record(path, referring)
    return assessed(found, found.prefetch())


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_our_patients(path: Path, route: str) -> None:
    found = record(path)
    assert assessed(found, found.prefetch(ROUTES[route])) == by_prefetch(path)


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_prefetch_needs_no_access(path: Path) -> None:
    found = record(path)
    assert assessed(found, found.prefetch(), fhirServer=None, fhirAuthorization=None) == by_prefetch(path)


@pytest.mark.skipif(not SYNTHEA, reason="the published samples are not on this machine")
@pytest.mark.parametrize("route", ["all fetched", "every other key prefetched"])
@pytest.mark.parametrize("path", SYNTHEA, ids=lambda path: path.stem)
def test_published_samples(path: Path, route: str) -> None:
    found = record(path)
    assert assessed(found, found.prefetch(ROUTES[route])) == by_prefetch(path)


@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize("prefetched", [[], ["patient", "observations", "medications"]], ids=["fetched", "first page"])
def test_pages_make_no_difference(size: int, prefetched: list[str]) -> None:
    path = ROOT / "fixtures" / "patients" / "cramps-several-factors.json"
    found = EhrRecord(record(path).resources, page_size=size)
    assert by_prefetch(path).cards
    assert assessed(found, found.prefetch(prefetched, whole=False)) == by_prefetch(path)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", ["thiazide-low-potassium", "cramps-several-factors"])
def test_medicines_that_are_only_referred_to(name: str, route: str) -> None:
    path = ROOT / "fixtures" / "patients" / f"{name}.json"
    found = record(path, referring=True)
    assert assessed(found, found.prefetch(ROUTES[route])) == by_prefetch(path)
    # and without access the reference leads nowhere, which is said
    blind = assessed(found, found.prefetch(), fhirServer=None, fhirAuthorization=None)
    assert "unidentified-medication" in {gap.kind for gap in blind.data_gaps}
