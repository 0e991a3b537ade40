"""Invocation: what is answered, what is refused, and in which words."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from cds_service.fhir import context as context_module
from tests.web.cds_hooks import check_cards, check_outcome
from tests.web.fakes import PATIENT, Assessor, body, bundle, hook_request, make_app

HOOKS = list(context_module.HOOKS)
SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples"
DRAFT = {"resourceType": "MedicationRequest", "id": "d1"}


def post(request: Any, hook: str = "patient-view", app: Any = None, **options: Any) -> Any:
    data = request if isinstance(request, bytes) else body(request)
    options.setdefault("content_type", "application/json")
    return (app or make_app()).test_client().post(f"/cds-services/leg-cramp-{hook}", data=data, **options)


def refused(response: Any, status: int, *words: str) -> str:
    assert response.status_code == status, response.text
    assert response.content_type == "application/json"
    text: str = check_outcome(response.data)["issue"][0]["diagnostics"]
    for word in words:
        assert word in text
    return text


def context(**members: Any) -> dict[str, Any]:
    sound = hook_request("order-select")["context"] | members
    return {name: value for name, value in sound.items() if value is not ...}


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_answered(hook: str) -> None:
    assess = Assessor()
    response = post(hook_request(hook), hook, make_app(assess))
    assert response.status_code == 200
    assert response.content_type == "application/json"
    check_cards(response.data, hook_request(hook))
    assert assess.last.hook == hook
    assert len(assess.last.drafts) == bool(context_module.HOOKS[hook].orders)
    assert len(assess.last.problems) == (hook == "problem-list-item-create")


def test_identifiers_are_new_each_time() -> None:
    app = make_app()
    assert post(hook_request(), app=app).data != post(hook_request(), app=app).data


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/fhir+json",
        "application/json;charset=ISO-8859-1",
        "APPLICATION/JSON",
        "text/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "",
    ],
)
def test_odd_content_types_are_read(content_type: str) -> None:
    assert post(hook_request(), content_type=content_type).status_code == 200


@pytest.mark.parametrize("prefix", [b"\xef\xbb\xbf", b" \r\n", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_a_byte_order_mark_and_white_space_are_skipped(prefix: bytes, content_type: str) -> None:
    assert post(prefix + body(hook_request()), content_type=content_type).status_code == 200


def test_unknown_members_are_ignored() -> None:
    request = hook_request(extension={"com.example": {"a": [1]}}, user="x", prefetch={"patient": {**PATIENT, "_x": 1}})
    request["context"]["new"] = {"field": None}
    assert post(request).status_code == 200


@pytest.mark.parametrize("instance", ["not a uuid", "D1577C69-DFBE-44AD-BA6D-3E05E953B2EA", "1"])
def test_any_hook_instance_is_accepted(instance: str) -> None:
    assert post(hook_request(hookInstance=instance)).status_code == 200


@pytest.mark.parametrize("patient_id", ["1", "Patient/1", "https://ehr.example/r4/Patient/1", "Patient/1/_history/2"])
def test_forms_of_the_patient_id(patient_id: str) -> None:
    assess = Assessor()
    request = hook_request(context={"userId": "Practitioner/1", "patientId": patient_id})
    assert post(request, app=make_app(assess)).status_code == 200
    assert assess.last.patient_id == "1"


def test_long_ids_are_accepted() -> None:
    long = "eD" * 97
    request = hook_request(
        "order-sign", context={"userId": "PractitionerRole/eX-1", "patientId": long, "encounterId": long,
                               "draftOrders": bundle({**DRAFT, "id": long})},
        prefetch={"patient": {**PATIENT, "id": long}},
    )  # fmt: skip
    assert post(request, "order-sign").status_code == 200


@pytest.mark.parametrize(
    "patient_id",
    ["../1", "..", "1?x=y", "1&b", "a b", "Practitioner/1", "1/2", "Patient/", "ä", "1" * 300, "1\n2", "<x>"],
)
def test_impossible_patient_ids(patient_id: str) -> None:
    request = hook_request(context={"userId": "Practitioner/1", "patientId": patient_id})
    refused(post(request), 400, "context.patientId")


@pytest.mark.parametrize(
    ("request_", "place"),
    [
        (b"", "body"),
        (b"   ", "body"),
        (b"not json", "JSON"),
        (b'{"hook":"patient-view"', "JSON"),
        (b'{"a":1}}', "line 1, column 9"),
        (b"[]", "object"),
        (b'"text"', "object"),
        (b"null", "object"),
        (b"7", "object"),
        (b"\xff\xfe{}", ""),
        (b"[" * 100_000, ""),
        ({}, "hook"),
        (hook_request(hook=None), "hook"),
        (hook_request(hook=7), "hook"),
        (hook_request(hook="order-sign"), "patient-view only"),
        (hook_request(hook="patient-vieW"), "patient-view only"),
        (hook_request(hookInstance=None), "hookInstance"),
        (hook_request(hookInstance=7), "hookInstance"),
        (hook_request(hookInstance=""), "hookInstance"),
        (hook_request(context=None), "context"),
        (hook_request(context=[]), "context"),
        (hook_request(context="x"), "context"),
        (hook_request(context={}), "context.userId"),
        (hook_request(context={"patientId": "1"}), "context.userId"),
        (hook_request(context={"patientId": "1", "userId": "a b"}), "context.userId"),
        (hook_request(context={"userId": "Practitioner/1"}), "context.patientId"),
        (hook_request(context={"userId": "Practitioner/1", "patientId": 1}), "context.patientId"),
        (hook_request(context={"userId": "Practitioner/1", "patientId": ""}), "context.patientId"),
        (hook_request(context={"userId": "P/1", "patientId": "1", "encounterId": "a b"}), "context.encounterId"),
        (hook_request(context={"userId": "P/1", "patientId": "1", "encounterId": 7}), "context.encounterId"),
        (hook_request(prefetch=[]), "prefetch"),
        (hook_request(fhirAuthorization={"access_token": "t"}), "fhirServer"),
        (hook_request(fhirAuthorization=7), "fhirServer"),
    ],
)
def test_requests_that_cannot_be_read(request_: Any, place: str) -> None:
    refused(post(request_), 400, place)


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"selections": ...}, "context.selections"),
        ({"selections": None}, "context.selections"),
        ({"selections": "MedicationRequest/d1"}, "context.selections"),
        ({"selections": [7]}, "context.selections"),
        ({"selections": ["MedicationRequest/d1", "d 1"]}, "context.selections[1]"),
        ({"draftOrders": ...}, "context.draftOrders"),
        ({"draftOrders": None}, "context.draftOrders"),
        ({"draftOrders": [DRAFT]}, "context.draftOrders"),
        ({"draftOrders": "x"}, "context.draftOrders"),
        ({"draftOrders": {"resourceType": "OperationOutcome"}}, "context.draftOrders"),
        ({"draftOrders": {"entry": []}}, "context.draftOrders"),
    ],
)
def test_order_select_needs_selections_and_drafts(members: dict[str, Any], place: str) -> None:
    refused(post(hook_request("order-select", context=context(**members)), "order-select"), 400, place)


def test_order_sign_needs_drafts_and_no_selections() -> None:
    refused(post(hook_request("order-sign", context=context(draftOrders=...)), "order-sign"), 400, "draftOrders")
    assert post(hook_request("order-sign", context=context(selections=...)), "order-sign").status_code == 200


@pytest.mark.parametrize(
    ("hook", "members", "place"),
    [
        ("encounter-start", {"encounterId": ...}, "context.encounterId"),
        ("encounter-start", {"encounterId": ""}, "context.encounterId"),
        ("encounter-discharge", {"encounterId": "a b"}, "context.encounterId"),
        ("encounter-discharge", {"userId": ...}, "context.userId"),
        ("medication-refill", {"medications": ...}, "context.medications"),
        ("medication-refill", {"medications": [DRAFT]}, "context.medications"),
        ("medication-refill", {"medications": {"resourceType": "OperationOutcome"}}, "context.medications"),
        ("medication-refill", {"medications": {"resourceType": "Bundle", "entry": [{}]}}, "entry[0].resource"),
        ("medication-refill", {"userId": 7}, "context.userId"),
        ("medication-refill", {"userId": "a b"}, "context.userId"),
        ("problem-list-item-create", {"conditions": ...}, "context.conditions"),
        ("problem-list-item-create", {"conditions": "x"}, "context.conditions"),
        ("problem-list-item-create", {"userId": ...}, "context.userId"),
    ],
)
def test_context_of_the_other_hooks(hook: str, members: dict[str, Any], place: str) -> None:
    sound = hook_request(hook)["context"] | members
    told = {name: value for name, value in sound.items() if value is not ...}
    refused(post(hook_request(hook, context=told), hook), 400, place)


def test_a_refill_may_be_asked_for_by_nobody_in_particular() -> None:
    assess = Assessor()
    told = {name: value for name, value in hook_request("medication-refill")["context"].items() if name != "userId"}
    assert (
        post(hook_request("medication-refill", context=told), "medication-refill", make_app(assess)).status_code == 200
    )
    assert assess.last.user_id is None


def test_conditions_in_the_context_of_another_hook_are_unknown_members() -> None:
    assess = Assessor()
    told = hook_request()["context"] | {"conditions": bundle({"resourceType": "Condition", "id": "c1"})}
    assert post(hook_request(context=told), app=make_app(assess)).status_code == 200
    assert assess.last.problems == ()


def test_no_draft_may_be_selected() -> None:
    assert post(hook_request("order-select", context=context(selections=[])), "order-select").status_code == 200


@pytest.mark.parametrize("prefetch", [None, {}, {"medications": None}])
def test_an_absent_patient_is_a_412_that_names_the_key(prefetch: Any) -> None:
    refused(post(hook_request(prefetch=prefetch)), 412, "prefetch.patient", "Patient/{{context.patientId}}")
    refused(post({**hook_request(), "prefetch": None}), 412, "prefetch.patient")


def test_supplied_but_empty_is_no_412() -> None:
    assert post(hook_request(prefetch={"patient": None})).status_code == 200
    assert post(hook_request(prefetch={"patient": bundle()})).status_code == 200


def test_a_broken_authorization_is_only_no_access() -> None:
    request = hook_request(fhirServer="https://ehr.example", fhirAuthorization={"expires_in": "soon"})
    assert post(request).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    ["application/xml", "text/html", "application/fhir+xml", "multipart/form-data; boundary=x", "image/png"],
)
def test_what_is_clearly_no_json_is_a_415(content_type: str) -> None:
    refused(post(hook_request(), content_type=content_type), 415, "application/json")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_an_undecided_type_without_json_is_a_415(content_type: str) -> None:
    refused(post(b"a=b&c=d", content_type=content_type), 415, "Content-Type")


def test_compressed_bodies_are_a_415() -> None:
    response = post(gzip.compress(body(hook_request())), headers={"Content-Encoding": "gzip"})
    refused(response, 415, "Content-Encoding", "uncompressed")
    assert response.headers["Accept-Encoding"] == "identity"


def test_a_large_body_is_a_413() -> None:
    app = make_app(max_body_bytes=1000)
    assert post(body(hook_request()).ljust(1000), app=app).status_code == 200
    refused(post(body(hook_request()).ljust(1001), app=app), 413, "1000 bytes")


def test_too_many_resources_are_a_413() -> None:
    request = hook_request(prefetch={"patient": PATIENT, "medications": bundle(DRAFT, DRAFT)})
    refused(post(request, app=make_app(max_resources=2)), 413, "2 resources")


def test_unknown_service_is_a_404_that_names_the_services() -> None:
    response = make_app().test_client().post("/cds-services/other", json=hook_request())
    refused(response, 404, "leg-cramp-patient-view")


def test_unknown_address_is_a_404() -> None:
    refused(make_app().test_client().get("/Patient/12345"), 404, "/cds-services")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/cds-services", "GET"),
        ("GET", "/cds-services/leg-cramp-patient-view", "POST"),
        ("PUT", "/cds-services/leg-cramp-patient-view", "POST"),
        ("DELETE", "/healthz", "GET"),
    ],
)
def test_wrong_method_is_a_405_that_says_what_is_allowed(method: str, path: str, allowed: str) -> None:
    response = make_app().test_client().open(path, method=method)
    refused(response, 405)
    assert allowed in response.headers["Allow"]


def test_a_fault_is_a_500_that_is_no_all_clear() -> None:
    app = make_app(Assessor(error=KeyError("Jane Doe, potassium 2.1")))
    response = post(hook_request(), app=app)
    refused(response, 500, "no all-clear")
    assert "Jane" not in response.text
    assert "KeyError" not in response.text


def test_refusals_never_echo_the_request() -> None:
    secret = "Zaphod"
    requests: list[Any] = [
        f'{{"hook": "{secret}", }}'.encode(),
        f"{secret}".encode(),
        hook_request(hook=secret),
        hook_request(context={"userId": f"{secret} x", "patientId": "1"}),
        hook_request(context={"userId": "P/1", "patientId": f"{secret}/.."}),
        hook_request(prefetch={secret: {"resourceType": secret}}),
        hook_request("order-select", context=context(selections=[f"{secret} x"])),
    ]
    for request in requests:
        hook = "order-select" if isinstance(request, dict) and request["hook"] == "order-select" else "patient-view"
        response = post(request, hook)
        assert response.status_code >= 400
        assert secret not in response.text
    assert secret not in make_app().test_client().post(f"/cds-services/{secret}").text


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"published samples are not at {SAMPLES}")
@pytest.mark.parametrize(
    ("name", "hook", "status"),
    [
        ("order-select-crd-medication", "order-select", 412),
        ("order-select-r5-medication", "order-select", 412),
        ("order-select-wrapped-prefetch", "order-select", 200),
        ("order-sign-no-prefetch", "order-sign", 412),
        ("order-sign-stu3-search-bundles", "order-sign", 400),
        ("patient-view-not-valid-json", "patient-view", 400),
        ("patient-view-null-prefetch-values", "patient-view", 200),
        ("patient-view-r4-prefetch-bundles", "patient-view", 200),
    ],
)
def test_published_hook_requests(name: str, hook: str, status: int) -> None:
    sample = (SAMPLES / "hooks" / f"{name}.json").read_bytes()
    response = post(sample, hook)
    assert response.status_code == status
    if status == 200:
        check_cards(response.data, json.loads(sample))
    else:
        check_outcome(response.data)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"published samples are not at {SAMPLES}")
def test_published_resources_are_answered_or_refused() -> None:
    for path in sorted([*SAMPLES.glob("weird/*.json"), *SAMPLES.glob("other-versions/*"), *SAMPLES.glob("bulk/*")]):
        content = path.read_bytes()
        assert post(content).status_code in (400, 413, 415), path.name
        try:
            resource = json.loads(content)
        except ValueError:
            continue
        for prefetch in ({"patient": PATIENT, "other": resource}, {"patient": resource}):
            assert post(hook_request(prefetch=prefetch)).status_code in (200, 412), path.name
