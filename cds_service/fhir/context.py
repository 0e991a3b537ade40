"""Is this a hook request that can be answered? What is missing or misshapen is named, with what mends it.

Raises `MalformedRequest` (a 400 over HTTP), whose words never hold any of the request.
"""

from __future__ import annotations

import re
from typing import NoReturn

import msgspec

from cds_service.facts.gathered import PROBLEM_HOOK, REFILL_HOOK, bare_id, type_and_id
from cds_service.facts.reading import Context, HookRequest, MalformedRequest
from cds_service.facts.wire import Bundle, OperationOutcome, Resource, Unread


class Hook(msgspec.Struct, frozen=True):
    """A hook as its definition has it: the context fields that must be there, and its version.

    `orders` names the context field whose Bundle holds the orders that the hook is about; empty where there are none.
    """

    required: tuple[str, ...]
    version: str = "1.0"
    orders: str = ""


HOOKS: dict[str, Hook] = {
    "patient-view": Hook(("userId", "patientId")),
    "order-select": Hook(("userId", "patientId", "selections", "draftOrders"), orders="draftOrders"),
    "order-sign": Hook(("userId", "patientId", "draftOrders"), orders="draftOrders"),
    "encounter-start": Hook(("userId", "patientId", "encounterId")),
    "encounter-discharge": Hook(("userId", "patientId", "encounterId")),
    # a refill may be asked for by nobody who has logged in: the user is optional
    REFILL_HOOK: Hook(("patientId", "medications"), version="0.1.0", orders="medications"),
    PROBLEM_HOOK: Hook(("userId", "patientId", "conditions"), version="0.1.0"),
}

# Characters of a FHIR id. Its limit of 64 is not enforced: draft orders of one large EHR have ids of 194 characters.
_ID = re.compile(r"(?!\.+$)[A-Za-z0-9.\-]{1,256}", re.ASCII)
_USER = re.compile(r"[\w.\-/:]{1,512}", re.ASCII)
_SHAPES = {
    "userId": "a string such as Practitioner/123",
    "patientId": "a FHIR id as a string",
    "encounterId": "a FHIR id as a string",
    "selections": "an array of strings such as MedicationRequest/123",
    "draftOrders": "a FHIR Bundle of the draft orders",
    "medications": "a FHIR Bundle of the MedicationRequests to refill",
    "conditions": "a FHIR Bundle of the problems added",
}
_BUNDLES = {"draftOrders": "draft order", "medications": "order to refill", "conditions": "problem"}
"""Context fields that hold resources, and what one of them is."""


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
    required = HOOKS[hook].required
    for name in required:
        # an empty selection is a selection; an empty string is a missing one
        if getattr(context, name) in (None, ""):
            _refuse(request, f"context.{name}", _SHAPES[name])
    for name in ("encounterId", "userId"):
        if f"context.{name}" in request.ill_typed:
            _refuse(request, f"context.{name}", _SHAPES[name])
    _check_id(context.patientId, "Patient", "context.patientId")
    _check_id(context.encounterId, "Encounter", "context.encounterId")
    if context.userId and not _USER.fullmatch(context.userId):
        raise MalformedRequest("context.userId", f"must be {_SHAPES['userId']}")
    for name in _BUNDLES:
        if name in required:
            _check_bundle(getattr(context, name), name)
    if "selections" in required:
        for at, selection in enumerate(context.selections or ()):
            if type_and_id(selection) is None and not _ID.fullmatch(selection):
                raise MalformedRequest(f"context.selections[{at}]", "must be Type/id of one of the draft orders")


def _check_bundle(value: Resource | None, name: str) -> None:
    if type(value) in (OperationOutcome, Unread):
        raise MalformedRequest(f"context.{name}", f"must be {_SHAPES[name]}")
    if isinstance(value, Bundle) and value.entry and all(entry.resource is None for entry in value.entry):
        raise MalformedRequest(
            f"context.{name}.entry[0].resource", f"is missing; send each {_BUNDLES[name]} as a resource"
        )


def _check_id(reference: str | None, expected: str, place: str) -> None:
    if not reference:
        return
    named = type_and_id(reference.strip())
    if (named is not None and named[0] != expected) or not _ID.fullmatch(bare_id(reference)):
        raise MalformedRequest(place, f"must be the id of the {expected}: letters, digits, '.' and '-'")


def _refuse(request: HookRequest, place: str, shape: str) -> NoReturn:
    raise MalformedRequest(place, f"must be {shape}" if place in request.ill_typed else f"is missing; send {shape}")
