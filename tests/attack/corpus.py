"""What is mutated: the hook requests of fixtures/, one of every hook, and feedback; each with the canary in it."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

from cds_service.fhir.context import HOOKS
from tests.attack.hostile import CANARY
from tests.web.fakes import INSTANCE, PATIENT, hook_request

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
RULES = FIXTURES.parent / "rules"


@cache
def hook_requests() -> tuple[bytes, ...]:
    """Sound requests only; the broken ones of fixtures/ are what the mutators make anyway."""
    bodies = [path.read_bytes() for path in sorted((FIXTURES / "requests").glob("*.json"))]
    documents = [_named(json.loads(body.removeprefix(b"\xef\xbb\xbf"))) for body in bodies if _is_request(body)]
    documents += [_named(hook_request(hook)) for hook in HOOKS]
    documents += [_named(_with_access(hook)) for hook in ("patient-view", "order-sign")]
    return tuple(json.dumps(document).encode() for document in documents)


def hook_document(chance: random.Random) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(chance.choice(hook_requests()))
    return document


def feedback_document(chance: random.Random) -> dict[str, Any]:
    reason = {"reason": {"code": "OR-managed", "system": "x"}, "userComment": CANARY}
    one = {"card": INSTANCE, "outcomeTimestamp": "2026-03-10T09:30:00Z"}
    items = [
        one | {"outcome": "overridden", "overrideReason": reason},
        one | {"outcome": "overridden", "overrideReasons": reason},
        one | {"outcome": "accepted", "acceptedSuggestions": [{"id": INSTANCE}]},
        one | {"outcome": "overridden", "overrideReason": {"extension": {
            "com.epic.cdshooks.feedback.overrideReason-x": {"code": CANARY}}}},
    ]  # fmt: skip
    document: dict[str, Any] = {"feedback": chance.sample(items, chance.randrange(1, 5))}
    return json.loads(json.dumps(document))


def _is_request(body: bytes) -> bool:
    try:
        document = json.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        return False
    return isinstance(document, dict) and "prefetch" in document and "context" in document


def _named(document: dict[str, Any]) -> dict[str, Any]:
    patient = (document.get("prefetch") or {}).get("patient")
    if isinstance(patient, dict):
        patient["name"] = [{"family": CANARY, "given": [CANARY]}]
    return document


def _with_access(hook: str) -> dict[str, Any]:
    """With an EHR's address and token. The address is a closed port: nothing is ever reached from here."""
    access = {
        "access_token": CANARY, "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "cds",
    }  # fmt: skip
    return hook_request(
        hook, fhirServer="http://127.0.0.1:9/fhir", fhirAuthorization=access, prefetch={"patient": PATIENT}
    )
