"""`/openapi.json`: the service's own routes as an OpenAPI 3.1 document, made from what the code itself goes by.

Service ids and prefetch keys come from discovery, context fields from the hooks' definitions, answers from the structs
that are encoded. What has no such source is written here, and a test compares the paths with the routes.
"""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from flask import Blueprint, Response, current_app

from cds_service import __version__
from cds_service.cards.model import Card
from cds_service.facts.reading import FhirAuthorization
from cds_service.fhir.context import HOOKS
from cds_service.fhir.queries import TEMPLATES
from cds_service.web.config import WebConfig
from cds_service.web.discovery import SERVICES, Service
from cds_service.web.errors import JSON, STATUS_TEXTS
from cds_service.web.openapi_pages import PAGES

blueprint = Blueprint("openapi", __name__)
Schema = dict[str, Any]

_BY_CLIENT: list[Schema] = [{"clientToken": []}, {}]
"""A token where the site has clients; none in development."""
_REFUSALS = (400, 401, 404, 405, 413, 415, 500, 503)


@blueprint.get("/openapi.json")
def document() -> Response:
    config: WebConfig = current_app.extensions["config"]
    return Response(
        encoded(config.settings.public_base_url), content_type=JSON, headers={"Cache-Control": "public, max-age=300"}
    )


@functools.lru_cache(maxsize=8)
def encoded(base_url: str) -> bytes:
    """The document as bytes."""
    return msgspec.json.encode(describe(base_url))


def describe(base_url: str) -> Schema:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leg cramp CDS Hooks service",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_url}],
        "paths": _service_paths() | PAGES | {"/openapi.json": {"get": _get("This document", {"type": "object"})}},
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "clientToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "pagesToken": {"type": "http", "scheme": "basic", "description": "any user, the token as password"},
            },
        },
    }


# -- paths


def _service_paths() -> Schema:
    paths: Schema = {
        "/cds-services": {
            "get": _get("Discovery", {"$ref": "#/components/schemas/Services"}, 401) | {"security": _BY_CLIENT}
        },
        "/healthz": {"get": _get("Is the process alive", _object(status={"const": "ok"}))},
        "/readyz": {
            "get": _get(
                "Which rules does it answer with",
                _object(status={"const": "ready"}, **dict.fromkeys(("version", "ruleset", "knowledge"), _TEXT)),
            )
        },
    }
    for service in SERVICES.values():
        paths[f"/cds-services/{service.id}"] = {"post": _invocation(service)}
        paths[f"/cds-services/{service.id}/feedback"] = {"post": _feedback(service)}
    return paths


def _invocation(service: Service) -> Schema:
    answers = _answers({"$ref": "#/components/schemas/Cards"}, *_REFUSALS, 412)
    return {
        "summary": service.title,
        "description": service.description,
        "operationId": service.id,
        "security": _BY_CLIENT,
        "requestBody": _body(_hook_request(service.hook)),
        "responses": answers,
    }


def _feedback(service: Service) -> Schema:
    return {
        "summary": f"{service.title}: what was done with its cards",
        "operationId": f"{service.id}-feedback",
        "security": _BY_CLIENT,
        "requestBody": _body({"$ref": "#/components/schemas/Feedback"}),
        "responses": _answers({"type": "object", "maxProperties": 0}, *_REFUSALS),
    }


def _get(summary: str, schema: Schema, *refusals: int) -> Schema:
    return {"summary": summary, "responses": _answers(schema, 405, *refusals)}


def _answers(schema: Schema, *refusals: int) -> Schema:
    error = {"schema": {"$ref": "#/components/schemas/OperationOutcome"}}
    return {
        "200": {"description": "Answered", "content": {JSON: {"schema": schema}}},
        **{str(status): {"description": STATUS_TEXTS[status], "content": {JSON: error}} for status in sorted(refusals)},
    }


def _body(schema: Schema) -> Schema:
    return {"required": True, "content": {JSON: {"schema": schema}}}


# -- schemas

