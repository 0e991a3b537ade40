"""The local engine: all cores of one machine, and a folder that remembers what is done.

Phases: read (stretches of files into spill files by patient), share (Medications to where they are needed), assess
(partition by partition), write (one sorted file, Parquet). What is done is a file that was renamed into its place, so
a run that was killed goes on where it stood. Nothing of a patient is in this process but while it merges rows.
"""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

import msgspec

from cds_service.screening.export import Export, Missing, what_is_missing
from cds_service.screening.finish import merge_parts, rows_of, write_lines
from cds_service.screening.lines import Stretch, Unreadable, stretches_of
from cds_service.screening.medications import ROUNDS, join_bucket, needs_more
from cds_service.screening.parts import PartStats, assess_partition
from cds_service.screening.patient import Frame
from cds_service.screening.plan import Cut, Plan, read_plan
from cds_service.screening.spill import Trailer, write_whole
from cds_service.screening.split import split_stretch
from cds_service.screening.summary import MOST_NAMED, BrokenPlace, Summary, cost_of, peak_mb

FINDINGS, PATIENTS_TABLE, FINDINGS_TABLE, RUN = "findings.ndjson", "patients.parquet", "findings.parquet", "run.json"
WORK = "work"
_LOCK_SECONDS = 10.0
_T = TypeVar("_T")


class ScreeningFailed(Exception):
    """A run that cannot begin or go on. The text says why and what to do, without any patient."""


class Watcher(Protocol):
    """Is told how a run goes on; the command line draws a bar of it."""

    def phase(self, name: str, total: float, unit: str) -> None: ...

    def advance(self, by: float) -> None: ...


class Silent:
    """A watcher that says nothing."""

    def phase(self, name: str, total: float, unit: str) -> None:
        pass

    def advance(self, by: float) -> None:
        pass


def screen(folder: Path, out: Path, export: Export, plan: Plan, frame: Frame, cut: Cut, watcher: Watcher) -> Summary:
    """Screens the export in `folder` into `out`. Raises `ScreeningFailed`.

    `plan` must be what `settle` returned for the same folder.
    """
    begun = time.monotonic()
    with _locked(out):
        work = out / WORK
        for name in ("spills", "parts"):
            (work / name).mkdir(parents=True, exist_ok=True)
        for left in work.rglob("*.tmp"):
            left.unlink()
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
        summary = run.summary(counts, stats)
        seconds = time.monotonic() - begun
        cost = cost_of(seconds, workers, peak_mb(), pool.peaks.values(), summary.patients, resumed)
        summary = msgspec.structs.replace(summary, cost=cost)
        write_whole(out / RUN, msgspec.json.format(msgspec.json.encode(summary), indent=1) + b"\n")
        shutil.rmtree(work)
    return summary


def settle(out: Path, plan: Plan, restart: bool, is_now_given: bool) -> Plan | Summary:
    """The plan to go on with: of a run that was killed its own, so that it ends as it began.

    Returns the summary of a run that is finished and would be the same. Raises `ScreeningFailed` when the folder holds
    a run of something else, unless `restart`.
    """
    out.mkdir(parents=True, exist_ok=True)
    finished, begun = out / RUN, out / WORK / "plan.json"
    if restart:
        with _locked(out):
            shutil.rmtree(out / WORK, ignore_errors=True)
            for name in (FINDINGS, PATIENTS_TABLE, FINDINGS_TABLE, RUN):
                (out / name).unlink(missing_ok=True)
    for path in (begun, finished):
        if not path.exists():
            continue
        known = read_plan(path) if path is begun else _plan_of(path)
        if known is not None and not is_now_given:
            plan = msgspec.structs.replace(plan, now=known.now)
        if known is None or known.digest != plan.digest:
            raise ScreeningFailed(
                f"{out} holds a run over another export, ruleset, day or other options"
                f" ({', '.join(_differences(known, plan)) or 'of another version'});"
                " take another folder, or --restart to do away with it"
            )
        if path is finished:
            return msgspec.json.decode(finished.read_bytes(), type=Summary)
        return known
    (out / WORK).mkdir(exist_ok=True, mode=0o700)
    write_whole(begun, msgspec.json.encode(plan))
    return plan


def _plan_of(path: Path) -> Plan | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Summary).plan
    except msgspec.DecodeError:
        return None


def _differences(known: Plan | None, plan: Plan) -> list[str]:
    if known is None:
        return []
    names = [name for name in Plan.__struct_fields__ if name not in ("partitions", "block")]
    return [name for name in names if getattr(known, name) != getattr(plan, name)]


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Only one run at a time in a folder. Workers that outlive a killed run let go within a second or two."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as lock:
        _wait_for(lock, out)
        yield


def _wait_for(lock: IO[str], out: Path) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise ScreeningFailed(f"{out} is in use by another run") from None
            time.sleep(0.2)


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
        self.watcher.phase("Writing", 2, "files")
        for _ in pool.map(_write, [(kind, self.parts, files, out) for kind in ("lines", "tables")]):
            self.watcher.advance(1)

    def summary(self, trailers: dict[str, Trailer], stats: PartStats) -> Summary:
        types = types_of(trailers)
        broken = sorted(_broken(self.names, trailers))
        return Summary(
            plan=self.plan,
            files=len(self.export.outputs),
            lines=sum(one.lines for one in trailers.values()),
            bytes_read=sum(one.bytes_read for one in trailers.values()),
            types=types,
            lines_skipped=sum(one.skipped for one in trailers.values()),
            lines_about_nobody=sum(one.nobody for one in trailers.values()),
            broken_lines=len(broken),
            broken=tuple(broken[:MOST_NAMED]),
            export_errors=self.export.errors,
            deleted_files=len(self.export.deleted),
            passed_over=self.export.passed_over,
            not_supplied=tuple(sorted(what_is_missing(self.export, types).not_supplied)),
            statuses=dict(sorted(stats.statuses.items())),
            left_out=stats.unchanged,
            resources=stats.resources,
            unmapped=stats.unmapped,
            unreadable_files=tuple(sorted(self.unreadable)),
        )


def types_of(trailers: Mapping[str, Trailer]) -> dict[str, int]:
    """How many lines of each type were met."""
    types: Counter[str] = Counter()
    for one in trailers.values():
        types.update(one.types)
    return dict(sorted(types.items()))


def _broken(names: dict[int, str], trailers: dict[str, Trailer]) -> Iterator[BrokenPlace]:
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


def _write(kind: str, parts: Path, files: list[str], out: Path) -> None:
    merged = merge_parts(parts, files)
    if kind == "lines":
        write_lines(out / FINDINGS, merged)
    else:
        from cds_service.screening.tables import write_tables

        write_tables(rows_of(merged), out / PATIENTS_TABLE, out / FINDINGS_TABLE)


def _start(frame: Frame) -> None:
    """Makes a worker: the ruleset is there already, forked, and the collector never walks it."""
    global _FRAME
    _FRAME = frame
    gc.freeze()
    gc.disable()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """No worker outlives a run that was killed: it would hold the lock and write where the next run does."""
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
        self._executor = ProcessPoolExecutor(workers, get_context("fork"), initializer=_start, initargs=(frame,))
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
