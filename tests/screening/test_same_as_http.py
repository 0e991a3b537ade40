"""A patient screened and the same patient over HTTP: the same findings, cards and gaps, for every record there is."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from cds_service.assess import Assessment, assess
from cds_service.cards.response import encode_response
from cds_service.facts.decode import build_facts
from cds_service.scenarios.when import end_of_day
from cds_service.screening.patient import Frame, row_of
from cds_service.screening.rows import PatientRow, decode_row
from cds_service.settings import Settings
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring
from tests.screening.generate import FIXTURES, SAMPLES, Json, as_export, records
from tests.screening.running import NOW, ruleset, run, write

_KEYS = {
    "Patient": "patient",
    "MedicationRequest": "medications",
    "Condition": "conditions",
    "Observation": "observations",
    "AllergyIntolerance": "allergies",
    "Procedure": "procedures",
    "ServiceRequest": "service-requests",
    "MedicationStatement": "medication-statements",
    "MedicationDispense": "medication-dispenses",
}


def bulk_people() -> list[list[Json]]:
    people: dict[str, list[Json]] = {}
    for path in sorted((SAMPLES.parent / "bulk").glob("*.0*.ndjson")):
        for one in map(json.loads, path.read_bytes().splitlines()):
            about = (
                one["id"] if one["resourceType"] == "Patient" else (one.get("subject") or one["patient"])["reference"]
            )
            people.setdefault(about.removeprefix("Patient/"), []).append(one)
    return list(people.values())


SOURCES = {
    "fixtures": (lambda: records(FIXTURES), NOW),
    "synthea": (lambda: records(SAMPLES), end_of_day(date(2020, 6, 1), UTC)),
    "bulk": (bulk_people, end_of_day(date(2021, 6, 1), UTC)),
}
"""The records, and a day on which they are current."""


def over_http(resources: list[Json], patient_id: str, types: set[str], now: datetime) -> PatientRow:
    """The row that the road of a request comes to: the assessment is the one that the web layer made."""
    prefetch: dict[str, Any] = {}
    for kind, key in _KEYS.items():
        found = [one for one in resources if one["resourceType"] == kind]
        if kind == "Patient":
            prefetch[key] = found[0]
        elif kind in types:
            entries = [{"resource": one} for one in found]
            prefetch[key] = {"resourceType": "Bundle", "type": "searchset", "total": len(found), "entry": entries}
    request = {
        "hook": "patient-view",
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "context": {"userId": "Practitioner/x", "patientId": patient_id},
        "prefetch": prefetch,
    }
    seen: list[tuple[Any, Assessment]] = []

    def assessed(gathered: Any, rules: Any, settings: Settings, now: Any, *more: Any) -> Assessment:
        seen.append((gathered, assess(gathered, rules, settings, now, *more)))
        return seen[-1][1]

    wiring = Wiring(ruleset=ruleset(), assess=assessed, encode_response=encode_response, now=lambda: now)
    client = create_app(WebConfig(), wiring).test_client()
    answer = client.post(
        "/cds-services/leg-cramp-patient-view", data=json.dumps(request), content_type="application/json"
    )
    assert answer.status_code == 200, answer.data
    gathered, assessment = seen[0]
    facts = build_facts(gathered, ruleset().terminology, Settings(), now)
    return row_of(patient_id, len(resources), facts, assessment, Frame(ruleset(), Settings(), now))


@pytest.mark.parametrize("source", SOURCES)
def test_a_patient_screened_is_the_patient_over_http(source: str, tmp_path: Path) -> None:
    if source != "fixtures" and not SAMPLES.is_dir():
        pytest.skip(f"the published sample records are not at {SAMPLES}")
    records_of, now = SOURCES[source]
    by_type: dict[str, list[Json]] = {}
    people: dict[str, list[Json]] = {}
    for number, person in enumerate(records_of()):
        patient_id = f"p{number:03}"
        people[patient_id] = list(as_export(person, patient_id, f"{number}-"))
        for one in people[patient_id]:
            by_type.setdefault(one["resourceType"], []).append(one)
    for kind, lines in by_type.items():
        write(tmp_path / "export" / f"{kind}.ndjson", *lines)
    run(tmp_path / "export", tmp_path / "out", now=now)
    screened = [decode_row(line) for line in (tmp_path / "out" / "findings.ndjson").read_bytes().splitlines()]
    assert [row.patient for row in screened] == sorted(people)
    assert any(row.findings for row in screened)
    for row in screened:
        told = over_http(people[row.patient], row.patient, set(by_type), now)
        assert row.findings == told.findings
        assert row.cards == told.cards
        assert (row.tier, row.points, row.mode, row.gate) == (told.tier, told.points, told.mode, told.gate)
        assert _kinds(row) == _kinds(told)


def _kinds(row: PatientRow) -> list[tuple[str, str, str]]:
    """Gaps but for their sentence: an export says "not in the export" where a request says "not supplied"."""
    return [(gap.kind, gap.what, gap.reference) for gap in row.gaps]
