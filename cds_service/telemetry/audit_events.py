"""Entries of the audit trail as FHIR R4 AuditEvents. Patient and user are identifiers that hold the keyed hash."""

from __future__ import annotations

from typing import Any

from cds_service.telemetry.audit import Entry

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_OURS = "https://legcramp.example.org/audit"
"""Below it stand the systems of the hashes. The key is the site's, so two sites' hashes never meet."""
_SUCCESS, _MINOR, _SERIOUS = "0", "4", "8"


def as_audit_event(entry: Entry, site: str) -> dict[str, Any]:
    """The AuditEvent of one entry. `site` is the public base URL of the service."""
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": entry.request_id,
        "type": _coding("audit-event-type", "rest", "RESTful Operation"),
        "subtype": [{"system": f"{_OURS}/action", "code": entry.action}],
        "action": "E" if entry.action == "invocation" else "C",
        "recorded": entry.at.isoformat().replace("+00:00", "Z"),
        "outcome": _outcome(entry.status),
        "outcomeDesc": f"HTTP {entry.status}" + (f", {entry.denied}" if entry.denied else ""),
        "agent": [_agent(entry)],
        "source": {
            "site": site,
            "observer": {"display": "leg-cramp-cds"},
            "type": [_coding("security-source-type", "4", "Application Server")],
        },
        "entity": [_service(entry)],
    }
    if entry.user:
        # the client is what called; the user is whom it named
        event["agent"][0]["requestor"] = False
        event["agent"].append({"who": {"identifier": _hash("user", entry.user)}, "requestor": True})
    if entry.patient:
        event["entity"].insert(
            0,
            {
                "what": {"identifier": _hash("patient", entry.patient)},
                "type": _coding("audit-entity-type", "1", "Person"),
                "role": _coding("object-role", "1", "Patient"),
            },
        )
    return event


def _outcome(status: int) -> str:
    return _SUCCESS if status < 400 else _MINOR if status < 500 else _SERIOUS


def _agent(entry: Entry) -> dict[str, Any]:
    """The client, by its id in the site's file of clients; whoever showed no valid token has none."""
    who = {"identifier": {"system": f"{_OURS}/client", "value": entry.client}} if entry.client else {}
    return {"who": who or {"display": "not recognized"}, "requestor": True}


def _service(entry: Entry) -> dict[str, Any]:
    """What was called: the service, the rules that answered, and what was asked of the EHR."""
    told = {"hook": entry.hook, "knowledge": entry.knowledge, "ruleset": entry.ruleset}
    details = [{"type": name, "valueString": value} for name, value in told.items() if value]
    details += [
        {"type": "rule", "valueString": f"{one.rule} {one.indicator}" if one.indicator else one.rule}
        for one in entry.rules
    ]
    details += [{"type": "fetched", "valueString": f"{one.key} {one.outcome} {one.resources}"} for one in entry.fetched]
    details.append({"type": "cards", "valueString": str(entry.cards)})
    service: dict[str, Any] = {
        "type": _coding("audit-entity-type", "2", "System Object"),
        "role": _coding("object-role", "24", "Query"),
        "detail": details,
    }
    if entry.service:
        service["name"] = entry.service
    if entry.instance:
        service["what"] = {"identifier": _hash("hook-instance", entry.instance)}
    return service


def _hash(kind: str, value: str) -> dict[str, str]:
    return {"system": f"{_OURS}/{kind}", "value": value}


def _coding(system: str, code: str, display: str) -> dict[str, str]:
    return {"system": f"{_TERMINOLOGY}/{system}", "code": code, "display": display}
