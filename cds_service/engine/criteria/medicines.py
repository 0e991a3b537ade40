"""Criteria about medicines: what is current in either sense, and what is being ordered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from cds_service.engine.compiler import Compiler, Node, criterion, unless_supplied
from cds_service.engine.context import Context, MedicationMatch, Reading
from cds_service.engine.model import Test
from cds_service.engine.quantity import COMPARISONS, parse_amount
from cds_service.engine.source import Path_
from cds_service.engine.verdicts import NO, UNKNOWN, YES, Verdict
from cds_service.facts.model import Measurement


@criterion("medication")
def _medication(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    sets = compiler.sets(node["in"], (*path, "in"))
    without = frozenset(compiler.sets(node.get("not_in", ()), (*path, "not_in")))
    wide = reading != "surely"
    filters = _medication_filters(compiler, node, path)
    name, unlike, renewals = outer.get("as", ""), node.get("unlike", ""), node.get("renewals") == "apart"
    drafts, count = node.get("drafts", "count"), node.get("count", 1)

    def answer(context: Context) -> Verdict:
        by_set = context.medications
        for set_id in sets:
            if set_id in by_set:
                break
        else:
            return unless_supplied(context, "medications", wide)
        matched: list[MedicationMatch] = []
        highest = NO
        for set_id in sets:
            for match in by_set.get(set_id, ()):
                medication, ingredient = match
                if medication.draft:
                    if not wide or drafts == "apart":
                        continue
                elif not (medication.safety if wide else medication.contributor):
                    continue
                if match in matched or (without and ingredient.sets & without):
                    continue
                if unlike and _is_same_drug(context, unlike, match, renewals):
                    continue
                verdict = min([test(context, match) for test in filters]) if filters else YES
                highest = max(highest, verdict)
                if verdict == YES:
                    matched.append(match)
        drugs = _by_ingredient(matched)
        if len(drugs) >= count:
            context.evidence.extend(medication for medication, _ in matched)
            if name and name not in context.bound:
                context.bound[name] = drugs
            return YES
        if count > 1:
            return max(NO, unless_supplied(context, "medications", wide))
        return max(highest, unless_supplied(context, "medications", wide))

    return answer


@criterion("order")
def _order(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    sets = compiler.sets(node["in"], (*path, "in"))
    filters = _medication_filters(compiler, node, path)
    name = outer.get("as", "")

    def answer(context: Context) -> Verdict:
        matched: list[MedicationMatch] = []
        highest = NO
        for set_id in sets:
            for match in context.medications.get(set_id, ()):
                if not (match[0].draft and match[0].selected) or match in matched:
                    continue
                verdict = min((test(context, match) for test in filters), default=YES)
                highest = max(highest, verdict)
                if verdict == YES:
                    matched.append(match)
        if matched:
            context.evidence.extend(medication for medication, _ in matched)
            if name and name not in context.bound:
                context.bound[name] = tuple(matched)
            return YES
        return highest

    return answer


MedicationFilter = Callable[[Context, MedicationMatch], Verdict]


def _medication_filters(compiler: Compiler, node: Node, path: Path_) -> tuple[MedicationFilter, ...]:
    filters: list[MedicationFilter] = []
    if "for_at_least" in node:
        at_least = compiler.duration(node["for_at_least"], (*path, "for_at_least"))
        start_is_known = _counting_unknown(node, "unknown_start")
        filters.append(lambda context, match: start_is_known(_started_before(match, context.now - at_least)))
    if "started_before" in node:
        before = compiler.duration(node["started_before"], (*path, "started_before"))
        filters.append(lambda context, match: _started_before(match, context.now - before, strictly=True))
    if "started_within" in node:
        within = compiler.duration(node["started_within"], (*path, "started_within"))
        filters.append(lambda context, match: 2 - _started_before(match, context.now - within, strictly=True))
    for key in ("daily_amount", "single_amount"):
        if key in node:
            filters.append(_amount_filter(compiler, node[key], key, (*path, key)))
    if node.get("scheduled"):
        filters.append(lambda _, match: NO if match[0].as_needed_only else YES)
    if "form" in node:
        form, form_is_known = node["form"], _counting_unknown(node, "unknown_form")
        filters.append(
            lambda _, match: form_is_known(UNKNOWN if match[0].form is None else YES if match[0].form == form else NO)
        )
    if "indication" in node:
        wanted = frozenset(compiler.sets(node["indication"], (*path, "indication")))
        filters.append(lambda _, match: YES if match[0].indications & wanted else NO)
    if "with_ingredient" in node:
        partner = frozenset(compiler.sets(node["with_ingredient"], (*path, "with_ingredient")))
        filters.append(lambda _, match: YES if match[0].sets & partner else NO)
    return tuple(filters)


def _counting_unknown(node: Node, key: str) -> Callable[[Verdict], Verdict]:
    """Turns an unknown into a yes where the rule says that it counts."""
    if node.get(key) == "counts":
        return lambda verdict: YES if verdict == UNKNOWN else verdict
    return lambda verdict: verdict


def _started_before(match: MedicationMatch, limit: datetime, strictly: bool = False) -> Verdict:
    earliest, latest = match[0].started_earliest, match[0].started_latest
    if latest is not None and (latest < limit if strictly else latest <= limit):
        return YES
    if earliest is not None and (earliest >= limit if strictly else earliest > limit):
        return NO
    return UNKNOWN


def _amount_filter(compiler: Compiler, node: Node, key: str, path: Path_) -> MedicationFilter:
    (word, text) = next(iter(node.items()))
    if word not in COMPARISONS:
        compiler.document.fail(path, f"compare with one of {', '.join(COMPARISONS)}")
    try:
        limit, unit = parse_amount(text)
    except ValueError as error:
        compiler.document.fail(path, str(error))
    compare = COMPARISONS[word]

    def matches(_: Context, match: MedicationMatch) -> Verdict:
        dose = match[0].dose
        amount = None if dose is None or dose.unit != unit else dose.a_day if key == "daily_amount" else dose.each
        if amount is None:
            return UNKNOWN
        point = Measurement(
            reference="", analyte="", sets=frozenset(), at=None, at_earliest=None, low=amount, high=amount
        )
        return compare(point, limit)

    return matches


def _is_same_drug(context: Context, name: str, match: MedicationMatch, renewals_only: bool) -> bool:
    """Whether `match` is the bound drug itself: the same order, the same ingredient, or the order being renewed."""
    for medication, ingredient in context.bound.get(name, ()):
        if match[0] is medication and (renewals_only or match[1].id == ingredient.id):
            return True
        if match[1].id != ingredient.id:
            continue
        if not renewals_only or is_unchanged_renewal(context, medication, ingredient.id, match):
            return True
    return False


def is_unchanged_renewal(context: Context, draft: Any, ingredient_id: str, match: MedicationMatch) -> bool:
    """Whether `draft` renews `match`: same ingredient, already current, and not more of it in a day (0.7)."""
    current = match[0]
    if current.draft or match[1].id != ingredient_id:
        return False
    ordered, given = draft.dose, current.dose
    if ordered is None or ordered.a_day is None:
        return given is None or given.a_day is None
    if given is None or given.a_day is None or given.unit != ordered.unit:
        return False
    return bool(ordered.a_day <= given.a_day)


def _by_ingredient(matched: list[MedicationMatch]) -> tuple[MedicationMatch, ...]:
    """One match for each ingredient: two orders for the same ingredient count once."""
    seen: dict[str, MedicationMatch] = {}
    for match in matched:
        seen.setdefault(match[1].id, match)
    return tuple(seen.values())
