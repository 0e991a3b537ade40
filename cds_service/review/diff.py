"""What a change of the rules does: in words, and in the outcome of scenarios."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from cds_service.assess import Assessment
from cds_service.engine.source import RuleError
from cds_service.review.bench import assessed, prepare_one, scenarios_of
from cds_service.review.changes import FileChange, ValueSetChange, changed_files, changed_value_sets
from cds_service.ruleset import Ruleset
from cds_service.scenarios import Case, Runner, Scenario
from cds_service.scenarios.compare import ASSESSMENT
from cds_service.scenarios.offers import offered_on


class OutcomeChange(msgspec.Struct, frozen=True):
    """A scenario that ends otherwise: each line of its outcome that is there only before, only after."""

    title: str
    place: str
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]


class RulesDiff(msgspec.Struct, frozen=True):
    """Everything that differs between two rules folders."""

    files: tuple[FileChange, ...]
    value_sets: tuple[ValueSetChange, ...]
    scenarios_run: int
    outcomes: tuple[OutcomeChange, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.files or self.value_sets or self.outcomes)


def compare(old: Ruleset, new: Ruleset, old_fixtures: Iterable[Path], new_fixtures: Iterable[Path]) -> RulesDiff:
    """Everything that differs. The scenarios of both are run with both. Raises RuleError."""
    told = _once([*scenarios_of(new, new_fixtures), *scenarios_of(old, old_fixtures)])
    outcomes = []
    old_runner, new_runner = Runner(old), Runner(new)
    for scenario in told:
        before, after = _outcome(scenario, old_runner), _outcome(scenario, new_runner)
        if before != after:
            outcomes.append(
                OutcomeChange(
                    title=scenario.title,
                    place=scenario.place,
                    only_before=tuple(line for line in before if line not in after),
                    only_after=tuple(line for line in after if line not in before),
                )
            )
    return RulesDiff(
        files=tuple(changed_files(old, new)),
        value_sets=tuple(changed_value_sets(old.folder, new.folder)),
        scenarios_run=len(told),
        outcomes=tuple(outcomes),
    )


def _once(scenarios: Iterable[Scenario]) -> list[Scenario]:
    """Each case once: of two that are told alike, but for what they expect, the first."""
    found: dict[bytes, Scenario] = {}
    for scenario in scenarios:
        case = {key: value for key, value in scenario.told.items() if key not in ("expect", "name")}
        found.setdefault(msgspec.json.encode([scenario.name, str(scenario.today), case], order="sorted"), scenario)
    return list(found.values())


def _outcome(scenario: Scenario, runner: Runner) -> tuple[str, ...]:
    """What comes of a scenario, a line for each thing that a clinician would notice."""
    try:
        one = prepare_one(runner, scenario)
    except RuleError as error:
        return (f"cannot be told: {error.message}",)
    return tuple(_lines(one.case, assessed(one, runner.ruleset), runner.ruleset))


def _lines(case: Case, assessment: Assessment, ruleset: Ruleset) -> list[str]:
    lines: list[str] = []
    topics = {rule.topic: rule.id for rule in ruleset.knowledge.rules}
    for card in assessment.cards:
        rule = topics.get(card.source.topic.code, card.source.topic.code)
        lines.append(f"card {rule} {card.indicator}: {card.summary}")
        lines += [
            f"card {rule} offers {offer}"
            for offer in offered_on(card, ruleset.knowledge, case.calendar.now, case.settings.zone)
        ]
        folded = [one for one in card.extension.get(ASSESSMENT, {}).get("rules", ()) if one != rule]
        lines += [f"card {rule} names {one}" for one in folded]
    for gate, decision in sorted(assessment.decisions.items()):
        verdict = "allows" if decision.draft is not None else "forbids"
        lines.append(f"gate {gate} {verdict} by {decision.row}")
    lines += [
        f"finding {one.rule.id}: {one.band}, {one.indicator or 'silent'}" for one in assessment.findings if one.fired
    ]
    if assessment.tier is not None:
        lines.append(f"contributor level {assessment.tier.level}, {assessment.tier.points} points")
    if assessment.gate:
        lines.append(f"no cards because of {assessment.gate}")
    return lines
