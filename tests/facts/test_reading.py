"""Bytes into wire structs: tolerances, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cds_service.facts import wire
from cds_service.facts.gathered import bare_id, gathered_from_bundle, open_bundles
from cds_service.facts.reading import (
    HookRequest,
    MalformedRequest,
    decode_bundle,
    decode_document,
    decode_request,
    decode_resource,
)
from tests.facts.building import bundle, facts_of, facts_of_request, order, patient, result

REQUEST: dict[str, Any] = {
    "hook": "patient-view",
    "hookInstance": "no-uuid",
    "context": {"userId": "Practitioner/x", "patientId": "Patient/p"},
}


def read(**more: Any) -> HookRequest:
    return decode_request(json.dumps(REQUEST | more).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b"1",
        b'"x"',
        b"null",
        b"<xml/>",
        b'{"hook": "secret-name",}',
        b'{"hook": 3.}',
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b'{"a": 1} }',
        b'{"secret-name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"prefetch": {"a": '
        + b'{"resourceType":"Bundle","entry":[{"resource":' * 5_000
        + b"{}"
        + b"}]}" * 5_000
        + b"}}",
    ],
)
def test_what_is_no_json_object_is_refused_without_its_text(body: bytes) -> None:
    with pytest.raises(MalformedRequest) as caught:
        decode_request(body)
    assert "secret" not in str(caught.value)
    assert caught.value.place
    assert caught.value.mend


def test_the_place_of_a_mistake() -> None:
    with pytest.raises(MalformedRequest) as caught:
        decode_request(b'{\n  "hook": "x",\n  "a": ?\n}')
    assert caught.value.place == "line 3, column 8"


def test_byte_order_mark_extra_members_and_duplicate_keys() -> None:
    body = b'\xef\xbb\xbf{"hook": "a", "hook": "b", "extension": {"x": [1, 1e999999]}, "context": {"odd": {}}}'
    assert decode_request(body).hook == "b"


@pytest.mark.parametrize("value", [None, {}])
def test_no_prefetch(value: Any) -> None:
    assert not read(prefetch=value).prefetch
    assert read().prefetch is None


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"hook": 1}, "hook"),
        ({"hookInstance": {}}, "hookInstance"),
        ({"context": []}, "context"),
        ({"context": {"patientId": 7}}, "context.patientId"),
        ({"context": {"userId": ["x"]}}, "context.userId"),
        ({"context": {"selections": "MedicationRequest/1"}}, "context.selections"),
        ({"context": {"draftOrders": [1]}}, "context.draftOrders"),
        ({"prefetch": []}, "prefetch"),
        ({"fhirAuthorization": "x"}, "fhirAuthorization"),
        ({"fhirServer": {}}, "fhirServer"),
    ],
)
def test_ill_typed_members_are_named(more: dict[str, Any], name: str) -> None:
    assert read(**more).ill_typed == (name,)


def test_authorization_never_shows_its_token() -> None:
    request = read(fhirAuthorization={"access_token": "secret", "token_type": "Bearer", "expires_in": 300})
    assert request.fhirAuthorization is not None
    assert request.fhirAuthorization.access_token == "secret"
    assert "secret" not in repr(request)


def test_prefetch_values() -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "forbidden"}]}
    request = read(
        prefetch={
            "none": None,
            "one": patient(),
            "bundle": {"resourceType": "Bundle", "entry": [{}, {"resource": None}, {"resource": result("k")}]},
            "failed": outcome,
            "wrapped": {"response": {"status": "200 OK"}, "resource": patient()},
            "wrapped-nothing": {"response": {"status": "404"}},
            "text": "nonsense",
            "unknown": {"resourceType": "Klaim"},
            "no-type": {"id": "1"},
        }
    )
    found = request.prefetch or {}
    assert found["none"] is None
    assert isinstance(found["one"], wire.Patient)
    assert isinstance(found["wrapped"], wire.Patient)
    assert isinstance(found["failed"], wire.OperationOutcome)
    assert isinstance(found["wrapped-nothing"], wire.OperationOutcome)
    assert isinstance(found["text"], wire.Unread)
    assert isinstance(found["no-type"], wire.Unread)
    assert isinstance(found["unknown"], wire.Skipped)
    assert [type(one).__name__ for one in open_bundles([found["bundle"]], {})] == ["Observation"]


def test_a_bundle_with_links_read_by_parts_keeps_them() -> None:
    body = {"resourceType": "Bundle", "type": "searchset", "link": [{"relation": "next", "url": "u"}], "entry": [5]}
    read_one = decode_resource(json.dumps(body).encode())
    assert isinstance(read_one, wire.Bundle)
    assert (read_one.type, read_one.link[0].relation) == ("searchset", "next")
    assert isinstance(read_one.entry[0].resource, wire.Unread)


@pytest.mark.parametrize(
    ("bad", "reference"),
    [
        ({"resourceType": "Observation", "id": "bad", "status": 7}, "Observation/bad"),
        ({"resourceType": "Observation", "id": "b a d <script>", "status": 7}, None),
        ({"resourceType": "Observation", "id": 5, "status": 7}, None),
    ],
)
def test_one_that_cannot_be_read_is_a_gap_and_the_rest_goes_on(bad: dict[str, Any], reference: str | None) -> None:
    facts = facts_of(bad, result("k"))
    assert len(facts.results["potassium"]) == 1
    assert [(gap.kind, gap.what, gap.reference) for gap in facts.gaps] == [("unreadable", "observations", reference)]
    assert "observations" in facts.incomplete


def test_what_has_no_type_may_be_anything() -> None:
    facts = facts_of({"id": "x"})
    assert facts.incomplete == {"medications", "conditions", "observations"}


def test_nulls_and_single_objects_for_lists_are_mended() -> None:
    one = result("k", interpretation=None, note=None)
    one["component"] = None
    one["code"]["coding"] = one["code"]["coding"][0]
    made = order("m", dosageInstruction={"doseAndRate": {"doseQuantity": {"value": 1.5}}})
    facts = facts_of(one, made)
    assert facts.results["potassium"][0].usable
    assert len(facts.medications) == 1
    assert facts.gaps == ()


@pytest.mark.parametrize("value", ["1e999999", "1e99999999999999999999", "-1e999999", "0.0000000000000000000000001"])
def test_absurd_numbers_spoil_one_result_only(value: str) -> None:
    body = bundle(patient(), result("k", value=4.25), result("l")).replace(b"4.25", value.encode())
    read_one = decode_bundle(body)
    found = [one for one in open_bundles([read_one], {}) if isinstance(one, wire.Observation)]
    assert len(found) == 2


def test_nested_bundles_and_urls() -> None:
    inner = {"resourceType": "Bundle", "entry": [{"fullUrl": "urn:uuid:1", "resource": result("k")}]}
    outer = {
        "resourceType": "Bundle",
        "type": "batch-response",
        "entry": [{"resource": inner}, {"resource": patient()}],
    }
    gathered = gathered_from_bundle([decode_bundle(json.dumps(outer).encode())])
    assert [type(one).__name__ for one in gathered.resources] == ["Observation", "Patient"]
    assert gathered.patient_id == "p"
    assert list(gathered.by_url) == ["urn:uuid:1"]


def test_draft_orders_in_a_record_are_ordered_only_where_the_hook_is_about_orders() -> None:
    draft = {"resourceType": "MedicationRequest", "id": "d", "status": "draft"}
    inner = {"resourceType": "Bundle", "entry": [{"resource": draft}]}
    record = decode_bundle(json.dumps({"resourceType": "Bundle", "entry": [{"resource": inner}]}).encode())
    seen, ordered = (gathered_from_bundle([record], drafts_within=within) for within in (False, True))
    assert (len(seen.resources), len(seen.drafts)) == (1, 0)
    assert (len(ordered.resources), len(ordered.drafts)) == (0, 1)


def test_documents() -> None:
    assert isinstance(decode_document(json.dumps(REQUEST).encode()), HookRequest)
    assert isinstance(decode_document(bundle(patient())), wire.Bundle)
    alone = decode_document(json.dumps(patient()).encode())
    assert isinstance(alone, wire.Bundle)
    assert len(alone.entry) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p", "p"),
        ("Patient/p", "p"),
        (" Patient/p ", "p"),
        ("https://e/fhir/Patient/p", "p"),
        ("Patient/p/_history/3", "p"),
        (None, ""),
        ("", ""),
    ],
)
def test_bare_ids(text: str | None, expected: str) -> None:
    assert bare_id(text) == expected


def test_selections() -> None:
    request = REQUEST | {
        "hook": "order-select",
        "context": REQUEST["context"]
        | {
            "selections": ["https://e/MedicationRequest/a", "b"],
            "draftOrders": {"resourceType": "Bundle", "entry": [{"resource": order("a")}, {"resource": order("b")}]},
        },
    }
    assert [one.selected for one in facts_of_request(request).medications] == [True, True]
