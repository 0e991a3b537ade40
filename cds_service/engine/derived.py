"""Derived measurements: a series made of several, in an order of preference, with published equations.

A reported value speaks for its sample; the service computes one only where no reported value lies within a day of it,
so that nothing is computed twice and a reported value is never contradicted by our own arithmetic. What could not be
read stays in the series as unreadable, because it closes gates.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from cds_service.engine.context import Context
from cds_service.engine.results import instant, usable
from cds_service.facts.equations import albumin_corrected_calcium, ckd_epi_2021
from cds_service.facts.model import Measurement

Equation = Callable[[Context, str, Sequence[Measurement], Sequence[Measurement]], list[Measurement]]


class DerivedMeasurement(msgspec.Struct, frozen=True):
    """`measurement` is the analyte whose reported results are completed by `equation` over `sources`."""

    measurement: str
    equation: str
    sources: tuple[str, ...]
    apart: timedelta = timedelta(days=1)
    """A computed value counts only when no reported one lies this close to it."""
    within: timedelta = timedelta(days=1095)
    """Older sources are left out: no rule looks further back."""


def complete(context: Context, derived: DerivedMeasurement) -> None:
    """Replace the series of the derived measurement in `context.results` by the completed one."""
    first, *rest = (context.results.get(source, ()) for source in derived.sources)
    since = context.now - derived.within
    first = tuple(result for result in first if result.at is None or result.at >= since)
    if not first:
        return
    reported = context.results.get(derived.measurement, ())
    speaking = [result for result in reported if result.usable and result.at is not None]
    instants = sorted(instant(result) for result in speaking)
    newest = max(speaking, key=instant, default=None)
    wanted = [one for one in first if not _has_near(instants, one.at, derived.apart) or _is_newer(one, newest)]
    if not wanted:
        return
    computed = EQUATIONS[derived.equation](context, derived.measurement, wanted, rest[0] if rest else ())
    kept = [one for one in computed if not _has_near(instants, one.at, derived.apart) or _is_lower(one, newest)]
    context.results[derived.measurement] = _newest_first([*reported, *kept])


def _has_near(instants: list[datetime], at: datetime | None, apart: timedelta) -> bool:
    if at is None:
        return False
    position = bisect.bisect_left(instants, at - apart)
    return position < len(instants) and instants[position] <= at + apart


def _is_newer(source: Measurement, reported: Measurement | None) -> bool:
    return reported is not None and source.at is not None and source.at > instant(reported)


def _is_lower(computed: Measurement, reported: Measurement | None) -> bool:
    """Within a day of the newest reported value a newer computed one counts only where it is the worse of the two."""
    if reported is None or reported.low is None or not computed.usable or not _is_newer(computed, reported):
        return False
    return computed.low is not None and computed.low < reported.low


def _newest_first(results: Iterable[Measurement]) -> tuple[Measurement, ...]:
    return tuple(sorted(results, key=_recency, reverse=True))


def _recency(result: Measurement) -> tuple[bool, float, bool, str]:
    at = result.at
    return at is None, at.timestamp() if at else 0.0, result.problem is None, result.reference


def _unreadable(source: Measurement, analyte: str) -> Measurement:
    return msgspec.structs.replace(source, analyte=analyte, value=None, low=None, high=None, family="", unit="")


def _egfr(
    context: Context, analyte: str, creatinine: Sequence[Measurement], _: Sequence[Measurement]
) -> list[Measurement]:
    patient = context.facts.patient
    computed: list[Measurement] = []
    for source in creatinine:
        if source.problem is not None or source.at is None:
            computed.append(_unreadable(source, analyte))
            continue
        if patient.born_earliest is None:
            continue
        # unknown sex: the lower of both; partial birth date: the oldest possible age (0.2)
        age = (source.at.date() - patient.born_earliest).days // Decimal("365.25")
        sexes = (patient.sex,) if patient.sex else ("female", "male")

        low, high = (_lowest_rate(value, source.family, int(age), sexes) for value in (source.high, source.low))
        computed.append(
            msgspec.structs.replace(
                source,
                analyte=analyte,
                family="mL/min/{1.73_m2}",
                unit="mL/min/{1.73_m2}",
                low=low,
                high=high,
                low_open=source.high_open,
                high_open=source.low_open,
                value=low if low == high else None,
                estimated="CKD-EPI 2021",
            )
        )
    return computed


def _lowest_rate(creatinine: Decimal | None, family: str, age: int, sexes: Iterable[str]) -> Decimal | None:
    if creatinine is None or creatinine <= 0:
        return None
    return min(ckd_epi_2021(creatinine, family, age, sex) for sex in sexes)


def _corrected_calcium(
    context: Context, analyte: str, totals: Sequence[Measurement], albumins: Sequence[Measurement]
) -> list[Measurement]:
    usable_albumins = usable(albumins)[::-1]
    instants = [instant(albumin) for albumin in usable_albumins]
    computed: list[Measurement] = []
    for total in totals:
        if total.problem is not None or total.at is None:
            computed.append(_unreadable(total, analyte))
            continue
        albumin = _nearest(usable_albumins, instants, total.at)
        if albumin is None or albumin.low is None or albumin.low != albumin.high or total.low is None:
            continue
        corrected = albumin_corrected_calcium(total.low, total.family, albumin.low, albumin.family)
        if corrected is None or total.low != total.high:
            continue
        computed.append(
            msgspec.structs.replace(
                total, analyte=analyte, low=corrected, high=corrected, value=corrected, estimated="albumin-corrected"
            )
        )
    return computed


_ALBUMIN_WITHIN = timedelta(days=7)
"""How far an albumin may lie from the calcium it corrects (R05)."""


def _nearest(oldest_first: Sequence[Measurement], instants: list[datetime], at: datetime) -> Measurement | None:
    """The result nearest in time, of those near enough; `instants` are theirs."""
    first, last = (
        bisect.bisect_left(instants, at - _ALBUMIN_WITHIN),
        bisect.bisect_right(instants, at + _ALBUMIN_WITHIN),
    )
    near = oldest_first[first:last]
    return min(near, key=lambda result: (abs(instant(result) - at), result.reference), default=None)


EQUATIONS: dict[str, Equation] = {"ckd-epi-2021": _egfr, "albumin-corrected-calcium": _corrected_calcium}
"""The published equations by the name a facts file uses."""
