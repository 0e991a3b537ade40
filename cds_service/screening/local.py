"""The local engine: all cores of one machine, and a folder that remembers what is done.

Phases: read (stretches of files into spill files by patient), share (Medications to where they are needed), assess
(partition by partition), write (one sorted file, Parquet). What is done is a file that was renamed into its place, so
a run that was killed goes on where it stood. Nothing of a patient is in this process but while it merges rows.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cds_service.screening.export import Export, Missing, what_is_missing
from cds_service.screening.finish import OUTPUTS, write_output
from cds_service.screening.folder import ScreeningFailed, Watcher, locked, open_work, seal
from cds_service.screening.lines import Stretch, Unreadable, stretches_of
from cds_service.screening.medications import ROUNDS, join_bucket, needs_more
from cds_service.screening.parts import PartStats, assess_partition
from cds_service.screening.patient import Frame
from cds_service.screening.plan import Cut, Plan
from cds_service.screening.spill import Trailer
from cds_service.screening.split import split_stretch
from cds_service.screening.summary import Summary, cost_of, peak_mb, summarize, types_of

_T = TypeVar("_T")


def screen(folder: Path, out: Path, export: Export, plan: Plan, frame: Frame, cut: Cut, watcher: Watcher) -> Summary:
    """Screens the export in `folder` into `out`. Raises `ScreeningFailed`.

    `plan` must be what `settle` returned for the same folder.
    """
    begun = time.monotonic()
    with locked(out):
        work = open_work(out)
        resumed = any((work / "spills").iterdir())
        workers = cut.workers or len(os.sched_getaffinity(0))
        run = _Run(folder, work, export, plan, cut, watcher)
        with _Pool(workers, frame) as pool:
            try:
                counts = run.read(pool)
                shared = run.share(pool, counts)
                stats = run.assess(pool, sorted(counts), types_of(counts), shared)
                run.write(pool, out, stats.files)
            except BrokenProcessPool:
                raise ScreeningFailed(
                    "A worker process ended unexpectedly, perhaps for want of memory. "
                    "The same command goes on where this run stood; --workers makes it smaller."
                ) from None
        summary = summarize(plan, export, counts, stats, run.unreadable)
        seconds = time.monotonic() - begun
        cost = cost_of(seconds, workers, peak_mb(), pool.peaks.values(), summary.patients, resumed)
        return seal(out, msgspec.structs.replace(summary, cost=cost))


class _Run:
    """The phases of one run."""

    def __init__(self, folder: Path, work: Path, export: Export, plan: Plan, cut: Cut, watcher: Watcher) -> None:
        self.folder, self.export, self.plan, self.cut, self.watcher = folder, export, plan, cut, watcher
        self.spills, self.parts = work / "spills", work / "parts"
        self.names = {number: file.path for number, file in enumerate(export.outputs)}
        self.unreadable: list[str] = []

    def read(self, pool: _Pool) -> dict[str, Trailer]:
        """Every line to its patient: the trailers of all spill files by name."""
        plan, export = self.plan, self.export
        self.watcher.phase("Reading", sum(one.size for one in export.outputs), "bytes")
        tasks = []
        for number, file in enumerate(export.outputs):
            changed = plan.since is not None and file.modified_ns / 1e9 >= plan.since.timestamp()
            for stretch in stretches_of(file.path, number, file.size, self.cut.block):
                tasks.append((self.folder, stretch, changed, plan.layout, self.spills))
        # what cannot be shared out comes first, so that no core waits for it at the end
        tasks.sort(key=lambda task: task[1].start - task[1].end)
        trailers: dict[str, Trailer] = {}
        for (_, stretch, *_), (found, problem) in pool.map(_read, tasks):
            trailers.update(found)
            if problem:
                self.unreadable.append(problem)
            self.watcher.advance(stretch.end - stretch.start)
        return trailers

    def share(self, pool: _Pool, trailers: dict[str, Trailer]) -> list[str]:
        """Shared Medications to the partitions that need them: names of further spill files."""
        if not any("Medication" in one.types for one in trailers.values()):
            return []
        layout = self.plan.layout
        self.watcher.phase("Sharing medications", layout.partitions, "parts")
        shared: list[Path] = []
        names = sorted(trailers)
        for turn in range(ROUNDS):
            tasks = [(self.spills, names, bucket, turn, layout) for bucket in range(layout.partitions)]
            made = [path for _, path in pool.map(join_bucket, tasks) if path is not None]
            shared += made
            if not any(needs_more(path, layout) for path in made):
                break
        return sorted(path.name for path in shared)

    def assess(self, pool: _Pool, names: list[str], types: Mapping[str, int], shared: list[str]) -> PartStats:
        """Every partition to its sorted rows."""
        self.watcher.phase("Assessing", types.get("Patient", 0), "patients")
        missing = what_is_missing(self.export, types)
        tasks = [
            (self.spills, names, shared, partition, missing, self.parts, self.cut.budget)
            for partition in range(self.plan.partitions)
        ]
        total = PartStats()
        for _, stats in pool.map(_assess, tasks):
            total.add(stats)
            self.watcher.advance(stats.patients + stats.unchanged)
        return total

    def write(self, pool: _Pool, out: Path, files: list[str]) -> None:
        """The sorted file and the tables, each in a process of its own."""
        self.watcher.phase("Writing", len(OUTPUTS), "files")
        for _ in pool.map(write_output, [(kind, self.parts, files, out) for kind in OUTPUTS]):
            self.watcher.advance(1)


# -- in the workers

_FRAME: Frame | None = None


def _read(folder: Path, stretch: Stretch, changed: bool, layout: Any, spills: Path) -> tuple[dict[str, Trailer], str]:
    found: dict[str, Trailer] = {}
    try:
        for name, trailer in split_stretch(folder, stretch, changed, layout, spills):
            found[name] = trailer
    except Unreadable as error:
        return found, str(error)
    return found, ""


def _assess(
    spills: Path, names: list[str], shared: list[str], partition: int, missing: Missing, parts: Path, budget: int
) -> PartStats:
    assert _FRAME is not None  # set before the first task
    frame = msgspec.structs.replace(_FRAME, missing=missing)
    stats = assess_partition(spills, names, shared, partition, frame, parts, budget)
    gc.collect()
    return stats


def _start(frame: Frame, parent: int) -> None:
    """Makes a worker of the process `parent`: the ruleset is there already, forked, the collector never walks it."""
    global _FRAME
    _FRAME = frame
    gc.freeze()
    gc.disable()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """No worker outlives a run that was killed: it would hold the lock and write where the next run does.

    The run tells its id: a worker that asked who its parent is could be too late and take the adopting one for it.
    """
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _measured(call: Callable[..., _T], arguments: tuple[Any, ...]) -> tuple[_T, int, float]:
    result = call(*arguments)
    return result, os.getpid(), peak_mb()


class _Pool:
    """Worker processes, forked so that the ruleset is loaded once."""

    def __init__(self, workers: int, frame: Frame) -> None:
        gc.collect()
        arguments = (frame, os.getpid())
        self._executor = ProcessPoolExecutor(workers, get_context("fork"), initializer=_start, initargs=arguments)
        self.peaks: dict[int, float] = {}
        """The peak memory of each worker in MB, by process id."""

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    def map(self, call: Callable[..., _T], tasks: Iterable[Any]) -> Iterator[tuple[Any, _T]]:
        """Each task with its result, as they are done."""
        waiting: dict[Future[tuple[_T, int, float]], Any] = {
            self._executor.submit(_measured, call, task): task for task in tasks
        }
        for future in as_completed(list(waiting)):
            result, process, peak = future.result()
            self.peaks[process] = max(peak, self.peaks.get(process, 0.0))
            yield waiting.pop(future), result
