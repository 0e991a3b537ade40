"""What is counted, for whom, and that no label ever comes from a request."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from cds_service.assess import assess
from cds_service.cards.response import encode_response
from cds_service.facts.model import DataGap
from cds_service.fhir.complete import Completion
from cds_service.fhir.outcomes import Fetched
from cds_service.ruleset import load_ruleset
from cds_service.settings import Settings
from cds_service.telemetry.log import make_log
from cds_service.telemetry.metrics import Metrics
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring
from tests.web.fakes import CARD, PATIENT, bundle, hook_request

SERVICE = "/cds-services/leg-cramp-patient-view"
BASIS = SimpleNamespace(rule="lab-hypokalemia", indicator="critical")
GAPS = (DataGap("not-supplied", "observations", "x"), DataGap("not-supplied", "allergies", "y"))


def assessed(*_: Any) -> Any:
    return SimpleNamespace(cards=(CARD,), bases=(BASIS,), silent=(), data_gaps=GAPS)


def make_app(**wiring: Any) -> Flask:
    parts: dict[str, Any] = {
        "ruleset": SimpleNamespace(digest="f00d", knowledge_version="0.1.0"),
        "assess": assessed,
        "encode_response": lambda *_: b'{"cards":[]}',
        "metrics": Metrics("1.2.3", "0.1.0", "f00d"),
    }
    return create_app(WebConfig(development=True), Wiring(**parts | wiring), make_log(io.BytesIO()))


def counted(app: Flask, name: str) -> dict[tuple[str, ...], float]:
    """Samples of a metric by the values of their labels, whose names are in alphabetical order."""
    text = app.test_client().get("/metrics").text
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"legcramp_{name}"
    }


def test_an_invocation_is_counted_by_service_and_status() -> None:
    app = make_app()
    client = app.test_client()
    for _ in range(3):
        client.post(SERVICE, json=hook_request())
    client.post(SERVICE, json={})
    client.post("/cds-services/none", json={})
    found = counted(app, "requests_total")
    assert found["invocation.invoke", "leg-cramp-patient-view", "200"] == 3
    assert found["invocation.invoke", "leg-cramp-patient-view", "400"] == 1
    assert found["invocation.invoke", "", "404"] == 1
    assert counted(app, "request_duration_seconds_count")[("invocation.invoke",)] == 5


def test_cards_gaps_and_resources() -> None:
    app = make_app()
    request = hook_request(
        prefetch={"patient": PATIENT, "conditions": bundle({"resourceType": "Condition", "id": "c"})}
    )
    for _ in range(2):
        app.test_client().post(SERVICE, json=request)
    assert counted(app, "cards_total") == {("critical", "lab-hypokalemia", "yes"): 2}
    assert counted(app, "data_gaps_total") == {("not-supplied",): 4}
    assert counted(app, "request_resources_sum") == {(): 4}


def test_cards_of_a_silent_assessment_are_told_apart() -> None:
    silent = SimpleNamespace(cards=(), bases=(), silent=(BASIS,), data_gaps=())
    app = make_app(assess=lambda *_: silent)
    app.test_client().post(SERVICE, json=hook_request())
    assert counted(app, "cards_total") == {("critical", "lab-hypokalemia", "silent"): 1}
    shown = SimpleNamespace(cards=(CARD,), bases=(BASIS,), silent=(BASIS,), data_gaps=())
    app = make_app(assess=lambda *_: shown)
    app.test_client().post(SERVICE, json=hook_request())
    assert {key[2]: value for key, value in counted(app, "cards_total").items()} == {"yes": 1, "silent": 1}


def test_questions_to_the_ehr_by_key_and_outcome() -> None:
    questions = (
        Fetched(key="medications", outcome="ok", duration_ms=120.0),
        Fetched(key="observations", outcome="timeout", duration_ms=1500.0),
    )
    app = make_app(fetch=lambda *_: Completion(fetched=questions))
    app.test_client().post(SERVICE, json=hook_request(fhirServer="https://ehr.example/r4"))
    assert counted(app, "fetches_total") == {("medications", "ok"): 1, ("observations", "timeout"): 1}
    assert counted(app, "fetch_duration_seconds_sum") == {(): pytest.approx(1.62)}


def test_the_rules_that_answer() -> None:
    assert counted(make_app(), "ruleset_info") == {("f00d", "0.1.0", "1.2.3"): 1}


def test_what_happens_to_the_database_and_denied_tokens() -> None:
    metrics = Metrics("1", "2", "3")
    app = make_app(metrics=metrics)
    metrics.happened("replay-fallback", 2)
    metrics.happened("database-down")
    metrics.denied("replay")
    assert counted(app, "memory_events_total") == {("replay-fallback",): 2, ("database-down",): 1}
    assert counted(app, "denied_total") == {("replay",): 1}


def test_off_means_that_there_is_nothing() -> None:
    app = make_app(metrics=None)
    assert app.test_client().post(SERVICE, json=hook_request()).status_code == 200
    assert app.test_client().get("/metrics").status_code == 404


SECRETS = ("zaphod", "zq-4711", "sesame")


def test_no_label_comes_from_a_request() -> None:
    """Whatever is sent, the labels are those of a closed list, so their number cannot grow with traffic."""
    ruleset = load_ruleset()
    app = make_app(assess=assess, ruleset=ruleset, encode_response=encode_response)
    client = app.test_client()
    for number in range(20):
        name = f"Zaphod{number}"
        client.get(f"/{name}")
        client.open("/healthz", method="ZAPHOD")
        client.post(f"/cds-services/{name}", json={})
        client.post(
            f"{SERVICE}?{name}=zq-4711", json=hook_request(hook=name), headers={"Authorization": "Bearer sesame"}
        )
        client.post(SERVICE, json=hook_request(prefetch={"patient": PATIENT, name: {"resourceType": name}}))
        client.get(f"/rules/{name}")
        client.get("/report", query_string={"client": name})
    text = client.get("/metrics").text
    for secret in SECRETS:
        assert secret not in text.lower()
    known = set(app.view_functions) | {"unmatched"}
    services = {f"leg-cramp-{hook}" for hook in ("patient-view",)} | {""}
    for endpoint, service, status in counted(app, "requests_total"):
        assert endpoint in known
        assert service in services
        assert status.isdigit()
    rules = {rule.id for rule in ruleset.knowledge.rules}
    assert {key[1] for key in counted(app, "cards_total")} <= rules


def test_a_metric_is_a_line_of_the_operations_guide() -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    names = {metric.name for metric in Metrics("1", "2", "3").registry.collect()}
    assert len(names) > 10
    for name in names:
        assert f"`{name}" in guide, name


def test_settings_are_untouched_by_counting() -> None:
    """The answer with and without counts is the same, byte for byte."""
    ruleset = load_ruleset()
    answers = {
        make_app(assess=assess, ruleset=ruleset, encode_response=encode_response, metrics=metrics, new_id=lambda: "id")
        .test_client()
        .post(SERVICE, json=hook_request())
        .data
        for metrics in (None, Metrics("1", "2", "3"))
    }
    assert len(answers) == 1
    assert msgspec.json.decode(answers.pop()) == {"cards": []}
    assert Settings() == WebConfig().settings
