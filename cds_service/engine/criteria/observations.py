"""Criteria about results: comparisons, series, and what cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from cds_service.engine import results as series
from cds_service.engine.compiler import Compiler, Node, criterion, unless_supplied
from cds_service.engine.context import Context, Reading
from cds_service.engine.criteria.record import newest_condition
from cds_service.engine.model import NoResultSince, Test
from cds_service.engine.source import Path_
from cds_service.engine.verdicts import NO, UNKNOWN, YES, Verdict
from cds_service.facts.model import Measurement


@criterion("observation")
def _observation(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    if "of" in node:
        return _bound_observation(compiler, node, path)
    analyte = compiler.analyte(node["in"], (*path, "in"))
    question = compiler.question(node, analyte, path) or (lambda _: YES)
    within = compiler.duration(node["within"], (*path, "within")) if "within" in node else None
    preliminary = node.get("preliminary") == "counts"
    hemolyzed_apart = node.get("hemolyzed") == "apart"
    not_older = compiler.analyte(node["not_older_than"], (*path, "not_older_than")) if "not_older_than" in node else ""
    name = outer.get("as", "")
    cautious = reading == "cautiously"
    worst_of, any_of = node.get("worse_of", 0), node.get("any_of", 0)
    is_high = any(word in node for word in ("above", "at_least", "times_upper_limit"))
    worst = series.worst_first(is_high, compiler.vocabulary.to_si.get(analyte, {}))

    def answer(context: Context) -> Verdict:
        found = context.results.get(analyte)
        if not found:
            return unless_supplied(context, "observations", cautious)
        since = None if within is None else context.now - within
        if not_older:
            other = series.usable(context.results.get(not_older, ()))
            found = tuple(r for r in found if not other or r.at is None or r.at >= series.instant(other[0]))
        if hemolyzed_apart:
            found = tuple(result for result in found if not result.hemolyzed)
        if worst_of:
            newest = series.usable(found)[:worst_of]
            found = (worst(newest),) if newest else ()
        if any_of:
            verdict, result = _any_of(series.usable(found)[:any_of], question)
        elif cautious:
            verdict, result = series.read_cautiously(found, question, since)
        else:
            verdict, result = series.read_surely(found, question, since, preliminary, worst)
        if verdict == YES and result is not None:
            context.evidence.append(result)
            if name and name not in context.bound:
                context.bound[name] = result
                context.windows[name] = since
        elif verdict == NO and result is None:
            return unless_supplied(context, "observations", cautious)
        return verdict

    return answer


def _any_of(newest: list[Measurement], question: Callable[[Measurement], Verdict]) -> series.Answer:
    verdict: Verdict = NO
    for result in newest:
        verdict = max(verdict, question(result))
        if verdict == YES:
            return YES, result
    return verdict, newest[0] if newest else None


def _bound_observation(compiler: Compiler, node: Any, path: Path_) -> Test:
    """A comparison with the very result that the trigger bound, in `bands`."""
    name, analyte = node["of"], node.get("in")
    if analyte is None:
        compiler.document.fail(path, "name the analyte too: {of: <name>, in: <analyte>, below: ...}")
    question = compiler.question(node, compiler.analyte(analyte, (*path, "in")), path) or (lambda _: YES)
    preliminary = node.get("preliminary") == "counts"

    def answer(context: Context) -> Verdict:
        result = context.bound.get(name)
        if not isinstance(result, Measurement):
            return NO
        if result.preliminary and not preliminary:
            return _final_behind(context, name, result, question)
        return question(result)

    return answer


def _final_behind(
    context: Context, name: str, preliminary: Measurement, question: Callable[[Measurement], Verdict]
) -> Verdict:
    """A band that does not count preliminary results asks the newest final one instead."""
    final = series.usable(context.results.get(preliminary.analyte, ()))
    since = context.windows.get(name)
    if not final or (since is not None and series.instant(final[0]) < since):
        return NO
    verdict = question(final[0])
    if verdict == YES:
        context.bound[name] = final[0]
        context.evidence.append(final[0])
    return verdict


@criterion("no_result")
def _no_result(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    names = [node["in"]] if isinstance(node["in"], str) else node["in"]
    analytes = tuple(compiler.analyte(name, (*path, "in")) for name in names)
    within = compiler.duration(node["within"], (*path, "within")) if "within" in node else None
    since_sets = compiler.sets(node["since"]["in"], (*path, "since")) if "since" in node else ()
    not_older = compiler.analyte(node["not_older_than"], (*path, "not_older_than")) if "not_older_than" in node else ""
    since_within = compiler.duration(node["since"]["within"], (*path, "since")) if since_sets else timedelta()
    name = outer.get("as", "")

    def answer(context: Context) -> Verdict:
        since = None if within is None else context.now - within
        if since_sets:
            event = newest_condition(context, since_sets, context.now - since_within)
            if event is None:
                return NO
            since = event.astimezone(context.settings.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        if not_older:
            other = series.usable(context.results.get(not_older, ()))
            since = max(filter(None, (since, series.instant(other[0]) if other else None)), default=None)
        latest: Measurement | None = None
        for analyte in analytes:
            for result in context.results.get(analyte, ()):
                if result.problem is not None or result.at is None or result.preliminary:
                    continue
                if since is None or (result.at_earliest or result.at) >= since:
                    return NO
                if latest is None or result.at > series.instant(latest):
                    latest = result
                if result.at < since:
                    break  # newest first: what follows is older still
        if unless_supplied(context, "observations"):
            return UNKNOWN
        if name and name not in context.bound:
            context.bound[name] = NoResultSince(latest)
        return YES

    return answer


@criterion("doubtful")
def _doubtful(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    analyte = compiler.analyte(node["in"], (*path, "in"))
    conflict = (
        _conflict(compiler, node["conflict"] | {"in": analyte}, path, reading, {}) if "conflict" in node else None
    )

    def answer(context: Context) -> Verdict:
        mark = len(context.evidence)
        conflicting = conflict is not None and conflict(context) == YES
        del context.evidence[mark:]
        verdict, result = series.is_doubtful(context.results.get(analyte, ()), conflicting)
        if result is not None:
            context.evidence.append(result)
        return verdict

    return answer


@criterion("conflict")
def _conflict(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    analyte = compiler.analyte(node["in"], (*path, "in"))
    within = compiler.duration(node["within"], path)
    apart = compiler.duration(node["apart"], path)
    by = compiler.threshold(node["differ_by"], analyte, path)
    name = outer.get("as", "")

    def answer(context: Context) -> Verdict:
        found = context.results.get(analyte, ())
        if not found:
            return unless_supplied(context, "observations", reading == "cautiously")
        verdict, pair = series.conflict(found, within, apart, by, context.now)
        if verdict == YES:
            context.evidence.extend(pair)
            if name and name not in context.bound:
                context.bound[name] = pair[0]
        return verdict

    return answer


@criterion("unreadable")
def _unreadable(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    analyte = compiler.analyte(node["in"], (*path, "in"))
    within = compiler.duration(node["within"], path)
    below = compiler.threshold(node["below"], analyte, (*path, "below"))
    at_least = compiler.threshold(node["at_least"], analyte, (*path, "at_least"))
    # the unit cannot be read, so the number is taken as if it stood in the first family
    family = compiler.vocabulary.analytes[analyte][0]
    name = outer.get("as", "")

    def answer(context: Context) -> Verdict:
        found = context.results.get(analyte, ())
        if not found:
            return unless_supplied(context, "observations", reading == "cautiously")
        verdict, result = series.unreadable_extreme(
            found,
            lambda number: number < below[family] or number >= at_least[family],
            context.now - within,
            context.now,
        )
        if result is not None:
            context.evidence.append(result)
            if name and name not in context.bound:
                context.bound[name] = result
        return verdict

    return answer


@criterion("hemolyzed")
def _hemolyzed(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    name = node["of"]

    def answer(context: Context) -> Verdict:
        result = context.bound.get(name)
        return YES if isinstance(result, Measurement) and result.hemolyzed else NO

    return answer


@criterion("preliminary")
def _preliminary(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    name = node["of"]

    def answer(context: Context) -> Verdict:
        result = context.bound.get(name)
        return YES if isinstance(result, Measurement) and result.preliminary else NO

    return answer


@criterion("rise")
def _rise(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    analyte = compiler.analyte(node["in"], (*path, "in"))
    within = compiler.duration(node["within"], (*path, "within"))
    before = compiler.duration(node["above_lowest_of"], (*path, "above_lowest_of"))
    amount = str(node["at_least"])
    to_si = compiler.vocabulary.to_si.get(analyte, {})
    times = Decimal(amount.removesuffix(" times")) if amount.endswith(" times") else None
    by = {} if times else compiler.threshold(amount, analyte, (*path, "at_least"))

    def rose(newest: Measurement, earlier: Measurement) -> bool:
        now, then = newest.low, earlier.high
        if now is None or then is None:
            return False
        family = newest.family
        if family != earlier.family:
            # section 6: mixed units are converted for trends, and for trends only
            now, then = now * to_si.get(family, Decimal(1)), then * to_si.get(earlier.family, Decimal(1))
            family = next(iter(to_si), family)
        return now >= times * then if times else now - then >= by[family]

    cautious = reading == "cautiously"

    def answer(context: Context) -> Verdict:
        found = context.results.get(analyte, ())
        verdict, pair = series.rise(found, within, before, rose, context.now, cautious)
        context.evidence.extend(pair)
        return verdict if found or verdict else unless_supplied(context, "observations", cautious)

    return answer


@criterion("ever")
def _ever(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    """Any result of the window, not only the newest; cautiously also a preliminary one.

    `same_day_as` a bound result: of its day in the configured zone.
    """
    analyte = compiler.analyte(node["in"], (*path, "in"))
    question = compiler.question(node, analyte, path)
    if question is None:
        compiler.document.fail(path, "say what once was: below, at_least, above or at_most")
    within = compiler.duration(node["within"], (*path, "within")) if "within" in node else None
    same_day_as = node.get("same_day_as")
    if within is None and same_day_as is None:
        compiler.document.fail(path, "say when: within, or same_day_as a bound result")
    cautious = reading == "cautiously"

    def answer(context: Context) -> Verdict:
        found = context.results.get(analyte, ())
        day = None
        if same_day_as is not None:
            other = context.bound.get(same_day_as)
            if not isinstance(other, Measurement) or other.at is None:
                return NO
            day = other.at.astimezone(context.settings.zone).date()
        for result in found:
            if result.problem is not None or result.at is None or (result.preliminary and not cautious):
                continue
            if day is not None and result.at.astimezone(context.settings.zone).date() != day:
                continue
            if (within is None or result.at >= context.now - within) and question(result) == YES:
                context.evidence.append(result)
                return YES
        return NO if found else unless_supplied(context, "observations", cautious)

    return answer


@criterion("persists")
def _persists(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    analyte = compiler.analyte(node["in"], (*path, "in"))
    question = compiler.question(node, analyte, path)
    if question is None:
        compiler.document.fail(path, "say what persists: below, at_least, above or at_most")
    apart = compiler.duration(node["apart"], (*path, "apart"))
    name = outer.get("as", "")

    def answer(context: Context) -> Verdict:
        found = context.results.get(analyte, ())
        if not found:
            return unless_supplied(context, "observations", reading == "cautiously")
        verdict, pair = series.persists(found, question, apart)
        context.evidence.extend(pair)
        if pair and name and name not in context.bound:
            context.bound[name] = pair[0]
        return verdict

    return answer


@criterion("fall")
def _fall(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    analyte = compiler.analyte(node["in"], (*path, "in"))
    period, unit_of_time = compiler.duration(node["of"], path), compiler.duration(node["a"], path)
    least_apart = compiler.duration(node["apart"], path)
    more_than = compiler.threshold(node["more_than"], analyte, (*path, "more_than"))

    def answer(context: Context) -> Verdict:
        recorded = context.results.get(analyte, ())
        if not recorded:
            return unless_supplied(context, "observations", reading == "cautiously")
        found = [result for result in series.usable(recorded) if series.exact(result)]
        for earlier in found[1:]:
            apart = series.instant(found[0]) - series.instant(earlier)
            if not least_apart <= apart <= period or earlier.family != found[0].family:
                continue
            fallen = series.point(earlier) - series.point(found[0])
            # compared without a division, so that no rounding moves a value over the limit
            if fallen * Decimal(unit_of_time.days) > more_than[earlier.family] * Decimal(apart.days):
                context.evidence.extend((found[0], earlier))
                return YES
        return NO

    return answer
