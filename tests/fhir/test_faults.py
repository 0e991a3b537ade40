"""A real FHIR server over sockets, in every kind of trouble: the request is answered in time and says what is missing.

The rows of docs/faults.md about FHIR servers are these tests.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from cds_service.clients.model import ANONYMOUS
from cds_service.fhir.access import Policy
from cds_service.fhir.complete import Completion, FhirAccess
from cds_service.fhir.deadline import Deadline
from cds_service.fhir.outcomes import Outcome
from cds_service.fhir.prefetch import RequiredDataMissing, gather
from cds_service.fhir.queries import QUERIES
from tests.fhir import ehr_server as ehr
from tests.fhir.ehr_record import EhrRecord
from tests.fhir.ehr_server import EhrServer, Fault
from tests.fhir.fake_ehr import AUTHORIZATION, TOKEN, outcomes, request_of

SUBJECT = {"reference": "Patient/pt-4711"}
PATIENT = {"resourceType": "Patient", "id": "pt-4711", "gender": "female", "birthDate": "1950-02-03"}
DRUG = {"resourceType": "MedicationRequest", "id": "m1", "status": "active", "intent": "order", "subject": SUBJECT}
LAB = [{"coding": [{"code": "laboratory"}]}]
RESULTS = [
    {"resourceType": "Observation", "id": f"o{at}", "status": "final", "category": LAB, "subject": SUBJECT}
    for at in range(40)
]
RECORD = EhrRecord([PATIENT, DRUG, *RESULTS])
KEYS = {query.key for query in QUERIES}
LONG = 20.0
"""Seconds after which a very slow machine has surely done what takes a fraction of a second; every fault that
waits would wait for longer."""


@pytest.fixture
def access() -> Iterator[FhirAccess]:
    made = make(LONG)
    yield made
    made.close()


def make(seconds: float, **options: Any) -> FhirAccess:
    return FhirAccess(Policy(development=True), seconds, **options)


def asked(access: FhirAccess, server: EhrServer, prefetch: Any = None, **members: Any) -> tuple[Completion, Any]:
    request = request_of(server.record, prefetch, **members)
    completion = access.complete(request, ANONYMOUS)
    return completion, request


def found(completion: Completion, request: Any) -> Any:
    return gather(request, fetched=completion.values, gaps=completion.gaps)


def test_a_sound_server(access: FhirAccess) -> None:
    with EhrServer(RECORD) as server:
        completion, request = asked(access, server)
        assert {one.outcome for one in completion.fetched} == {"ok"}
        assert {one.status for one in completion.fetched} == {200}
        assert len(found(completion, request).resources) == 42
        assert {headers["Authorization"] for _, headers, _ in server.seen} == {f"Bearer {TOKEN}"}
        assert {headers["Accept"] for _, headers, _ in server.seen} == {"application/fhir+json"}


def test_pages_over_the_network(access: FhirAccess) -> None:
    with EhrServer(EhrRecord(RECORD.resources, page_size=7)) as server:
        completion, request = asked(access, server)
        assert len(found(completion, request).resources) == 42
        assert next(one.pages for one in completion.fetched if one.key == "observations") == 6


def test_connections_are_used_again_and_no_cookie_is_kept(access: FhirAccess) -> None:
    with EhrServer(RECORD) as server:
        cookie = {"Set-Cookie": "session=of-another-patient; Path=/"}
        server.faults["Condition"] = lambda handler: handler.send(200, handler.body(), cookie)
        for _ in range(3):
            asked(access, server)
        assert len(server.seen) == 3 * len(KEYS)
        assert len({port for _, _, port in server.seen}) <= len(KEYS)
        assert not any("Cookie" in headers for _, headers, _ in server.seen)


BROKEN: list[tuple[Fault, str]] = [
    (ehr.truncating, "broken"),
    (ehr.cut_chunks, "broken"),
    (ehr.cut_json, "unreadable"),
    (ehr.html, "unreadable"),
    (ehr.garbage, "broken"),
    (ehr.hangs_up, "broken"),
    (ehr.many_headers, "broken"),
    (ehr.endless, "too-large"),
    (ehr.endless_error, "error"),
    (ehr.bomb, "too-large"),
    (ehr.status(200, b"\x1f\x8b not gzip", Content_Encoding="gzip"), "broken"),
    (ehr.status(401), "refused"),
    (ehr.status(403), "refused"),
    (ehr.status(404), "not-found"),
    (ehr.status(429), "busy"),
    (ehr.status(429, Retry_After="3600"), "busy"),
    (ehr.status(503, Retry_After="Wed, 21 Oct 2099 07:28:00 GMT"), "busy"),
    (ehr.status(500, b"<html>stack trace</html>"), "error"),
    (ehr.status(200), "unreadable"),
]


@pytest.mark.parametrize(("fault", "expected"), BROKEN)
def test_a_list_that_cannot_be_had_costs_only_that_list(access: FhirAccess, fault: Fault, expected: str) -> None:
    with EhrServer(RECORD, {"Observation?patient=pt-4711&category=laboratory": fault}) as server:
        started = time.monotonic()
        completion, request = asked(access, server)
        assert time.monotonic() - started < LONG
        told = outcomes(completion)
        assert told.pop("observations") == expected
        assert set(told.values()) == {"ok"}
        gathered = found(completion, request)
        assert "observations" in gathered.not_supplied
        assert ("fetch-failed", "observations") in {(gap.kind, gap.what) for gap in gathered.gaps}
        assert "medications" not in gathered.not_supplied | gathered.incomplete


WAITING: list[Fault] = [ehr.dead, ehr.drip_body, ehr.drip_headers]


@pytest.mark.parametrize("fault", WAITING)
@pytest.mark.parametrize("where", ["Observation", "Patient"])
def test_a_server_that_makes_wait_is_left_at_the_deadline(fault: Fault, where: str) -> None:
    access = make(0.8)
    try:
        with EhrServer(RECORD, {where: fault}) as server:
            started = time.monotonic()
            completion, request = asked(access, server)
            # its threads end as well: nothing of a request goes on after it
            access.close()
            assert time.monotonic() - started < LONG
            assert outcomes(completion)["patient" if where == "Patient" else "observations"] == "timeout"
            if where == "Patient":
                with pytest.raises(RequiredDataMissing):
                    found(completion, request)
            else:
                gathered = found(completion, request)
                assert "observations" in gathered.not_supplied
                assert any("in time" in gap.text for gap in gathered.gaps)
    finally:
        access.close()


def test_a_request_with_less_time_gives_the_ehr_less(access: FhirAccess) -> None:
    with EhrServer(RECORD, {"": ehr.dead}) as server:
        started = time.monotonic()
        completion = access.complete(request_of(server.record, None), ANONYMOUS, Deadline(0.3))
        assert time.monotonic() - started < LONG / 2
        assert set(outcomes(completion).values()) == {"timeout"}


def test_pages_that_came_before_the_deadline_are_kept() -> None:
    access = make(1.5)
    try:
        with EhrServer(EhrRecord(RECORD.resources, page_size=7)) as server:
            laboratory = "Observation?patient=pt-4711&category=laboratory&_sort=-date&_count=1000&_page=2"
            server.faults = {laboratory: ehr.dead}
            completion, request = asked(access, server)
            gathered = found(completion, request)
            assert sum(type(one).__name__ == "Observation" for one in gathered.resources) == 14
            assert "observations" in gathered.incomplete - gathered.not_supplied
    finally:
        access.close()


def test_nobody_listens(access: FhirAccess) -> None:
    request = request_of(EhrRecord(RECORD.resources, f"http://127.0.0.1:{ehr.free_port()}/r4"), {"patient": PATIENT})
    completion = access.complete(request, ANONYMOUS)
    assert set(outcomes(completion).values()) == {"unreachable"}
    assert {"medications", "observations"} <= found(completion, request).not_supplied


# -- asked again, and not


@pytest.mark.parametrize(
    "fault", [ehr.hangs_up, ehr.status(429, Retry_After="1"), ehr.status(503, b"later", Retry_After="0")]
)
def test_a_passing_trouble_is_asked_again(access: FhirAccess, fault: Fault, caplog: Any) -> None:
    with EhrServer(RECORD, {"MedicationRequest": ehr.first(1, fault)}) as server, caplog.at_level(logging.DEBUG):
        completion, _ = asked(access, server)
        assert outcomes(completion)["medications"] == "ok"
        assert sum(path.startswith("MedicationRequest") for path, _, _ in server.seen) == 2
        # urllib3 would tell the URL, and with it the patient
        assert "pt-4711" not in caplog.text


def test_but_not_for_ever(access: FhirAccess) -> None:
    with EhrServer(RECORD, {"MedicationRequest": ehr.status(503, Retry_After="0")}) as server:
        completion, _ = asked(access, server)
        assert outcomes(completion)["medications"] == "busy"
        assert sum(path.startswith("MedicationRequest") for path, _, _ in server.seen) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 500, 502])
def test_other_refusals_are_final(access: FhirAccess, code: int) -> None:
    with EhrServer(RECORD, {"Condition": ehr.status(code, Retry_After="0")}) as server:
        asked(access, server)
        assert sum(path.startswith("Condition") for path, _, _ in server.seen) == 1


# -- nothing goes anywhere else


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(access: FhirAccess, code: int) -> None:
    with EhrServer(RECORD) as other, EhrServer(RECORD) as server:
        server.faults = {
            "Condition": ehr.status(code, Location=f"{other.base}/Condition"),
            "Procedure": ehr.status(code, Location=f"{server.base}/elsewhere"),
        }
        completion, request = asked(access, server)
        assert outcomes(completion)["conditions"] == outcomes(completion)["procedures"] == "redirect"
        assert {"conditions", "procedures"} <= found(completion, request).not_supplied
        assert other.seen == []
        assert not any("elsewhere" in path for path, _, _ in server.seen)


def test_a_next_page_on_another_port_is_not_asked(access: FhirAccess) -> None:
    with EhrServer(RECORD) as other, EhrServer(RECORD) as server:
        page = {
            "resourceType": "Bundle",
            "entry": [{"resource": RESULTS[0]}],
            "link": [{"relation": "next", "url": f"{other.base}/Observation?patient=pt-4711"}],
        }
        server.faults = {"Observation": ehr.status(200, json.dumps(page).encode())}
        completion, request = asked(access, server)
        assert outcomes(completion)["observations"] == "other-origin"
        assert "observations" in found(completion, request).incomplete
        assert other.seen == []


def test_proxies_and_logins_of_the_environment_are_not_used(
    access: FhirAccess, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{ehr.free_port()}")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with EhrServer(RECORD) as server:
        completion, _ = asked(access, server, fhirAuthorization=None)
        assert set(outcomes(completion).values()) == {"ok"}
        assert not any("Authorization" in headers for _, headers, _ in server.seen)


def test_gzip_is_understood(access: FhirAccess) -> None:
    with EhrServer(RECORD, {"Observation": ehr.zipped}) as server:
        completion, request = asked(access, server)
        assert len(found(completion, request).resources) == 42


def test_many_requests_at_once_get_their_own_answers(access: FhirAccess) -> None:
    """What one patient's request fetches never reaches another's, though connections are shared."""
    from concurrent.futures import ThreadPoolExecutor

    people = [
        [{**one, "id": f"{one['id']}-{at}", "subject": {"reference": f"Patient/p{at}"}} for one in (DRUG, *RESULTS)]
        for at in range(8)
    ]
    everyone = [{**PATIENT, "id": f"p{at}"} for at in range(8)] + [one for many in people for one in many]
    with EhrServer(EhrRecord(everyone)) as server, ThreadPoolExecutor(8) as threads:

        def fetch(at: int) -> set[str]:
            context = {"userId": "Practitioner/1", "patientId": f"p{at}"}
            authorization = AUTHORIZATION | {"access_token": f"token-{at}"}
            completion, request = asked(access, server, context=context, fhirAuthorization=authorization)
            gathered = found(completion, request)
            assert "observations" not in gathered.not_supplied | gathered.incomplete
            return {str(getattr(one, "id", "")) for one in gathered.resources if getattr(one, "id", None)}

        for at, ids in enumerate(threads.map(fetch, range(8))):
            assert ids == {f"p{at}"} | {one["id"] for one in people[at]}
        for path, headers, _ in server.seen:
            person = path.split("Patient/p")[-1] if path.startswith("Patient/") else path.split("patient=p")[1][:1]
            assert headers["Authorization"] == f"Bearer token-{person}"


def test_the_fault_table_names_every_outcome_and_real_tests() -> None:
    root = Path(__file__).resolve().parents[2]
    table = (root / "docs" / "faults.md").read_text(encoding="utf-8").partition("## The EHR's FHIR server")[2]
    table = table.partition("\n## ")[0]
    for outcome in get_args(Outcome):
        assert f"`{outcome}`" in table, outcome
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (root / "tests" / "fhir").glob("test_*.py"))
    names = re.findall(r"def (test_\w+)", tests)
    for word in re.findall(r"\| \D*?test_\w+: ([\w, ]+)[;|]", table):
        for one in word.strip().split(", "):
            assert any(one in name for name in names), one
