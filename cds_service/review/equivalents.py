"""Mutants that change no answer, each with its reason, and what a run of all mutants came to."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import yaml

from cds_service.review.mutants import Mutant
from cds_service.review.trial import Verdict


class Equivalent(msgspec.Struct, frozen=True):
    """A slip that changes no answer, as it is listed; `*` in it stands for anything."""

    file: str
    slip: str
    because: str

    def is_of(self, mutant: Mutant) -> bool:
        return mutant.name == self.file and fnmatch.fnmatchcase(mutant.slip, self.slip.replace("[", "[[]"))


class _Reason(msgspec.Struct, forbid_unknown_fields=True):
    because: str
    slips: dict[str, list[str]]
    """By file."""


def read_equivalents(path: Path | None) -> list[Equivalent]:
    """The list as reviewed, by reason. Raises OSError, yaml.YAMLError, msgspec.ValidationError."""
    if path is None:
        return []
    reasons = msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")) or [], list[_Reason])
    return [
        Equivalent(file, slip, reason.because)
        for reason in reasons
        for file, slips in reason.slips.items()
        for slip in slips
    ]


class Report(msgspec.Struct):
    """What came of a run."""

    killed: int = 0
    refused: int = 0
    """The loader does not take the rules so."""
    survivors: list[tuple[Mutant, Verdict]] = []
    equivalents: list[Mutant] = []
    contradicted: list[tuple[Mutant, Verdict]] = []
    """Listed as equivalent, and yet a scenario noticed."""
    stale: list[Equivalent] = []
    """Entries of the list that fit no mutant."""

    @property
    def is_good(self) -> bool:
        return not (self.survivors or self.contradicted or self.stale)


def report_on(mutants: Sequence[Mutant], verdicts: Iterable[Verdict], known: Sequence[Equivalent]) -> Report:
    """The verdicts sorted out, in the order of the files."""
    report = Report()
    for verdict in sorted(verdicts, key=lambda one: one.index):
        mutant = mutants[verdict.index]
        is_known = any(one.is_of(mutant) for one in known)
        if verdict.outcome == "refused":
            report.refused += 1
        elif verdict.outcome == "killed":
            report.killed += 1
            if is_known:
                report.contradicted.append((mutant, verdict))
        elif is_known:
            report.equivalents.append(mutant)
        else:
            report.survivors.append((mutant, verdict))
    report.stale = [one for one in known if not any(one.is_of(mutant) for mutant in mutants)]
    return report
