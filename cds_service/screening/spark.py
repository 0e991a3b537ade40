"""The Spark engine: the same two functions over a cluster, the same bytes in the end.

Spark shuffles the lines by partition and sorts them by patient within (`repartitionAndSortWithinPartitions`, which
spills to disk), so an executor holds the lines of one patient at a time and a skewed patient costs memory once. Which
partition a patient falls into is the local engine's hash, so no keys are sampled to the driver. Executors write sorted
parts to the folder of the run, which all of them see, and one of them merges the parts. The driver gets counts only:
what `collect` brings here are trailers and statistics, which hold nothing of a patient.

The package must be installed where the executors are (docs/screening.md).
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from cds_service.facts.unmapped import Unmapped
from cds_service.ruleset import load_ruleset
from cds_service.screening.export import Export, Missing, what_is_missing
from cds_service.screening.finish import OUTPUTS, write_output
from cds_service.screening.folder import ScreeningFailed, Watcher, locked, open_work, seal
from cds_service.screening.lines import Stretch, Unreadable, blocks_of, stretches_of
from cds_service.screening.medications import ROUNDS, latest, pool_of
from cds_service.screening.parts import PartStats, assess_one
from cds_service.screening.patient import Frame
from cds_service.screening.plan import Plan, frame_of
from cds_service.screening.route import route
from cds_service.screening.spill import Run, Trailer, write_whole
from cds_service.screening.split import Sorted, block_name
from cds_service.screening.summary import Summary, cost_of, peak_mb, summarize, types_of

Key: TypeAlias = tuple[int, int, str]
"""Partition, then shared Medications (0) before patients' lines (1), then the id."""
Value: TypeAlias = tuple[bool, bytes]
_MEDICATION, _PATIENT = 0, 1
_SLICES_A_CORE = 8
"""Tasks of reading for each core: enough that no core waits long for another, few enough to cost little each."""


class Job(msgspec.Struct, frozen=True):
    """What every executor needs to know; small, and sent along with each task."""

    folder: str
    out: str
    export: Export
    plan: Plan
    rules: str | None
    without_snomed: bool
    site: str | None
    work: str
    types: frozenset[str] = frozenset()
    """All types of lines in the export, once they are known."""


def connect(master: str | None) -> Any:
    """A Spark session. `master` is left out where spark-submit says it. Raises `ScreeningFailed`."""
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise ScreeningFailed("--engine spark needs the extra [spark]") from None
    builder = SparkSession.builder.appName("legcramp screen")
    if master:
        builder = builder.master(master)
        if master.startswith("local"):
            # nothing of this listens beyond the machine, and no page shows what runs
            for name in ("spark.driver.bindAddress", "spark.driver.host"):
                builder = builder.config(name, "127.0.0.1")
            builder = builder.config("spark.ui.enabled", "false")
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    if master and master.startswith("local"):
        session.sparkContext.pythonExec = sys.executable
    return session


def screen_on_spark(
    session: Any,
    folder: Path,
    out: Path,
    export: Export,
    plan: Plan,
    rules: Path | None,
    without_snomed: bool,
    watcher: Watcher,
    site: Path | None = None,
) -> Summary:
    """Screens the export in `folder` into `out`, both seen by every executor under these names.

    Raises `ScreeningFailed`. `plan` must be what `folder.settle` returned for the same folder.
    """
    chosen = str(rules.resolve()) if rules else None
    with locked(out):
        work = open_work(out)
        over = str(site.resolve()) if site else None
        places = str(folder.resolve()), str(out.resolve())
        job = Job(*places, export, plan, chosen, without_snomed, over, str(work.resolve()))
        try:
            return seal(out, _run(session.sparkContext, job, watcher))
        except Exception as error:
            if type(error).__module__.split(".")[0] not in ("py4j", "pyspark"):
                raise
            raise ScreeningFailed(
                f"Spark ended the job ({type(error).__name__}); its own log says why. "
                "The same command goes on with the partitions that are done."
            ) from None


