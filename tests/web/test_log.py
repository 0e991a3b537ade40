"""One line a request, and nothing about a patient in it."""

from __future__ import annotations

import io
import json
from typing import Any

from cds_service.telemetry.log import FIELDS, make_log
from tests.web.fakes import PATIENT, Assessor, bundle, hook_request, make_app

SERVICE = "/cds-services/leg-cramp-patient-view"
SECRETS = ("Zaphod", "zq-4711", "sesame", "d1577c69")
REQUEST = hook_request(
    context={"userId": "Practitioner/zq-4711", "patientId": "zq-4711", "encounterId": "zq-4711"},
    fhirServer="https://ehr.example/Zaphod",
    fhirAuthorization={"access_token": "sesame"},
    prefetch={
        "patient": {**PATIENT, "id": "zq-4711", "name": [{"family": "Zaphod"}]},
        "Zaphod": bundle({"resourceType": "Condition", "id": "zq-4711"}),
    },
)


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_counts_and_names_no_one() -> None:
    stream = io.BytesIO()
    app = make_app(log=stream)
    assert app.test_client().post(f"{SERVICE}?patient=zq-4711", json=REQUEST).status_code == 200
    (line,) = lines(stream)
    assert set(line) <= FIELDS
    assert (line["method"], line["route"], line["status"]) == ("POST", "/cds-services/<service_id>", 200)
    assert (line["service"], line["resources"], line["cards"]) == ("leg-cramp-patient-view", 2, 1)
    assert line["duration_ms"] >= 0


def test_nothing_of_a_request_is_ever_logged(capfd: Any) -> None:
    stream = io.BytesIO()
    fault = KeyError("Zaphod zq-4711")
    for app in (make_app(log=stream), make_app(Assessor(error=fault), log=stream)):
        client = app.test_client()
        client.post(SERVICE, json=REQUEST, headers={"X-Request-Id": "zq-4711", "Authorization": "Bearer sesame"})
        client.post(SERVICE, data=b'{"Zaphod"', content_type="application/json")
        client.post("/cds-services/zq-4711", json=REQUEST)
        client.get("/Patient/zq-4711?name=Zaphod")
        client.open("/healthz", method="ZAPHOD")
    written = stream.getvalue().decode() + "".join(capfd.readouterr())
    assert len(lines(stream)) == 10
    for secret in SECRETS:
        assert secret.lower() not in written.lower()


def test_a_fault_is_logged_by_kind_and_place() -> None:
    stream = io.BytesIO()
    make_app(Assessor(error=KeyError("Zaphod")), log=stream).test_client().post(SERVICE, json=hook_request())
    (line,) = lines(stream)
    assert line["level"] == "error"
    assert line["fault"].startswith("KeyError at web/remembering.py:")


def test_other_fields_are_dropped() -> None:
    stream = io.BytesIO()
    make_log(stream).info("request", patient="zq-4711", status=200)
    (line,) = lines(stream)
    assert set(line) == {"event", "level", "timestamp", "status"}
