"""One deadline for a whole invocation: what is not done by then is a 503, never an all-clear."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from cds_service.assess import assess
from cds_service.cards.response import encode_response
from cds_service.fhir.complete import NOTHING_TO_ADD
from cds_service.fhir.deadline import Deadline, DeadlinePassed
from cds_service.web import invocation
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring
from tests.scenarios.shared import runner
from tests.web.cds_hooks import check_outcome
from tests.web.fakes import Assessor, body, hook_request, make_app

CALL = "/cds-services/leg-cramp-patient-view"


def ask(app: Any, **members: Any) -> Any:
    return app.test_client().post(CALL, data=body(hook_request(**members)), content_type="application/json")


def with_rules(assess: Any, **config: Any) -> Any:
    return create_app(
        WebConfig(**config), Wiring(ruleset=runner().ruleset, assess=assess, encode_response=encode_response)
    )


def check_late(answer: Any) -> None:
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    check_outcome(answer.data)
    assert b"no all-clear" in answer.data


def test_what_waited_too_long_for_a_thread_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    assessor = Assessor()
    app = make_app(assess=assessor, request_deadline_ms=1000)
    monkeypatch.setattr(invocation, "waited_seconds", lambda: 1.1)
    check_late(ask(app))
    assert not assessor.seen


def test_rules_are_not_asked_past_the_deadline() -> None:
    def slow(*given: Any) -> Any:
        time.sleep(0.06)
        return assess(*given)

    app = with_rules(slow, request_deadline_ms=50)
    check_late(ask(app))


def test_the_deadline_is_looked_at_between_the_rules() -> None:
    ruleset, asked = runner().ruleset, []

    def assess_until_half(gathered: Any, rules: Any, settings: Any, now: Any, history: Any, _: Any) -> Any:
        def stop_at_ten() -> None:
            asked.append(1)
            if len(asked) == 10:
                raise DeadlinePassed

        return assess(gathered, rules, settings, now, history, stop_at_ten)

    check_late(ask(with_rules(assess_until_half)))
    assert len(asked) == 10 < len(ruleset.knowledge.active_rules)


def test_fetching_has_the_same_deadline() -> None:
    given: list[Deadline] = []

    def fetch(_request: Any, _client: Any, deadline: Deadline) -> Any:
        given.append(deadline)
        return NOTHING_TO_ADD

    app = make_app(request_deadline_ms=60_000)
    app.extensions["wiring"] = msgspec.structs.replace(app.extensions["wiring"], fetch=fetch)
    assert ask(app, fhirServer="https://ehr.example.org/r4").status_code == 200
    assert 0 < given[0].left() <= 60
