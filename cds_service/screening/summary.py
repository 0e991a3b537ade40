"""What a run came to, without any patient: run.json."""

from __future__ import annotations

import resource
from collections.abc import Iterable

import msgspec

from cds_service.screening.plan import Plan

MOST_NAMED = 1_000
"""So many broken lines are named in run.json; all are counted."""


class BrokenPlace(msgspec.Struct, frozen=True, order=True):
    """A line that could not be read, by its place alone."""

    file: str
    line: int
    patient_known: bool
    """Whether it still named its patient, who then has a data gap; else nobody knows whose it was."""


class Cost(msgspec.Struct, frozen=True):
    """What the run took. Differs from run to run; everything else in run.json does not."""

    seconds: float
    workers: int
    peak_mb_largest_process: float
    peak_mb_all_processes: float
    """The sum over the processes, in which memory that they share counts more than once."""
    kb_per_patient: float
    """The peak of all processes over the patients: falls as exports grow, because memory is bounded."""
    resumed: bool = False


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """run.json. Everything in it is about the run; nothing about a patient."""

    plan: Plan
    files: int
    lines: int
    bytes_read: int
    types: dict[str, int]
    lines_skipped: int
    """Of types that no rule reads."""
    lines_about_nobody: int
    """Without a patient that can be told."""
    broken_lines: int
    broken: tuple[BrokenPlace, ...]
    export_errors: int
    deleted_files: int
    passed_over: tuple[str, ...]
    not_supplied: tuple[str, ...]
    statuses: dict[str, int]
    left_out: int
    """Patients deleted, or without a change since the instant asked for."""
    resources: int
    unmapped: list[tuple[str, str, str, int, int]]
    """Where it stands, code system, code or unit, patients, resources."""
    unreadable_files: tuple[str, ...] = ()
    cost: Cost | None = None

    @property
    def patients(self) -> int:
        return sum(self.statuses.values())


def peak_mb() -> float:
    """The most memory that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cost_of(seconds: float, workers: int, own: float, peaks: Iterable[float], patients: int, resumed: bool) -> Cost:
    """The cost from the peaks (MB) of this process and of the workers."""
    peaks = [own, *peaks]
    return Cost(
        round(seconds, 2),
        workers,
        round(max(peaks), 1),
        round(sum(peaks), 1),
        round(sum(peaks) * 1024 / max(patients, 1), 1),
        resumed,
    )
