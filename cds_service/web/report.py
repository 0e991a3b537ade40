"""The report as a page: what was shown, what came of it, which rules need a review. No patient is in it.

Its charts are documents of their own, because the content security policy allows no style inside a page.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import msgspec
from flask import Blueprint, Response, current_app, make_response, render_template, request
from sqlalchemy.exc import SQLAlchemyError

from cds_service.feedback.counts import read_counts
from cds_service.feedback.report import Report, make_report
from cds_service.feedback.report_charts import CHARTS, Chart, draw, told
from cds_service.feedback.report_tables import KINDS, Kind, as_csv, percent
from cds_service.feedback.store import Store
from cds_service.ruleset import Ruleset
from cds_service.web.errors import Refusal
from cds_service.web.pages.assets import asset
from cds_service.web.pages.elsewhere import links
from cds_service.web.wiring import Wiring

DEFAULT_DAYS = 90
_MOST_DAYS = 3660
_LONGEST = 100

blueprint = Blueprint("report", __name__)


class Asked(msgspec.Struct, frozen=True):
    """Which days and which client the report is about; `mistake` where what was asked for cannot be."""

    since: date
    until: date
    client: str = ""
    mistake: str = ""

    @property
    def query(self) -> dict[str, str]:
        """The same question as the query of an address."""
        days = {"since": self.since.isoformat(), "until": self.until.isoformat()}
        return days | ({"client": self.client} if self.client else {})


@blueprint.get("/report")
def page() -> Response:
    asked = _asked()
    report, trouble = None, ""
    try:
        report = _report(asked)
    except Refusal as refusal:
        trouble = refusal.text
    shown: dict[str, Any] = {"charts": {chart: told(report, chart) for chart in CHARTS}} if report else {}
    html = render_template(
        "report/page.html", asked=asked, report=report, trouble=trouble, percent=percent, ruleset=_ruleset(),
        knowledge=_ruleset().knowledge, asset=asset, elsewhere=links(), kinds=KINDS, **shown,
    )  # fmt: skip
    response = make_response(html)
    response.status_code = 503 if trouble and _store() is not None else 200
    return response


@blueprint.get("/report/<any(rules, time):chart>.svg")
def drawing(chart: Chart) -> Response:
    return Response(draw(_report(_asked()), chart), content_type="image/svg+xml")


@blueprint.get("/report/<any(rules, topics, time):kind>.csv")
def download(kind: Kind) -> Response:
    report = _report(_asked())
    name = f"legcramp-{kind}-{report.since}-{report.until}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(as_csv(report, kind), content_type="text/csv; charset=utf-8", headers=headers)


def _asked() -> Asked:
    today = cast(Wiring, current_app.extensions["wiring"]).now().astimezone(UTC).date()
    default = Asked(today - timedelta(days=DEFAULT_DAYS - 1), today)
    client = request.args.get("client", "").strip()[:_LONGEST]
    try:
        until = _day("until", default.until)
        since = _day("since", min(default.since, until - timedelta(days=DEFAULT_DAYS - 1)))
    except (ValueError, OverflowError):
        return msgspec.structs.replace(default, client=client, mistake="A day is written as 2026-03-31.")
    if until == date.max:
        return msgspec.structs.replace(default, client=client, mistake="That day is too far ahead.")
    if since > until:
        return msgspec.structs.replace(default, client=client, mistake="The first day lies after the last.")
    if (until - since).days > _MOST_DAYS:
        return msgspec.structs.replace(default, client=client, mistake="Ten years at once are the most.")
    return Asked(since, until, client)


def _day(name: str, default: date) -> date:
    text = request.args.get(name, "").strip()
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date() if text else default


def _report(asked: Asked) -> Report:
    """Raises `Refusal` where there is nothing to read or it cannot be read just now."""
    store = _store()
    if store is None:
        raise Refusal(404, "This site remembers nothing (LEGCRAMP_DATABASE), so there is nothing to report.")
    try:
        counts = read_counts(store.database, asked.since, asked.until, asked.client)
    except (SQLAlchemyError, OSError):
        raise Refusal(503, "The database does not answer just now. Try again later.", {"Retry-After": "30"}) from None
    return make_report(counts, _ruleset().knowledge, asked.since, asked.until, asked.client)


def _store() -> Store | None:
    return cast(Wiring, current_app.extensions["wiring"]).store


def _ruleset() -> Ruleset:
    return cast(Ruleset, cast(Wiring, current_app.extensions["wiring"]).ruleset)
