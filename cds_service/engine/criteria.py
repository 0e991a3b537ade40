"""The closed list of criteria: each compiles from its YAML form into one three-valued test.

A criterion answers yes, no or unknown. On a yes it leaves the facts it rests on in `Context.evidence` and, under its
`as` name, in `Context.bound`. What was not supplied answers unknown and is named in `Context.missing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from cds_service.engine import results as series
from cds_service.engine.context import Context, MedicationMatch, Reading
from cds_service.engine.model import INDICATORS, NoResultSince, Test
from cds_service.engine.quantity import COMPARISONS, Threshold, parse_amount, parse_duration, parse_threshold
from cds_service.engine.source import Document, Path_
from cds_service.engine.verdicts import NO, UNKNOWN, YES, Verdict
from cds_service.facts.model import Condition, Measurement

Node = Mapping[str, Any]

COMBINATORS = ("all", "any", "not", "at_least")
QUALIFIERS = ("as", "reads", "when_not_supplied", "because", "cites")


class Vocabulary:
    """What criteria may refer to; the loader fills it before anything is compiled."""

    def __init__(self, value_sets: frozenset[str], analytes: Mapping[str, tuple[str, ...]]) -> None:
        self.value_sets = value_sets
        self.analytes = dict(analytes)
        """Analyte id to its unit families."""
        self.facts: dict[str, dict[Reading, Test]] = {}
        self.findings: dict[str, frozenset[str]] = {}
        """Rule id to its band ids."""
        self.upper_limits: dict[str, Decimal] = {}
        self.levels: dict[str, int] = {}
        """Tier level to its lowest number of points."""


class Compiler:
    """Compiles the criteria of one document; every mistake is told with its line."""

    def __init__(self, document: Document, vocabulary: Vocabulary) -> None:
        self.document, self.vocabulary = document, vocabulary
        self.uses_findings: set[str] = set()
        self.uses_facts: set[str] = set()
        self.binds: set[str] = set()

    def compile(self, node: Any, path: Path_, reading: Reading = "surely") -> Test:
        """The test of one criterion. Raises RuleError."""
        if not isinstance(node, dict):
            self.document.fail(path, "a criterion is a mapping such as {medication: {in: loop-diuretic}}")
        reading = _reading(node.get("reads"), reading)
        names = [key for key in node if key not in QUALIFIERS]
        if len(names) != 1:
            self.document.fail(path, f"one criterion at a time, found {', '.join(names) or 'none'}")
        name = names[0]
        build = _BUILDERS.get(name)
        if build is None:
            self.document.fail((*path, name), f"{name!r} is no criterion; known are {', '.join(sorted(_BUILDERS))}")
        test = build(self, node[name], (*path, name), reading, node)
        if "as" in node:
            self.binds.add(node["as"])
        if node.get("when_not_supplied") == "no":
            return _unknown_means_no(test)
        return test

    def duration(self, value: object, path: Path_) -> timedelta:
        try:
            return parse_duration(value)
        except ValueError as error:
            self.document.fail(path, str(error))

    def sets(self, value: Any, path: Path_) -> tuple[str, ...]:
        ids = tuple([value] if isinstance(value, str) else value)
        for set_id in ids:
            if set_id not in self.vocabulary.value_sets:
                self.document.fail(path, f"there is no value set {set_id!r}")
        return ids

    def analyte(self, value: Any, path: Path_) -> str:
        if value not in self.vocabulary.analytes:
            self.document.fail(path, f"there is no analyte {value!r}; known are units files and derived measurements")
        return str(value)

    def threshold(self, value: object, analyte: str, path: Path_) -> Threshold:
        """A threshold with a number for every unit family of the analyte."""
        try:
            threshold = parse_threshold(value)
        except ValueError as error:
            self.document.fail(path, str(error))
        families = self.vocabulary.analytes[analyte]
        missing = [family for family in families if family not in threshold]
        strange = [family for family in threshold if family not in families]
        if missing or strange:
            self.document.fail(path, f"{analyte} is compared in {' | '.join(families)}: write one cut-off for each")
        return threshold

    def question(self, node: Node, analyte: str, path: Path_) -> Callable[[Measurement], Verdict] | None:
        """The comparison(s) a criterion makes with one result; None when it makes none."""
        questions: list[Callable[[Measurement], Verdict]] = []
        for word, compare in COMPARISONS.items():
            if word in node:
                threshold = self.threshold(node[word], analyte, (*path, word))
                questions.append(_comparison(compare, threshold))
        if "times_upper_limit" in node:
            questions.append(self._times_upper_limit(node["times_upper_limit"], analyte, (*path, "times_upper_limit")))
        if "value_in" in node:
            wanted = frozenset(self.sets(node["value_in"], (*path, "value_in")))
            questions.append(lambda result: YES if result.answers & wanted else NO)
        if not questions:
            return None
        if len(questions) == 1:
            return questions[0]
        return lambda result: min(question(result) for question in questions)

    def _times_upper_limit(self, node: Node, analyte: str, path: Path_) -> Callable[[Measurement], Verdict]:
        default = self.vocabulary.upper_limits.get(analyte)
        if default is None:
            self.document.fail(path, f"{analyte} has no default upper limit in its units file")
        (word, factor) = next(iter(node.items()))
        compare, times = COMPARISONS[word], Decimal(str(factor))
        return lambda result: compare(result, times * (result.upper_limit or default))


def _reading(stated: object, inherited: Reading) -> Reading:
    match stated:
        case "cautious":
            return "cautiously"
        case "sure":
            return "surely"
        case "bands":
            return "bands"
    return inherited


def _unknown_means_no(test: Test) -> Test:
    def answer(context: Context) -> Verdict:
        verdict = test(context)
        return NO if verdict == UNKNOWN else verdict

    return answer


def _comparison(
    compare: Callable[[Measurement, Decimal], Verdict], threshold: Threshold
) -> Callable[[Measurement], Verdict]:
    def question(result: Measurement) -> Verdict:
        limit = threshold.get(result.family)
        return UNKNOWN if limit is None else compare(result, limit)

    return question


# -- combinators -----------------------------------------------------------------------------------------------------


def _all(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    tests = _tests(compiler, node, path, reading)

    def answer(context: Context) -> Verdict:
        lowest = YES
        for test in tests:
            verdict = test(context)
            if verdict == NO:
                return NO
            lowest = min(lowest, verdict)
        return lowest

    return answer


def _any(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    tests = _tests(compiler, node, path, reading)

    def answer(context: Context) -> Verdict:
        highest = NO
        for test in tests:
            verdict = test(context)
            highest = max(highest, verdict)
        return highest

    return answer


def _not(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    if any(key in node for key in ("observation", "rise", "persists")):
        compiler.document.fail(path, "no result is a no to every comparison: write the opposite comparison, not `not`")
    test = compiler.compile(node, path, reading)

    def answer(context: Context) -> Verdict:
        mark = len(context.evidence)
        verdict = 2 - test(context)
        del context.evidence[mark:]
        return verdict

    return answer


def _at_least(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    count = node["count"]
    tests = _tests(compiler, node["of"], (*path, "of"), reading)

    def answer(context: Context) -> Verdict:
        verdicts = [test(context) for test in tests]
        sure = verdicts.count(YES)
        if sure >= count:
            return YES
        return UNKNOWN if sure + verdicts.count(UNKNOWN) >= count else NO

    return answer


def _tests(compiler: Compiler, nodes: Any, path: Path_, reading: Reading) -> tuple[Test, ...]:
    if not isinstance(nodes, list) or not nodes:
        compiler.document.fail(path, "give a list of criteria")
    return tuple(compiler.compile(node, (*path, index), reading) for index, node in enumerate(nodes))


# -- medicines -------------------------------------------------------------------------------------------------------


def _medication(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    sets = compiler.sets(node["in"], (*path, "in"))
    without = frozenset(compiler.sets(node.get("not_in", ()), (*path, "not_in")))
    wide = reading != "surely"
    filters = _medication_filters(compiler, node, path)
    name, unlike, renewals = outer.get("as", ""), node.get("unlike", ""), node.get("renewals") == "apart"
    drafts, count = node.get("drafts", "count"), node.get("count", 1)

    def answer(context: Context) -> Verdict:
        matched: list[MedicationMatch] = []
        highest = NO
        for set_id in sets:
            for match in context.medications.get(set_id, ()):
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
                verdict = min((test(context, match) for test in filters), default=YES)
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
            return max(NO, _unless_supplied(context, "medications", wide))
        return max(highest, _unless_supplied(context, "medications", wide))

    return answer


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
        filters.append(lambda context, match: _started_before(match, context.now - at_least))
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
        form = node["form"]
        filters.append(lambda _, match: UNKNOWN if match[0].form is None else YES if match[0].form == form else NO)
    if "indication" in node:
        wanted = frozenset(compiler.sets(node["indication"], (*path, "indication")))
        filters.append(lambda _, match: YES if match[0].indications & wanted else NO)
    if "with_ingredient" in node:
        partner = frozenset(compiler.sets(node["with_ingredient"], (*path, "with_ingredient")))
        filters.append(lambda _, match: YES if match[0].sets & partner else NO)
    return tuple(filters)


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


def _unless_supplied(context: Context, kind: str, cautious: bool = False) -> Verdict:
    """No when the data were supplied; unknown, and named, when they were not."""
    if kind in context.facts.not_supplied or (cautious and kind in context.facts.incomplete):
        context.missing.add(kind)
        return UNKNOWN
    return NO


# -- results ---------------------------------------------------------------------------------------------------------


def _observation(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    if "of" in node:
        return _bound_observation(compiler, node, path)
    analyte = compiler.analyte(node["in"], (*path, "in"))
    question = compiler.question(node, analyte, path) or (lambda _: YES)
    within = compiler.duration(node["within"], (*path, "within")) if "within" in node else None
    preliminary = node.get("preliminary") == "counts"
    hemolyzed_apart = node.get("hemolyzed") == "apart"
    name = outer.get("as", "")
    cautious = reading == "cautiously"
    worst_of, any_of = node.get("worse_of", 0), node.get("any_of", 0)
    worst = max if any(word in node for word in ("above", "at_least")) else min

    def answer(context: Context) -> Verdict:
        found = context.results.get(analyte, ())
        since = None if within is None else context.now - within
        if hemolyzed_apart:
            found = tuple(result for result in found if not result.hemolyzed)
        if worst_of:
            newest = series.usable(found)[:worst_of]
            found = (worst(newest, key=lambda result: result.low or Decimal(0)),) if newest else ()
        if any_of:
            verdict, result = _any_of(series.usable(found)[:any_of], question)
        elif cautious:
            verdict, result = series.read_cautiously(found, question, since)
        else:
            verdict, result = series.read_surely(found, question, since, preliminary)
        if verdict == YES and result is not None:
            context.evidence.append(result)
            if name and name not in context.bound:
                context.bound[name] = result
        elif verdict == NO and result is None:
            return _unless_supplied(context, "observations", cautious)
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
    if not final:
        return NO
    verdict = question(final[0])
    if verdict == YES:
        context.bound[name] = final[0]
        context.evidence.append(final[0])
    return verdict


def _no_result(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    names = [node["in"]] if isinstance(node["in"], str) else node["in"]
    analytes = tuple(compiler.analyte(name, (*path, "in")) for name in names)
    within = compiler.duration(node["within"], (*path, "within")) if "within" in node else None
    since_sets = compiler.sets(node["since"]["in"], (*path, "since")) if "since" in node else ()
    since_within = compiler.duration(node["since"]["within"], (*path, "since")) if since_sets else timedelta()
    name = outer.get("as", "")

    def answer(context: Context) -> Verdict:
        since = None if within is None else context.now - within
        if since_sets:
            event = _newest_condition(context, since_sets, context.now - since_within)
            if event is None:
                return NO
            since = event.astimezone(context.settings.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        latest: Measurement | None = None
        for analyte in analytes:
            for result in series.usable(context.results.get(analyte, ())):
                taken = result.at_earliest or result.at
                if since is None or (taken is not None and taken >= since):
                    return NO
                latest = result if latest is None or (taken and latest.at and taken > latest.at) else latest
        if _unless_supplied(context, "observations"):
            return UNKNOWN
        if name and name not in context.bound:
            context.bound[name] = NoResultSince(latest)
        return YES

    return answer


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


def _conflict(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    analyte = compiler.analyte(node["in"], (*path, "in"))
    within = compiler.duration(node["within"], path)
    apart = compiler.duration(node["apart"], path)
    by = compiler.threshold(node["differ_by"], analyte, path)
    name = outer.get("as", "")

    def answer(context: Context) -> Verdict:
        verdict, pair = series.conflict(context.results.get(analyte, ()), within, apart, by, context.now)
        if verdict == YES:
            context.evidence.extend(pair)
            if name and name not in context.bound:
                context.bound[name] = pair[0]
        return verdict

    return answer


def _unreadable(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    analyte = compiler.analyte(node["in"], (*path, "in"))
    within = compiler.duration(node["within"], path)
    below = compiler.threshold(node["below"], analyte, (*path, "below"))
    at_least = compiler.threshold(node["at_least"], analyte, (*path, "at_least"))
    # the unit cannot be read, so the number is taken as if it stood in the first family
    family = compiler.vocabulary.analytes[analyte][0]
    name = outer.get("as", "")

    def answer(context: Context) -> Verdict:
        verdict, result = series.unreadable_extreme(
            context.results.get(analyte, ()),
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


def _hemolyzed(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    name = node["of"]

    def answer(context: Context) -> Verdict:
        result = context.bound.get(name)
        return YES if isinstance(result, Measurement) and result.hemolyzed else NO

    return answer


def _preliminary(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    name = node["of"]

    def answer(context: Context) -> Verdict:
        result = context.bound.get(name)
        return YES if isinstance(result, Measurement) and result.preliminary else NO

    return answer


def _rise(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    analyte = compiler.analyte(node["in"], (*path, "in"))
    within = compiler.duration(node["within"], (*path, "within"))
    before = compiler.duration(node["above_lowest_of"], (*path, "above_lowest_of"))
    amount = str(node["at_least"])
    if amount.endswith(" times"):
        times = Decimal(amount.removesuffix(" times"))

        def rose(newest: Measurement, earlier: Measurement) -> bool:
            if newest.low is None or earlier.high is None or newest.family != earlier.family:
                return False
            return newest.low >= times * earlier.high
    else:
        by = compiler.threshold(amount, analyte, (*path, "at_least"))

        def rose(newest: Measurement, earlier: Measurement) -> bool:
            if newest.low is None or earlier.high is None or newest.family != earlier.family:
                return False
            return newest.low - earlier.high >= by[newest.family]

    cautious = reading == "cautiously"

    def answer(context: Context) -> Verdict:
        found = context.results.get(analyte, ())
        verdict, pair = series.rise(found, within, before, rose, context.now, cautious)
        context.evidence.extend(pair)
        return verdict if found or verdict else _unless_supplied(context, "observations", cautious)

    return answer


def _persists(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    analyte = compiler.analyte(node["in"], (*path, "in"))
    question = compiler.question(node, analyte, path)
    if question is None:
        compiler.document.fail(path, "say what persists: below, at_least, above or at_most")
    apart = compiler.duration(node["apart"], (*path, "apart"))
    name = outer.get("as", "")

    def answer(context: Context) -> Verdict:
        verdict, pair = series.persists(context.results.get(analyte, ()), question, apart)
        context.evidence.extend(pair)
        if pair and name and name not in context.bound:
            context.bound[name] = pair[0]
        return verdict

    return answer


def _fall(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    analyte = compiler.analyte(node["in"], (*path, "in"))
    period, unit_of_time = compiler.duration(node["of"], path), compiler.duration(node["a"], path)
    least_apart = compiler.duration(node["apart"], path)
    more_than = compiler.threshold(node["more_than"], analyte, (*path, "more_than"))

    def answer(context: Context) -> Verdict:
        found = [result for result in series.usable(context.results.get(analyte, ())) if series.exact(result)]
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


# -- conditions and the rest of the record -----------------------------------------------------------------------------


def _condition(compiler: Compiler, node: Any, path: Path_, reading: Reading, outer: Node) -> Test:
    sets = compiler.sets(node["in"], (*path, "in"))
    within = compiler.duration(node["within"], (*path, "within")) if "within" in node else None
    or_active = "or_active" in node
    states = {"present"}
    if node.get("possible") == "counts" or reading == "cautiously":
        states.add("possible")
    if node.get("history") == "counts":
        states.add("history")
    count, name, cautious = node.get("count", 1), outer.get("as", ""), reading == "cautiously"

    def answer(context: Context) -> Verdict:
        sure: list[Condition] = []
        undated = 0
        for set_id in sets:
            for condition in context.conditions.get(set_id, ()):
                if condition.state not in states or condition in sure:
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
        return UNKNOWN if undated else _unless_supplied(context, "conditions", cautious)

    return answer


def _noted_since(condition: Condition, since: datetime) -> Verdict:
    """Whether a condition was recorded or began since then; unknown when it bears no date at all."""
    spans = [span for span in (condition.recorded, condition.onset) if span is not None]
    if not spans:
        return UNKNOWN
    if any(span.earliest >= since for span in spans):
        return YES
    return UNKNOWN if any(span.latest >= since for span in spans) else NO


def _newest_condition(context: Context, sets: tuple[str, ...], since: datetime) -> datetime | None:
    """The latest instant at which a present or possible condition of `sets` was noted, if since then or undated."""
    newest: datetime | None = None
    for set_id in sets:
        for condition in context.conditions.get(set_id, ()):
            if condition.state == "history" or _noted_since(condition, since) == NO:
                continue
            spans = [span.latest for span in (condition.recorded, condition.onset) if span is not None]
            noted = min(max(spans), context.now) if spans else context.now
            newest = noted if newest is None else max(newest, noted)
    return newest


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
        return highest or _unless_supplied(context, "procedures", reading == "cautiously")

    return answer


def _allergy(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    sets = compiler.sets(node["in"], (*path, "in"))

    def answer(context: Context) -> Verdict:
        if not context.allergy_sets.isdisjoint(sets):
            context.evidence.extend(a for a in context.facts.allergies if not a.sets.isdisjoint(sets))
            return YES
        return _unless_supplied(context, "allergies", reading == "cautiously")

    return answer


def _age(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    if node == "unknown":
        return lambda context: NO if context.age_range() else YES
    (word, years) = next((key, value) for key, value in node.items() if key in ("below", "at_least"))
    possibly = node.get("possible") == "counts"

    def answer(context: Context) -> Verdict:
        ages = context.age_range()
        if ages is None:
            return UNKNOWN
        youngest, oldest = ages
        passing = (youngest >= years, oldest >= years) if word == "at_least" else (oldest < years, youngest < years)
        if passing[0] or (passing[1] and possibly):
            return YES
        return UNKNOWN if passing[1] else NO

    return answer


def _sex(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    def answer(context: Context) -> Verdict:
        sex = context.facts.patient.sex
        return UNKNOWN if sex is None else YES if sex == node else NO

    return answer


def _deceased(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    return lambda context: YES if context.facts.patient.deceased else NO


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
        return _unless_supplied(context, "observations")

    return answer


def _not_supplied(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    kinds = frozenset(node)

    def answer(context: Context) -> Verdict:
        absent = kinds & (context.facts.not_supplied | context.facts.incomplete)
        context.missing.update(absent)
        return YES if absent else NO

    return answer


# -- what earlier layers said ------------------------------------------------------------------------------------------


def _fact(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    compiler.uses_facts.add(node)
    tests = compiler.vocabulary.facts.get(node)
    if tests is None:
        compiler.document.fail(path, f"there is no fact {node!r} (or facts refer to each other in a circle)")
    test = tests[reading]
    key = (node, reading)

    def answer(context: Context) -> Verdict:
        known = context.remembered.get(key)
        if known is None:
            mark, missing_before = len(context.evidence), context.missing
            context.missing = set()
            bound, context.bound = context.bound, {}
            verdict = test(context)
            known = (verdict, tuple(context.evidence[mark:]) if verdict == YES else (), frozenset(context.missing))
            del context.evidence[mark:]
            context.missing, context.bound = missing_before, bound
            context.remembered[key] = known
        verdict, evidence, missing = known
        context.evidence.extend(evidence)
        context.missing |= missing
        return verdict

    return answer


def _finding(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    rule_id, bands = (node, None) if isinstance(node, str) else (node["id"], node.get("band"))
    known = compiler.vocabulary.findings.get(rule_id)
    if known is None:
        compiler.document.fail(path, f"there is no rule {rule_id!r}")
    wanted = known if bands is None else frozenset([bands] if isinstance(bands, str) else bands)
    for band in wanted - known:
        compiler.document.fail(path, f"rule {rule_id} has no band {band!r}; it has {', '.join(sorted(known))}")
    compiler.uses_findings.add(rule_id)

    def answer(context: Context) -> Verdict:
        finding = context.findings.get(rule_id)
        if finding is None:
            return NO
        if finding.fired and (bands is None or finding.band in wanted):
            return YES
        return UNKNOWN if finding.verdict == "unknown" else NO

    return answer


def _tier(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    level = node["at_least"]
    if level not in compiler.vocabulary.levels:
        compiler.document.fail(path, f"there is no tier level {level!r}")
    rank = list(compiler.vocabulary.levels)

    def answer(context: Context) -> Verdict:
        tier = context.tier
        return YES if tier is not None and rank.index(tier.level) >= rank.index(level) else NO

    return answer


def _contributors(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    outside, count = node.get("outside", ""), node["at_least"]

    def answer(context: Context) -> Verdict:
        tier = context.tier
        counted = [] if tier is None else [c for c in tier.contributors if c.points > 0 and c.group != outside]
        return YES if len(counted) >= count else NO

    return answer


def _mode(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    quiet = node == "quiet"
    return lambda context: YES if context.quiet is quiet else NO


def _shown(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    at_least = INDICATORS.index(node["at_least"])
    wanted = frozenset(INDICATORS[at_least:])
    return lambda context: YES if wanted & context.shown else NO


def _setting(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    (name, value) = next(iter(node.items()))
    if name not in ("risk_summary", "region"):
        compiler.document.fail(path, f"there is no setting {name!r} that rules may ask")
    return lambda context: YES if getattr(context.settings, name) == value else NO


_BUILDERS: dict[str, Callable[[Compiler, Any, Path_, Reading, Node], Test]] = {
    "all": _all,
    "any": _any,
    "not": _not,
    "at_least": _at_least,
    "medication": _medication,
    "order": _order,
    "observation": _observation,
    "no_result": _no_result,
    "doubtful": _doubtful,
    "conflict": _conflict,
    "unreadable": _unreadable,
    "hemolyzed": _hemolyzed,
    "preliminary": _preliminary,
    "rise": _rise,
    "fall": _fall,
    "persists": _persists,
    "condition": _condition,
    "procedure": _procedure,
    "allergy": _allergy,
    "age": _age,
    "sex": _sex,
    "deceased": _deceased,
    "due_date": _due_date,
    "not_supplied": _not_supplied,
    "fact": _fact,
    "finding": _finding,
    "tier": _tier,
    "contributors": _contributors,
    "mode": _mode,
    "shown": _shown,
    "setting": _setting,
}
