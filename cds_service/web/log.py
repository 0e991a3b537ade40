"""After each request: its line in the log, its counts, and where it was asked for its entry in the audit trail."""

from __future__ import annotations

import time
from typing import Any

from flask import Flask, Response, g, request

from cds_service.telemetry.metrics import Metrics
from cds_service.web.auditing import Auditor

_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})


def register(app: Flask, log: Any, metrics: Metrics | None = None, auditor: Auditor | None = None) -> None:
    """Has every request noted. Without metrics or an auditor that part costs one look at a name."""

    def start() -> None:
        g.started = time.perf_counter()

    def finish(response: Response) -> Response:
        # resolved once: each look through the proxies costs as much as a header
        incoming, noted = request._get_current_object(), g._get_current_object()  # type: ignore[attr-defined]
        seconds = time.perf_counter() - noted.started
        fields: dict[str, Any] = {
            "request_id": response.headers.get("X-Request-Id"),
            "method": incoming.method if incoming.method in _METHODS else "other",
            "route": incoming.url_rule.rule if incoming.url_rule else "unmatched",
            "status": response.status_code,
            "duration_ms": round(seconds * 1000, 2),
            **noted.get("counts", {}),
        }
        if "denied" in noted:
            fields["denied"] = noted.denied
        elif "client" in noted:
            fields["client"] = noted.client.id
        if "fault" in noted:
            fields["fault"] = noted.fault
        (log.error if response.status_code >= 500 else log.info)("request", **fields)
        if metrics is not None:
            _count(metrics, incoming, noted, response.status_code, seconds)
        if auditor is not None and incoming.method == "POST":
            auditor.note(incoming.endpoint, noted, response)
        return response

    app.before_request(start)
    app.after_request(finish)


def _count(metrics: Metrics, incoming: Any, noted: Any, status: int, seconds: float) -> None:
    counts = noted.get("counts", {})
    endpoint = incoming.endpoint or "unmatched"
    metrics.answered(endpoint, counts.get("service", ""), status, seconds)
    if "denied" in noted:
        metrics.denied(noted.denied)
    considered = noted.get("considered")
    if considered is not None:
        assessment = considered.assessment
        bases, silent = getattr(assessment, "bases", ()), getattr(assessment, "silent", ())
        sent = bases if considered.cards else ()
        unsent = silent if considered.cards else (*silent, *bases)
        metrics.assessed(counts["resources"], sent, unsent, assessment.data_gaps, considered.held_back)
    fetched = noted.get("fetched")
    if fetched:
        metrics.fetched(fetched)
