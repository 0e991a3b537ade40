"""The rule catalogue as pages: every rule as a clinician reads it, its gates, value sets and scenarios.

They hold no patient data, and cards link to them, so they are always on, and open unless the site guards them.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from flask import Blueprint, Response, current_app, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from cds_service.catalogue import TOPICS, Catalogue, GateView, RuleView
from cds_service.catalogue.hazards import guarded_by
from cds_service.engine.model import INDICATORS, Rule
from cds_service.engine.source import RuleError
from cds_service.ruleset import Ruleset
from cds_service.scenarios import Runner, Scenario
from cds_service.telemetry.log import where_raised
from cds_service.web.config import WebConfig
from cds_service.web.pages.assets import asset
from cds_service.web.pages.elsewhere import links
from cds_service.web.wiring import Wiring

_CODES_A_PAGE = 200
_LONGEST_QUERY = 100

blueprint = Blueprint("rules", __name__)


class Tried(msgspec.Struct, frozen=True):
    """How one of a rule's own scenarios went just now."""

    state: str
    differences: tuple[str, ...] = ()


@blueprint.get("/rules")
def index() -> ResponseReturnValue:
    """All rules, or those that a search leaves."""
    asked = {name: _asked(name) for name in ("q", "topic", "indicator", "hook", "status")}
    catalogue = _catalogue()
    found = catalogue.search(asked["q"], asked["topic"], asked["indicator"], asked["hook"], asked["status"])
    return _page(
        "rules/index.html",
        asked=asked,
        narrowed=any(asked.values()),
        groups=[(topic, title, [rule for rule in found if rule.topic == topic]) for topic, title in TOPICS.items()],
        found=found,
        choices={
            "topic": [(topic, title) for topic, title in TOPICS.items()],
            "indicator": [(one, one.capitalize()) for one in reversed(INDICATORS)],
            "hook": [(hook, hook) for hook in dict.fromkeys(hook for rule in catalogue.rules for hook in rule.hooks)],
            "status": [(one, one.capitalize()) for one in dict.fromkeys(rule.status for rule in catalogue.rules)],
        },
    )


@blueprint.get("/rules/<rule_id>")
def rule(rule_id: str) -> ResponseReturnValue:
    """One rule; its number leads to it too."""
    view = _catalogue().rule(rule_id)
    if view is None:
        return _missing("rule", rule_id)
    if view.id != rule_id:
        return redirect(url_for("rules.rule", rule_id=view.id))
    others = _catalogue().rules
    at = others.index(view)
    return _page(
        "rules/rule.html",
        rule=view,
        tried=_tried(view),
        hazards=guarded_by(view, _ruleset().folder),
        before=others[at - 1] if at else None,
        after=others[at + 1] if at + 1 < len(others) else None,
    )


@blueprint.get("/rules/gates/<gate_id>")
def gate(gate_id: str) -> ResponseReturnValue:
    view: GateView | None = _catalogue().gate(gate_id)
    return _missing("gate", gate_id) if view is None else _page("rules/gate.html", gate=view)


@blueprint.get("/rules/value-sets/<set_id>")
def value_set(set_id: str) -> ResponseReturnValue:
    """One value set, its codes page by page, or those that a search leaves."""
    query = _asked("q")
    view = _catalogue().value_set(set_id, query)
    if view is None:
        return _missing("value set", set_id)
    pages = max(1, -(-len(view.codes) // _CODES_A_PAGE))
    number = min(max(request.args.get("page", 1, type=int), 1), pages)
    shown = view.codes[(number - 1) * _CODES_A_PAGE : number * _CODES_A_PAGE]
    return _page("rules/value_set.html", set=view, q=query, shown=shown, number=number, pages=pages)


def _asked(name: str) -> str:
    return request.args.get(name, "").strip()[:_LONGEST_QUERY]


def _missing(kind: str, name: str) -> ResponseReturnValue:
    """A page with a search for people, the usual OperationOutcome for programs."""
    accepted = request.accept_mimetypes
    if accepted["text/html"] <= accepted["application/json"]:
        raise NotFound
    near = _catalogue().search(name.replace("-", " ")[:_LONGEST_QUERY])
    response = _page("rules/missing.html", kind=kind, near=near[:8])
    response.status_code = 404
    response.headers.add("Vary", "Accept")
    return response


def _page(template: str, **shown: Any) -> Response:
    config = cast(WebConfig, current_app.extensions["config"])
    html = render_template(
        template,
        catalogue=_catalogue(),
        knowledge=_ruleset().knowledge,
        ruleset=_ruleset(),
        printed_on=_wiring().now().astimezone(config.settings.zone).date(),
        elsewhere=links(),
        asset=asset,
        **shown,
    )
    return make_response(html)


# -- kept for the life of the process: a ruleset never changes


def _catalogue() -> Catalogue:
    known = current_app.extensions.get("catalogue")
    if known is None:
        known = current_app.extensions["catalogue"] = Catalogue(_ruleset())
    return cast(Catalogue, known)


def _tried(view: RuleView) -> dict[str, Tried]:
    """Each scenario of the rule by its name, run when the rule is first looked at."""
    known: dict[str, dict[str, Tried]] = current_app.extensions.setdefault("tried", {})
    if view.id not in known:
        rule = next(one for one in _ruleset().knowledge.rules if one.id == view.id)
        known[view.id] = _try(rule) if view.status == "active" else {}
    return known[view.id]


def _try(rule: Rule) -> dict[str, Tried]:
    runner = current_app.extensions.get("runner")
    if runner is None:
        runner = current_app.extensions["runner"] = Runner(_ruleset())
    try:
        scenarios = runner.of_rule(rule)
    except RuleError as error:  # the file was changed after the start
        return {one["name"]: Tried("cannot be run", (str(error),)) for one in rule.data.get("scenarios", ())}
    return {scenario.name: _run(runner, scenario) for scenario in scenarios}


def _run(runner: Runner, scenario: Scenario) -> Tried:
    """The rest of the page is of use whatever happens here, and the failure is said in its place."""
    try:
        outcome = runner.run(scenario)
    except Exception as error:
        return Tried("cannot be run", (where_raised(error),))
    if outcome.waiting_for:
        return Tried("waits", outcome.waiting_for)
    differences = tuple(f"{one.what}: expected {one.expected}, got {one.got}" for one in outcome.mismatches)
    return Tried("differs" if differences else "passes", differences)


def _wiring() -> Wiring:
    return cast(Wiring, current_app.extensions["wiring"])


def _ruleset() -> Ruleset:
    return cast(Ruleset, _wiring().ruleset)
