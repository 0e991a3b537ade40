"""Who calls? Invocation and feedback ask here before they read anything of a request.

Every failure gives the same answer, byte for byte: why a token was refused is one word in the log.
"""

from __future__ import annotations

from flask import current_app, g, request

from cds_service.clients.model import ANONYMOUS, Client
from cds_service.clients.tokens import Denied
from cds_service.web.config import WebConfig
from cds_service.web.errors import Refusal
from cds_service.web.wiring import Wiring

_TEXT = "Authorization: send a valid token as Bearer; docs/clients.md of this service tells what makes one valid."


def identify(service_id: str, feedback: bool = False) -> Client:
    """The client that calls a service or its feedback endpoint; kept as `g.client`. Raises `Refusal` (401)."""
    wiring: Wiring = current_app.extensions["wiring"]
    if wiring.verifier is None:
        g.client = ANONYMOUS
        return ANONYMOUS
    address = f"{_discovery_address()}/{service_id}"
    # some clients sign the address of the service for feedback, others that of the feedback endpoint
    audiences = (address, f"{address}/feedback") if feedback else (address,)
    try:
        client = wiring.verifier.verify(request.headers.get("Authorization"), audiences)
    except Denied as denied:
        g.denied = denied.why
        raise Refusal(401, _TEXT, {"WWW-Authenticate": "Bearer"}) from None
    g.client = client
    return client


def identify_reader() -> Client:
    """The client that reads discovery. Where that is open to all, whoever has no valid token is anonymous."""
    config: WebConfig = current_app.extensions["config"]
    wiring: Wiring = current_app.extensions["wiring"]
    authorization = request.headers.get("Authorization")
    is_guarded = config.discovery == "guarded"
    if wiring.verifier is None or (authorization is None and not is_guarded):
        return ANONYMOUS
    try:
        # discovery holds no patient data: a token for it may come again
        client = wiring.verifier.verify(authorization, (_discovery_address(),), once=False)
    except Denied as denied:
        if not is_guarded:
            return ANONYMOUS
        g.denied = denied.why
        raise Refusal(401, _TEXT, {"WWW-Authenticate": "Bearer"}) from None
    g.client = client
    return client


def _discovery_address() -> str:
    config: WebConfig = current_app.extensions["config"]
    return f"{config.settings.public_base_url}/cds-services"
