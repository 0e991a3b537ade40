"""The preview page: the same road and words as the API, nothing kept, and readable without JavaScript."""

from __future__ import annotations

import io
import json
import re
import tempfile
from datetime import UTC, date, datetime, timedelta
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient

from cds_service.assess import assess
from cds_service.cards.response import encode_response
from cds_service.cli.check import finding_data
from cds_service.scenarios import Case, Scenario
from cds_service.scenarios.case import encoded
from cds_service.settings import Settings
from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.pages.examples import Examples
from cds_service.web.pages.markdown import to_html
from cds_service.web.pages.road import travel
from cds_service.web.wiring import Wiring
from tests.scenarios.shared import fits_a_bundle, fixture_scenarios, ids_of, runner
from tests.web.fakes import PATIENT, bundle, hook_request

SYNTHEA = sorted((Path(__file__).resolve().parents[3] / "shared" / "samples" / "synthea").glob("*.json"))
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
INJECTION = "<script>alert(1)</script><img src=x onerror=alert(2)>"
READY = tuple(scenario for scenario in fixture_scenarios() if runner().rules.issuperset(scenario.requires))
# a bundle cannot say that something was not supplied or not selected
PLAIN = tuple(filter(fits_a_bundle, READY))


@cache
def examples() -> Examples:
    return Examples(runner().ruleset)


def make_app(now: datetime = NOW, log: Any = None, **config: Any) -> Flask:
    wiring = Wiring(
        ruleset=runner().ruleset, assess=assess, encode_response=encode_response, now=lambda: now, new_id=lambda: "id"
    )
    app = create_app(WebConfig(**({"development": True} | config)), wiring, make_log(log or io.BytesIO()))
    app.extensions["examples"] = examples()
    return app


@pytest.fixture
def client() -> FlaskClient:
    return make_app().test_client()


def paste(client: FlaskClient, text: str | bytes, hook: str = "", file: bytes | None = None) -> Any:
    data: dict[str, Any] = {"text": text, "hook": hook}
    if file is not None:
        data["file"] = file
    return client.post("/", data=form_body(data), content_type="multipart/form-data; boundary=edge")


def form_body(fields: dict[str, Any]) -> bytes:
    """Written out here because werkzeug's own test client uses temporary files."""
    parts = []
    for name, value in fields.items():
        told = f'form-data; name="{name}"' + ('; filename="record.json"' if name == "file" else "")
        content = value if isinstance(value, bytes) else value.encode()
        parts.append(b"--edge\r\nContent-Disposition: " + told.encode() + b"\r\n\r\n" + content + b"\r\n")
    return b"".join(parts) + b"--edge--\r\n"


def example_id(scenario: Scenario) -> str:
    return next(one.id for one in examples().by_id.values() if one.scenario == scenario)


def findings(case: Case) -> list[dict[str, Any]]:
    """By the prefetch route."""
    return [finding_data(finding) for finding in runner().assess(case).findings]


