"""Reading a series of results: surely for warnings, cautiously for gates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cds_service.engine import results as series
from cds_service.engine.quantity import COMPARISONS
from cds_service.engine.verdicts import NO, UNKNOWN, YES
from cds_service.facts.model import Measurement

NOW = datetime(2026, 6, 15, 23, 59, 59, tzinfo=UTC)


def potassium(shown: str | None, days_ago: float = 5, **changes: Any) -> Measurement:
    """A potassium result; `<2.5` and `>3.0` are open intervals, None is one that cannot be read."""
    low = high = None
    low_open = high_open = False
    if shown is not None and shown[0] == "<":
        low, high, high_open = Decimal(0), Decimal(shown[1:]), True
    elif shown is not None and shown[0] == ">":
        low, low_open = Decimal(shown[1:]), True
    elif shown is not None:
        low = high = Decimal(shown)
    at = NOW - timedelta(days=days_ago)
    fields: dict[str, Any] = {
        "reference": f"Observation/{shown}-{days_ago}", "analyte": "potassium", "sets": frozenset(), "at": at,
        "at_earliest": at, "family": "mmol/L", "low": low, "high": high, "low_open": low_open, "high_open": high_open,
        "problem": "no-unit" if shown is None else None,
    }  # fmt: skip
    return Measurement(**(fields | changes))


LOWEST = series.worst_first(highest=False, to_si={"mmol/L": Decimal(1), "mg/dL": Decimal("0.2558")})


def below(limit: str) -> series.Question:
    return lambda result: COMPARISONS["below"](result, Decimal(limit))


@pytest.mark.parametrize(
    ("value", "limit", "verdict"),
    [
        ("3.49", "3.5", YES),
        ("3.5", "3.5", NO),
        ("3.51", "3.5", NO),
        ("<2.5", "2.5", YES),
        ("<2.5", "2.6", YES),
        ("<3.5", "2.5", UNKNOWN),
        (">3.0", "3.5", UNKNOWN),
        (">3.5", "3.5", NO),
    ],
)
def test_a_comparison_is_yes_only_when_every_possible_value_passes(value: str, limit: str, verdict: int) -> None:
    assert below(limit)(potassium(value)) == verdict


@pytest.mark.parametrize(
    ("word", "value", "verdict"),
    [
        ("at_least", "3.5", YES), ("at_least", "3.49", NO), ("above", "3.5", NO), ("above", "3.51", YES),
        ("at_most", "3.5", YES), ("at_most", "3.51", NO), ("above", ">3.5", YES), ("at_least", ">3.0", UNKNOWN),
    ],
)  # fmt: skip
def test_the_other_comparisons_agree_at_their_limit(word: str, value: str, verdict: int) -> None:
    assert COMPARISONS[word](potassium(value), Decimal("3.5")) == verdict


def surely(*results: Measurement, limit: str = "3.5", days: int | None = 90, preliminary: bool = False) -> int:
    since = None if days is None else NOW - timedelta(days=days)
    return series.read_surely(results, below(limit), since, preliminary, LOWEST)[0]


def test_the_newest_usable_result_decides() -> None:
    assert surely(potassium("4.2", 1), potassium("3.2", 5)) == NO
    assert surely(potassium("3.2", 1), potassium("4.2", 5)) == YES


def test_an_open_ended_result_that_cannot_answer_leaves_the_older_one_in_force() -> None:
    assert surely(potassium(">3.0", 1), potassium("2.8", 5)) == YES


def test_an_unreadable_result_is_passed_over_for_a_warning() -> None:
    assert surely(potassium(None, 1), potassium("3.2", 5)) == YES


def test_no_result_is_a_no() -> None:
    assert surely() == NO


def test_a_window_includes_its_last_instant() -> None:
    assert surely(potassium("3.2", 90)) == YES
    assert surely(potassium("3.2", 90.0001)) == NO


def test_a_preliminary_result_counts_only_where_a_rule_says_so_and_never_hides_the_final_one() -> None:
    assert surely(potassium("2.2", 1, preliminary=True), potassium("4.2", 5)) == NO
    assert surely(potassium("2.2", 1, preliminary=True), potassium("4.2", 5), preliminary=True) == YES
    assert surely(potassium("4.2", 1, preliminary=True), potassium("3.2", 5), preliminary=True) == YES


def test_a_partial_date_that_may_lie_outside_the_window_is_unknown() -> None:
    half_in = potassium("3.2", 80, at_earliest=NOW - timedelta(days=100))
    assert surely(half_in) == UNKNOWN


@pytest.mark.parametrize("order", [1, -1])
def test_among_results_of_one_instant_the_worst_is_in_force(order: int) -> None:
    same = [potassium("3.2", 5, reference="Observation/a"), potassium("2.4", 5, reference="Observation/b")][::order]
    verdict, result = series.read_surely(same, below("3.5"), None, False, LOWEST)
    assert (verdict, result and result.low) == (YES, Decimal("2.4"))
    split = [potassium("3.6", 5, reference="Observation/a"), potassium("3.4", 5, reference="Observation/b")][::order]
    assert series.read_surely(split, below("3.5"), None, False, LOWEST)[0] == YES


def test_the_worst_is_told_across_units() -> None:
    pair = [potassium("3.2", 5, reference="Observation/a"), potassium("9.0", 5, family="mg/dL")]
    chosen = series.read_surely(pair, lambda _: YES, None, False, LOWEST)[1]
    assert chosen is pair[1], "9.0 mg/dL is 2.3 mmol/L"


def cautiously(*results: Measurement, limit: str = "3.5", days: int | None = None) -> int:
    since = None if days is None else NOW - timedelta(days=days)
    return series.read_cautiously(results, below(limit), since)[0]


def test_a_gate_goes_by_the_newest_result_when_nothing_casts_doubt_on_it() -> None:
    assert cautiously(potassium("3.2", 1), potassium("4.2", 5)) == YES
    assert cautiously(potassium("4.2", 1), potassium("3.2", 5)) == NO


@pytest.mark.parametrize(
    "newer",
    [
        potassium(None, 1),
        potassium(None, 1, at=None, at_earliest=None),
        potassium(">3.0", 1),
        potassium("4.2", 1, preliminary=True),
        potassium("4.2", 5, reference="Observation/same-instant"),
    ],
    ids=["unreadable", "undated", "open-ended", "preliminary", "contradicting"],
)
def test_a_newer_doubt_makes_a_gate_unknown(newer: Measurement) -> None:
    assert cautiously(newer, potassium("3.2", 5)) == UNKNOWN


def test_an_unreadable_result_of_the_same_instant_or_older_casts_no_doubt_on_a_comparison() -> None:
    assert cautiously(potassium("3.2", 5), potassium(None, 5), potassium(None, 9)) == YES


def test_open_ended_results_can_answer_a_gate_by_themselves() -> None:
    assert cautiously(potassium(">3.5", 1)) == NO
    assert cautiously(potassium("<3.0", 1)) == YES


def test_the_newest_word_on_potassium_is_doubtful_when_it_cannot_be_relied_on() -> None:
    fine = potassium("3.2", 5)
    assert series.is_doubtful([fine], conflicting=False)[0] == NO
    assert series.is_doubtful([], conflicting=False)[0] == NO
    assert series.is_doubtful([fine], conflicting=True)[0] == YES
    for doubt in (
        [potassium(None, 1), fine],
        [fine, potassium(None, 5)],
        [potassium("3.3", 1, preliminary=True), fine],
        [potassium("3.2", 5, hemolyzed=True)],
        [potassium("<3.5", 5)],
    ):
        assert series.is_doubtful(doubt, conflicting=False)[0] == YES
    assert series.is_doubtful([fine, potassium(None, 6)], conflicting=False)[0] == NO


def conflicting(*results: Measurement) -> int:
    return series.conflict(results, timedelta(days=14), timedelta(hours=24), {"mmol/L": Decimal("1.0")}, NOW)[0]


def test_two_results_conflict_when_close_in_time_and_far_apart_in_value() -> None:
    assert conflicting(potassium("4.4", 3), potassium("2.9", 3.25)) == YES
    assert conflicting(potassium("3.9", 3), potassium("2.9", 3.25)) == YES
    assert conflicting(potassium("3.89", 3), potassium("2.9", 3.25)) == NO
    assert conflicting(potassium("4.4", 3), potassium("2.9", 4)) == YES
    assert conflicting(potassium("4.4", 3), potassium("2.9", 4.001)) == NO
    assert conflicting(potassium("4.4", 13.5), potassium("2.9", 14)) == YES
    assert conflicting(potassium("4.4", 13.5), potassium("2.9", 14.001)) == NO
    assert conflicting(potassium("4.4", 3)) == NO


def test_open_ended_results_conflict_when_all_they_may_be_is_far_apart() -> None:
    assert conflicting(potassium(">5.5", 3), potassium("3.2", 3.1)) == YES
    assert conflicting(potassium("<2.4", 3), potassium("3.4", 3.1)) == YES
    assert conflicting(potassium("<2.5", 3), potassium("3.4", 3.1)) == NO
    assert conflicting(potassium(">3.0", 3), potassium("2.8", 3.1)) == NO


def extreme(*results: Measurement) -> int:
    def looks_extreme(number: Decimal) -> bool:
        return number < Decimal("2.5") or number >= 6

    return series.unreadable_extreme(results, looks_extreme, NOW - timedelta(days=90), NOW)[0]


def test_an_unreadable_extreme_number_newer_than_the_newest_usable_result_is_told() -> None:
    assert extreme(potassium(None, 1, value=Decimal("2.1")), potassium("3.3", 6)) == YES
    assert extreme(potassium(None, 1, value=Decimal("45"))) == YES
    assert extreme(potassium(None, 1, value=Decimal("2.5"))) == NO
    assert extreme(potassium(None, 1, value=Decimal("6.0"))) == YES
    assert extreme(potassium(None, 1, value=None)) == NO, "a string is never read"
    assert extreme(potassium("3.3", 1), potassium(None, 6, value=Decimal("2.1"))) == NO
    assert extreme(potassium(None, 90, value=Decimal("2.1"))) == YES
    assert extreme(potassium(None, 90.01, value=Decimal("2.1"))) == NO
    assert extreme(potassium(None, -3, value=Decimal("2.1"))) == NO, "dated beyond tomorrow"


def creatinine_rise(*results: Measurement, cautious: bool = False) -> int:
    def rose(newest: Measurement, earlier: Measurement) -> bool:
        return bool(newest.low and earlier.high and newest.low >= Decimal("1.5") * earlier.high)

    return series.rise(results, timedelta(days=7), timedelta(days=365), rose, NOW, cautious)[0]


def test_kidney_injury_is_a_rise_over_the_lowest_of_the_year_before() -> None:
    assert creatinine_rise(potassium("1.2", 1), potassium("0.8", 6)) == YES
    assert creatinine_rise(potassium("1.19", 1), potassium("0.8", 6)) == NO
    assert creatinine_rise(potassium("1.3", 7), potassium("0.8", 12)) == YES
    assert creatinine_rise(potassium("1.3", 7.01), potassium("0.8", 12)) == NO
    assert creatinine_rise(potassium("1.3", 1), potassium("0.8", 366)) == YES
    assert creatinine_rise(potassium("1.3", 1), potassium("0.8", 366.01)) == NO
    assert creatinine_rise(potassium("1.3", 1)) == NO
    assert creatinine_rise(potassium("0.9", 1), potassium("1.4", 3), potassium("0.8", 12)) == NO, "it has come down"


def test_a_gate_counts_a_preliminary_or_unreadable_newest_creatinine() -> None:
    preliminary = potassium("1.3", 1, preliminary=True)
    assert creatinine_rise(preliminary, potassium("0.8", 6)) == NO
    assert creatinine_rise(preliminary, potassium("0.8", 6), cautious=True) == YES
    assert creatinine_rise(potassium(None, 1), potassium("0.8", 6), cautious=True) == UNKNOWN
    assert creatinine_rise(potassium(None, 30), potassium("0.8", 36), cautious=True) == NO


def test_a_finding_that_must_persist_needs_two_results_far_enough_apart() -> None:
    def lasting(*results: Measurement) -> int:
        return series.persists(results, below("60"), timedelta(days=90))[0]

    assert lasting(potassium("50", 5), potassium("55", 95)) == YES
    assert lasting(potassium("50", 5), potassium("55", 94)) == NO
    assert lasting(potassium("60", 5), potassium("55", 95)) == NO
    assert lasting(potassium("50", 5), potassium("60", 95)) == NO
