"""The application factory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask

from cds_service.telemetry.log import make_log
from cds_service.web import (
    body,
    discovery,
    errors,
    feedback,
    guard,
    handout,
    headers,
    invocation,
    log,
    openapi,
    operations,
    preview,
    report,
    rules_pages,
)
from cds_service.web.auditing import auditor_of
from cds_service.web.config import WebConfig, config_from
from cds_service.web.wiring import Wiring, wire

# One blueprint per concern. A new one (pages, feedback) is registered here and nowhere else.
BLUEPRINTS = (
    discovery.blueprint,
    feedback.blueprint,
    handout.blueprint,
    invocation.blueprint,
    openapi.blueprint,
    operations.blueprint,
    preview.blueprint,
    report.blueprint,
    rules_pages.blueprint,
)


class _App(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No function here is async; Flask would look each one up again for every request."""
        return func


def create_app(config: WebConfig | None = None, wiring: Wiring | None = None, request_log: Any = None) -> Flask:
    """Makes the application. Without arguments it reads the environment and loads the rules, once."""
    config = config if config is not None else config_from()
    app = _App(__name__)
    app.config["MAX_CONTENT_LENGTH"] = config.max_body_bytes
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 3600
    app.extensions["config"] = config
    wiring = app.extensions["wiring"] = wiring if wiring is not None else wire(config)
    # A redirect breaks a CORS preflight: answer with and without a trailing slash.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    # Functions run after a request in the reverse of this order: the log comes last and sees the finished headers.
    request_log = request_log if request_log is not None else make_log()
    log.register(app, request_log, wiring.metrics, auditor_of(config, wiring, request_log.warning))
    headers.register(app, config, wiring)
    guard.register(app, config)
    body.register(app)
    errors.register(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app