def visible(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


# -- one road


@pytest.mark.parametrize("scenario", READY, ids=ids_of(READY))
def test_an_example_says_what_its_request_says(scenario: Scenario) -> None:
    case = runner().case(scenario)
    client = make_app(case.calendar.now).test_client()
    answer = client.get("/preview.json", query_string={"example": example_id(scenario)})
    if "patient" in case.not_supplied:
        assert answer.status_code == 412
        return
    assert answer.status_code == 200, answer.text
    assert answer.json["findings"] == findings(case)
    assert answer.json["hook"] == scenario.hook


@pytest.mark.parametrize("scenario", PLAIN, ids=ids_of(PLAIN))
def test_a_pasted_record_says_what_its_request_says(scenario: Scenario) -> None:
    """As a bundle, as a hook request, and as the hook request that the page makes of the bundle."""
    case = runner().case(scenario)
    client = make_app(case.calendar.now, settings=case.settings).test_client()
    record = encoded(case.bundle())
    made = travel(record, scenario.hook, 1000).request
    for body in (record, encoded(case.request()), made):
        answer = client.post(f"/preview.json?hook={scenario.hook}", data=body, content_type="application/json")
        assert answer.status_code == 200, answer.text
        assert answer.json["findings"] == findings(case)
    over_http = client.post(f"/cds-services/leg-cramp-{scenario.hook}", data=made, content_type="application/json")
    assert over_http.data == encode_response(runner().assess(case).cards, lambda: "id")


@pytest.mark.skipif(not SYNTHEA, reason="../shared/samples is not there")
@pytest.mark.parametrize("path", SYNTHEA, ids=[path.stem[:30] for path in SYNTHEA])
def test_the_request_made_of_a_published_record_asks_the_same(path: Path) -> None:
    """Records whose references are urn:uuid, and with resources of many types."""
    client = make_app(datetime(2022, 1, 1, tzinfo=UTC)).test_client()
    record = path.read_bytes()
    made = travel(record, "", 20_000).request
    answers = [client.post("/preview.json", data=body, content_type="application/json") for body in (record, made)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json["findings"] == answers[1].json["findings"]
    assert answers[0].json["cards"] == answers[1].json["cards"]


@pytest.mark.skipif(not SYNTHEA, reason="../shared/samples is not there")
def test_no_published_oddity_is_a_fault(client: FlaskClient) -> None:
    for path in sorted(SYNTHEA[0].parents[1].rglob("*.*")):
        for hook in ("", "order-sign"):
            page = paste(client, path.read_bytes(), hook)
            assert page.status_code in (200, 400, 412), path.name
            assert ("Not assessed</h2>" in page.text) == (page.status_code != 200)


def test_every_file_is_answered_or_refused_in_words(client: FlaskClient) -> None:
    assert not examples().problems
    for name in [name for name, one in examples().by_id.items() if one.file]:
        page = client.get("/", query_string={"example": name})
        data = client.get("/preview.json", query_string={"example": name})
        assert page.status_code == data.status_code
        assert page.status_code in ((400, 412) if "bad-" in name else (200,)), name
        assert page.text.count("<article ") == len(data.json.get("cards", ()))


def test_examples_move_to_the_present() -> None:
    example = examples().by_id["patients/thiazide-low-potassium"]
    then = json.loads(examples().body(example, "", date(2026, 3, 10)))
    later = json.loads(examples().body(example, "", date(2026, 3, 10) + timedelta(days=400)))
    assert then == json.loads(example.file.read_bytes() if example.file else b"{}")
    assert later != then
    cards = [
        [
            card["summary"][:9]
            for card in make_app(now).test_client().get("/preview.json?example=" + example.id).json["cards"]
        ]
        for now in (NOW, NOW + timedelta(days=400))
    ]
    assert cards[0] == cards[1] != []


def test_another_hook_can_be_chosen(client: FlaskClient) -> None:
    answer = client.get("/preview.json?example=patients/thiazide-low-potassium&hook=order-sign")
    assert answer.json["hook"] == "order-sign"
    assert client.get("/?example=patients/thiazide-low-potassium&hook=none").status_code == 400


# -- errors are errors, in the API's words


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"hook": "patient-view",\n "context": }', "{}", json.dumps(hook_request(context=None))],
)
def test_a_bad_paste_is_refused_in_the_words_of_the_api(client: FlaskClient, text: str) -> None:
    page = paste(client, text)
    api = client.post("/preview.json", data=text, content_type="application/json")
    assert page.status_code == api.status_code == 400
    words = api.json["issue"][0]["diagnostics"]
    assert words in visible(page.text)
    assert "Not assessed" in page.text
    assert "No cards" not in page.text


def test_the_words_are_those_of_an_invocation(client: FlaskClient) -> None:
    for request in (hook_request(context=None), hook_request(prefetch=None), hook_request(hookInstance=7)):
        page = paste(client, json.dumps(request))
        api = client.post("/cds-services/leg-cramp-patient-view", json=request)
        assert page.status_code == api.status_code
        assert api.json["issue"][0]["diagnostics"] in visible(page.text)


def test_a_record_of_nobody_or_of_two_is_refused(client: FlaskClient) -> None:
    for record in (bundle(), bundle(PATIENT, {**PATIENT, "id": "2"})):
        page = paste(client, json.dumps(record))
        assert page.status_code == 400
        assert "Patient: the record holds" in visible(page.text)


def test_too_large_is_413() -> None:
    client = make_app(max_body_bytes=1000).test_client()
    page = paste(client, "x" * 2000)
    assert page.status_code == 413
    assert "larger than 1000 bytes" in visible(page.text)


def test_a_fault_is_no_all_clear() -> None:
    app = make_app()

    def broken(*_: Any) -> Any:
        raise ValueError("Jane Doe")

    app.extensions["wiring"] = msgspec.structs.replace(app.extensions["wiring"], assess=broken)
    page = app.test_client().get("/?example=patients/healthy-adult")
    assert page.status_code == 500
    assert "no all-clear" in page.text
    assert "Jane" not in page.text


def test_an_unknown_example_is_404(client: FlaskClient) -> None:
    page = client.get("/?example=../../etc/passwd")
    assert page.status_code == 404
    assert "passwd" not in page.text
    assert client.get("/preview.json?example=none").status_code == 404


# -- silence is a result


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        ("patients/child", "younger than 18"),
        ("patients/deceased", "has died"),
        ("patients/healthy-adult", "no rule applies"),
        ("patients/inhaler-without-cramps", "quiet mode"),
    ],
)
def test_zero_cards_come_with_their_reason(client: FlaskClient, example: str, reason: str) -> None:
    page = client.get(f"/?example={example}")
    assert page.status_code == 200
    text = visible(page.text)
    assert re.search(rf"No cards: [^.]*{reason}", text)
    assert "It is not an all-clear" in text
    assert 'class="refused"' not in page.text
    assert 'role="alert"' not in page.text


def test_gaps_are_said_beside_the_cards(client: FlaskClient) -> None:
    text = visible(client.get("/?example=requests/one-unreadable-result").text)
    assert "Not all of the record could be used. 1 data gap" in text


# -- nothing is kept, nothing is run


