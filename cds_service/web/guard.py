"""Who may see which page. Every address is named here or it is shut: a new one is guarded until it says otherwise.

Outside development what is guarded opens to the token of LEGCRAMP_PAGES_TOKEN, as Bearer or as the password of HTTP
Basic, and to a user whom a trusted reverse proxy names. In development it is open unless one of these is configured.
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address

from flask import Flask, g, request

from cds_service.web.config import PREFIX, WebConfig
from cds_service.web.errors import Refusal

PUBLIC = frozenset(
    {
        "static",
        # addresses of handouts are given to patients; they hold codes of lines and nothing of anybody
        "handout.handout",
        "operations.live",
        "operations.ready",
        "openapi.document",
    }
)
"""Open to everyone: they hold nothing of a patient and nothing that is not in the project's documentation."""
BY_CLIENT = frozenset({"discovery.discover", "feedback.receive", "invocation.invoke"})
"""They ask for a client's token themselves (`web.trust`), each in its own way."""
RULE_PAGES = frozenset({"rules.index", "rules.rule", "rules.gate", "rules.value_set"})
"""Every card links there, from browsers that have no token of this service: open unless LEGCRAMP_RULE_PAGES says no."""
GUARDED = frozenset(
    {
        "preview.page",
        "preview.pasted_page",
        "preview.example_json",
        "preview.pasted_json",
        "report.page",
        "report.drawing",
        "report.download",
        "operations.metrics",
    }
)
"""Named for the reader and for a test. What stands nowhere is guarded too."""

_CHALLENGE = 'Basic realm="legcramp", charset="UTF-8"'


def register(app: Flask, config: WebConfig) -> None:
    """Asks before every view, and before the body is looked at."""
    unguarded = PUBLIC | BY_CLIENT | (RULE_PAGES if config.rule_pages == "open" else frozenset())

    def check() -> None:
        # an unknown address is a 404 for everyone; a preflight names nobody and shows nothing
        if request.endpoint is None or request.endpoint in unguarded or request.method == "OPTIONS":
            return
        let_in(config)

    app.before_request(check)


def let_in(config: WebConfig) -> None:
    """Raises `Refusal`: 401 for whoever shows no right, 404 where the site opens its pages to nobody."""
    if not config.pages_token and not config.proxy_user_header:
        if config.development:
            return
        raise Refusal(404, f"This page is not shown here; {PREFIX}PAGES_TOKEN opens it.")
    if _has_token(config.pages_token) or _named_by_proxy(config):
        return
    g.denied = "pages"
    raise Refusal(401, "Authorization: this page is for those who run the service.", {"WWW-Authenticate": _CHALLENGE})


def _has_token(expected: str) -> bool:
    given = _given()
    # compared in a time that tells nothing of how much of it was right
    return bool(expected) and given is not None and hmac.compare_digest(given.encode(), expected.encode())


def _given() -> str | None:
    authorization = request.authorization
    if authorization is None:
        return None
    return authorization.token if authorization.type == "bearer" else authorization.password


def _named_by_proxy(config: WebConfig) -> bool:
    """Whether the connection itself comes from a trusted proxy, and the proxy names a user. No other header counts."""
    if not config.proxy_user_header or not request.headers.get(config.proxy_user_header, "").strip():
        return False
    try:
        peer = ip_address(request.remote_addr or "")
    except ValueError:
        return False
    peer = getattr(peer, "ipv4_mapped", None) or peer
    return any(peer in network for network in config.trusted_proxies)
