"""Runs scenarios against slightly wrong rules, and says which slip none of them notices.

Only scenarios that ask the changed criterion can notice, so only these are run, the likeliest first, and only until one
fails. A slip in the final sweep is tried a second time with the gates wide open, because behind them the sweep may
never get its turn.
"""

from __future__ import annotations

import functools
import multiprocessing
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from cds_service.assess import Assessment
from cds_service.engine.source import Document, RuleError, RulesetError
from cds_service.engine.verdicts import NO
from cds_service.review.bench import Place, Prepared, assessed, documents_of, mismatches, rebuilt, watched, with_part
from cds_service.review.mutants import Mutant, mutants_of, mutated
from cds_service.ruleset import Ruleset
from cds_service.scenarios import Mismatch

_SWEEP = "safety/sweep.yaml"


class Verdict(msgspec.Struct, frozen=True):
    """What came of one mutant: killed (by a scenario), survived, or refused where the rules cannot be loaded so."""

    index: int
    outcome: str
    by: str = ""
    asked: int = 0
    """How many scenarios could have noticed."""


class Trial:
    """The rules as they stand, what each scenario says of them, and which criteria it asks."""

    def __init__(self, ruleset: Ruleset, documents: Mapping[str, Document], prepared: Sequence[Prepared]) -> None:
        self.documents, self.prepared = dict(documents), prepared
        watching, watch = watched(ruleset, documents)
        self.ruleset = rebuilt(ruleset, documents)
        self.baseline: list[Assessment] = []
        self.expected: list[frozenset[Mismatch]] = []
        """What differs already; nothing, unless the gates were opened."""
        self.asked: defaultdict[Place, list[int]] = defaultdict(list)
        self.relevant: defaultdict[Place, list[int]] = defaultdict(list)
        """The same, but only where the answer was not no."""
        self.places = watch.places
        watch.taken()
        for index, one in enumerate(prepared):
            assessed(one, watching)
            for place, verdicts in watch.taken().items():
                self.asked[place].append(index)
                if verdicts != 1 << NO:
                    self.relevant[place].append(index)
            assessment = assessed(one, self.ruleset)
            self.baseline.append(assessment)
            self.expected.append(frozenset(mismatches(one, assessment, self.ruleset)))
        self.killers: defaultdict[str, list[int]] = defaultdict(list)

    @property
    def failing(self) -> list[str]:
        """The scenarios that fail before anything was changed."""
        return [one.scenario.title for one, wrong in zip(self.prepared, self.expected, strict=True) if wrong]

    def run(self, mutant: Mutant) -> tuple[str, str, int]:
        """Outcome, the scenario that failed, and how many could have."""
        try:
            changed = self._changed(mutant)
        except (RuleError, RulesetError, ValueError, KeyError, TypeError, StopIteration, AttributeError):
            return "refused", "", 0
        asking = self._asking(mutant)
        for index in self._in_order(asking, mutant):
            if self._notices(index, changed):
                self._remember(mutant.name, index)
                return "killed", self.prepared[index].scenario.title, len(asking)
        return "survived", "", len(asking)

    def _changed(self, mutant: Mutant) -> Ruleset:
        document = mutated(self.documents[mutant.name], mutant)
        # other rules may name the bands of this one, so without one of them all is compiled anew
        alone = None if mutant.change == "band removed" else with_part(self.ruleset, mutant.name, document)
        return alone or rebuilt(self.ruleset, {**self.documents, mutant.name: document})

    def _notices(self, index: int, changed: Ruleset) -> bool:
        one, before = self.prepared[index], self.baseline[index]
        try:
            assessment = assessed(one, changed)
        except Exception:  # whatever it is: a request would fail, and so would the scenario
            return True
        if _is_same(assessment, before):
            return False
        return not self.expected[index].issuperset(mismatches(one, assessment, changed))

    def _asking(self, mutant: Mutant) -> list[int]:
        """The scenarios that ask the changed criterion, or the nearest one around it."""
        asking: set[int] = set()
        for edit in mutant.edits:
            asking.update(self._asking_at(mutant.file, edit.path))
        return sorted(asking)

    def _asking_at(self, file: str, path: tuple[str | int, ...]) -> Iterable[int]:
        for end in range(len(path), 0, -1):
            for place in ((file, path[:end]), (file, (*path[:end], "if"))):
                if place in self.places:
                    return self.asked.get(place, [])
        if (file, ()) in self.places:
            return self.asked.get((file, ()), [])
        if (file, ("when",)) in self.places:
            return self.relevant.get((file, ("when",)), [])
        return range(len(self.prepared))

    def _in_order(self, asking: Iterable[int], mutant: Mutant) -> list[int]:
        """Those that noticed something of this file before come first, then the rule's own."""
        rank = {index: place for place, index in enumerate(self.killers[mutant.name])}
        rule = Path(mutant.name).stem

        def key(index: int) -> tuple[int, bool, int]:
            return rank.get(index, len(rank)), self.prepared[index].scenario.rule != rule, index

        return sorted(asking, key=key)

    def _remember(self, name: str, index: int) -> None:
        known = self.killers[name]
        if index in known:
            known.remove(index)
        known.insert(0, index)