def test_what_is_pasted_is_text_only(client: FlaskClient) -> None:
    record = bundle(
        {**PATIENT, "name": [{"text": INJECTION}]},
        {
            "resourceType": "MedicationRequest", "id": "m", "status": "active", "intent": "order",
            "subject": {"reference": "Patient/1"}, "medicationCodeableConcept": {"text": f"furosemide {INJECTION}"},
        },
    )  # fmt: skip
    page = paste(client, json.dumps(record))
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text  # in its box and in the request
    broken = paste(client, "</textarea>" + INJECTION)
    assert "</textarea>&lt;" not in broken.text
    assert "&lt;/textarea&gt;" in broken.text
    assert client.get("/", query_string={"example": INJECTION}).text.count("<script") == 1


def test_markdown_cannot_bring_html_or_fetch() -> None:
    html = to_html(
        f"**b** {INJECTION} [x](javascript:alert(1)) ![y](https://evil.example/p.png) [z](https://ok.example)"
    )
    assert "<script" not in html
    assert "<img" not in html
    assert "javascript:" not in re.sub(r"\[x\]\([^)]*\)", "", html)
    assert '<a href="https://ok.example" rel="noopener noreferrer">z</a>' in html
    assert "<strong>b</strong>" in html


def test_no_page_needs_what_the_policy_forbids(client: FlaskClient) -> None:
    page = client.get("/?example=patients/cramps-several-factors")
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", page.text)
    assert not re.findall(r'(?:src|href)="https?://(?!127\.0\.0\.1:8080/)[^"]*"', page.text.partition("<article")[0])
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"


def test_nothing_pasted_is_logged_or_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a temporary file")

    for name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    log = io.BytesIO()
    client = make_app(log=log).test_client()
    filler = {"resourceType": "Basic", "id": "b", "code": {"text": "x" * 800_000}}
    record = json.dumps(bundle({**PATIENT, "id": "secret-4711", "name": [{"family": "Doe"}]}, filler)).encode()
    assert paste(client, record).status_code == 200
    assert paste(client, "", file=record).status_code == 200
    assert paste(client, b"{ Doe").status_code == 400
    lines = log.getvalue().decode()
    assert lines.count("\n") == 3
    assert "secret" not in lines
    assert "Doe" not in lines


def test_a_file_stands_before_the_text_and_may_have_a_byte_order_mark(client: FlaskClient) -> None:
    page = paste(client, "{", file=b"\xef\xbb\xbf" + json.dumps(bundle(PATIENT)).encode())
    assert page.status_code == 200
    assert "1 Patient" in visible(page.text)


def test_pasted_data_are_never_in_an_address(client: FlaskClient) -> None:
    assert client.get("/", query_string={"text": json.dumps(bundle(PATIENT))}).text.count("<article") == 0
    page = client.get("/").text
    assert re.search(r'<form method="post"[^>]*enctype="multipart/form-data"', page)


# -- where it is shown


def test_only_in_development() -> None:
    client = make_app(development=False).test_client()
    for answer in (client.get("/"), client.get("/preview.json"), client.post("/"), client.post("/preview.json")):
        assert answer.status_code == 404
        assert answer.json["resourceType"] == "OperationOutcome"


def test_settings_of_a_scenario_hold_for_it_alone() -> None:
    site = Settings(public_base_url="https://cds.example.org")
    told = [one for one in examples().by_id.values() if one.scenario and "settings" in one.scenario.told]
    for example in examples().by_id.values():
        settings = examples().settings(example, site)
        assert settings.public_base_url == site.public_base_url
        assert (settings == site) == (example not in told)


# -- what it draws


def test_the_page_draws_all_of_a_card(client: FlaskClient) -> None:
    plain = client.get("/preview.json?example=requests/order-sign-potassium").json
    page = client.get("/?example=requests/order-sign-potassium")
    text = visible(page.text)
    for card in plain["cards"]:
        assert card["summary"] in text
        assert card["indicator"].capitalize() in text
        assert card["source"]["label"] in text
        for suggestion in card["suggestions"]:
            assert suggestion["label"] in text
            assert all(action["description"] in text for action in suggestion["actions"])
        assert all(reason["display"] in text for reason in card["overrideReasons"])
        assert all(link["label"] in text for link in card["links"])
    assert "Delete Remove the draft order" in text


def test_the_page_tells_why(client: FlaskClient) -> None:
    plain = client.get("/preview.json?example=patients/kidney-disease-low-potassium").json
    text = visible(client.get("/?example=patients/kidney-disease-low-potassium").text)
    for gate in plain["gates"]:
        assert f"by row {gate['row']}" in text
    for finding in plain["findings"]:
        assert finding["rule"] in text
        if finding["verdict"] == "yes":
            assert all(reference in text for reference in finding["evidence"])
    assert f"{plain['tier'].capitalize()} {plain['points']} point" in text


def test_the_request_shown_answers_as_shown(client: FlaskClient) -> None:
    page = client.get("/?example=patients/cramps-several-factors").text
    shown = [unescape(one) for one in re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page, re.DOTALL)]
    request, response = shown[-2], shown[-1]
    answer = client.post("/cds-services/leg-cramp-patient-view", data=request, content_type="application/json")
    assert answer.json == json.loads(response)
