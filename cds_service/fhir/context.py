"""Is this a hook request that can be answered? What is missing or misshapen is named, with what mends it.

Raises `MalformedRequest` (a 400 over HTTP), whose words never hold any of the request.
"""

from __future__ import annotations

import re
from typing import NoReturn

from cds_service.facts.gathered import bare_id, type_and_id
from cds_service.facts.reading import Context, HookRequest, MalformedRequest
from cds_service.facts.wire import Bundle, OperationOutcome, Unread

HOOK_VERSION = "1.0"
"""The published version of all three hooks."""
HOOKS: dict[str, tuple[str, ...]] = {
    "patient-view": ("userId", "patientId"),
    "order-select": ("userId", "patientId", "selections", "draftOrders"),
    "order-sign": ("userId", "patientId", "draftOrders"),
}
"""Hook to its required context fields."""

# Characters of a FHIR id. Its limit of 64 is not enforced: draft orders of one large EHR have ids of 194 characters.
_ID = re.compile(r"(?!\.+$)[A-Za-z0-9.\-]{1,256}", re.ASCII)
_USER = re.compile(r"[\w.\-/:]{1,512}", re.ASCII)
_SHAPES = {
    "userId": "a string such as Practitioner/123",
    "patientId": "a FHIR id as a string",
    "encounterId": "a FHIR id as a string",
    "selections": "an array of strings such as MedicationRequest/123",
    "draftOrders": "a FHIR Bundle of the draft orders",
}


def check_request(request: HookRequest, hook: str) -> None:
    """Checks all that the hook's definition requires, so that the later steps need not."""
    if request.hook is None:
        _refuse(request, "hook", "a string, the hook's name")
    if request.hook != hook:
        raise MalformedRequest("hook", f"this service answers {hook} only; call the service id that serves the hook")
    if not request.hookInstance:
        _refuse(request, "hookInstance", "a string, a UUID of this invocation")
    context = request.context
    if context is None:
        _refuse(request, "context", "an object with the fields of the hook")
    _check_context(request, context, hook)
    if "prefetch" in request.ill_typed:
        _refuse(request, "prefetch", "an object of prefetch key to resource")
    if not request.fhirServer and (request.fhirAuthorization or "fhirAuthorization" in request.ill_typed):
        _refuse(request, "fhirServer", "the base URL that fhirAuthorization is for")


def _check_context(request: HookRequest, context: Context, hook: str) -> None:
    for name in HOOKS[hook]:
        # an empty selection is a selection; an empty string is a missing one
        if getattr(context, name) in (None, ""):
            _refuse(request, f"context.{name}", _SHAPES[name])
    if "context.encounterId" in request.ill_typed:
        _refuse(request, "context.encounterId", _SHAPES["encounterId"])
    _check_id(context.patientId, "Patient", "context.patientId")
    _check_id(context.encounterId, "Encounter", "context.encounterId")
    if not _USER.fullmatch(context.userId or ""):
        raise MalformedRequest("context.userId", f"must be {_SHAPES['userId']}")
    if "draftOrders" in HOOKS[hook] and type(context.draftOrders) in (OperationOutcome, Unread):
        raise MalformedRequest("context.draftOrders", f"must be {_SHAPES['draftOrders']}")
    orders = context.draftOrders
    if isinstance(orders, Bundle) and orders.entry and all(entry.resource is None for entry in orders.entry):
        raise MalformedRequest(
            "context.draftOrders.entry[0].resource", "is missing; send each draft order as a resource"
        )
    if "selections" in HOOKS[hook]:
        for at, selection in enumerate(context.selections or ()):
            if type_and_id(selection) is None and not _ID.fullmatch(selection):
                raise MalformedRequest(f"context.selections[{at}]", "must be Type/id of one of the draft orders")


def _check_id(reference: str | None, expected: str, place: str) -> None:
    if not reference:
        return
    named = type_and_id(reference.strip())
    if (named is not None and named[0] != expected) or not _ID.fullmatch(bare_id(reference)):
        raise MalformedRequest(place, f"must be the id of the {expected}: letters, digits, '.' and '-'")


def _refuse(request: HookRequest, place: str, shape: str) -> NoReturn:
    raise MalformedRequest(place, f"must be {shape}" if place in request.ill_typed else f"is missing; send {shape}")
