"""Criteria about the rest of the record: conditions, procedures, allergies, the patient, what was not supplied."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from cds_service.engine.compiler import Compiler, Node, criterion, unless_supplied
from cds_service.engine.context import Context, Reading
from cds_service.engine.model import Test
from cds_service.engine.source import Path_
from cds_service.engine.verdicts import NO, UNKNOWN, YES, Verdict
from cds_service.facts.model import Condition

_DAY = timedelta(days=1)


@criterion("condition")
def _condition(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    sets = compiler.sets(node["in"], (*path, "in"))
    within = compiler.duration(node["within"], (*path, "within")) if "within" in node else None
    or_active, only_new = "or_active" in node, "new" in node
    states = {"present"}
    if node.get("possible") == "counts" or reading == "cautiously":
        states.add("possible")
    if node.get("history") == "counts":
        states.add("history")
    count, name, cautious = node.get("count", 1), outer.get("as", ""), reading == "cautiously"

    def answer(context: Context) -> Verdict:
        by_set = context.conditions
        for set_id in sets:
            if set_id in by_set:
                break
        else:
            return unless_supplied(context, "conditions", cautious)
        sure: list[Condition] = []
        undated = 0
        for set_id in sets:
            for condition in by_set.get(set_id, ()):
                if condition.state not in states or condition in sure or (only_new and not condition.new):
                    continue
                verdict = YES if within is None else _noted_since(condition, context.now - within)
                if or_active and condition.stated_active:
                    verdict = YES
                if verdict == YES:
                    sure.append(condition)
                elif verdict == UNKNOWN:
                    undated += 1
        if len({frozenset(c.sets & set(sets)) for c in sure} if count > 1 else sure) >= count:
            context.evidence.extend(sure)
            if name and name not in context.bound:
                context.bound[name] = sure[0]
            return YES
        return UNKNOWN if undated else unless_supplied(context, "conditions", cautious)

    return answer


def _noted_since(condition: Condition, since: datetime) -> Verdict:
    """Whether a condition was recorded or began since then; unknown when it bears no date at all.

    A bare day is 23:59:59 of it (section 2), so that the day of the limit still lies within; a month or a year that
    holds the limit leaves it open.
    """
    spans = [span for span in (condition.recorded, condition.onset) if span is not None]
    if not spans:
        return UNKNOWN
    if any((span.latest if span.latest - span.earliest < _DAY else span.earliest) >= since for span in spans):
        return YES
    return UNKNOWN if any(span.latest >= since for span in spans) else NO


def newest_condition(context: Context, sets: tuple[str, ...], since: datetime) -> datetime | None:
    """The latest instant at which a condition of `sets`, over or not, was noted, if since then or undated."""
    newest: datetime | None = None
    for set_id in sets:
        for condition in context.conditions.get(set_id, ()):
            if _noted_since(condition, since) == NO:
                continue
            spans = [span.latest for span in (condition.recorded, condition.onset) if span is not None]
            noted = min(max(spans), context.now) if spans else context.now
            newest = noted if newest is None else max(newest, noted)
    return newest


@criterion("procedure")
def _procedure(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    sets = compiler.sets(node["in"], (*path, "in"))
    within = compiler.duration(node["within"], (*path, "within"))

    def answer(context: Context) -> Verdict:
        highest = NO
        for set_id in sets:
            for procedure in context.procedures.get(set_id, ()):
                span = procedure.performed
                verdict = UNKNOWN if span is None else YES if span.latest >= context.now - within else NO
                highest = max(highest, verdict)
                if verdict == YES:
                    context.evidence.append(procedure)
        return highest or unless_supplied(context, "procedures", reading == "cautiously")

    return answer


@criterion("allergy")
def _allergy(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    sets = compiler.sets(node["in"], (*path, "in"))

    def answer(context: Context) -> Verdict:
        if not context.allergy_sets.isdisjoint(sets):
            context.evidence.extend(a for a in context.facts.allergies if not a.sets.isdisjoint(sets))
            return YES
        return unless_supplied(context, "allergies", reading == "cautiously")

    return answer


@criterion("age")
def _age(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    if node == "unknown":
        return lambda context: NO if context.age_range() else YES
    (word, years) = next((key, value) for key, value in node.items() if key in ("below", "at_least"))
    possibly, name = node.get("possible") == "counts", outer.get("as", "")

    def answer(context: Context) -> Verdict:
        ages = context.age_range()
        if ages is None:
            return UNKNOWN
        youngest, oldest = ages
        passing = (youngest >= years, oldest >= years) if word == "at_least" else (oldest < years, youngest < years)
        if passing[0] or (passing[1] and possibly):
            if name and name not in context.bound:
                context.bound[name] = f"age {youngest}" if youngest == oldest else f"age {youngest} to {oldest}"
            return YES
        return UNKNOWN if passing[1] else NO

    return answer


@criterion("sex")
def _sex(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    def answer(context: Context) -> Verdict:
        sex = context.facts.patient.sex
        return UNKNOWN if sex is None else YES if sex == node else NO

    return answer


@criterion("deceased")
def _deceased(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    return lambda context: YES if context.facts.patient.deceased else NO


@criterion("due_date")
def _due_date(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    """A date given as an answer that lies within the coming time (an estimated delivery date)."""
    analyte = compiler.analyte(node["in"], (*path, "in"))
    within = compiler.duration(node["in_the_next"], (*path, "in_the_next"))

    def answer(context: Context) -> Verdict:
        today = context.now.astimezone(context.settings.zone).date()
        for result in context.results.get(analyte, ()):
            if result.date_answer is not None:
                if today <= result.date_answer <= today + within:
                    context.evidence.append(result)
                    return YES
                return NO
        return unless_supplied(context, "observations")

    return answer


@criterion("not_supplied")
def _not_supplied(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    kinds = frozenset(node)

    def answer(context: Context) -> Verdict:
        absent = kinds & (context.facts.not_supplied | context.facts.incomplete)
        context.missing.update(absent)
        return YES if absent else NO

    return answer