def _run(context: Any, job: Job, watcher: Watcher) -> Summary:
    begun, plan = time.monotonic(), job.plan
    stretches = _stretches(job.export, plan)
    source = context.parallelize(stretches, max(min(len(stretches), _SLICES_A_CORE * context.defaultParallelism), 1))
    watcher.phase("Surveying", len(stretches), "stretches")
    # counts by block, and the names of files that cannot be read: neither patients nor their lines
    surveyed = dict(source.flatMap(lambda stretch: _survey(job, stretch)).collect())
    trailers = {name: trailer for name, trailer in surveyed.items() if not isinstance(trailer, str)}
    unreadable = sorted({text for text in surveyed.values() if isinstance(text, str)})
    watcher.advance(len(stretches))
    types = types_of(trailers)
    watcher.phase("Assessing", types.get("Patient", 0), "patients")
    known = msgspec.structs.replace(job, types=frozenset(types))
    total, peaks = _assess_all(context, source, known)
    watcher.advance(total.patients + total.unchanged)
    watcher.phase("Writing", len(OUTPUTS), "files")
    parts, files, out = Path(job.work) / "parts", total.files, Path(job.out)
    context.parallelize(list(OUTPUTS), len(OUTPUTS)).foreach(lambda kind: write_output(kind, parts, files, out))
    watcher.advance(len(OUTPUTS))
    summary = summarize(plan, job.export, trailers, total, unreadable)
    cost = cost_of(time.monotonic() - begun, len(peaks), peak_mb(), peaks.values(), summary.patients, False)
    return msgspec.structs.replace(summary, cost=cost)


def _assess_all(context: Any, source: Any, job: Job) -> tuple[PartStats, dict[str, float]]:
    """The statistics of all parts, and the peak memory of each worker in MB."""
    records = source.flatMap(lambda stretch: _records(job, stretch))
    if "Medication" in job.types:
        records = records.union(_shared(context, source, job))
    ordered = records.repartitionAndSortWithinPartitions(job.plan.partitions, lambda key: key[0])
    total = PartStats()
    peaks: dict[str, float] = {}
    for stats, process, peak in ordered.mapPartitionsWithIndex(lambda at, part: _assess(job, at, part)).collect():
        total.add(stats)
        peaks[process] = max(peak, peaks.get(process, 0.0))
    return total, peaks


def _stretches(export: Export, plan: Plan) -> list[Stretch]:
    return [
        stretch
        for number, file in enumerate(export.outputs)
        for stretch in stretches_of(file.path, number, file.size, plan.block)
    ]


# -- in the executors


def _sorted_blocks(job: Job, stretch: Stretch) -> Iterator[tuple[str, int, Sorted]]:
    """Each block of a stretch, its lines by where they go. Raises `Unreadable` where the file ends too early."""
    plan = job.plan
    file = job.export.outputs[stretch.number]
    changed = plan.since is not None and file.modified_ns / 1e9 >= plan.since.timestamp()
    for number, block in enumerate(blocks_of(Path(job.folder), stretch, plan.block)):
        yield block_name(stretch, number), len(block), Sorted(block, changed, plan.since)


def _survey(job: Job, stretch: Stretch) -> Iterator[tuple[str, Trailer | str]]:
    """What each block holds, in counts."""
    try:
        for name, size, found in _sorted_blocks(job, stretch):
            yield name, found.trailer(size)
    except Unreadable as error:
        yield f"{stretch.number}", str(error)


def _records(job: Job, stretch: Stretch) -> Iterator[tuple[Key, Value]]:
    """Each patient's lines of each block."""
    layout = job.plan.layout
    try:
        for _, _, found in _sorted_blocks(job, stretch):
            for key, lines in found.patients.items():
                yield (layout.of(key), _PATIENT, key), (found.is_changed(key), b"\n".join(lines) + b"\n")
    except Unreadable:
        return  # told by the survey; what was read before it counts


def _shared(context: Any, source: Any, job: Job) -> Any:
    """Shared Medications to the partitions that need them: a join by their ids, in rounds."""
    slices = 2 * context.defaultParallelism
    medications = source.flatMap(lambda stretch: _medications(job, stretch)).reduceByKey(_newest, slices).persist()
    needs = source.flatMap(lambda stretch: _needs(job, stretch)).distinct(slices)
    rounds = []
    for _ in range(ROUNDS):
        met = needs.join(medications, slices).persist()
        rounds.append(met)
        needs = met.flatMap(_inner_needs).distinct(slices)
        if needs.count() == 0:
            break
    return context.union(rounds).map(lambda pair: ((pair[1][0], _MEDICATION, pair[0]), pair[1][1]))


