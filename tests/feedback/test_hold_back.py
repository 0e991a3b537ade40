"""An overridden card stays back for its period, comes back when the facts got worse, and is named while it is away."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from cds_service.assess import Assessment, assess
from cds_service.cards.hold_back import CardBasis, History, Override, Part
from cds_service.cli.inputs import gathered_from
from cds_service.facts.gathered import Gathered
from cds_service.settings import Settings
from tests.engine.conftest import Change
from tests.scenarios.shared import FIXTURES, rule_scenarios, runner

NOW = datetime(2026, 3, 10, 23, 59, tzinfo=UTC)
LOW = "thiazide-low-potassium"
SEVERAL = "cramps-several-factors"
LASTING = runner().ruleset.knowledge.lasting_reasons


@functools.cache
def patient(name: str) -> Gathered:
    return gathered_from([FIXTURES / "patients" / f"{name}.json"], None)


def seen(name: str, history: History | None = None, now: datetime = NOW, **settings: Any) -> Assessment:
    return assess(patient(name), runner().ruleset, Settings(**settings), now, history)


def basis(name: str, rule: str) -> CardBasis:
    return next(one for one in seen(name).bases if one.rule == rule)


def overridden(was: CardBasis, reason: str = "OR-managed", at: datetime = NOW - timedelta(days=1)) -> History:
    return History((Override(was.rule, reason, at, was.parts),))


def changed(was: CardBasis, rule: str, **members: Any) -> CardBasis:
    """The basis with one part of it as it might have been then."""
    part = msgspec.structs.replace(was.parts[rule], **members)
    return msgspec.structs.replace(was, parts=was.parts | {rule: part})


def rules(assessment: Assessment) -> list[str]:
    return [one.rule for one in assessment.bases]


def test_without_a_history_every_card_is_shown() -> None:
    assert rules(seen(LOW)) == ["lab-hypokalemia"]
    assert seen(LOW, History()).cards == seen(LOW).cards


def test_an_overridden_card_stays_back_and_is_named() -> None:
    answer = seen(LOW, overridden(basis(LOW, "lab-hypokalemia")))
    assert "lab-hypokalemia" not in rules(answer)
    (held,) = answer.held_back
    assert (held.rule, held.indicator, held.reason) == ("lab-hypokalemia", "warning", "OR-managed")
    assert held.until == NOW - timedelta(days=1) + LASTING["OR-managed"]
    finding = next(one for one in answer.findings if one.rule.id == "lab-hypokalemia")
    assert finding.fired, "the finding itself does not vanish"


def test_the_last_instant_of_the_period_still_holds_and_the_next_does_not() -> None:
    was = basis(LOW, "lab-hypokalemia")
    period = LASTING["OR-managed"]
    assert seen(LOW, overridden(was, at=NOW - period + timedelta(microseconds=1))).held_back
    assert seen(LOW, overridden(was, at=NOW - period)).held_back == ()


@pytest.mark.parametrize("reason", ["OR-monitor", "OR-spurious", "OR-baddata", "patient-refuses", ""])
def test_a_reason_that_does_not_last_holds_nothing_back(reason: str) -> None:
    assert rules(seen(LOW, overridden(basis(LOW, "lab-hypokalemia"), reason))) == ["lab-hypokalemia"]


def test_a_lasting_reason_that_this_rule_does_not_take_holds_nothing_back() -> None:
    assert "OR-benefit" in LASTING
    assert rules(seen(LOW, overridden(basis(LOW, "lab-hypokalemia"), "OR-benefit"))) == ["lab-hypokalemia"]


@pytest.mark.parametrize(
    "then",
    [{"indicator": "info"}, {"band": "mild"}, {"points": 1}],
    ids=["higher indicator", "new band", "more points"],
)
def test_it_comes_back_when_the_facts_got_worse(then: dict[str, Any]) -> None:
    was = changed(basis(LOW, "lab-hypokalemia"), "lab-hypokalemia", **then)
    assert rules(seen(LOW, overridden(was))) == ["lab-hypokalemia"]


def test_facts_that_got_better_do_not_bring_it_back() -> None:
    was = changed(basis(LOW, "lab-hypokalemia"), "lab-hypokalemia", points=4, indicator="critical")
    assert seen(LOW, overridden(was)).held_back


def test_another_rules_override_holds_nothing_back() -> None:
    was = msgspec.structs.replace(basis(LOW, "lab-hypokalemia"), rule="lab-hypomagnesemia")
    assert rules(seen(LOW, overridden(was))) == ["lab-hypokalemia"]


def test_a_critical_card_is_never_held_back() -> None:
    case = next(
        case
        for scenario in runner().of_rules()
        if scenario.title.startswith("R01") or "lab-hypokalemia" in scenario.file
        for case in [runner().case(scenario)]
        if any(one.indicator == "critical" for one in runner().assess(case).bases)
    )
    shown = runner().assess(case)
    overrides = tuple(
        Override(one.rule, reason, case.calendar.now - timedelta(minutes=1), one.parts)
        for one in shown.bases
        for reason in LASTING
    )
    again = assess(case.gathered(), runner().ruleset, case.settings, case.calendar.now, History(overrides))
    criticals = [one.rule for one in shown.bases if one.indicator == "critical"]
    assert [one.rule for one in again.bases if one.indicator == "critical"] == criticals
    assert not [one for one in again.held_back if one.indicator == "critical"]


def test_nothing_vanishes_unsaid_in_any_scenario_of_any_rule() -> None:
    """Every card overridden for every lasting reason: no critical one is lost, and each that is lost is named."""
    lost = 0
    for scenario in rule_scenarios():
        case = runner().case(scenario)
        shown = runner().assess(case)
        at = case.calendar.now - timedelta(minutes=1)
        overrides = tuple(Override(one.rule, reason, at, one.parts) for one in shown.bases for reason in LASTING)
        if not overrides:
            continue
        again = assess(case.gathered(), runner().ruleset, case.settings, case.calendar.now, History(overrides))
        gone = {one.rule for one in shown.bases} - {one.rule for one in again.bases}
        assert gone <= {one.rule for one in again.held_back}, scenario.title
        assert not gone & {one.rule for one in shown.bases if one.indicator == "critical"}, scenario.title
        fired = [(one.rule.id, one.fired) for one in again.findings if one.rule.kind == "finding"]
        assert fired == [(one.rule.id, one.fired) for one in shown.findings if one.rule.kind == "finding"]
        lost += len(gone)
    assert lost > 100


def test_the_summary_card_stays_back_while_nothing_on_it_is_new() -> None:
    was = basis(SEVERAL, "cramp-documented")
    answer = seen(SEVERAL, overridden(was))
    assert rules(answer) == ["lab-hypomagnesemia"]
    assert [one.rule for one in answer.held_back] == ["cramp-documented"]


@pytest.mark.parametrize("change", ["a new contributor", "a worse one", "more points", "a new drug", "a higher dose"])
def test_the_summary_card_comes_back_when_one_thing_on_it_is_new_or_worse(change: str) -> None:
    was = basis(SEVERAL, "cramp-documented")
    if change == "a new contributor":
        parts = {rule: part for rule, part in was.parts.items() if rule != "diabetes-cramps"}
        was = msgspec.structs.replace(was, parts=parts)
    else:
        rule, then = {
            "a worse one": ("diabetes-cramps", {"points": 1}),
            "more points": ("cramp-documented", {"points": was.parts["cramp-documented"].points - 1}),
            "a new drug": ("diuretic-thiazide", {"drugs": {"chlorothiazide": "250 mg"}}),
            "a higher dose": ("diuretic-thiazide", {"drugs": {"hydrochlorothiazide": "12.5 mg"}}),
        }[change]
        was = changed(was, rule, **then)
    assert "cramp-documented" in rules(seen(SEVERAL, overridden(was)))


@pytest.mark.parametrize(("then", "held"), [("25 mg", True), ("50 mg", True), ("", False), ("25 g", False)])
def test_a_dose_that_is_no_higher_holds_and_one_that_cannot_be_compared_does_not(then: str, held: bool) -> None:
    was = changed(basis(SEVERAL, "cramp-documented"), "diuretic-thiazide", drugs={"hydrochlorothiazide": then})
    assert bool(seen(SEVERAL, overridden(was)).held_back) is held


def test_a_site_can_shorten_the_period_or_switch_it_off() -> None:
    history = overridden(basis(LOW, "lab-hypokalemia"), at=NOW - timedelta(days=10))
    assert seen(LOW, history, hold_back_at_most=timedelta(days=11)).held_back
    assert not seen(LOW, history, hold_back_at_most=timedelta(days=10)).held_back
    assert not seen(LOW, history, hold_back_at_most=timedelta()).held_back
    years = overridden(basis(LOW, "lab-hypokalemia"), at=NOW - timedelta(days=300))
    assert not seen(LOW, years, hold_back_at_most=timedelta(days=9999)).held_back, "a site cannot lengthen it"


def test_a_silent_rule_has_no_card_is_on_no_card_and_is_recorded() -> None:
    answer = seen(SEVERAL, silent_rules=frozenset({"lab-hypomagnesemia", "diabetes-cramps"}))
    assert rules(answer) == ["cramp-documented"]
    assert {one.rule for one in answer.silent} == {"lab-hypomagnesemia", "diabetes-cramps"}
    assert not {"lab-hypomagnesemia", "diabetes-cramps"} & answer.bases[0].parts.keys()
    words = msgspec.json.encode(answer.cards).decode()
    assert "lab-hypomagnesemia" not in words
    assert "diabetes" not in words.lower()


def test_a_silent_summary_rule_has_no_card() -> None:
    answer = seen(SEVERAL, silent_rules=frozenset({"cramp-documented"}))
    assert rules(answer) == ["lab-hypomagnesemia"]
    assert [one.rule for one in answer.silent] == ["cramp-documented"]


def test_every_reason_of_the_rules_is_lasting_or_deliberately_not() -> None:
    knowledge = runner().ruleset.knowledge
    assert knowledge.override_reasons.keys() - LASTING.keys() == {"OR-monitor", "OR-spurious", "OR-baddata"}


@pytest.mark.parametrize(
    ("lasting", "said"),
    [("{OR-gone: 9 days}", "there is no reason 'OR-gone'"), ("{OR-managed: soon}", "is not a duration")],
)
def test_a_mistake_in_the_periods_is_named(load: Change, lasting: str, said: str) -> None:
    text = f"{{system: 'https://example.org/r', reasons: {{OR-managed: managed}}, lasting: {lasting}}}"
    with pytest.raises(Exception, match=said):
        load({"override-reasons.yaml": text})


def test_parts_survive_storing() -> None:
    parts = basis(SEVERAL, "cramp-documented").parts
    assert msgspec.json.decode(msgspec.json.encode(parts), type=dict[str, Part]) == parts
