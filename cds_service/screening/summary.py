"""What a run came to, without any patient: run.json."""

from __future__ import annotations

import resource
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from cds_service.screening.export import Export, what_is_missing
from cds_service.screening.parts import PartStats
from cds_service.screening.plan import Plan
from cds_service.screening.spill import Trailer

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


def summarize(
    plan: Plan, export: Export, trailers: Mapping[str, Trailer], stats: PartStats, unreadable: Iterable[str]
) -> Summary:
    """The summary of a run from what was counted; `trailers` by the names of blocks (`split.block_name`)."""
    types = types_of(trailers)
    broken = sorted(broken_places({at: file.path for at, file in enumerate(export.outputs)}, trailers))
    return Summary(
        plan=plan,
        files=len(export.outputs),
        lines=sum(one.lines for one in trailers.values()),
        bytes_read=sum(one.bytes_read for one in trailers.values()),
        types=types,
        lines_skipped=sum(one.skipped for one in trailers.values()),
        lines_about_nobody=sum(one.nobody for one in trailers.values()),
        broken_lines=len(broken),
        broken=tuple(broken[:MOST_NAMED]),
        export_errors=export.errors,
        deleted_files=len(export.deleted),
        passed_over=export.passed_over,
        not_supplied=tuple(sorted(what_is_missing(export, types).not_supplied)),
        statuses=dict(sorted(stats.statuses.items())),
        left_out=stats.unchanged,
        resources=stats.resources,
        unmapped=stats.unmapped,
        unreadable_files=tuple(sorted(unreadable)),
    )


def types_of(trailers: Mapping[str, Trailer]) -> dict[str, int]:
    """How many lines of each type were met."""
    types: Counter[str] = Counter()
    for one in trailers.values():
        types.update(one.types)
    return dict(sorted(types.items()))


def broken_places(names: Mapping[int, str], trailers: Mapping[str, Trailer]) -> Iterator[BrokenPlace]:
    """Broken lines by file and line: a block counts from where the blocks before it in the file end."""
    by_file: defaultdict[str, list[Trailer]] = defaultdict(list)
    for name in sorted(trailers):
        by_file[names[int(name.partition("-")[0])]].append(trailers[name])
    for file, blocks in by_file.items():
        before = 0
        for block in blocks:
            for one in block.broken:
                yield BrokenPlace(file, before + one.line, one.patient_known)
            before += block.lines


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
