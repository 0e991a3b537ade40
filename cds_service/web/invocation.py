"""Invocation: a hook request in, cards out."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, g, request

from cds_service.facts.reading import decode_request
from cds_service.fhir.complete import NOTHING_TO_ADD
from cds_service.fhir.context import check_request
from cds_service.fhir.deadline import Deadline
from cds_service.fhir.prefetch import gather
from cds_service.web import trust
from cds_service.web.body import read_json
from cds_service.web.capacity import waited_seconds
from cds_service.web.config import WebConfig
from cds_service.web.discovery import IDS, SERVICES, service_for
from cds_service.web.errors import JSON, Refusal
from cds_service.web.remembering import consider
from cds_service.web.wiring import Wiring

blueprint = Blueprint("invocation", __name__)


@blueprint.post("/cds-services/<service_id>")
def invoke(service_id: str) -> Response:
    if service_id not in IDS:
        raise Refusal(404, f"No service has this id; the ids are {', '.join(SERVICES)}.")
    g.counts = {"service": service_id}
    config: WebConfig = current_app.extensions["config"]
    wiring: Wiring = current_app.extensions["wiring"]
    deadline = Deadline(config.request_deadline_ms / 1000 - waited_seconds())
    deadline.ensure()
    client = trust.identify(service_id)
    hook_request = g.asked = decode_request(read_json(request))
    service = service_for(service_id, client.profile, hook_request.hook)
    g.hook = service.hook
    check_request(hook_request, service.hook)
    added = wiring.fetch(hook_request, client, deadline) if hook_request.fhirServer and wiring.fetch else NOTHING_TO_ADD
    g.fetched, g.no_access = added.fetched, added.why
    gathered = gather(hook_request, config.max_resources, client.profile.prefetch_keys, added.values, added.gaps)
    g.counts["resources"] = len(gathered.resources)
    settings = wiring.settings.get(client.id, config.settings)
    considered = g.considered = consider(wiring, client, settings, gathered, hook_request, service_id, deadline.ensure)
    g.counts |= {"cards": len(considered.cards), "data_gaps": len(considered.assessment.data_gaps)}
    answer = wiring.encode_response(considered.cards, wiring.new_id, client.profile)
    considered.note(wiring)
    if considered.held_back:
        g.counts["held_back"] = considered.held_back
    return Response(answer, content_type=JSON)
