"""Points in time as a clinician says them, "5 days ago", counted from a scenario's today."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, tzinfo

from cds_service.facts.instants import months_before

WHEN = (
    r"(?:today|yesterday|\d+ (?:minute|hour|day|week|month|year)s? ago"
    r"|in \d+ (?:minute|hour|day|week|month|year)s?|\d{4}(?:-\d\d(?:-\d\d(?:T[0-9:.Z+\-]+)?)?)?)"
)
"""A regular expression of every phrase that `Calendar` understands."""

_AGO = re.compile(r"(\d+) (minute|hour|day|week|month|year)s? ago")
_AHEAD = re.compile(r"in (\d+) (minute|hour|day|week|month|year)s?")
_AGE = re.compile(r"(\d+)(?: years?)?(?:,? (\d+) days?)?")
_STEPS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}


class Calendar:
    """Turns phrases into FHIR dates. Today ends at 23:59:59 in the zone, and that instant is now."""

    def __init__(self, today: date, zone: tzinfo) -> None:
        self.today, self.zone = today, zone
        self.now = end_of_day(today, zone)

    def at(self, phrase: str) -> str:
        """A dateTime with its time of day. A date as written stays as written. Raises ValueError."""
        moment = self._moment(phrase)
        return phrase if moment is None else moment.isoformat().replace("+00:00", "Z")

    def on(self, phrase: str) -> str:
        """A date. A date as written stays as written. Raises ValueError."""
        moment = self._moment(phrase)
        return phrase if moment is None else moment.date().isoformat()

    def born(self, age: object) -> str:
        """The birth date of someone of this age, such as 66 or "17 years 364 days". Raises ValueError."""
        found = _AGE.fullmatch(str(age).strip())
        if found is None:
            raise ValueError(f"write the age as 66 or as '17 years 364 days', not {age!r}")
        # without days the birthday lies some months back, so that a day more or less does not matter
        born = months_before(self.now, 12 * int(found[1])) - timedelta(days=int(found[2] or 100))
        return born.date().isoformat()

    def _moment(self, phrase: str) -> datetime | None:
        if phrase == "today":
            return self.now
        if phrase == "yesterday":
            return self.now - timedelta(days=1)
        if found := _AGO.fullmatch(phrase):
            return self._step(-int(found[1]), found[2])
        if found := _AHEAD.fullmatch(phrase):
            return self._step(int(found[1]), found[2])
        if re.fullmatch(WHEN, phrase):
            return None
        raise ValueError(f"write a date or a phrase such as '5 days ago', not {phrase!r}")

    def _step(self, count: int, unit: str) -> datetime:
        if unit in _STEPS:
            return self.now + count * _STEPS[unit]
        return months_before(self.now, -count * (12 if unit == "year" else 1))


def end_of_day(day: date, zone: tzinfo) -> datetime:
    """What a bare day means as an evaluation instant."""
    return datetime.combine(day, time(23, 59, 59), zone)


def day(text: str) -> date:
    """A date as YYYY-MM-DD. Raises ValueError."""
    return date.fromisoformat(text)
