"""A ruleset on the bench: its documents with their lines, its scenarios as Facts, and what each scenario evaluates."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from cds_service.assess import Assessment, assess_facts
from cds_service.engine.compiler import BUILDERS, GUARDED, Builder, Compiler, Node
from cds_service.engine.context import Context, Reading
from cds_service.engine.knowledge import Knowledge
from cds_service.engine.loader import TOPICS, load_knowledge
from cds_service.engine.loader_rules import gate as build_gate
from cds_service.engine.loader_rules import rule as build_rule
from cds_service.engine.model import Test
from cds_service.engine.source import Document, Path_, read_document
from cds_service.engine.verdicts import Verdict
from cds_service.facts.decode import build_facts
from cds_service.facts.model import Facts
from cds_service.ruleset import Ruleset
from cds_service.scenarios import Case, Mismatch, Runner, Scenario
from cds_service.scenarios.compare import Comparison

Place = tuple[str, Path_]
"""A criterion: the file it stands in, and where in it."""


class Prepared(msgspec.Struct, frozen=True):
    """A scenario as Facts: the rules have no part in these, so they serve every variant of the rules."""

    case: Case
    facts: Facts

    @property
    def scenario(self) -> Scenario:
        return self.case.scenario


def documents_of(ruleset: Ruleset) -> dict[str, Document]:
    """Every YAML file that was loaded, by its path in the folder, with its lines."""
    folder, site = ruleset.folder, ruleset.site.documents
    return {
        name: site.get(name) or read_document(folder / name, f"{folder.name}/{name}")
        for name in sorted(ruleset.knowledge.sources)
    }


def scenarios_of(ruleset: Ruleset, fixtures: Iterable[Path]) -> list[Scenario]:
    """The rules' own scenarios and those of files and folders, without those that wait for a rule. Raises RuleError."""
    runner = Runner(ruleset)
    told = [*runner.of_rules(), *runner.in_files(fixtures, ruleset.folder.parent)]
    return [scenario for scenario in told if set(scenario.requires) <= runner.rules]


def prepare(ruleset: Ruleset, scenarios: Iterable[Scenario]) -> list[Prepared]:
    """The scenarios as Facts. Raises RuleError when one cannot be understood."""
    runner = Runner(ruleset)
    return [prepare_one(runner, scenario) for scenario in scenarios]


def prepare_one(runner: Runner, scenario: Scenario) -> Prepared:
    """One scenario as Facts. Raises RuleError when it cannot be understood."""
    case = runner.case(scenario)
    return Prepared(case, build_facts(case.gathered(), runner.ruleset.terminology, case.settings, case.calendar.now))


def rebuilt(ruleset: Ruleset, instead: Mapping[str, Document]) -> Ruleset:
    """The same ruleset with other documents, which no schema checks. Raises RulesetError, or what nonsense causes."""
    vocabulary = ruleset.knowledge.vocabulary
    knowledge: Knowledge = load_knowledge(
        ruleset.folder, vocabulary.value_sets, vocabulary.to_si, vocabulary.upper_limits, instead
    )
    return msgspec.structs.replace(ruleset, knowledge=knowledge)


def with_part(ruleset: Ruleset, name: str, document: Document) -> Ruleset | None:
    """The same ruleset with one rule, or one gate of a treatment, read anew; None for a file of another kind.

    Nothing else is compiled, so it serves only where a rule's bands stay: other rules may name them. Raises RuleError.
    """
    changed = copy.copy(ruleset.knowledge)
    if name.partition("/")[0] in TOPICS:
        rule, _ = build_rule(document, changed.vocabulary)
        changed.rules = tuple(rule if one.file == document.file else one for one in changed.rules)
    elif name.startswith("gates/") and "treats" in document.data:
        gate = build_gate(document, changed.vocabulary)
        changed.gates = {**changed.gates, gate.id: gate}
    else:
        return None
    return msgspec.structs.replace(ruleset, knowledge=changed)


def assessed(prepared: Prepared, ruleset: Ruleset) -> Assessment:
    return assess_facts(prepared.facts, ruleset, prepared.case.settings)


def mismatches(prepared: Prepared, assessment: Assessment, ruleset: Ruleset) -> list[Mismatch]:
    return Comparison(prepared.case, assessment, ruleset).mismatches()


class Watch:
    """Notes how every criterion was answered since `clear`: a set of verdicts, as bits, for each place."""

    def __init__(self) -> None:
        self.answers: dict[Place, int] = {}
        self.places: set[Place] = set()
        """Every criterion that there is."""

    def taken(self) -> dict[Place, int]:
        """What was noted; then a clean sheet."""
        noted = dict(self.answers)
        self.answers.clear()
        return noted

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Criteria that are compiled in here are watched from then on, and none is answered without being asked."""
        plain, guarded = dict(BUILDERS), set(GUARDED)
        BUILDERS.update({name: self._watched(build) for name, build in plain.items()})
        GUARDED.clear()
        try:
            yield
        finally:
            BUILDERS.update(plain)
            GUARDED.update(guarded)

    def _watched(self, build: Builder) -> Builder:
        answers = self.answers

        def built(compiler: Compiler, value: Any, path: Path_, reading: Reading, outer: Node) -> Test:
            test = build(compiler, value, path, reading, outer)
            place = (compiler.document.file, path[:-1])
            self.places.add(place)

            def answer(context: Context) -> Verdict:
                verdict = test(context)
                answers[place] = answers.get(place, 0) | 1 << verdict
                return verdict

            return answer

        return built


def watched(ruleset: Ruleset, instead: Mapping[str, Document]) -> tuple[Ruleset, Watch]:
    """The same ruleset with every criterion watched."""
    watch = Watch()
    with watch.compiling():
        return rebuilt(ruleset, instead), watch
