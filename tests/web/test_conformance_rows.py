"""The conformance reference row by row: one short test for each row that needs no token and no outgoing call.

Rows that are tested elsewhere: JSON-3 (`cds_hooks.parse`, strict, reads every answer here), PREF-2 to PREF-6, PREF-15
(fhir/test_prefetch_templates.py), PREF-7, PREF-9, PREF-16 (fhir/test_prefetch.py), PREF-10 without paging
(fhir/test_prefetch.py, `test_a_first_page_leaves_the_kind_incomplete`), SRC-3 (test_discovery.py, `test_icon_is_...`),
RESP-6 (make bench: no test is judged by how fast a shared machine is).
Rows without a subject yet: PREF-11, PREF-14, FHIR-1 to FHIR-7, RESP-7, cds-r-2 (outgoing calls), 401 and SEC-1 to
SEC-14 (tokens), FEED-1 to FEED-8, cds-fb-1 to cds-fb-3 and the feedback part of CORS-2 (feedback). Rows that ask
nothing of a service: DISC-12, RESP-4, CORS-4, HOOK-2 (its extra fields: JSON-5). Never sent: systemActions (SYS-3),
links to SMART apps (LINK-3), update actions (ACT-4).
"""

from __future__ import annotations

import copy
import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B import get_fhir_model_class
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cds_service.fhir.queries import TEMPLATES
from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring, wire
from tests.web.cds_hooks import UUID4, check_cards, check_discovery, check_outcome, empties, parse
from tests.web.fakes import bundle, hook_request
from tests.web.test_real_rules import CRAMP, LOOP_DIURETIC, NOW, PATIENT, PREFETCH, RESULTS, SUBJECT, result

Post = Callable[..., TestResponse]
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
EHR = "https://ehr.example.org"
PREFLIGHT = {
    "Origin": EHR,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}
HOOK_VERSIONS = {
    **dict.fromkeys(("patient-view", "order-select", "order-sign", "encounter-start", "encounter-discharge"), "1.0"),
    **dict.fromkeys(("medication-refill", "problem-list-item-create"), "0.1.0"),
}
USER = {"userId": "Practitioner/1", "patientId": "pt-4711"}


def draft(id_: str, text: str, code: str) -> dict[str, Any]:
    concept = {"coding": [{"system": RXNORM, "code": code}], "text": text}
    return {"resourceType": "MedicationRequest", "id": id_, "status": "draft", "intent": "order", "subject": SUBJECT,
            "medicationCodeableConcept": concept}  # fmt: skip


QUININE, POTASSIUM = draft("quin-1", "quinine sulfate 324 mg", "852913"), draft("kcl-1", "potassium chloride", "198116")
HIGH = {**PREFETCH, "observations": bundle(result("k", "2823-3", 5.8, "mmol/L"), result("cr", "2160-0", 1.9, "mg/dL"))}
REQUESTS: dict[str, dict[str, Any]] = {
    "low potassium": hook_request(context=USER, prefetch=PREFETCH),
    "cramp, data missing": hook_request(context=USER, prefetch={"patient": PATIENT, "conditions": bundle(CRAMP),
                                                                "medications": bundle(LOOP_DIURETIC)}),
    "quinine selected": hook_request("order-select", prefetch=PREFETCH, context={
        **USER, "draftOrders": bundle(QUININE, POTASSIUM), "selections": ["MedicationRequest/quin-1"]}),
    "potassium at 5.8 signed": hook_request("order-sign", prefetch=HIGH, context={
        **USER, "encounterId": "enc-7", "draftOrders": bundle(POTASSIUM)}),
}  # fmt: skip


@pytest.fixture(scope="module")
def app() -> Flask:
    return make(wire(WebConfig(development=True)))