_TEXT: Schema = {"type": "string", "minLength": 1}
_ID_CHARACTERS = r"[A-Za-z0-9\-]{1,64}"
_ID: Schema = {"type": "string", "pattern": f"^{_ID_CHARACTERS}$"}
_REFERENCE: Schema = {"type": "string", "pattern": f"^[A-Z][A-Za-z]{{1,40}}/{_ID_CHARACTERS}$"}
_USER: Schema = {
    "type": "string",
    "pattern": f"^(Practitioner|PractitionerRole|Patient|RelatedPerson)/{_ID_CHARACTERS}$",
}
_BUNDLE = {"$ref": "#/components/schemas/Bundle"}
_CONTEXT: dict[str, Schema] = {
    "userId": _USER,
    "patientId": _ID,
    "encounterId": _ID,
    "selections": {"type": "array", "items": _REFERENCE},
    "draftOrders": _BUNDLE,
    "medications": _BUNDLE,
    "conditions": _BUNDLE,
}


def _object(**members: Schema) -> Schema:
    return {"type": "object", "required": list(members), "properties": members}


def _hook_request(hook: str) -> Schema:
    required = HOOKS[hook].required
    optional = {name: _CONTEXT[name] for name in ("userId", "encounterId") if name not in required}
    context = _object(**{name: _CONTEXT[name] for name in required})
    context["properties"] |= optional
    request = _object(hook={"const": hook}, hookInstance={"type": "string", "format": "uuid"}, context=context)
    resource = {"anyOf": [{"$ref": "#/components/schemas/Resource"}, {"type": "null"}]}
    request["properties"] |= {
        "fhirServer": {"type": "string", "format": "uri"},
        "fhirAuthorization": {"$ref": "#/components/schemas/FhirAuthorization"},
        "prefetch": {
            "type": "object",
            "properties": dict.fromkeys(TEMPLATES, resource),
            "additionalProperties": resource,
        },
    }
    request["dependentRequired"] = {"fhirAuthorization": ["fhirServer"]}
    return request


def _schemas() -> dict[str, Schema]:
    _, found = msgspec.json.schema_components(
        [Card, Service, FhirAuthorization], ref_template="#/components/schemas/{name}"
    )
    for name in ("Card", "Source", "Coding", "Suggestion", "Action", "Link", "Service"):
        # we send these and nobody else does: what is not named is not there
        found[name]["additionalProperties"] = False
    for name in ("Card", "Suggestion"):
        found[name]["properties"]["uuid"] = {"type": "string", "format": "uuid"}
        found[name]["required"] += ["uuid"]
    found["Card"]["properties"]["summary"] |= {"minLength": 1, "maxLength": 139}
    found["Action"]["properties"]["resource"] = {"$ref": "#/components/schemas/Resource"}
    resource = _object(resourceType={"type": "string", "pattern": "^[A-Z][A-Za-z]{1,40}$"})
    entry = {"type": "object", "properties": {"fullUrl": _TEXT, "resource": {"$ref": "#/components/schemas/Resource"}}}
    issue = _object(severity={"enum": ["fatal", "error"]}, code=_TEXT, diagnostics=_TEXT)
    bundle = _object(resourceType={"const": "Bundle"})
    bundle["properties"] |= {"type": _TEXT, "entry": {"type": "array", "items": {**entry, "required": ["resource"]}}}
    return {
        **found,
        "Cards": _object(cards={"type": "array", "items": {"$ref": "#/components/schemas/Card"}}),
        "Services": _object(services={"type": "array", "items": {"$ref": "#/components/schemas/Service"}}),
        "Resource": resource,
        "Bundle": bundle,
        "OperationOutcome": _object(
            resourceType={"const": "OperationOutcome"}, issue={"type": "array", "minItems": 1, "items": issue}
        ),
        "Feedback": _object(feedback={"type": "array", "items": _one_feedback()}),
    }


def _one_feedback() -> Schema:
    coding = _object(code=_TEXT) | {"type": "object"}
    coding["properties"]["system"] = {"type": "string"}
    reason = {"type": "object", "properties": {"reason": coding, "userComment": {"type": "string"}}}
    told: dict[str, Schema] = {
        "card": _TEXT | {"maxLength": 1000},
        "outcomeTimestamp": {"type": "string", "format": "date-time"},
    }
    suggestions = {"type": "array", "minItems": 1, "items": _object(id=_TEXT)}
    accepted = _object(outcome={"const": "accepted"}, acceptedSuggestions=suggestions, **told)
    overridden = _object(outcome={"const": "overridden"}, **told)
    overridden["properties"]["overrideReason"] = reason
    return {"oneOf": [accepted, overridden]}
