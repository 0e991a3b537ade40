"""Headers on every answer, errors included: security, caching, request id, and CORS for browser-based clients."""

from __future__ import annotations

import os

from flask import Flask, Response, request

from cds_service.web.config import WebConfig

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


def register(app: Flask, config: WebConfig) -> None:
    def add(response: Response) -> Response:
        headers = response.headers
        # the id is ours, never the client's: what a client sends may name a patient
        fixed = [*SECURITY, ("X-Request-Id", os.urandom(8).hex()), ("Vary", "Origin")]
        if "Cache-Control" not in headers:
            fixed.append(("Cache-Control", "no-store"))
        origin = request.headers.get("Origin")
        if origin is not None and (config.development or origin in config.cors_origins):
            fixed += (("Access-Control-Allow-Origin", origin), *CORS)
        headers.extend(fixed)
        return response

    app.after_request(add)
