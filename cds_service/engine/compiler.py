"""Compiles one criterion of a rules file into a three-valued test, and tells every mistake with its line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from cds_service.engine.context import Context, Reading
from cds_service.engine.model import Gate, Test
from cds_service.engine.needs import Needs, needs
from cds_service.engine.quantity import COMPARISONS, Threshold, parse_duration, parse_threshold
from cds_service.engine.source import Document, Path_
from cds_service.engine.verdicts import NO, UNKNOWN, YES, Verdict
from cds_service.facts.model import Measurement

Node = Mapping[str, Any]

QUALIFIERS = ("as", "reads", "when_not_supplied", "because", "cites")


Builder = Callable[["Compiler", Any, Path_, Reading, Node], Test]
BUILDERS: dict[str, Builder] = {}
"""Every criterion by its name; the modules of `engine.criteria` fill it."""


def criterion(name: str) -> Callable[[Builder], Builder]:
    """Registers the builder of one criterion under the name rules use."""

    def register(build: Builder) -> Builder:
        BUILDERS[name] = build
        return build

    return register


class Vocabulary:
    """What criteria may refer to; the loader fills it before anything is compiled."""

    def __init__(self, value_sets: frozenset[str], analytes: Mapping[str, tuple[str, ...]]) -> None:
        self.value_sets = value_sets
        self.analytes = dict(analytes)
        """Analyte id to its unit families."""
        self.facts: dict[str, dict[Reading, Test]] = {}
        self.fact_needs: dict[str, Needs] = {}
        self.gates: dict[str, Gate] = {}
        """The tables about an advice, which criteria may ask."""
        self.findings: dict[str, frozenset[str]] = {}
        """Rule id to its band ids."""
        self.upper_limits: dict[str, Decimal] = {}
        self.to_si: dict[str, dict[str, Decimal]] = {}
        """Analyte id to the factor of each of its unit families, for trends over mixed units."""
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
        build = BUILDERS.get(name)
        if build is None:
            self.document.fail((*path, name), f"{name!r} is no criterion; known are {', '.join(sorted(BUILDERS))}")
        test = build(self, node[name], (*path, name), reading, node)
        if "as" in node:
            self.binds.add(node["as"])
        if node.get("when_not_supplied") == "no":
            return _unknown_means_no(test)
        if name in GUARDED:
            return _guarded(test, needs(node, self.vocabulary.fact_needs))
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


GUARDED = {"all", "any", "at_least", "fact"}
"""Criteria that are worth a guard. The review tools empty it to see every criterion asked."""


def _guarded(test: Test, needed: Needs) -> Test:
    """A no at once for a patient who has nothing of what the criterion needs."""
    if not needed:
        return test

    def answer(context: Context) -> Verdict:
        present = context.present
        if present is not None:
            for names in needed:
                if names.isdisjoint(present):
                    return NO
        return test(context)

    return answer


def _unknown_means_no(test: Test) -> Test:
    """`when_not_supplied: no`: neutralizes data that were not supplied, not data that cannot be read."""

    def answer(context: Context) -> Verdict:
        before, context.missing = context.missing, set()
        verdict = test(context)
        absent, context.missing = context.missing, before | context.missing
        return NO if verdict == UNKNOWN and absent else verdict

    return answer


def _comparison(
    compare: Callable[[Measurement, Decimal], Verdict], threshold: Threshold
) -> Callable[[Measurement], Verdict]:
    def question(result: Measurement) -> Verdict:
        limit = threshold.get(result.family)
        return UNKNOWN if limit is None else compare(result, limit)

    return question


def unless_supplied(context: Context, kind: str, cautious: bool = False) -> Verdict:
    """No when the data were supplied; unknown, and named, when they were not."""
    if kind in (context.absent_or_incomplete if cautious else context.absent):
        context.missing.add(kind)
        return UNKNOWN
    return NO
