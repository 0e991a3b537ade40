"""The preview page: choose an example or paste a record, see the cards as an EHR would draw them, and why.

Shown in development, or where the site switches it on. What is pasted is answered and forgotten: it is not stored, not
logged, and never part of an address.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import Any, cast

import msgspec
from flask import Blueprint, Response, current_app, g, make_response, render_template, request
from werkzeug.exceptions import NotFound

from cds_service.assess import Assessment
from cds_service.fhir.context import HOOKS
from cds_service.ruleset import Ruleset
from cds_service.settings import Settings
from cds_service.web.body import read_json
from cds_service.web.config import WebConfig
from cds_service.web.errors import JSON, Refusal
from cds_service.web.pages.answer import Telling, pretty
from cds_service.web.pages.assets import asset
from cds_service.web.pages.elsewhere import links
from cds_service.web.pages.examples import Example, Examples
from cds_service.web.pages.road import Travelled, travel
from cds_service.web.pages.sent import Sent, read_form
from cds_service.web.wiring import Wiring

_LARGEST_ECHO = 1_000_000
"""Pasted text longer than this is not sent back into its box."""

blueprint = Blueprint("preview", __name__)


class Answered(msgspec.Struct, frozen=True):
    """One body, assessed."""

    travelled: Travelled
    telling: Telling
    assessment: Assessment
    milliseconds: float


@blueprint.before_request
def only_where_switched_on() -> None:
    config: WebConfig = current_app.extensions["config"]
    if not getattr(config, "preview", config.development):
        raise NotFound


@blueprint.get("/")
def page() -> Response:
    """The page, with the answer for the example named in the address, if one is."""
    example_id, hook = request.args.get("example", ""), request.args.get("hook", "")
    if not example_id:
        return _page(hook=hook)
    return _answer_page(lambda: _of_example(example_id, hook), example=_examples().by_id.get(example_id), hook=hook)


@blueprint.post("/")
def pasted_page() -> Response:
    """The page with the answer for what was pasted, or a file's content."""
    try:
        sent = read_form(request)
    except Exception as error:
        return _page(problem=_problem(error), is_own=True)
    text = sent.body.decode("utf-8", "replace") if len(sent.body) <= _LARGEST_ECHO and not sent.file_name else ""
    return _answer_page(lambda: (_assess(sent, _settings()), None), hook=sent.hook, text=text, is_own=True)


@blueprint.get("/preview.json")
def example_json() -> Response:
    answered, example = _of_example(request.args.get("example", ""), request.args.get("hook", ""))
    assert example is not None  # else a Refusal was raised
    return _json(answered, example.id)


@blueprint.post("/preview.json")
def pasted_json() -> Response:
    sent = Sent(read_json(request), request.args.get("hook", ""))
    return _json(_assess(sent, _settings()), "request body")


# -- from what was sent to an answer


def _of_example(example_id: str, hook: str) -> tuple[Answered, Example | None]:
    examples = _examples()
    example = examples.by_id.get(example_id)
    if example is None:
        raise Refusal(404, "example: there is none of this name; choose one from the list.")
    if hook and hook not in HOOKS:
        raise Refusal(400, f"hook: must be one of {', '.join(HOOKS)}.")
    settings = examples.settings(example, _settings())
    today = _wiring().now().astimezone(settings.zone).date()
    asked_hook = hook or ("" if example.scenario else example.hook)
    return _assess(Sent(examples.body(example, hook, today), asked_hook), settings), example


def _assess(sent: Sent, settings: Settings) -> Answered:
    config, wiring = _config(), _wiring()
    began = time.perf_counter()
    travelled = travel(sent.body, sent.hook, config.max_resources)
    assessment = cast(Assessment, wiring.assess(travelled.gathered, wiring.ruleset, settings, wiring.now()))
    took = (time.perf_counter() - began) * 1000
    g.counts = {
        "resources": len(travelled.gathered.resources),
        "cards": len(assessment.cards),
        "data_gaps": len(assessment.data_gaps),
    }
    telling = Telling(assessment, cast(Ruleset, wiring.ruleset), settings, travelled.hook)
    return Answered(travelled, telling, assessment, took)


# -- from an answer to bytes


def _json(answered: Answered, name: str) -> Response:
    return Response(msgspec.json.encode(answered.telling.plain(name, _wiring().now())), content_type=JSON)


def _answer_page(make: Callable[[], tuple[Answered, Example | None]], **shown: Any) -> Response:
    """A failure is shown with the words and the status that the API answers with."""
    try:
        answered, _ = make()
    except Exception as error:
        return _page(problem=_problem(error), **shown)
    wiring = _wiring()
    response = wiring.encode_response(answered.assessment.cards, wiring.new_id)
    told = answered.telling.for_page(response, wiring.now(), answered.travelled.gathered)
    asked, asked_cut = pretty(answered.travelled.request)
    answer, answer_cut = pretty(response)
    told |= {
        "milliseconds": answered.milliseconds,
        "is_request": answered.travelled.is_request,
        "request": asked,
        "request_cut": asked_cut,
        "response": answer,
        "response_cut": answer_cut,
        "endpoint": shlex.quote(f"{request.url_root.rstrip('/')}/cds-services/leg-cramp-{told['hook']}"),
    }
    return _page(answer=told, **shown)


def _page(problem: tuple[int, str] | None = None, **shown: Any) -> Response:
    values: dict[str, Any] = {"answer": None, "example": None, "hook": "", "text": "", "is_own": False} | shown
    html = render_template(
        "preview/page.html",
        problem=problem,
        examples=_examples(),
        hooks=tuple(HOOKS),
        asset=asset,
        elsewhere=links(),
        wiring=_wiring(),
        **values,
    )
    return make_response(html, problem[0] if problem else 200)


def _problem(error: Exception) -> tuple[int, str]:
    """Status and words with which the API answers the same failure."""
    response = current_app.make_response(current_app.handle_user_exception(error))
    outcome: Any = msgspec.json.decode(response.get_data())
    return response.status_code, outcome["issue"][0]["diagnostics"]


def _examples() -> Examples:
    known = current_app.extensions.get("examples")
    if known is None:
        known = current_app.extensions["examples"] = Examples(cast(Ruleset, _wiring().ruleset))
    return cast(Examples, known)


def _config() -> WebConfig:
    return cast(WebConfig, current_app.extensions["config"])


def _wiring() -> Wiring:
    return cast(Wiring, current_app.extensions["wiring"])


def _settings() -> Settings:
    return _config().settings
