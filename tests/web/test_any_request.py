"""Whatever is sent: an answer or a refusal in words, never a fault (and never the client's own words)."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.cds_hooks import check_cards, check_outcome
from tests.web.fakes import PATIENT, body, bundle, hook_request, make_app

CLIENT = make_app().test_client()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(
    ["Patient", "Condition", "Observation", "MedicationRequest", "Bundle", "OperationOutcome", "Basic", "", "nonsense"]
)
RESOURCES = st.builds(lambda kind, members: {**members, "resourceType": kind}, TYPES, st.dictionaries(
    st.sampled_from(["id", "status", "code", "subject", "entry", "link", "issue", "contained", "valueQuantity"]), JSON
))  # fmt: skip
VALUES = JSON | RESOURCES | st.lists(RESOURCES, max_size=3).map(lambda found: bundle(*found))
KEYS = st.sampled_from(["patient", "medications", "conditions", "observations", "vital-signs", "Patient", "other"])
MEMBERS = ["hook", "hookInstance", "context", "prefetch", "fhirServer", "fhirAuthorization", "extension"]
FIELDS = ["userId", "patientId", "encounterId", "selections", "draftOrders"]


def answered(request: Any, hook: str = "patient-view") -> int:
    data = request if isinstance(request, bytes) else body(request)
    response = CLIENT.post(f"/cds-services/leg-cramp-{hook}", data=data, content_type="application/json")
    if response.status_code == 200:
        check_cards(response.data)
    else:
        assert response.status_code in (400, 412)
        check_outcome(response.data)
    return response.status_code


@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    answered(content)


@given(JSON)
def test_any_json(content: Any) -> None:
    answered(content)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_prefetch_beside_a_patient_is_answered(prefetch: dict[str, Any]) -> None:
    assert answered(hook_request(prefetch={**prefetch, "someone": PATIENT})) == 200


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=3))
def test_any_member(members: dict[str, Any]) -> None:
    answered({**hook_request(), **members})


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3))
def test_any_context(fields: dict[str, Any]) -> None:
    request = hook_request("order-select")
    answered({**request, "context": {**request["context"], **fields}}, "order-select")