def make(wiring: Wiring, **config: Any) -> Flask:
    wiring = msgspec.structs.replace(wiring, now=lambda: NOW)
    return create_app(WebConfig(cors_origins=frozenset({EHR}), **config), wiring, make_log(io.BytesIO()))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def post(client: FlaskClient) -> Post:
    def send(request: Any, hook: str = "patient-view", **how: Any) -> TestResponse:
        data = request if isinstance(request, bytes) else json.dumps(request).encode()
        return client.post(f"/cds-services/leg-cramp-{hook}", data=data, **{"content_type": "application/json"} | how)

    return send


@pytest.fixture(scope="module")
def answers(app: Flask) -> dict[str, dict[str, Any]]:
    """What the real rules answer to `REQUESTS`."""
    found = {}
    for name, request in REQUESTS.items():
        response = app.test_client().post(f"/cds-services/leg-cramp-{request['hook']}", json=request)
        assert response.status_code == 200, response.text
        found[name] = check_cards(response.data, request)
        assert found[name]["cards"], f"{name}: no card, so the rows below would test nothing"
    return found


@pytest.fixture(scope="module")
def cards(answers: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [card for answer in answers.values() for card in answer["cards"]]


@pytest.fixture(scope="module")
def suggestions(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [suggestion for card in cards for suggestion in card.get("suggestions", [])]


@pytest.fixture(scope="module")
def actions(suggestions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [action for suggestion in suggestions for action in suggestion["actions"]]


@pytest.fixture(scope="module")
def created(actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [action["resource"] for action in actions if action["type"] == "create"]


@pytest.fixture(scope="module")
def services(app: Flask) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = check_discovery(app.test_client().get("/cds-services").data)["services"]
    return found


def without_ids(answer: Any) -> Any:
    """An answer without the identifiers that are new each time."""
    return json.loads(UUID4.sub("-", json.dumps(answer)))


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """Every member of every object below `value`."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield name, member
            yield from members(member)
    elif isinstance(value, list):
        for item in value:
            yield from members(item)


def refusals(app: Flask) -> dict[int, TestResponse]:
    """One answer of every status that is no success."""
    client, at = app.test_client(), "/cds-services/leg-cramp-patient-view"
    origin = {"Origin": EHR}
    broken = make(msgspec.structs.replace(app.extensions["wiring"], assess=lambda *_: 1 / 0)).test_client()
    small = make(app.extensions["wiring"], max_body_bytes=10).test_client()
    sound = REQUESTS["low potassium"]
    found = [
        client.post(at, data=b"{", content_type="application/json", headers=origin),
        client.get("/nowhere", headers=origin),
        client.get(at, headers=origin),
        client.post(at, json={**sound, "prefetch": {}}, headers=origin),
        small.post(at, json=sound, headers=origin),
        client.post(at, data=b"<x/>", content_type="text/xml", headers=origin),
        broken.post(at, json=sound, headers=origin),
    ]
    by_status = {response.status_code: response for response in found}
    assert set(by_status) == {400, 404, 405, 412, 413, 415, 500}
    return by_status


# -- 2.1 JSON and HTTP


def test_json_1_every_body_is_json(app: Flask, client: FlaskClient, post: Post) -> None:
    for response in [client.get("/cds-services"), post(REQUESTS["low potassium"]), *refusals(app).values()]:
        assert response.content_type == "application/json"
        parse(response.data)


def test_json_2_no_empty_values(client: FlaskClient, answers: dict[str, Any]) -> None:
    for document in [client.get("/cds-services").json, *answers.values()]:
        assert list(empties(document)) == []


def test_json_4_resources_are_objects(actions: list[dict[str, Any]]) -> None:
    assert all(isinstance(action["resource"], dict) for action in actions if "resource" in action)


def test_json_5_unknown_members_are_ignored(post: Post, answers: dict[str, Any]) -> None:
    more: Any = copy.deepcopy(REQUESTS["low potassium"])
    for holder in (more, more["context"], more["prefetch"]["patient"], more["prefetch"]["medications"]["entry"][0]):
        holder["x-new"] = {"deep": [1, {"a": None}]}
        holder["extension"] = {"com.example.some.thing": {"a": 1}}
    more["prefetch"]["patient"]["extension"] = [{"url": "https://example.org/x", "valueString": "y"}]
    assert without_ids(post(more).json) == without_ids(answers["low potassium"])


# -- 2.2 Discovery


@pytest.mark.parametrize("path", ["/cds-services", "/cds-services/"])
def test_disc_1_no_redirect(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 200
    assert client.options(path, headers=PREFLIGHT).status_code in (200, 204)


def test_disc_2_a_list_of_services(client: FlaskClient) -> None:
    assert isinstance(client.get("/cds-services").json["services"], list)


def test_disc_3_4_6_8_hook_description_title_requirements(services: list[dict[str, Any]]) -> None:
    assert {service["hook"] for service in services} == set(HOOK_VERSIONS)
    for service in services:
        assert "name" not in service
        assert all(service[name].strip() for name in ("hook", "description", "title", "usageRequirements"))


def test_disc_5_ids_are_path_segments_that_answer(client: FlaskClient, services: list[dict[str, Any]]) -> None:
    for service in services:
        assert re.fullmatch(r"[A-Za-z0-9._-]+", service["id"])
        assert client.post(f"/cds-services/{service['id']}", json={}).status_code == 400


def test_disc_7_templates_are_strings(services: list[dict[str, Any]]) -> None:
    assert all(isinstance(one, str) and one for service in services for one in service["prefetch"].values())


def test_disc_9_10_versions(services: list[dict[str, Any]]) -> None:
    for service in services:
        assert (service["version"], service["hookVersion"]) == ("2.0.1", HOOK_VERSIONS[service["hook"]])


def test_disc_11_each_id_once(services: list[dict[str, Any]]) -> None:
    assert len({service["id"] for service in services}) == len(services)


def test_disc_13_extensions_are_objects(services: list[dict[str, Any]]) -> None:
    assert all(isinstance(service.get("extension", {"a": 1}), dict) for service in services)


def test_disc_14_with_and_without_a_token(client: FlaskClient) -> None:
    with_token = client.get("/cds-services", headers={"Authorization": "Bearer a.b.c"})
    assert with_token.data == client.get("/cds-services").data
    assert "max-age" in with_token.headers["Cache-Control"]


# -- 2.3 Invocation


@pytest.mark.parametrize("hook", [None, "", 7, "order-sign", "encounter-start"])
def test_req_1_only_the_advertised_hook(post: Post, hook: Any) -> None:
    assert post({**REQUESTS["low potassium"], "hook": hook}).status_code == 400


def test_req_2_a_hook_instance_in_any_case(post: Post, answers: dict[str, Any]) -> None:
    assert post({**REQUESTS["low potassium"], "hookInstance": None}).status_code == 400
    for instance in ("D1577C69-DFBE-44AD-BA6D-3E05E953B2EA", "not a uuid"):
        answer = post({**REQUESTS["low potassium"], "hookInstance": instance}).json
        assert without_ids(answer) == without_ids(answers["low potassium"]), "the same instance is answered again"


@pytest.mark.parametrize("name", ["context", "userId", "patientId", "selections", "draftOrders"])
def test_req_3_what_is_required_in_context(post: Post, name: str) -> None:
    request: Any = copy.deepcopy(REQUESTS["quinine selected"])
    del (request if name == "context" else request["context"])[name]
    response = post(request, "order-select")
    assert response.status_code == 400
    assert name in check_outcome(response.data)["issue"][0]["diagnostics"]


def test_req_4_cds_r_1_authorization_needs_a_server(post: Post) -> None:
    access = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "x", "subject": "s"}
    assert post({**REQUESTS["low potassium"], "fhirAuthorization": access}).status_code == 400
    with_server = {**REQUESTS["low potassium"], "fhirAuthorization": access, "fhirServer": f"{EHR}/r4"}
    assert post(with_server).status_code == 200


def test_req_5_6_prefetch_alone_and_no_prefetch(post: Post) -> None:
    for prefetch in ({}, None):
        assert post({**REQUESTS["low potassium"], "prefetch": prefetch}).status_code == 412
    bare = {name: value for name, value in REQUESTS["low potassium"].items() if name != "prefetch"}
    assert post(bare).status_code == 412


@pytest.mark.parametrize("extension", [{"com.epic.cdshooks.request.bpa-trigger-action": "60"}, {}, [], None, "x"])
def test_req_7_any_extension_at_the_top(post: Post, extension: Any) -> None:
    assert post({**REQUESTS["low potassium"], "extension": extension}).status_code == 200


def test_req_8_each_refusal_has_its_status_and_a_body(app: Flask, post: Post) -> None:
    found = refusals(app)
    assert found[405].headers["Allow"]
    for response in [*found.values(), post(b"[]"), post(b'"x"'), post(b"not json")]:
        check_outcome(response.data)
    assert [post(body).status_code for body in (b"[]", b"7", b"")] == [400, 400, 400]


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "application/json;charset=ISO-8859-1", "application/fhir+json", "json"]
)
def test_req_9_any_json_content_type(post: Post, kind: str) -> None:
    assert post(REQUESTS["low potassium"], content_type=kind).status_code == 200


@pytest.mark.parametrize(("patient", "status"), [("../1", 400), ("1?x=y", 400), ("Patient/pt-4711", 200),
                                                 (f"{EHR}/r4/Patient/pt-4711", 200)])  # fmt: skip
def test_req_10_characters_of_ids(post: Post, patient: str, status: int) -> None:
    request = {**REQUESTS["low potassium"], "context": {**USER, "patientId": patient}}
    assert post(request).status_code == status


def test_req_10_drafts_with_ids_of_194_characters(post: Post) -> None:
    long = "eJ" * 97
    context = {**USER, "encounterId": long, "draftOrders": bundle({**QUININE, "id": long}),
               "selections": [f"MedicationRequest/{long}"]}  # fmt: skip
    response = post({**REQUESTS["quinine selected"], "context": context}, "order-select")
    found = check_cards(response.data)["cards"]
    assert ("resourceId", f"MedicationRequest/{long}") in members(found)


# -- 2.4 Prefetch

WARNING = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "processing"}]}
ERROR = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}


def test_pref_1_advertised_keys_are_read_under_their_names(services: list[dict[str, Any]]) -> None:
    assert all(service["prefetch"] == TEMPLATES for service in services)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (..., 412),
        (None, 200),
        (bundle(), 200),
        ({"resourceType": "Bundle", "type": "searchset"}, 200),
        (bundle(WARNING), 200),
        (ERROR, 412),
        (bundle(ERROR), 412),
        (PATIENT, 200),
        (bundle(PATIENT), 200),
        (bundle(PATIENT, link=[{"relation": "next", "url": f"{EHR}/2"}]), 200),
        ({**PATIENT, "id": "someone-else"}, 200),
        (CRAMP, 200),
    ],
)
def test_pref_8_12_13_states_of_the_required_key(post: Post, value: Any, status: int) -> None:
    prefetch = {key: one for key, one in {**PREFETCH, "patient": value}.items() if one is not ...}
    response = post({**REQUESTS["low potassium"], "prefetch": prefetch})
    assert response.status_code == status
    if status == 200:
        check_cards(response.data)
    else:
        assert "prefetch.patient" in check_outcome(response.data)["issue"][0]["diagnostics"]


@pytest.mark.parametrize("key", [key for key in TEMPLATES if key != "patient"])
@pytest.mark.parametrize("value", [..., None, bundle(), bundle(WARNING), ERROR, bundle(ERROR), CRAMP, 7, [], "x", {}])
def test_pref_8_no_other_key_is_ever_a_412(post: Post, key: str, value: Any) -> None:
    prefetch = {name: one for name, one in {**PREFETCH, key: value}.items() if one is not ...}
    response = post({**REQUESTS["low potassium"], "prefetch": prefetch})
    assert response.status_code == 200
    check_cards(response.data)


# -- 2.6 Response


def test_resp_1_an_array_of_cards(answers: dict[str, Any]) -> None:
    assert all(isinstance(answer["cards"], list) for answer in answers.values())


def test_resp_2_nothing_to_say_is_an_empty_list(post: Post) -> None:
    empty = {"medications": bundle(), "conditions": bundle(), "observations": bundle()}
    response = post({**REQUESTS["low potassium"], "prefetch": {"patient": PATIENT, **empty}})
    assert (response.status_code, response.json) == (200, {"cards": []})


def test_resp_3_5_refusals_say_what_mends_them(app: Flask) -> None:
    for status, response in refusals(app).items():
        (issue,) = check_outcome(response.data)["issue"]
        assert issue["severity"] == ("fatal" if status == 500 else "error")
        assert "pt-4711" not in response.text


# -- 2.7 Card

LONG_NAMES = (
    "hydrochlorothiazide", "chlorthalidone", "bendroflumethiazide", "furosemide", "spironolactone", "triamterene",
    "rosuvastatin", "methylprednisolone", "levothyroxine", "salmeterol", "quinine sulfate",
)  # fmt: skip


def test_card_1_identifiers_are_new_in_every_answer(post: Post) -> None:
    seen = [UUID4.findall(post(REQUESTS["low potassium"]).text) for _ in range(2)]
    flat = [one for found in seen for one in found]
    # hookInstance is never repeated, so each of them is ours
    assert flat
    assert len(flat) == len(set(flat))


def test_card_2_summaries_stay_short_with_the_longest_names(post: Post, cards: list[dict[str, Any]]) -> None:
    assert all(len(card["summary"]) < 140 for card in cards)
    unnamed = draft("", "", "")
    many = [
        {**unnamed, "id": f"d{at}", "medicationCodeableConcept": {"text": text}} for at, text in enumerate(LONG_NAMES)
    ]
    context = {**USER, "draftOrders": bundle(*many)}
    found = check_cards(post({**REQUESTS["potassium at 5.8 signed"], "context": context}, "order-sign").data)["cards"]
    assert found
    assert all(len(card["summary"]) < 140 for card in found)


def test_card_3_details_are_markdown_without_html(post: Post, cards: list[dict[str, Any]]) -> None:
    assert all(card["detail"].strip() for card in cards)
    evil = "<img src=x onerror=alert(1)> [a](javascript:b) | **c**"
    request: Any = json.loads(json.dumps(REQUESTS["low potassium"]).replace('"furosemide"', json.dumps(evil)))
    for one in request["prefetch"]["observations"]["entry"]:
        one["resource"]["code"]["text"] = one["resource"]["valueQuantity"]["unit"] = evil
    request["prefetch"]["conditions"]["entry"][0]["resource"]["code"]["text"] = evil
    request["prefetch"]["patient"]["name"] = [{"text": evil}]
    response = post(request)
    check_cards(response.data)
    assert "onerror" not in response.text
    assert "javascript" not in response.text


def test_card_4_indicators(cards: list[dict[str, Any]]) -> None:
    assert {"warning", "critical"} <= {card["indicator"] for card in cards} <= {"info", "warning", "critical"}


def test_card_5_6_7_8_9_source_suggestions_selection_reasons_links(cards: list[dict[str, Any]]) -> None:
    assert any("suggestions" in card for card in cards)
    for card in cards:
        assert isinstance(card["source"], dict)
        assert ("selectionBehavior" in card) == ("suggestions" in card)
        assert card.get("selectionBehavior", "any") in ("at-most-one", "any")
        assert all(reason["display"] for reason in card.get("overrideReasons", []))
        assert all(isinstance(card.get(name, [0]), list) for name in ("suggestions", "overrideReasons", "links"))


# -- 2.8 Source


def test_src_1_2_label_and_address(cards: list[dict[str, Any]]) -> None:
    for card in cards:
        assert card["source"]["label"].strip()
        assert re.fullmatch(r"https?://[^/?#]+/[^?#]*", card["source"]["url"]), "no query, so nothing of a patient"


def test_src_3_icons_are_served_without_a_token(client: FlaskClient, cards: list[dict[str, Any]]) -> None:
    for icon in {card["source"]["icon"] for card in cards}:
        response = client.get(re.sub(r"https?://[^/]+", "", icon), buffered=True)
        assert (response.status_code, response.content_type) == (200, "image/png")


def test_src_4_topics_are_constant_and_alphanumeric(cards: list[dict[str, Any]], post: Post) -> None:
    for card in cards:
        assert re.fullmatch(r"[A-Za-z0-9]{1,100}", card["source"]["topic"]["code"])
    again = [card["source"]["topic"] for card in post(REQUESTS["low potassium"]).json["cards"]]
    assert again == [card["source"]["topic"] for card in post(REQUESTS["low potassium"]).json["cards"]]


# -- 2.9 Suggestion, 2.10 Action, 2.11 System actions


def test_sugg_1_2_labels_and_identifiers(suggestions: list[dict[str, Any]]) -> None:
    assert all(suggestion["label"].strip() and UUID4.fullmatch(suggestion["uuid"]) for suggestion in suggestions)


def test_sugg_3_cds_resp_1_at_most_one_recommended(cards: list[dict[str, Any]]) -> None:
    for card in cards:
        recommended = sum(one.get("isRecommended", False) for one in card.get("suggestions", []))
        assert card.get("selectionBehavior") != "at-most-one" or recommended <= 1


def test_sugg_4_a_medication_stands_with_its_monitoring_test(suggestions: list[dict[str, Any]]) -> None:
    kinds = [{action.get("resource", {}).get("resourceType") for action in one["actions"]} for one in suggestions]
    assert any("MedicationRequest" in found for found in kinds)
    assert all("ServiceRequest" in found for found in kinds if "MedicationRequest" in found)


def test_sugg_5_cds_resp_7_no_action_selection_behavior(answers: dict[str, Any]) -> None:
    assert "actionSelectionBehavior" not in {name for name, _ in members(answers)}


def test_act_1_2_cds_resp_5_types_and_descriptions(actions: list[dict[str, Any]]) -> None:
    assert {action["type"] for action in actions} == {"create", "delete"}
    assert all(action["description"].strip() for action in actions)


def test_act_3_created_resources_are_valid_r4(created: list[dict[str, Any]]) -> None:
    assert created
    for resource in created:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def test_act_5_cds_resp_2_deletes_name_a_draft_order(actions: list[dict[str, Any]]) -> None:
    deletes = [action for action in actions if action["type"] == "delete"]
    assert {action["resourceId"] for action in deletes} == {"MedicationRequest/quin-1", "MedicationRequest/kcl-1"}
    assert all("resource" not in action for action in deletes)


@pytest.mark.parametrize("id_", ["x/../y", "<b>x</b>", "a b", "urn:uuid:1", "?x", "a\nb", "ä", "..", "."])
def test_act_5_no_delete_of_what_is_no_id(post: Post, id_: str) -> None:
    context = {**USER, "draftOrders": bundle({**POTASSIUM, "id": id_})}
    response = post({**REQUESTS["potassium at 5.8 signed"], "context": context}, "order-sign")
    found = check_cards(response.data)["cards"]
    assert any(card["indicator"] == "critical" for card in found), "an odd id hides no danger"
    assert "resourceId" not in {name for name, _ in members(found)}


def test_act_6_new_ids_for_new_resources(created: list[dict[str, Any]]) -> None:
    ids = [resource["id"] for resource in created]
    assert all(UUID4.fullmatch(one) for one in ids)
    assert len(ids) == len(set(ids))
    assert all("meta" not in resource for resource in created)


def test_act_7_drafts_of_this_patient(created: list[dict[str, Any]], answers: dict[str, Any]) -> None:
    for resource in created:
        assert (resource["status"], resource["intent"], resource["subject"]) == ("draft", "proposal", SUBJECT)
        concept = resource.get("medicationCodeableConcept") or resource["code"]
        assert concept["text"]
        # what the public sandbox needs before it applies a medication
        assert "medicationCodeableConcept" not in resource or concept["coding"][0]["code"]
    in_encounter = [one for _, one in members(answers["potassium at 5.8 signed"]) if isinstance(one, dict)]
    drafts = [one for one in in_encounter if one.get("intent") == "proposal"]
    assert drafts
    assert all(one["encounter"] == {"reference": "Encounter/enc-7"} for one in drafts)


def test_sys_1_2_no_system_actions(answers: dict[str, Any]) -> None:
    assert all("systemActions" not in answer for answer in answers.values())


# -- 2.12 Links, 2.13 Override reasons and Coding


def test_link_1_2_3_4_absolute_links(cards: list[dict[str, Any]]) -> None:
    for link in (link for card in cards for link in card["links"]):
        assert set(link) == {"label", "url", "type"}
        assert (bool(link["label"]), link["type"]) == (True, "absolute")
        assert re.match(r"https?://[^/]+/", link["url"])


def test_link_5_links_lead_to_this_service_and_answer(client: FlaskClient, cards: list[dict[str, Any]]) -> None:
    base = WebConfig().settings.public_base_url
    for url in {link["url"] for card in cards for link in card["links"]}:
        assert url.startswith(f"{base}/")
        assert client.get(url.removeprefix(base)).status_code == 200, url


def test_link_6_no_address_holds_anything_of_the_patient(answers: dict[str, Any]) -> None:
    addresses = [str(value) for name, value in members(answers) if name in ("url", "icon")]
    assert addresses
    assert not any(re.search(r"pt-4711|1950|enc-7|quin-1|kcl-1", address) for address in addresses)


def test_code_1_codings_have_code_and_system(answers: dict[str, Any]) -> None:
    codings = [one for name, value in members(answers) for one in (value if isinstance(value, list) else [value])
               if name in ("coding", "topic", "overrideReasons")]  # fmt: skip
    assert codings
    assert all(coding["system"] and coding["code"] for coding in codings)


def test_ovr_1_cds_resp_4_reasons_have_words_and_stay_the_same(post: Post, cards: list[dict[str, Any]]) -> None:
    reasons = [reason for card in cards for reason in card.get("overrideReasons", [])]
    assert reasons
    assert all(reason["display"].strip() for reason in reasons)
    one, other = (
        [card.get("overrideReasons") for card in post(REQUESTS["low potassium"]).json["cards"]] for _ in range(2)
    )
    assert one == other


# -- 2.16 CORS


def test_cors_1_6_on_answers_and_refusals(app: Flask, post: Post) -> None:
    responses = [post(REQUESTS["low potassium"], headers={"Origin": EHR}), *refusals(app).values()]
    for response in responses:
        assert response.headers["Access-Control-Allow-Origin"] == EHR


@pytest.mark.parametrize("path", ["/cds-services", *(f"/cds-services/leg-cramp-{hook}" for hook in HOOK_VERSIONS)])
def test_cors_2_3_preflight_without_authentication(client: FlaskClient, path: str) -> None:
    response = client.options(path, headers=PREFLIGHT)
    assert response.status_code in (200, 204)
    allowed = {name.strip().lower() for name in response.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"authorization", "content-type"} <= allowed, "by name: * does not cover Authorization"
    assert {"GET", "POST", "OPTIONS"} <= set(re.findall(r"\w+", response.headers["Access-Control-Allow-Methods"]))


def test_cors_5_listed_origins_only(client: FlaskClient) -> None:
    listed = client.get("/cds-services", headers={"Origin": EHR})
    other = client.get("/cds-services", headers={"Origin": "https://other.example.org"})
    assert listed.headers["Access-Control-Allow-Origin"] == EHR
    assert "Access-Control-Allow-Origin" not in other.headers
    for response in (listed, other):
        assert "Origin" in response.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in response.headers


# -- 2.17 Extensions, 2.18 Hook versions, 2.19 Invariants


def test_ext_1_2_3_extensions_are_objects_with_reverse_dns_keys(
    cards: list[dict[str, Any]], created: list[dict[str, Any]]
) -> None:
    for card in cards:
        assert all(re.fullmatch(r"[a-z]+(\.[\w-]+){2,}", name) and value for name, value in card["extension"].items())
    assert "extension" not in {name for name, _ in members(created)}


def test_hook_1_the_hooks_are_those_of_the_library(services: list[dict[str, Any]]) -> None:
    assert {service["hook"] for service in services} <= set(HOOK_VERSIONS)


@pytest.mark.parametrize("selection", ["", "MedicationRequest/", "/quin-1", "a b", 7, None])
def test_ord_1_selections_are_type_and_id(post: Post, selection: Any) -> None:
    context = {**REQUESTS["quinine selected"]["context"], "selections": [selection]}
    response = post({**REQUESTS["quinine selected"], "context": context}, "order-select")
    assert response.status_code == 400
    assert "context.selections" in check_outcome(response.data)["issue"][0]["diagnostics"]


def test_cds_resp_6_and_empty_behavior(post: Post, cards: list[dict[str, Any]]) -> None:
    assert all("selectionBehavior" in card for card in cards if "suggestions" in card)
    calm = {**REQUESTS["quinine selected"], "context": {**REQUESTS["quinine selected"]["context"], "selections": []}}
    answer = post(calm, "order-select").json
    assert set(answer) == {"cards"}


# -- a chart is answered in the usual form, whatever one number in it is


@pytest.mark.parametrize(
    "number",
    ["1e999999", "-1e999999", "1e-999999", "0e-999999", "9" * 50_000, "3." + "2" * 50_000],
    ids=lambda number: number[:10],
)
def test_a_huge_number_neither_fails_nor_swells_the_answer(post: Post, number: str) -> None:
    supply = {"expectedSupplyDuration": {"value": "@", "code": "d"}, "numberOfRepeatsAllowed": "@"}
    dosage = [{"doseAndRate": [{"doseQuantity": {"value": "@", "unit": "mg"}}],
               "timing": {"repeat": {"frequency": "@", "period": "@", "periodUnit": "d"}}}]  # fmt: skip
    drug = {**LOOP_DIURETIC, "dispenseRequest": supply, "dosageInstruction": dosage}
    odd = result("k", "2823-3", 0, "mmol/L") | {"valueQuantity": {"value": "@", "unit": "mmol/L", "code": "mmol/L"}}
    prefetch = {**PREFETCH, "medications": bundle(drug), "observations": bundle(odd, *RESULTS[1:])}
    body = json.dumps({**REQUESTS["low potassium"], "prefetch": prefetch}).replace('"@"', number).encode()
    response = post(body)
    assert response.status_code == 200
    check_cards(response.data)
    assert len(response.data) < 50_000


def test_old_results_do_not_change_the_form(post: Post) -> None:
    old = (NOW - timedelta(days=4000)).date().isoformat()
    aged = [{**one, "effectiveDateTime": old} for one in RESULTS]
    check_cards(post({**REQUESTS["low potassium"], "prefetch": {**PREFETCH, "observations": bundle(*aged)}}).data)
