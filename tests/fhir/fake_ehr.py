"""An EHR at the transport seam: an adapter for `requests` that answers from a record, without a socket."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from cds_service.clients.model import Client
from cds_service.facts.reading import HookRequest, decode_request
from cds_service.fhir.access import Policy
from cds_service.fhir.complete import Completion, FhirAccess
from cds_service.fhir.prefetch import gather
from tests.fhir.ehr_record import BASE, EhrRecord

TOKEN = "s3cret-t0ken"
AUTHORIZATION = {
    "access_token": TOKEN,
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "patient/*.rs",
    "subject": "cds-service",
}
CLIENT = Client(id="ehr", issuer="https://ehr.example.org", fhir_servers=frozenset({BASE}))
Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]] | Exception


class FakeEhr(BaseAdapter):
    """Answers from `record`, except where `instead` says otherwise. Keeps every request that came."""

    def __init__(self, record: EhrRecord, instead: Callable[[str], Answer | None] = lambda url: None) -> None:
        super().__init__()
        self.record, self.instead = record, instead
        self.seen: list[requests.PreparedRequest] = []
        self._lock = threading.Lock()

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        assert request.url is not None
        with self._lock:
            self.seen.append(request)
        answer = self.instead(request.url) or self.record.answer(request.url)
        if isinstance(answer, Exception):
            raise answer
        status, body, *more = answer
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = requests.Response()
        response.status_code, response.url, response.request = status, request.url, request
        response.headers.update(more[0] if more else {})
        response.raw = HTTPResponse(io.BytesIO(raw), status=status, preload_content=False)
        return response

    def close(self) -> None:
        pass

    @property
    def paths(self) -> set[str]:
        """What was asked for, without base and parameters."""
        return {(one.url or "").removeprefix(BASE).strip("/").partition("?")[0] for one in self.seen}


def access_to(adapter: BaseAdapter | None, seconds: float = 30.0, **options: Any) -> FhirAccess:
    policy = options.pop("policy", Policy())
    return FhirAccess(policy, seconds, adapter, **options)


def request_of(record: EhrRecord, prefetch: Any, **members: Any) -> HookRequest:
    body = {
        "hook": "patient-view",
        "hookInstance": "1",
        "fhirServer": record.base,
        "fhirAuthorization": AUTHORIZATION,
        "context": {"userId": "Practitioner/1", "patientId": record.patient["id"]},
        "prefetch": prefetch,
    } | members
    return decode_request(json.dumps({name: value for name, value in body.items() if value is not None}).encode())


def complete(ehr: FakeEhr, request: HookRequest, client: Client = CLIENT, **options: Any) -> Completion:
    access = access_to(ehr, **options)
    try:
        return access.complete(request, client)
    finally:
        access.close()


def gathered(ehr: FakeEhr, request: HookRequest, client: Client = CLIENT, **options: Any) -> Any:
    completion = complete(ehr, request, client, **options)
    return gather(request, fetched=completion.values, gaps=completion.gaps)


def gaps(found: Any) -> set[tuple[str, str]]:
    return {(gap.kind, gap.what) for gap in found.gaps}


def outcomes(completion: Completion) -> dict[str, str]:
    return {one.key: one.outcome for one in completion.fetched}
