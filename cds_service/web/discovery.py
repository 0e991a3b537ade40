"""Discovery: which CDS services there are, and what each would like to be sent along."""

from __future__ import annotations

import functools

import msgspec
from flask import Blueprint, Response

from cds_service.facts.reading import MalformedRequest
from cds_service.fhir.context import HOOKS
from cds_service.fhir.queries import QUERIES, TEMPLATES
from cds_service.settings import ClientProfile
from cds_service.web import trust
from cds_service.web.errors import JSON, Refusal

SPECIFICATION = "2.0.1"


class Service(msgspec.Struct, frozen=True, rename="camel"):
    """One CDS service, as discovery shows it."""

    hook: str
    id: str
    title: str
    description: str
    usage_requirements: str
    prefetch: dict[str, str]
    hook_version: str
    version: str = SPECIFICATION


def _keys(needed: str) -> str:
    return ", ".join(query.key for query in QUERIES if query.needed == needed)


_REQUIREMENTS = (
    f"FHIR R4 prefetch. Required: {_keys('required')} (without it: 412). Needed before any treatment is suggested: "
    f"{_keys('for treatment')}. The other keys are optional. Keys may be renamed: resources are recognized by type."
)
_SERVICES = (
    (
        "patient-view",
        "Leg cramp review",
        "Finds causes of leg cramps and unsafe mineral values in the chart: medicines, laboratory results, conditions. "
        "Names what it used, what it withheld and what was missing.",
    ),
    (
        "order-select",
        "Leg cramp medicine check at selection",
        "Checks the selected draft orders against the chart: medicines that cause or worsen cramps, and mineral "
        "supplements that are unsafe for this patient.",
    ),
    (
        "order-sign",
        "Leg cramp medicine check at signing",
        "Checks all draft orders about to be signed against the chart: medicines that cause or worsen cramps, and "
        "mineral supplements that are unsafe for this patient.",
    ),
    (
        "encounter-start",
        "Leg cramp review at the start of an encounter",
        "The leg cramp review at admission or check-in: causes of leg cramps and unsafe mineral values in the chart, "
        "with what was used, withheld and missing.",
    ),
    (
        "encounter-discharge",
        "Leg cramp review at discharge",
        "Before discharge: medicines that cause or worsen leg cramps, mineral values that are unsafe or unchecked, and "
        "what cannot wait.",
    ),
    (
        "medication-refill",
        "Leg cramp medicine check at a refill",
        "Checks medicines to be refilled against the chart: those that are unsafe now, and potassium, kidney or "
        "magnesium checks that are overdue.",
    ),
    (
        "problem-list-item-create",
        "Leg cramp review for a new problem",
        "When leg cramps are put on the problem list, the full review of their causes. For any other problem only what "
        "cannot wait.",
    ),
)
SERVICES: dict[str, Service] = {
    f"leg-cramp-{hook}": Service(
        hook, f"leg-cramp-{hook}", title, description, _REQUIREMENTS, TEMPLATES, HOOKS[hook].version
    )
    for hook, title, description in _SERVICES
}
SHARED_ID = "leg-cramp"
"""The one id of all hooks, for clients that want the cards of a later hook to replace those of an earlier one."""
IDS = (*SERVICES, SHARED_ID)
_AFTER_1_0 = ("version", "hookVersion", "usageRequirements")

blueprint = Blueprint("discovery", __name__)


@blueprint.get("/cds-services")
def discover() -> Response:
    """Holds no patient data, so it may be cached; whoever proves to be a client of another profile gets its own."""
    profile = trust.identify_reader().profile
    headers = {"Cache-Control": "public, max-age=300", "Vary": "Authorization"}
    return Response(document(profile.same_id, profile.legacy10), content_type=JSON, headers=headers)


def service_for(service_id: str, profile: ClientProfile, hook: str | None) -> Service:
    """The service behind an id; behind the shared one, that of the hook. Raises `Refusal` and `MalformedRequest`."""
    if service_id != SHARED_ID:
        return SERVICES[service_id]
    if not profile.same_id:
        raise Refusal(404, f"No service has this id; the ids are {', '.join(SERVICES)}.")
    service = next((service for service in SERVICES.values() if service.hook == hook), None)
    if service is None:
        served = ", ".join(service.hook for service in SERVICES.values())
        raise MalformedRequest("hook", f"must be one of {served}")
    return service


@functools.cache
def document(same_id: bool = False, legacy10: bool = False) -> bytes:
    """The discovery document of a profile."""
    services: list[dict[str, object]] = [msgspec.to_builtins(service) for service in SERVICES.values()]
    for service in services:
        if same_id:
            service["id"] = SHARED_ID
        for name in _AFTER_1_0 if legacy10 else ():
            del service[name]
    return msgspec.json.encode({"services": services})
