"""Headers on every answer, errors included: security, caching, request id, and CORS for browser-based clients."""

from __future__ import annotations

import os

from flask import Flask, Response, g, request

from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring

SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    (
        "Content-Security-Policy",
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
)
CORS = (
    ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
    ("Access-Control-Allow-Headers", "Authorization, Content-Type"),
    (
        "Access-Control-Expose-Headers",
        "Origin, Accept, Content-Location, Location, X-Requested-With, X-Request-Id, Retry-After",
    ),
    ("Access-Control-Max-Age", "600"),
)


def _vary(already: str) -> str:
    return f"Origin, {already}" if already else "Origin"


def register(app: Flask, config: WebConfig, wiring: Wiring) -> None:
    # a preflight names nobody, so every client's origins are allowed until it is known which client calls
    origins = config.cors_origins.union(*(client.cors_origins for client in wiring.clients))

    def allowed(origin: str) -> bool:
        if config.development:
            return True
        client = g.get("client")
        return origin in (origins if client is None else config.cors_origins | client.cors_origins)

    def add(response: Response) -> Response:
        headers = response.headers
        # the id is ours, never the client's: what a client sends may name a patient
        fixed = [*SECURITY, ("X-Request-Id", os.urandom(8).hex()), ("Vary", _vary(headers.pop("Vary", "")))]
        if "Cache-Control" not in headers:
            fixed.append(("Cache-Control", "no-store"))
        origin = request.headers.get("Origin")
        if origin is not None and allowed(origin):
            fixed += (("Access-Control-Allow-Origin", origin), *CORS)
        headers.extend(fixed)
        return response

    app.after_request(add)
