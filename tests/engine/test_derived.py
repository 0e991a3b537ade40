"""Series completed by a published equation: eGFR from creatinine, corrected calcium from calcium and albumin."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from cds_service.engine.context import Context
from cds_service.engine.derived import DerivedMeasurement, complete
from cds_service.facts.model import Facts, Measurement, Patient
from cds_service.settings import Settings

NOW = datetime(2026, 6, 15, tzinfo=UTC)
EGFR = DerivedMeasurement(measurement="egfr", equation="ckd-epi-2021", sources=("creatinine",))
CALCIUM = DerivedMeasurement("calcium-corrected", "albumin-corrected-calcium", ("calcium-total", "albumin"))


def result(analyte: str, value: str, family: str, days_ago: float, **changes: Any) -> Measurement:
    at = NOW - timedelta(days=days_ago)
    number = Decimal(value)
    return Measurement(
        reference=f"Observation/{analyte}-{days_ago}", analyte=analyte, sets=frozenset(), at=at, at_earliest=at,
        family=family, unit=family, low=number, high=number, value=number, **changes,
    )  # fmt: skip


def egfr(days_ago: float, value: str) -> Measurement:
    return result("egfr", value, "mL/min/{1.73_m2}", days_ago)


def creatinine(days_ago: float, value: str, **changes: Any) -> Measurement:
    return result("creatinine", value, "mg/dL", days_ago, **changes)


def completed(derived: DerivedMeasurement, *results: Measurement, sex: Any = "female") -> list[str]:
    """The series of the derived measurement, newest first, each value without its decimals."""
    series: dict[str, tuple[Measurement, ...]] = {}
    for one in sorted(results, key=lambda r: r.at or NOW, reverse=True):
        series[one.analyte] = (*series.get(one.analyte, ()), one)
    patient = Patient(id="1", sex=sex, born_earliest=date(1960, 6, 1), born_latest=date(1960, 6, 1))
    context = Context(Facts(now=NOW, hook="patient-view", patient=patient, results=series), Settings())
    complete(context, derived)
    return ["?" if one.low is None else str(int(one.low)) for one in context.results.get(derived.measurement, ())]


def test_egfr_is_computed_where_none_is_reported() -> None:
    assert completed(EGFR, creatinine(5, "1.0")) == ["62"]


def test_unknown_sex_takes_the_lower_of_both() -> None:
    assert completed(EGFR, creatinine(5, "1.0"), sex="male") == ["83"]
    assert completed(EGFR, creatinine(5, "1.0"), sex=None) == ["62"]


def test_a_reported_value_speaks_for_a_creatinine_within_a_day() -> None:
    assert completed(EGFR, egfr(5, "70"), creatinine(5, "1.6")) == ["70"]
    assert completed(EGFR, egfr(5, "70"), creatinine(5.9, "1.6")) == ["70"]


def test_a_creatinine_newer_by_more_than_a_day_is_computed() -> None:
    assert completed(EGFR, egfr(5, "30"), creatinine(3.9, "0.7")) == ["95", "30"]


def test_a_newer_creatinine_of_the_same_day_counts_only_where_it_is_worse() -> None:
    assert completed(EGFR, egfr(5, "80"), creatinine(4.5, "2.4")) == ["21", "80"]
    assert completed(EGFR, egfr(5, "28"), creatinine(4.5, "0.7")) == ["28"]


def test_an_unreadable_creatinine_stays_as_unreadable() -> None:
    assert completed(EGFR, egfr(9, "80"), creatinine(5, "1.0", problem="no-unit")) == ["?", "80"]


def test_an_open_ended_creatinine_gives_an_open_ended_rate() -> None:
    low = result("creatinine", "0.4", "mg/dL", 5)
    assert completed(EGFR, low) == ["109"]
    below = msgspec.structs.replace(low, low=Decimal(0), high=Decimal("0.4"), high_open=True, comparator="<")
    context_series = completed(EGFR, below)
    assert context_series == ["109"], "the rate lies above 109, however small the creatinine"


def test_calcium_is_corrected_once_and_only_with_a_near_albumin() -> None:
    total = result("calcium-total", "7.9", "mg/dL", 5)
    albumin = result("albumin", "2.4", "g/dL", 5)
    assert completed(CALCIUM, total, albumin) == ["9"]
    assert completed(CALCIUM, total, result("albumin", "2.4", "g/dL", 13)) == []
    assert completed(CALCIUM, total, albumin, result("calcium-corrected", "8.1", "mg/dL", 5)) == ["8"]