def _medications(job: Job, stretch: Stretch) -> Iterator[tuple[str, Value]]:
    try:
        for _, _, found in _sorted_blocks(job, stretch):
            for key, lines in found.medications.items():
                yield key, (found.is_changed(key, "medication"), latest(lines))
    except Unreadable:
        return


def _needs(job: Job, stretch: Stretch) -> Iterator[tuple[str, int]]:
    layout = job.plan.layout
    try:
        for _, _, found in _sorted_blocks(job, stretch):
            for patient, medication in found.needs:
                yield medication, layout.of(patient)
    except Unreadable:
        return


def _newest(one: Value, other: Value) -> Value:
    return one[0] or other[0], latest([one[1], other[1]])


def _inner_needs(pair: tuple[str, tuple[int, Value]]) -> Iterator[tuple[str, int]]:
    partition, (_, line) = pair[1]
    for inner in route(line).medications:
        yield inner, partition


def _assess(job: Job, at: int, records: Iterable[tuple[Key, Value]]) -> Iterator[tuple[PartStats, str, float]]:
    """One partition, sorted by patient: writes its rows, gives its statistics. A part that is there is done."""
    parts = Path(job.work) / "parts"
    done = parts / f"part-{at:05}.json"
    process = f"{socket.gethostname()} {os.getpid()}"
    if done.exists():
        yield msgspec.json.decode(done.read_bytes(), type=PartStats), process, peak_mb()
        return
    frame, stats, unmapped = _frame(job), PartStats(), Unmapped()
    name = f"part-{at:05}-0000.ndjson"
    # an attempt of its own: Spark may run a task twice, and at the same time
    waiting = parts / f"{name}.{socket.gethostname()}-{os.getpid()}-{time.monotonic_ns()}.tmp"
    with waiting.open("wb", buffering=1024 * 1024) as file:
        os.fchmod(file.fileno(), 0o600)
        for row in _rows(records, frame, stats, unmapped):
            file.write(row)
        wrote = file.tell() > 0
    if wrote:
        waiting.replace(parts / name)
        stats.files.append(name)
    else:
        waiting.unlink()
    stats.unmapped = [(*key, *counts) for key, counts in sorted(unmapped.counts.items())]  # type: ignore[misc]
    write_whole(done, msgspec.json.encode(stats))
    yield stats, process, peak_mb()


def _rows(records: Iterable[tuple[Key, Value]], frame: Frame, stats: PartStats, unmapped: Unmapped) -> Iterator[bytes]:
    shared: list[Run] = []
    pool: dict[str, Any] | None = None
    for (_, order, key), group in groupby(records, key=lambda record: record[0]):
        if order == _MEDICATION:
            shared += [Run(key.encode(), changed, line + b"\n") for _, (changed, line) in group]
            continue
        if pool is None:
            pool = pool_of(shared)
        runs = [value for _, value in group]
        lines, changed = b"".join(line for _, line in runs), any(changed for changed, _ in runs)
        row = assess_one(key, lines, changed, pool, frame, stats, unmapped)
        if row is not None:
            yield row


_frames: dict[str, Frame] = {}


def _frame(job: Job) -> Frame:
    """The frame of a run, made once in each Python worker. Raises `ScreeningFailed` where the rules are other ones."""
    known = _frames.get(job.plan.digest)
    if known is None:
        ruleset = load_ruleset(
            Path(job.rules) if job.rules else None, job.without_snomed, site=Path(job.site) if job.site else None
        )
        if ruleset.digest != job.plan.ruleset:
            raise ScreeningFailed(f"the rules on {socket.gethostname()} are not those of the driver")
        missing: Missing = what_is_missing(job.export, job.types)
        frame = frame_of(job.plan, job.export, Path(job.folder), ruleset)
        _frames.clear()
        known = _frames[job.plan.digest] = msgspec.structs.replace(frame, missing=missing)
    return known
