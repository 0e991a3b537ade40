"""Invocation: a hook request in, cards out."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, g, request

from cds_service.facts.reading import decode_request
from cds_service.fhir.context import check_request
from cds_service.fhir.prefetch import gather
from cds_service.web.body import read_json
from cds_service.web.config import WebConfig
from cds_service.web.discovery import SERVICES
from cds_service.web.errors import JSON, Refusal
from cds_service.web.wiring import Wiring

blueprint = Blueprint("invocation", __name__)


@blueprint.post("/cds-services/<service_id>")
def invoke(service_id: str) -> Response:
    service = SERVICES.get(service_id)
    if service is None:
        raise Refusal(404, f"No service has this id; the ids are {', '.join(SERVICES)}.")
    g.counts = {"service": service.id}
    config: WebConfig = current_app.extensions["config"]
    wiring: Wiring = current_app.extensions["wiring"]
    hook_request = decode_request(read_json(request))
    check_request(hook_request, service.hook)
    gathered = gather(hook_request, config.max_resources)
    g.counts["resources"] = len(gathered.resources)
    assessment = wiring.assess(gathered, wiring.ruleset, config.settings, wiring.now())
    g.counts |= {"cards": len(assessment.cards), "data_gaps": len(assessment.data_gaps)}
    return Response(wiring.encode_response(assessment.cards, wiring.new_id), content_type=JSON)
