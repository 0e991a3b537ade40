"""FHIR dates, partial dates and instants into aware instants (section 0.5.7)."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from cds_service.facts.model import Span

_PARTIAL = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", re.ASCII)
_LAST_YEAR = 9998
_END_OF_DAY = time(23, 59, 59)


def instant(text: str, zone: tzinfo) -> datetime | None:
    """A dateTime with a time of day; one without an offset is read in `zone`. None when it is not one."""
    if not "1800-" <= text < "9999" or not 15 < len(text) < 41 or text[4] != "-":
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=zone)


def span(text: str | None, zone: tzinfo) -> Span | None:
    """The instants that a date, partial date or dateTime may mean, in `zone`; None when it cannot be read."""
    if not text:
        return None
    at = instant(text, zone)
    if at is not None:
        return Span(at, at)
    days = day_span(text)
    if days is None:
        return None
    first, last = days
    return Span(
        datetime.combine(first, time(), zone),
        datetime.combine(last, _END_OF_DAY, zone),
    )


def day_span(text: str | None) -> tuple[date, date] | None:
    """First and last day of ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``; None for anything else."""
    if not text:
        return None
    found = _PARTIAL.fullmatch(text)
    if found is None:
        return None
    year, month, day = found.groups()
    if int(year) > _LAST_YEAR:
        return (date(_LAST_YEAR, 12, 31),) * 2
    if int(year) < 1800:
        return None
    try:
        if day:
            return (date(int(year), int(month), int(day)),) * 2
        if month:
            first = date(int(year), int(month), 1)
            return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        return date(int(year), 1, 1), date(int(year), 12, 31)
    except ValueError:
        return None


def days_of(text: str | None) -> tuple[date, date] | None:
    """`day_span`, where a dateTime counts as its day (a birth date, a due date)."""
    return day_span(text[:10] if text and text[10:11] == "T" else text)


def result_times(text: str, zone: tzinfo, now: datetime) -> tuple[datetime | None, datetime | None]:
    """`(at, at_earliest)` of a result. A bare day is 23:59:59 of it; a month or year ends at its end, at most now."""
    at = instant(text, zone)
    if at is not None:
        return at, at
    days = day_span(text)
    if days is None:
        return None, None
    last = datetime.combine(days[1], _END_OF_DAY, zone)
    if days[0] == days[1]:
        return last, last
    first = datetime.combine(days[0], time(), zone)
    return (min(last, now) if first <= now else last), first


def months_before(at: datetime, months: int) -> datetime:
    """The same moment so many calendar months earlier; the last day of a shorter month."""
    index = at.year * 12 + at.month - 1 - months
    year, month = divmod(index, 12)
    for day in range(at.day, 27, -1):
        try:
            return at.replace(year=year, month=month + 1, day=day)
        except ValueError:
            continue
    return at.replace(year=year, month=month + 1)


class Dates:
    """The dates of one request, each text read once: the results of one sample and visit share theirs."""

    def __init__(self, zone: tzinfo, now: datetime) -> None:
        self.zone, self.now = zone, now
        self.results: dict[str, tuple[datetime | None, datetime | None, timedelta]] = {}
        self.instants: dict[str, datetime | None] = {}
        self._spans: dict[str, Span | None] = {}

    def result(self, text: str) -> tuple[datetime | None, datetime | None, timedelta]:
        """`result_times`, and how far `at` lies behind `LATER` (`UNDATED` without one): the key of newest first."""
        return self.results.get(text) or self.new_result(text)

    def new_result(self, text: str) -> tuple[datetime | None, datetime | None, timedelta]:
        """`result` of a text that is not in `results` yet."""
        try:
            # a full timestamp is all but every text; what else the parser takes is sorted out by `instant`
            at = earliest = datetime.fromisoformat(text) if len(text) > 18 and text[10] == "T" else None
            if at is not None and (at.tzinfo is None or not 1799 < at.year < 9999 or len(text) > 40):
                at = earliest = instant(text, self.zone)
        except ValueError:
            at = earliest = None
        if at is None:
            at, earliest = result_times(text, self.zone, self.now)
        known = self.results[text] = (at, earliest, LATER - at if at is not None else UNDATED)
        return known

    def instant(self, text: str) -> datetime | None:
        """`instant` in the zone of this request."""
        if text in self.instants:
            return self.instants[text]
        known = self.instants[text] = instant(text, self.zone)
        return known

    def span(self, text: str | None) -> Span | None:
        """`span` in the zone of this request."""
        if not text:
            return None
        if text in self._spans:
            return self._spans[text]
        known = self._spans[text] = span(text, self.zone)
        return known


LATER = datetime(9999, 12, 31, tzinfo=UTC)
"""Later than any date that is read. A difference of instants is a third of the cost of a POSIX time."""
UNDATED = timedelta.min
