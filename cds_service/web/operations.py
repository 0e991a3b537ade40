"""For those who run the service: is the process alive, which rules does it answer with, and what did it count."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, current_app
from werkzeug.exceptions import NotFound

from cds_service import __version__
from cds_service.telemetry.metrics import CONTENT_TYPE
from cds_service.web.errors import JSON
from cds_service.web.wiring import Wiring

blueprint = Blueprint("operations", __name__)
RELOAD_FAILED = "reload failed"
"""Set in an application's `extensions` when the one that was to follow it could not be made."""


@blueprint.get("/healthz")
def live() -> Response:
    return Response(b'{"status":"ok"}', content_type=JSON)


@blueprint.get("/readyz")
def ready() -> Response:
    """An application that exists has loaded its rules: it is made only after that."""
    wiring: Wiring = current_app.extensions["wiring"]
    told = {
        "status": "ready",
        "version": __version__,
        "ruleset": wiring.ruleset.digest,
        "knowledge": wiring.ruleset.knowledge_version,
    }
    if RELOAD_FAILED in current_app.extensions:
        told["reload"] = "failed: rules or settings are broken, what was loaded before goes on; the log names why"
    return Response(msgspec.json.encode(told), content_type=JSON)


@blueprint.get("/metrics")
def metrics() -> Response:
    """The counts of all worker processes, in Prometheus' text form."""
    wiring: Wiring = current_app.extensions["wiring"]
    if wiring.metrics is None:
        raise NotFound
    return Response(wiring.metrics.text(), content_type=CONTENT_TYPE)
