"""Thresholds, durations and the comparison of a set of possible values with a threshold."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal, InvalidOperation

from cds_service.engine.verdicts import NO, UNKNOWN, YES, Verdict
from cds_service.facts.model import Measurement

Threshold = dict[str, Decimal]
"""Unit family to the number in it: the printed pair of cut-offs, never converted into each other."""

_DURATION = re.compile(r"(\d+) (hour|day|week|month)s?")
_DURATION_UNITS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
}


def parse_duration(text: object) -> timedelta:
    """`90 days`, `24 hours`, `6 weeks`, `24 months` (of 30 days). Raises ValueError."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write for example '90 days' or '24 hours'")
    return int(match[1]) * _DURATION_UNITS[match[2]]


def parse_amount(text: object) -> tuple[Decimal, str]:
    """`2.5 mmol/L` as (Decimal('2.5'), 'mmol/L'). Raises ValueError."""
    number, _, unit = str(text).strip().partition(" ")
    unit = unit.strip()
    try:
        value = Decimal(number)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not an amount: write for example '3.5 mmol/L'") from None
    if not unit:
        raise ValueError(f"{text!r} has no unit: every threshold needs one")
    return value, unit


def parse_threshold(text: object) -> Threshold:
    """`0.70 mmol/L | 1.7 mg/dL` as one number for each unit family. Raises ValueError."""
    threshold: Threshold = {}
    for part in str(text).split("|"):
        value, unit = parse_amount(part)
        if unit in threshold:
            raise ValueError(f"the unit {unit} stands twice in {text!r}")
        threshold[unit] = value
    return threshold


def is_below(result: Measurement, limit: Decimal) -> Verdict:
    """Whether every possible value of `result` lies below `limit`."""
    low, high = result.low, result.high
    if high is not None and (high < limit or (high == limit and result.high_open)):
        return YES
    if low is not None and low >= limit:
        return NO
    return UNKNOWN


def is_above(result: Measurement, limit: Decimal) -> Verdict:
    """Whether every possible value of `result` lies above `limit`."""
    low, high = result.low, result.high
    if low is not None and (low > limit or (low == limit and result.low_open)):
        return YES
    if high is not None and high <= limit:
        return NO
    return UNKNOWN


COMPARISONS: dict[str, Callable[[Measurement, Decimal], Verdict]] = {
    "below": is_below,
    "at_least": lambda result, limit: 2 - is_below(result, limit),
    "above": is_above,
    "at_most": lambda result, limit: 2 - is_above(result, limit),
}
"""The four one-sided comparisons by the word a rule uses."""
