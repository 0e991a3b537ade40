"""CORS, security headers and the request id, on answers and errors alike."""

from __future__ import annotations

import io
from typing import Any

import pytest

from cds_service.assess import assess
from cds_service.cards.response import encode_response
from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring
from tests.scenarios.shared import runner
from tests.web.fakes import Assessor, hook_request, make_app

SERVICE = "/cds-services/leg-cramp-patient-view"
EHR = "https://ehr.example.org"
OTHER = "https://other.example.org"


def calls(app: Any, origin: str | None) -> list[Any]:
    """One answer of every kind."""
    client, headers = app.test_client(), {"Origin": origin} if origin else {}
    return [
        client.get("/cds-services", headers=headers),
        client.post(SERVICE, json=hook_request(), headers=headers),
        client.post(SERVICE, data=b"{", content_type="application/json", headers=headers),
        client.post(SERVICE, json=hook_request(prefetch=None), headers=headers),
        client.post(SERVICE, data=b"<x/>", content_type="text/xml", headers=headers),
        client.post("/cds-services/none", json={}, headers=headers),
        client.put(SERVICE, headers=headers),
        client.get("/nowhere", headers=headers),
        client.get("/static/icon.png", headers=headers, buffered=True),
        client.options(SERVICE, headers=headers),
    ]


@pytest.mark.parametrize("path", ["/cds-services", SERVICE, "/cds-services/"])
def test_preflight_needs_no_authentication_and_no_redirect(path: str) -> None:
    headers = {
        "Origin": EHR,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    response = make_app(cors_origins=frozenset({EHR})).test_client().options(path, headers=headers)
    assert response.status_code in (200, 204)
    assert response.headers["Access-Control-Allow-Origin"] == EHR
    assert response.headers["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS"
    assert response.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
    assert "Access-Control-Allow-Credentials" not in response.headers


def test_a_listed_origin_is_allowed_on_every_answer() -> None:
    for response in calls(make_app(cors_origins=frozenset({EHR})), EHR):
        assert response.headers["Access-Control-Allow-Origin"] == EHR
        assert "Origin" in response.headers["Vary"]


def test_an_unlisted_origin_is_allowed_on_none() -> None:
    for response in calls(make_app(cors_origins=frozenset({EHR})), OTHER):
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Origin" in response.headers["Vary"]


def test_development_allows_any_origin() -> None:
    for response in calls(make_app(development=True), OTHER):
        assert response.headers["Access-Control-Allow-Origin"] == OTHER


def test_without_an_origin_there_is_no_cors() -> None:
    for response in calls(make_app(development=True), None):
        assert not [name for name, _ in response.headers if name.startswith("Access-Control")]


def test_a_fault_has_its_headers_too() -> None:
    app = make_app(Assessor(error=ValueError("x")), development=True)
    response = app.test_client().post(SERVICE, json=hook_request(), headers={"Origin": EHR})
    assert response.status_code == 500
    assert response.headers["Access-Control-Allow-Origin"] == EHR
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_security_headers_on_every_answer() -> None:
    for response in calls(make_app(), None):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy


def test_answers_about_a_patient_are_not_stored() -> None:
    for response in calls(make_app(), None)[1:8]:
        assert response.headers["Cache-Control"] == "no-store"


def test_request_ids_are_ours_and_differ() -> None:
    client = make_app().test_client()
    ids = [client.get("/healthz", headers={"X-Request-Id": "Jane"}).headers["X-Request-Id"] for _ in range(3)]
    assert len(set(ids)) == 3
    assert "Jane" not in ids


EXACTLY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
}
PARTS = {"filename": "icon.png", "service_id": "leg-cramp-patient-view", "chart": "rules", "kind": "topics"}


@pytest.mark.parametrize("config", [{"development": True}, {"pages_token": "open the pages please"}])
def test_every_address_and_method_has_the_security_headers_once(config: dict[str, Any]) -> None:
    app = make_app(**config)
    # the fake ruleset has no rules, so that some pages fail: an error page is no exception
    app.config["PROPAGATE_EXCEPTIONS"] = False
    client = app.test_client()
    for rule in app.url_map.iter_rules():
        parts = {name: PARTS.get(name, "any") for name in rule.arguments}
        path = app.url_map.bind("127.0.0.1").build(rule.endpoint, parts)
        for method in rule.methods or ():
            answer = client.open(path, method=method, buffered=True)
            told = {name: answer.headers.getlist(name) for name in EXACTLY}
            assert told == {name: [value] for name, value in EXACTLY.items()}, (method, path)
            assert len(answer.headers.getlist("X-Request-Id")) == 1
            assert len(answer.headers.getlist("Cache-Control")) == 1
            assert "Set-Cookie" not in answer.headers


@pytest.fixture(scope="module")
def real() -> Any:
    """With the real rules."""
    wiring = Wiring(ruleset=runner().ruleset, assess=assess, encode_response=encode_response)
    return create_app(WebConfig(development=True), wiring, make_log(io.BytesIO()))


@pytest.mark.parametrize(
    "path", ["/rules/R11", "/rules/monitoring-gap/", "/nowhere", "/report", "/handout", "/static/x"]
)
def test_what_a_proxy_or_client_says_of_the_host_stands_in_no_answer(path: str, real: Any) -> None:
    """A cache on the way would hand it to the next reader."""
    told = ("Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-URL", "X-Rewrite-URL")
    headers = dict.fromkeys(told, "evil.example")
    answer = real.test_client().get(path, headers=headers, buffered=True)
    assert "evil.example" not in answer.text + str(answer.headers)
    assert answer.headers.get("Location", "/").startswith("/")
