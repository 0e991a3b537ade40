"""Discovery: which CDS services there are, and what each would like to be sent along."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response

from cds_service.fhir.context import HOOK_VERSION
from cds_service.fhir.prefetch import QUERIES, TEMPLATES
from cds_service.web.errors import JSON

SPECIFICATION = "2.0.1"


class Service(msgspec.Struct, frozen=True, rename="camel"):
    """One CDS service, as discovery shows it."""

    hook: str
    id: str
    title: str
    description: str
    usage_requirements: str
    prefetch: dict[str, str]
    version: str = SPECIFICATION
    hook_version: str = HOOK_VERSION


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
)
SERVICES: dict[str, Service] = {
    f"leg-cramp-{hook}": Service(hook, f"leg-cramp-{hook}", title, description, _REQUIREMENTS, TEMPLATES)
    for hook, title, description in _SERVICES
}
_DOCUMENT = msgspec.json.encode({"services": list(SERVICES.values())})

blueprint = Blueprint("discovery", __name__)


@blueprint.get("/cds-services")
def discover() -> Response:
    """Holds no patient data, so it may be cached."""
    return Response(_DOCUMENT, content_type=JSON, headers={"Cache-Control": "public, max-age=300"})
