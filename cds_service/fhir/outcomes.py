"""What may become of a question to a FHIR server: one closed list, and the OperationOutcome that says the same."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
import requests
import urllib3

from cds_service.facts.wire import Bundle, Entry, Issue, OperationOutcome, Resource

Outcome: TypeAlias = Literal[
    "ok",
    "timeout",  # no answer, or not all of it, by the deadline
    "unreachable",  # no connection: refused, no such host, TLS failed
    "broken",  # the connection broke, or the body ended early
    "refused",  # 401 or 403
    "not-found",  # 404 or 410
    "not-supported",  # said so in an OperationOutcome
    "busy",  # 429 or 503 for longer than there is time
    "error",  # any other status
    "redirect",
    "unreadable",  # no FHIR in JSON
    "too-large",  # past the limit of bytes, resources or pages
    "loop",  # pages that lead back
    "other-origin",  # the next page lies on another server
    "wrong-content",  # resources that were not asked for
    "wrong-patient",  # resources of another patient
]
_ISSUES: dict[Outcome, str] = {
    "timeout": "timeout",
    "refused": "security",
    "busy": "throttled",
    "not-supported": "not-supported",
    "too-large": "too-costly",
    "loop": "incomplete",
    "other-origin": "incomplete",
}
MILD = frozenset({"too-large", "loop", "other-origin"})
"""What leaves the answer sound as far as it goes."""


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one question, for metrics and audit. Nothing in it names a patient, a resource or a server."""

    key: str
    outcome: Outcome | Literal["not-granted"]
    status: int | None = None
    """The last HTTP status; None when there was none."""
    pages: int = 0
    resources: int = 0
    bytes: int = 0
    duration_ms: float = 0.0


def failure(outcome: Outcome, mild: bool = False) -> OperationOutcome:
    """The OperationOutcome that says the same."""
    severity = "warning" if mild else "error"
    return OperationOutcome(issue=(Issue(severity=severity, code=_ISSUES.get(outcome, "exception")),))


SUPPRESSED = OperationOutcome(issue=(Issue(severity="warning", code="suppressed"),))
"""Said of an answer that a server may have narrowed to what the token covers."""


def with_outcome(bundle: Bundle | None, outcome: OperationOutcome) -> Resource:
    """What there is of an answer, with the outcome among its entries; the outcome alone where there is nothing."""
    if bundle is None:
        return outcome
    return Bundle(id=bundle.id, type=bundle.type, entry=(*bundle.entry, Entry(resource=outcome)))


def outcome_of_status(status: int) -> Outcome:
    if status == 200:
        return "ok"
    if 300 <= status < 400:
        return "redirect"
    known: dict[int, Outcome] = {
        401: "refused",
        403: "refused",
        404: "not-found",
        410: "not-found",
        429: "busy",
        503: "busy",
    }
    return known.get(status, "error")


def outcome_of_error(error: Exception) -> Outcome:
    if isinstance(error, requests.exceptions.SSLError | requests.exceptions.InvalidURL):
        return "unreachable"
    if isinstance(error, requests.ConnectionError):
        reason = getattr(error.args[0] if error.args else None, "reason", None)
        return "unreachable" if isinstance(reason, urllib3.exceptions.NewConnectionError) else "broken"
    return "broken"
