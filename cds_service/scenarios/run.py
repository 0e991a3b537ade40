"""Runs scenarios down the same road as a request, and tells in words what differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from cds_service.assess import Assessment, assess
from cds_service.cards.describe import describe
from cds_service.engine.model import Rule
from cds_service.engine.source import RuleError
from cds_service.facts.gathered import Gathered
from cds_service.facts.terminology import SNOMED
from cds_service.ruleset import Ruleset
from cds_service.scenarios.build import build
from cds_service.scenarios.case import Case
from cds_service.scenarios.compare import Comparison, Mismatch
from cds_service.scenarios.grammar import Scenario, files_in, of_rule, read_file
from cds_service.scenarios.when import day
from cds_service.scenarios.words import NoCode, UnknownWord, Words


class Outcome(msgspec.Struct, frozen=True):
    """How one scenario went."""

    scenario: Scenario
    mismatches: tuple[Mismatch, ...] = ()
    waiting_for: tuple[str, ...] = ()
    """Rules that do not exist yet, or SNOMED CT on a site without it; then nothing was judged."""
    facts: tuple[str, ...] = ()
    """The facts that were used, for the reader of a failure."""
    cards: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.mismatches and not self.waiting_for

    def text(self) -> str:
        """A readable account of a failure: where, expected, got, and the facts used."""
        lines = [f"{self.scenario.place}: {self.scenario.title}"]
        width = max((len(one.what) for one in self.mismatches), default=0)
        for one in self.mismatches:
            lines.append(f"  {one.what:<{width}}  expected  {one.expected}")
            lines.append(f"  {'':<{width}}  got       {one.got}")
        lines += ["  cards: " + (", ".join(self.cards) or "none"), "  facts used: " + ("; ".join(self.facts) or "none")]
        return "\n".join(lines)


class Runner:
    """Runs scenarios against one ruleset."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset
        self.words = Words(ruleset.terminology)
        self.rules = frozenset(rule.id for rule in ruleset.knowledge.active_rules)

    def case(self, scenario: Scenario) -> Case:
        """The scenario as FHIR. Raises RuleError with the scenario's place."""
        try:
            return build(scenario, self.words)
        except UnknownWord as error:
            raise RuleError(scenario.file, scenario.line, f"{scenario.name}: {error}") from None

    def assess(self, case: Case, gathered: Gathered | None = None) -> Assessment:
        """What the service says, by the road of a request unless `gathered` came by another."""
        return assess(gathered or case.gathered(), self.ruleset, case.settings, case.calendar.now)

    def run(self, scenario: Scenario) -> Outcome:
        """One scenario. Raises RuleError when it cannot be understood."""
        waiting = tuple(rule for rule in scenario.requires if rule not in self.rules)
        if not waiting and self.ruleset.without_snomed and self._needs_snomed(scenario):
            waiting = ("SNOMED CT",)
        if waiting:
            return Outcome(scenario, waiting_for=waiting)
        case = self.case(scenario)
        assessment = self.assess(case)
        comparison = Comparison(case, assessment, self.ruleset)
        return Outcome(
            scenario,
            mismatches=tuple(comparison.mismatches()),
            facts=self._facts(assessment, case),
            cards=tuple(map(str, comparison.cards)),
        )

    def of_rules(self) -> list[Scenario]:
        """The own scenarios of all active rules. Raises RuleError."""
        return [scenario for rule in self.ruleset.knowledge.active_rules for scenario in self.of_rule(rule)]

    def of_rule(self, rule: Rule) -> list[Scenario]:
        """The own scenarios of one rule. Raises RuleError."""
        site = self.ruleset.site.documents
        return of_rule(rule, self.ruleset.folder, day(self.words.said["today"]), site)

    def in_files(self, paths: Iterable[Path], shown_from: Path | None = None) -> list[Scenario]:
        """The scenarios of files and folders. Raises RuleError."""
        scenarios = []
        for path in files_in(paths):
            shown = path.relative_to(shown_from) if shown_from and path.is_relative_to(shown_from) else path
            scenarios += read_file(path, self.ruleset.folder, shown.as_posix())
        return scenarios

    def _needs_snomed(self, scenario: Scenario) -> bool:
        """Whether the case is told with SNOMED CT codes, which a site without them cannot recognize."""
        try:
            case = build(scenario, self.words)
        except NoCode:
            return True
        except UnknownWord:
            return False
        return any(
            system == SNOMED and not self.words.lists(system, code)
            for resource in (*case.resources, *case.drafts)
            for system, code in _codes(resource)
        )

    def _facts(self, assessment: Assessment, case: Case) -> tuple[str, ...]:
        used: dict[str, None] = {}
        for finding in assessment.findings:
            for fact in finding.evidence if finding.verdict == "yes" else ():
                text = describe(fact, self.ruleset.analyte_names, case.settings.zone)
                reference = getattr(fact, "reference", "")
                used[f"{text} ({reference})" if reference else text] = None
        return tuple(used)


class Checked(msgspec.Struct, frozen=True):
    """What came of the own scenarios of all active rules. A rule that has a failure must not go live."""

    run: int
    waiting: int
    """Of those, told with codes that this site does not have."""
    failures: tuple[RuleError, ...]
    """Each with the place of its scenario; the message is the account of expected and got, over several lines."""


def check_rules(ruleset: Ruleset) -> Checked:
    """Run every active rule's own truth table."""
    runner = Runner(ruleset)
    run = waiting = 0
    failures: list[RuleError] = []
    for rule in ruleset.knowledge.active_rules:
        try:
            for scenario in runner.of_rule(rule):
                run += 1
                outcome = runner.run(scenario)
                waiting += bool(outcome.waiting_for)
                if outcome.mismatches:
                    account = outcome.text().removeprefix(f"{scenario.place}: ")
                    failures.append(RuleError(scenario.file, scenario.line, account))
        except RuleError as error:
            failures.append(error)
    return Checked(run, waiting, tuple(failures))


def _codes(resource: Any) -> Iterator[tuple[str, str]]:
    """Every system and code in a resource."""
    if isinstance(resource, dict):
        if isinstance(resource.get("code"), str) and "system" in resource:
            yield resource["system"], resource["code"]
        for value in resource.values():
            yield from _codes(value)
    elif isinstance(resource, list | tuple):
        for value in resource:
            yield from _codes(value)
