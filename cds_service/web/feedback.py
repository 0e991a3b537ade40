"""Feedback: what clinicians did with cards. The answer comes when it is on disk, and not before."""

from __future__ import annotations

import math

from flask import Blueprint, Response, current_app, g, request

from cds_service.feedback.breaker import Unavailable
from cds_service.feedback.decode import decode_feedback
from cds_service.web import trust
from cds_service.web.body import read_json
from cds_service.web.discovery import IDS, SERVICES
from cds_service.web.errors import JSON, Refusal
from cds_service.web.wiring import Wiring

blueprint = Blueprint("feedback", __name__)


@blueprint.post("/cds-services/<service_id>/feedback")
def receive(service_id: str) -> Response:
    """An empty object when all of it is kept; the same again changes nothing. 503 while it cannot be kept."""
    if service_id not in IDS:
        raise Refusal(404, f"No service has this id; the ids are {', '.join(SERVICES)}.")
    g.counts = {"service": service_id}
    wiring: Wiring = current_app.extensions["wiring"]
    client = trust.identify(service_id, feedback=True)
    told = decode_feedback(read_json(request))
    if wiring.store is None:
        raise Refusal(404, "This site keeps no feedback (LEGCRAMP_DATABASE).")
    try:
        wiring.store.receiver.keep(client, service_id, told, wiring.now())
    except Unavailable as error:
        wiring.store.events("feedback-refused")
        seconds = str(max(1, math.ceil(error.retry_after)))
        raise Refusal(503, "Feedback cannot be kept just now; send it again later.", {"Retry-After": seconds}) from None
    g.counts["feedback"] = len(told)
    return Response(b"{}", content_type=JSON)
