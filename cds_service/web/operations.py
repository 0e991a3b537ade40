"""For those who run the service: is the process alive, and which rules does it answer with."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, current_app

from cds_service import __version__
from cds_service.web.errors import JSON
from cds_service.web.wiring import Wiring

blueprint = Blueprint("operations", __name__)


@blueprint.get("/healthz")
def live() -> Response:
    return Response(b'{"status":"ok"}', content_type=JSON)


@blueprint.get("/readyz")
def ready() -> Response:
    """An application that exists has loaded its rules: it is made only after that."""
    wiring: Wiring = current_app.extensions["wiring"]
    return Response(
        msgspec.json.encode(
            {
                "status": "ready",
                "version": __version__,
                "ruleset": wiring.ruleset.digest,
                "knowledge": wiring.ruleset.knowledge_version,
            }
        ),
        content_type=JSON,
    )
