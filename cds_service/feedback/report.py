"""The report on alert burden: how often each rule spoke up and what came of it, with the rules that need a review.

Rates. Overridden: of the cards with feedback. Accepted: of the cards that offered something, with feedback or without,
because a clinician who takes nothing is not obliged to say so. Section 8 of the clinical knowledge sets the limits.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from pathlib import PurePosixPath
from typing import Literal

import msgspec

from cds_service.engine.knowledge import Knowledge
from cds_service.engine.model import ReviewLimits, Rule
from cds_service.feedback.counts import Count, Counts
from cds_service.feedback.reasons import reason_words

Step = Literal["day", "week", "month"]
_MOST_DAYS, _MOST_WEEKS = 31, 31


class Line(msgspec.Struct, frozen=True):
    """One line of a table: a rule, a topic, a period or all together."""

    name: str
    title: str
    number: str = ""
    topic: str = ""
    shown: int = 0
    unsent: int = 0
    """Cards of silent mode."""
    critical: int = 0
    offering: int = 0
    accepted: int = 0
    overridden: int = 0
    reasons: dict[str, int] = {}
    """Overridden cards by stored reason."""
    review: tuple[str, ...] = ()
    """Why the rule is to be reviewed; empty where it is not."""

    @property
    def unanswered(self) -> int:
        return self.shown - self.accepted - self.overridden

    @property
    def overridden_percent(self) -> float | None:
        return _percent(self.overridden, self.accepted + self.overridden)

    @property
    def accepted_percent(self) -> float | None:
        return _percent(self.accepted, self.offering)


class Report(msgspec.Struct, frozen=True):
    since: date
    until: date
    client: str
    step: Step
    rules: tuple[Line, ...]
    """Those that spoke up, those shown most first."""
    topics: tuple[Line, ...]
    periods: tuple[Line, ...]
    """All of the time asked for, quiet periods too."""
    total: Line
    reasons: dict[str, str]
    """The reasons that were given, most frequent first, in words."""
    unknown: int
    clients: tuple[str, ...]
    limits: ReviewLimits | None

    @property
    def to_review(self) -> tuple[Line, ...]:
        return tuple(line for line in self.rules if line.review)


def make_report(counts: Counts, knowledge: Knowledge, since: date, until: date, client: str = "") -> Report:
    """The report of counted days. A rule that is no longer there keeps its id."""
    rules: Mapping[str, Rule] = {rule.id: rule for rule in knowledge.rules}
    limits: ReviewLimits | None = knowledge.review_limits
    step = _step(since, until)

    def topic(rule_id: str) -> str:
        return PurePosixPath(rules[rule_id].file).parent.name if rule_id in rules else "no longer there"

    by_rule = _lines(counts.shown, lambda one: one.rule)
    rule_lines = []
    for rule_id, line in by_rule.items():
        rule = rules.get(rule_id)
        words = {"topic": topic(rule_id)} | ({"title": rule.title, "number": rule.number} if rule is not None else {})
        rule_lines.append(msgspec.structs.replace(line, **words, review=_review(line, limits)))
    rule_lines.sort(key=lambda line: (-line.shown, -line.unsent, line.name))
    topics = _lines(counts.shown, lambda one: topic(one.rule))
    periods = _lines(counts.shown, lambda one: _begin(one.day, step).isoformat())
    total = _lines(counts.shown, lambda _: "total").get("total", Line("total", "Total"))
    given = Counter(total.reasons)
    words = reason_words(knowledge)
    return Report(
        since=since,
        until=until,
        client=client,
        step=step,
        rules=tuple(rule_lines),
        topics=tuple(
            msgspec.structs.replace(line, title=name.capitalize())
            for name, line in sorted(topics.items(), key=lambda one: (-one[1].shown, one[0]))
        ),
        periods=tuple(periods.get(name, Line(name, name)) for name in _periods(since, until, step)),
        total=msgspec.structs.replace(total, title="Total"),
        reasons={code: words.get(code, code) for code, _ in given.most_common()},
        unknown=counts.unknown,
        clients=counts.clients,
        limits=limits,
    )


def _lines(counts: Iterable[Count], key: Callable[[Count], str]) -> dict[str, Line]:
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in counts:
        of = sums[key(one)]
        if one.silent:
            of["unsent"] += one.cards
            continue
        of["shown"] += one.cards
        of["critical"] += one.cards * (one.indicator == "critical")
        of["offering"] += one.cards * one.offering
        if one.outcome:
            of[one.outcome] += one.cards
        if one.outcome == "overridden":
            reasons[key(one)][one.reason] += one.cards
    return {
        name: msgspec.structs.replace(Line(name, name, reasons=dict(reasons[name].most_common())), **of)
        for name, of in sums.items()
    }


def _review(line: Line, limits: ReviewLimits | None) -> tuple[str, ...]:
    if limits is None:
        return ()
    why: list[str] = []
    overridden, accepted = line.overridden_percent, line.accepted_percent
    answered = line.accepted + line.overridden
    if overridden is not None and answered >= limits.at_least and overridden > limits.overridden_above:
        why.append(f"overridden more than {limits.overridden_above}%")
    if accepted is not None and line.offering >= limits.at_least and accepted < limits.accepted_below:
        why.append(f"accepted less than {limits.accepted_below}%")
    if why and line.critical:
        why.append("critical cards are never changed for this alone")
    return tuple(why)


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _step(since: date, until: date) -> Step:
    days = (until - since).days + 1
    return "day" if days <= _MOST_DAYS else "week" if days <= 7 * _MOST_WEEKS else "month"


def _begin(day: date, step: Step) -> date:
    """The first day of the period: weeks begin on Monday."""
    if step == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if step == "month" else day


def _periods(since: date, until: date, step: Step) -> list[str]:
    found: dict[str, None] = {}
    day = since
    while day <= until:
        found[_begin(day, step).isoformat()] = None
        day += timedelta(days=1)
    return list(found)