def _is_same(one: Assessment, other: Assessment) -> bool:
    return (
        one.cards == other.cards
        and one.mode == other.mode
        and one.gate == other.gate
        and _decisions(one) == _decisions(other)
        and _findings(one) == _findings(other)
        and _level(one) == _level(other)
    )


def _decisions(one: Assessment) -> dict[str, str]:
    return {gate: decision.row for gate, decision in one.decisions.items()}


def _findings(one: Assessment) -> list[tuple[object, ...]]:
    return [(f.rule.id, f.verdict, f.band, f.indicator, f.points, f.silenced, f.summary) for f in one.findings]


def _level(one: Assessment) -> tuple[str, int] | None:
    return None if one.tier is None else (one.tier.level, one.tier.points)


def opened(documents: Mapping[str, Document]) -> dict[str, Document]:
    """The same documents with gates that let everything pass, so that only the sweep stands in the way."""
    changed = dict(documents)
    for name, document in documents.items():
        if name.startswith("gates/") and "treats" in document.data:
            allowing = [row for row in document.data["rows"] if "allow" in row]
            last = {key: value for key, value in allowing[-1].items() if key != "if"} | {"id": "open"}
            changed[name] = document.with_data(document.data | {"rows": [*allowing, last]})
    return changed


class Court:
    """All mutants, and the trials in which they are judged. Made once, before the workers fork."""

    def __init__(self, ruleset: Ruleset, prepared: Sequence[Prepared]) -> None:
        self._ruleset, self._prepared = ruleset, prepared
        documents = documents_of(ruleset)
        self.mutants: list[Mutant] = list(mutants_of(documents, ruleset.folder))
        self.trial = Trial(ruleset, documents, prepared)

    @functools.cached_property
    def behind_open_gates(self) -> Trial:
        """The second trial of a slip in the sweep. It takes as long to prepare as the first, so only when asked for."""
        return Trial(self._ruleset, opened(self.trial.documents), self._prepared)

    def prepare(self, indices: Iterable[int]) -> None:
        """Makes what these mutants need, so that workers share it."""
        if any(self.mutants[index].name == _SWEEP for index in indices):
            _ = self.behind_open_gates

    def judge(self, index: int) -> Verdict:
        mutant = self.mutants[index]
        outcome, by, asked = self.trial.run(mutant)
        if outcome == "survived" and mutant.name == _SWEEP:
            outcome, by, behind = self.behind_open_gates.run(mutant)
            asked += behind
        return Verdict(index, outcome, by, asked)


_COURT: Court | None = None


def _judge(index: int) -> Verdict:
    assert _COURT is not None  # set before the workers fork
    return _COURT.judge(index)


def judged(court: Court, indices: Sequence[int], processes: int) -> Iterator[Verdict]:
    """The verdicts, as they come."""
    global _COURT
    _COURT = court
    court.prepare(indices)
    if processes < 2:
        yield from map(_judge, indices)
        return
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        yield from pool.imap_unordered(_judge, indices, chunksize=8)
