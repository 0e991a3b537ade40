"""Reading a series of results three-valued: surely for warnings, cautiously for gates.

*Surely*: the newest usable final result that can answer decides; one that cannot (`>3.0` asked about 3.5) leaves the
older exact one in force. *Cautiously*: everything at least as new as the deciding result counts, so that a newer
unreadable, open-ended, preliminary or contradicting result makes the answer unknown. Both get the results newest
first. Source: sections 0.5 and P1 of the clinical knowledge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from cds_service.engine.verdicts import NO, UNKNOWN, YES, Verdict
from cds_service.facts.model import Measurement

Question = Callable[[Measurement], Verdict]
Answer = tuple[Verdict, Measurement | None]
Worst = Callable[[Sequence[Measurement]], Measurement]
"""Of several results of one analyte the one that a warning should be about."""


def read_surely(
    results: Sequence[Measurement],
    question: Question,
    since: datetime | None,
    preliminary_counts: bool,
    worst: Worst,
) -> Answer:
    """The verdict of the results in force, and the result that gave it.

    Among results of one instant any yes is a yes, and the `worst` of them is the one that is shown.
    """
    spanning: Measurement | None = None
    for position, result in enumerate(results):
        if result.problem is not None or result.at is None:
            continue
        if since is not None and result.at < since:
            break
        if result.preliminary:
            # a preliminary result may raise a warning but never hides the final one behind it
            if preliminary_counts and question(result) == YES:
                return YES, result
            continue
        if since is not None and result.at_earliest is not None and result.at_earliest < since:
            spanning = result
            continue
        verdict = question(result)
        if verdict != UNKNOWN:
            if position + 1 < len(results) and results[position + 1].at == result.at:
                return _of_one_instant(results[position:], question, (verdict, result), worst)
            return verdict, result
        spanning = spanning or result
    return (NO, None) if spanning is None else (UNKNOWN, spanning)


def _of_one_instant(results: Sequence[Measurement], question: Question, first: Answer, worst: Worst) -> Answer:
    same = [result for result in usable(results) if result.at == results[0].at and question(result) == YES]
    return (YES, worst(same)) if same else first


def worst_first(highest: bool, to_si: Mapping[str, Decimal]) -> Worst:
    """Picks the highest or the lowest of several results, whatever units they were reported in."""

    def worst(results: Sequence[Measurement]) -> Measurement:
        pick = max if highest else min
        return pick(results, key=lambda result: (result.low or Decimal(0)) * to_si.get(result.family, Decimal(1)))

    return worst


def read_cautiously(results: Iterable[Measurement], question: Question, since: datetime | None) -> Answer:
    """The verdict of every result that may be the current one: unknown as soon as they disagree."""
    verdicts: list[Verdict] = []
    deciding: Measurement | None = None
    unreadable: list[datetime | None] = []
    for result in results:
        if result.problem is not None or result.at is None:
            unreadable.append(result.at)
            continue
        if deciding is not None and result.at < instant(deciding):
            break
        if since is not None and result.at < since:
            break
        if since is not None and result.at_earliest is not None and result.at_earliest < since:
            verdicts.append(UNKNOWN)
            continue
        verdict = question(result)
        verdicts.append(verdict)
        if verdict != UNKNOWN and not result.preliminary and deciding is None:
            deciding = result
    newest = None if deciding is None else deciding.at
    if any(at is None or newest is None or at > newest for at in unreadable if at is None or not since or at >= since):
        verdicts.append(UNKNOWN)
    if not verdicts:
        return NO, None
    return (verdicts[0] if min(verdicts) == max(verdicts) else UNKNOWN), deciding


def usable(results: Iterable[Measurement]) -> list[Measurement]:
    """Usable final results, newest first."""
    return [r for r in results if r.problem is None and r.at is not None and not r.preliminary]


def newest_usable(results: Iterable[Measurement]) -> Measurement | None:
    """The newest usable final result."""
    return next((r for r in results if r.problem is None and r.at is not None and not r.preliminary), None)


def exact(result: Measurement) -> bool:
    return result.low is not None and result.low == result.high


def is_doubtful(results: Sequence[Measurement], conflicting: bool) -> Answer:
    """Yes when the newest word on an analyte cannot be relied on.

    Unusable or preliminary results as new as the newest usable one, an open-ended or hemolyzed newest result, or a
    conflict between the two newest. No result at all is not doubtful.
    """
    final = usable(results)
    newest = final[0] if final else None
    for result in results:
        if result is newest:
            continue
        if newest is not None and result.at is not None and result.at < instant(newest):
            break
        if result.problem is not None or result.preliminary:
            return YES, result
    if newest is None:
        return NO, None
    same_sample = [result for result in final if result.at == newest.at]
    for result in same_sample:
        if result.hemolyzed or not exact(result):
            return YES, result
    return (YES, newest) if conflicting else (NO, None)


def conflict(
    results: Iterable[Measurement], within: timedelta, apart: timedelta, by: dict[str, Decimal], now: datetime
) -> tuple[Verdict, tuple[Measurement, ...]]:
    """Whether the two newest results, both within `within`, lie `apart` or less apart and differ by `by`.

    Open-ended results take part with the whole of what they may be: `>5.5` differs from 3.2 by at least 2.3.
    """
    final = usable(results)
    pair = final[:2]
    if len(final) > 2:
        # equal instants have no order: the pair that differs most is the honest one
        tied = [result for result in final[1:] if result.at == pair[1].at]
        pair = [pair[0], max(tied, key=lambda result: (_gap(pair[0], result), result.reference))]
    if len(pair) < 2 or pair[0].family != pair[1].family:
        return NO, ()
    newer, older = pair
    if instant(newer) - instant(older) > apart or now - instant(older) > within:
        return NO, ()
    return (YES, (newer, older)) if _gap(newer, older) >= by[newer.family] else (NO, ())


def _gap(one: Measurement, other: Measurement) -> Decimal:
    """The least by which two results can differ: zero where what they may be overlaps."""
    gaps = [Decimal(0)]
    for lower, upper in ((one, other), (other, one)):
        if lower.high is not None and upper.low is not None:
            gaps.append(upper.low - lower.high)
    return max(gaps)


def unreadable_extreme(
    results: Iterable[Measurement], looks_extreme: Callable[[Decimal], bool], since: datetime, now: datetime
) -> Answer:
    """Yes when a number that cannot be read safely, newer than the newest usable result, would be extreme.

    Only a number of a valueQuantity counts (0.5.9), never a string, and only one dated between `since` and tomorrow.
    """
    for result in results:
        if result.problem is None and not result.preliminary:
            break
        at = result.at
        if result.problem is None or result.value is None or at is None or at > now + timedelta(hours=24):
            continue
        if at >= since and looks_extreme(result.value):
            return YES, result
    return NO, None


def rise(
    results: Sequence[Measurement],
    newest_within: timedelta,
    before: timedelta,
    rose: Callable[[Measurement, Measurement], bool],
    now: datetime,
    cautious: bool,
) -> tuple[Verdict, tuple[Measurement, ...]]:
    """Whether the newest result, no older than `newest_within`, rose above the lowest of the time `before` it."""
    readable = [r for r in results if r.at is not None and r.problem is None]
    newest_final = next((result.at for result in readable if not result.preliminary), None)
    if cautious and any(
        result.problem is not None
        and (
            result.at is None
            or (now - result.at <= newest_within and (newest_final is None or result.at > newest_final))
        )
        for result in results
    ):
        return UNKNOWN, ()
    considered = readable if cautious else [result for result in readable if not result.preliminary]
    for newest in considered:
        if newest_final is not None and instant(newest) < newest_final:
            break
        if now - instant(newest) > newest_within:
            continue
        for earlier in considered:
            if (
                earlier is not newest
                and timedelta() <= instant(newest) - instant(earlier) <= before
                and rose(newest, earlier)
            ):
                return YES, (newest, earlier)
    return NO, ()


def persists(
    results: Iterable[Measurement], question: Question, apart: timedelta
) -> tuple[Verdict, tuple[Measurement, ...]]:
    """Whether the newest usable result and one at least `apart` earlier both pass."""
    final = usable(results)
    if not final or question(final[0]) != YES:
        return NO, ()
    for earlier in final[1:]:
        if instant(final[0]) - instant(earlier) >= apart and question(earlier) == YES:
            return YES, (final[0], earlier)
    return NO, ()


def instant(result: Measurement) -> datetime:
    """The instant of a dated result."""
    assert result.at is not None  # only dated results reach the comparisons above
    return result.at


def point(result: Measurement) -> Decimal:
    """The single value of an exact result, in its family."""
    assert result.low is not None  # only exact results reach the comparisons above
    return result.low
