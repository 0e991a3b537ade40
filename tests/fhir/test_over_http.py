"""The whole road: a hook request over HTTP, an EHR over a socket, cards; nothing of patient or token in the log."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask, g

from cds_service.fhir.queries import QUERIES
from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring, wire
from tests.fhir import ehr_server as ehr
from tests.fhir.ehr_record import EhrRecord, record_of
from tests.fhir.ehr_server import EhrServer
from tests.fhir.fake_ehr import AUTHORIZATION, TOKEN
from tests.web.cds_hooks import check_cards, check_outcome
from tests.web.fakes import Assessor, hook_request, make_app

PATIENTS = Path(__file__).resolve().parents[2] / "fixtures" / "patients"
ADDRESS = "/cds-services/leg-cramp-patient-view"
CONFIG = WebConfig(development=True, fhir_deadline_ms=20_000, threads=2)


@cache
def record() -> EhrRecord:
    return record_of(json.loads((PATIENTS / "cramps-several-factors.json").read_text(encoding="utf-8")))


@cache
def wired() -> Wiring:
    made = wire(CONFIG)
    return msgspec.structs.replace(made, now=lambda: datetime(2026, 3, 10, 12, tzinfo=UTC))


@pytest.fixture
def log() -> io.BytesIO:
    return io.BytesIO()


@pytest.fixture
def app(log: io.BytesIO) -> Flask:
    return create_app(CONFIG, wired(), make_log(log))


@pytest.fixture
def server() -> Iterator[EhrServer]:
    with EhrServer(record()) as one:
        yield one


def asking(server: EhrServer, prefetch: Any = None, **members: Any) -> dict[str, Any]:
    context = {"userId": "Practitioner/example", "patientId": record().patient["id"]}
    access = {"fhirServer": server.base, "fhirAuthorization": AUTHORIZATION}
    return hook_request(context=context, prefetch=prefetch, **(access | members))


def cards(app: Flask, request: Any) -> Any:
    response = app.test_client().post(ADDRESS, json=request)
    assert response.status_code == 200, response.data
    check_cards(response.data, request)
    return without_uuids(response.json)


def without_uuids(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_uuids(member) for name, member in value.items() if name not in ("uuid", "id")}
    return [without_uuids(one) for one in value] if isinstance(value, list) else value


def test_the_three_routes_give_the_same_cards(app: Flask, server: EhrServer) -> None:
    keys = [query.key for query in QUERIES]
    by_prefetch = cards(app, asking(server, server.record.prefetch(), fhirServer=None, fhirAuthorization=None))
    assert by_prefetch["cards"]
    assert server.seen == []
    assert cards(app, asking(server)) == by_prefetch
    assert cards(app, asking(server, server.record.prefetch(keys[::2]))) == by_prefetch


def test_a_412_says_why_nothing_could_be_fetched(app: Flask, server: EhrServer) -> None:
    elsewhere = asking(server, fhirServer="https://ehr.example.org/r4")
    response = app.test_client().post(ADDRESS, json=elsewhere)
    assert response.status_code == 412
    assert "fhirServer is not one that may be asked" in check_outcome(response.data)["issue"][0]["diagnostics"]
    assert b"ehr.example.org" not in response.data
    server.faults = {"Patient": ehr.status(403)}
    response = app.test_client().post(ADDRESS, json=asking(server))
    assert response.status_code == 412
    check_outcome(response.data)


def test_an_ehr_in_ruins_still_gets_an_answer(app: Flask, server: EhrServer) -> None:
    server.faults = {"": ehr.status(500)}
    answer = cards(app, asking(server, {"patient": record().patient}))
    assert isinstance(answer["cards"], list)


def test_what_was_fetched_is_told_without_ids(app: Flask, server: EhrServer) -> None:
    with app.test_client() as client:
        client.post(ADDRESS, json=asking(server, server.record.prefetch(["patient"])))
        assert {one.key for one in g.fetched} == {query.key for query in QUERIES} - {"patient"}
        client.post(ADDRESS, json=asking(server, server.record.prefetch()))
        assert g.fetched == ()


def test_no_token_and_no_id_reach_the_log_or_an_answer(app: Flask, server: EhrServer, log: io.BytesIO) -> None:
    secrets = (TOKEN.encode(), record().patient["id"].encode(), server.base.encode())
    for faults in ({}, {"": ehr.hangs_up}, {"Patient": ehr.html}, {"Condition": ehr.status(500)}):
        server.faults = faults
        response = app.test_client().post(ADDRESS, json=asking(server))
        if response.status_code != 200:
            assert not any(secret in response.data for secret in secrets)
        assert TOKEN.encode() not in response.data
    assert log.getvalue().count(b'"request"') == 4
    assert not any(secret in log.getvalue() for secret in secrets)


def test_without_a_fhir_server_the_road_does_not_touch_the_client() -> None:
    def fetch(*_: Any) -> Any:
        raise AssertionError("nothing to fetch from")

    assessor = Assessor()
    app = make_app(assessor)
    app.extensions["wiring"] = msgspec.structs.replace(app.extensions["wiring"], fetch=fetch)
    assert app.test_client().post(ADDRESS, json=hook_request()).status_code == 200
    assert assessor.seen
