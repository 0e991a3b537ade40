"""The pages in the OpenAPI document: addresses for people, and what of them is for programs."""

from __future__ import annotations

from typing import Any

from cds_service.fhir.context import HOOKS
from cds_service.telemetry.metrics import CONTENT_TYPE
from cds_service.web.errors import JSON, STATUS_TEXTS

Schema = dict[str, Any]

_GUARDED: list[Schema] = [{"pagesToken": []}, {}]
"""A token outside development; none in development."""
_HTML, _CSV, _SVG, _PLAIN = "text/html; charset=utf-8", "text/csv; charset=utf-8", "image/svg+xml", "text/plain"
_OUTCOME = {"schema": {"$ref": "#/components/schemas/OperationOutcome"}}
_TEXT = {"schema": {"type": "string"}}
_DAY = {"type": "string", "format": "date"}


def _page(summary: str, *kinds: str, refusals: tuple[int, ...] = (), guarded: bool = False, **more: Any) -> Schema:
    """A page with `kinds` of answers; a refusal is a page or an OperationOutcome."""
    shown = {kind: {"schema": {"type": "object"}} if kind == JSON else _TEXT for kind in kinds}
    refused = {**({_HTML: _TEXT} if _HTML in kinds else {}), JSON: _OUTCOME}
    statuses = sorted({405, *refusals, *((401, 404) if guarded else ())})
    return {
        "summary": summary,
        **({"security": _GUARDED} if guarded else {}),
        "responses": {
            "200": {"description": "Shown", "content": shown},
            **{str(one): {"description": STATUS_TEXTS[one], "content": refused} for one in statuses},
        },
        **more,
    }


def _query(**schemas: Schema) -> list[Schema]:
    return [{"name": name, "in": "query", "schema": schema} for name, schema in schemas.items()]


def _path(name: str, schema: Schema | None = None) -> list[Schema]:
    shape = schema or {"type": "string", "pattern": "^[a-z0-9-]{1,60}$"}
    return [{"name": name, "in": "path", "required": True, "schema": shape}]


_HOOK = {"type": "string", "enum": list(HOOKS)}
_PERIOD = _query(since=_DAY, until=_DAY, client={"type": "string"})
_RECORD = {"schema": {"$ref": "#/components/schemas/Resource"}}
_FORM = {"type": "object", "properties": {"text": {"type": "string"}, "hook": {"type": "string"}}}

PAGES: dict[str, Schema] = {
    "/": {
        "get": _page(
            "Preview", _HTML, guarded=True, refusals=(400, 412, 413),
            parameters=_query(example={"type": "string"}, hook=_HOOK),
        ),
        "post": _page(
            "Preview of what was pasted", _HTML, guarded=True, refusals=(400, 412, 413, 415),
            requestBody={"content": {"multipart/form-data": {"schema": _FORM}}},
        ),
    },
    "/preview.json": {
        "get": _page(
            "An example's assessment", JSON, guarded=True, refusals=(400, 412),
            parameters=_query(example={"type": "string"}, hook=_HOOK),
        ),
        "post": _page(
            "The assessment of a record or request", JSON, guarded=True, refusals=(400, 412, 413, 415),
            parameters=_query(hook=_HOOK), requestBody={"required": True, "content": {JSON: _RECORD}},
        ),
    },
    "/handout": {
        "get": _page(
            "Patient handout", _HTML, _PLAIN, refusals=(400, 404),
            parameters=_query(
                lines={"type": "string"}, lang={"type": "string"}, view={"enum": ["clinician"]},
                format={"enum": ["text"]},
            ),
        )
    },
    "/rules": {
        "get": _page(
            "Rule catalogue", _HTML, refusals=(401, 404),
            parameters=_query(**{name: {"type": "string"} for name in ("q", "topic", "indicator", "hook", "status")}),
        )
    },
    "/rules/{rule_id}": {"get": _page("A rule", _HTML, refusals=(401, 404), parameters=_path("rule_id"))},
    "/rules/gates/{gate_id}": {
        "get": _page("A treatment gate", _HTML, refusals=(401, 404), parameters=_path("gate_id"))
    },
    "/rules/value-sets/{set_id}": {
        "get": _page(
            "A value set", _HTML, refusals=(401, 404),
            parameters=_path("set_id") + _query(q={"type": "string"}, page={"type": "integer"}),
        )
    },
    "/report": {"get": _page("What came of the cards", _HTML, guarded=True, refusals=(503,), parameters=_PERIOD)},
    "/report/{chart}.svg": {
        "get": _page(
            "A chart of the report", _SVG, guarded=True, refusals=(503,),
            parameters=_path("chart", {"enum": ["rules", "time"]}) + _PERIOD,
        )
    },
    "/report/{kind}.csv": {
        "get": _page(
            "A table of the report", _CSV, guarded=True, refusals=(503,),
            parameters=_path("kind", {"enum": ["rules", "topics", "time"]}) + _PERIOD,
        )
    },
    "/metrics": {"get": _page("Counts for Prometheus", CONTENT_TYPE, guarded=True)},
}  # fmt: skip
