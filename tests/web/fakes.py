"""An application with a fake assessment: what HTTP does is tested without any rule."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
from flask import Flask

from cds_service.cards.model import Card, Coding, Source
from cds_service.facts.gathered import Gathered
from cds_service.fhir.context import HOOKS
from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring

CARD = Card(
    summary="Look at this",
    indicator="info",
    source=Source(label="Test", topic=Coding(system="https://cds.example.org/topics", code="test")),
)
PATIENT = {"resourceType": "Patient", "id": "1", "gender": "female", "birthDate": "1950-02-03"}
INSTANCE = "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea"


class Assessor:
    """Remembers what it was given and answers with one card."""

    def __init__(self, error: Exception | None = None) -> None:
        self.seen: list[Gathered] = []
        self.error = error

    def __call__(self, gathered: Gathered, ruleset: Any, settings: Any, now: datetime, *_: Any) -> Any:
        if self.error is not None:
            raise self.error
        self.seen.append(gathered)
        return SimpleNamespace(cards=(CARD,), data_gaps=gathered.gaps)

    @property
    def last(self) -> Gathered:
        return self.seen[-1]


def encode(cards: tuple[Card, ...], new_id: Any, profile: Any = None) -> bytes:
    return msgspec.json.encode({"cards": [msgspec.structs.replace(card, uuid=new_id()) for card in cards]})


def make_app(assess: Any = None, log: Any = None, **config: Any) -> Flask:
    return create_app(
        WebConfig(**config),
        Wiring(
            ruleset=SimpleNamespace(digest="f00d", knowledge_version="0.1.0"),
            assess=assess or Assessor(),
            encode_response=encode,
            now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
        ),
        make_log(log if log is not None else io.BytesIO()),
    )


def hook_request(hook: str = "patient-view", **members: Any) -> dict[str, Any]:
    """A sound request, with `members` in place of its own; a member given as None is left out."""
    context: dict[str, Any] = {"userId": "Practitioner/example", "patientId": "1"}
    for field in HOOKS[hook].required if hook in HOOKS else ():
        context.setdefault(field, _FIELDS[field])
    request = {"hook": hook, "hookInstance": INSTANCE, "context": context, "prefetch": {"patient": PATIENT}} | members
    return {name: value for name, value in request.items() if value is not None}


def bundle(*resources: Any, **members: Any) -> dict[str, Any]:
    entries = {"entry": [{"resource": resource} for resource in resources]} if resources else {}
    return {"resourceType": "Bundle", "type": "searchset", "total": len(resources)} | entries | members


def body(request: Any) -> bytes:
    return json.dumps(request).encode()


_DRAFT = {"resourceType": "MedicationRequest", "id": "d1", "status": "draft"}
_FIELDS: dict[str, Any] = {
    "userId": "Practitioner/example",
    "patientId": "1",
    "encounterId": "e1",
    "draftOrders": bundle(_DRAFT),
    "medications": bundle(_DRAFT),
    "conditions": bundle({"resourceType": "Condition", "id": "c1"}),
    "selections": ["MedicationRequest/d1"],
}
"""A sound value for each field of a hook's context."""
