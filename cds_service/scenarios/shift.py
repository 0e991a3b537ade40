"""Moves every date of a record by the same number of days, so that examples with fixed dates never go stale."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Any

_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(T[0-9:.]+(?:Z|[+\-]\d\d:\d\d)?)?")
_PARTIAL_KEYS = ("birthDate", "DateTime", "recordedDate", "authoredOn", "start", "end", "issued")
_PARTIAL = re.compile(r"(\d{4})(?:-(\d\d))?")


def shift_to(resources: Any, from_today: date, to_now: date | datetime) -> Any:
    """A copy of resources, bundles or requests in which `from_today` has become the day of `to_now`.

    Times of day stay; a year alone or a month alone moves by as many whole years or months as fit best.
    """
    to_day = to_now.date() if isinstance(to_now, datetime) else to_now
    return _shifted(resources, to_day - from_today, "")


def _shifted(value: Any, by: timedelta, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _shifted(member, by, name) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_shifted(item, by, key) for item in value]
    if not isinstance(value, str):
        return value
    if found := _DATE.fullmatch(value):
        return _later(found[1], by) + (found[2] or "")
    if key.endswith(_PARTIAL_KEYS) and (partial := _PARTIAL.fullmatch(value)):
        middle = f"{partial[1]}-{partial[2] or '07'}-15"
        return _later(middle, by)[: len(value)]
    return value


def _later(day: str, by: timedelta) -> str:
    try:
        return (date.fromisoformat(day) + by).isoformat()
    except (ValueError, OverflowError):
        return day
