"""Every failure as an OperationOutcome: what is wrong, where, and what mends it; never a word of the request."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from flask import Flask, Response, current_app, g
from werkzeug.exceptions import HTTPException

from cds_service.facts.reading import MalformedRequest
from cds_service.fhir.deadline import DeadlinePassed
from cds_service.fhir.prefetch import RequiredDataMissing, TooManyResources
from cds_service.fhir.queries import TEMPLATES
from cds_service.telemetry.log import where_raised

JSON = "application/json"
_ISSUE_CODES = {
    400: "invalid",
    401: "login",
    404: "not-found",
    405: "not-supported",
    412: "required",
    413: "too-long",
    415: "not-supported",
    503: "transient",
}
STATUS_TEXTS = {
    400: "Not valid: what is missing or misshapen is named",
    401: "No token that counts",
    404: "Nothing is served at this address",
    405: "This method is not served",
    412: "Required data was neither prefetched nor can it be fetched",
    413: "Larger than the limit",
    415: "No JSON",
    500: "A fault of the service: nothing was assessed, and this is no all-clear",
    503: "Not just now: the database or all places are taken; send it again later",
}
"""What each refusal means, for the OpenAPI document."""
_TEXTS = {
    400: "The request is not valid HTTP for this address.",
    404: "Nothing is served at this address; services are listed at /cds-services.",
    405: "This method is not served at this address; the Allow header names those that are.",
}


class Refusal(Exception):
    """A request that will not be answered with cards."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers or {}


def outcome(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """An OperationOutcome with one issue."""
    issue = {
        "severity": "fatal" if status >= 500 else "error",
        "code": _ISSUE_CODES.get(status, "exception" if status >= 500 else "processing"),
        "diagnostics": text,
    }
    body = msgspec.json.encode({"resourceType": "OperationOutcome", "issue": [issue]})
    return Response(body, status, headers, content_type=JSON)


def register(app: Flask) -> None:
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(MalformedRequest, _malformed)
    app.register_error_handler(RequiredDataMissing, _missing)
    app.register_error_handler(TooManyResources, _too_many)
    app.register_error_handler(DeadlinePassed, _late)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _fault)


def _refused(error: Refusal) -> Response:
    return outcome(error.status, error.text, error.headers)


def _malformed(error: MalformedRequest) -> Response:
    return outcome(400, f"{error.place}: {error.mend}.")


def _missing(error: RequiredDataMissing) -> Response:
    mends = "; ".join(f"prefetch.{key}: send the result of {TEMPLATES[key]}" for key in error.keys)
    why = f" {g.no_access}." if g.get("no_access") else ""
    return outcome(412, f"Required data was neither prefetched nor can it be fetched. {mends}.{why}")


def _too_many(error: TooManyResources) -> Response:
    return outcome(413, f"prefetch: more than {error.limit} resources; send fewer, the newest ones.")


def _late(_error: DeadlinePassed) -> Response:
    text = "Not answered in time; send it again. Nothing was assessed; this is no all-clear."
    return outcome(503, text, {"Retry-After": "1"})


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    if status == 413:
        return outcome(413, f"body: larger than {current_app.config['MAX_CONTENT_LENGTH']} bytes; send less history.")
    if status < 400:  # a redirect
        return Response(status=status, headers=error.get_headers())
    allow = {name: value for name, value in error.get_headers() if name.lower() in ("allow", "retry-after")}
    return outcome(status, _TEXTS.get(status, f"The request was refused with status {status}."), allow)


def _fault(error: Exception) -> Response:
    """Only the kind of exception and the code line are kept: its words may hold part of the record."""
    g.fault = where_raised(error)
    return outcome(500, "The service failed to answer. Nothing was assessed; this is no all-clear.")
