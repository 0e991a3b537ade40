"""Shared Medications, as group and system exports hold them, brought to the partitions that refer to them.

A hash join on disk: needs and Medications meet in buckets by the Medication's id. What a Medication itself refers to
(an ingredient that is another Medication) is fetched in further rounds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from cds_service.facts.reading import MalformedRequest, decode_resource
from cds_service.facts.wire import Resource
from cds_service.screening.instants import LONG_AGO, updated_at
from cds_service.screening.route import route
from cds_service.screening.spill import Run, Trailer, read_segment, read_trailer, runs_of, write_spill
from cds_service.screening.split import Layout, need_of, run_of

ROUNDS = 3
"""A Medication that holds one that holds one: deeper than any formulary goes."""

Pool = Mapping[str, tuple[bool, Resource]]
"""Shared Medications by id; whether each changed since the instant asked for."""


def latest(lines: Iterable[bytes]) -> bytes:
    """Of several versions of a resource the latest; of equals the same one whatever their order."""
    return max(lines, key=lambda line: (updated_at(route(line).updated) or LONG_AGO, line))


def join_bucket(spills: Path, names: list[str], bucket: int, turn: int, layout: Layout) -> Path | None:
    """Writes the Medications of one bucket to where they are needed: segments by partition, then further needs."""
    partitions = layout.partitions
    path = spills / f"shared-{turn}-{bucket:05}.spill"
    if path.exists():
        return path
    asking = names if turn == 0 else sorted(one.name for one in spills.glob(f"shared-{turn - 1}-*.spill"))
    wanted: defaultdict[str, set[int]] = defaultdict(set)
    for name in asking:
        for run in runs_of(read_segment(spills / name, 2 * partitions + bucket)):
            partition, _, medication = run.key.decode().partition("/")
            wanted[medication].add(int(partition))
    if not wanted:
        return None
    segments: list[list[bytes]] = [[] for _ in range(3 * partitions)]
    for key, (changed, line) in sorted(_found(spills, names, partitions + bucket, wanted).items()):
        for at in sorted(wanted[key]):
            segments[at] += run_of(key, changed, [line])
            for inner in route(line).medications:
                segments[2 * partitions + layout.of(inner)].append(need_of(at, inner))
    write_spill(path, segments, Trailer([]))
    return path


def _found(
    spills: Path, names: list[str], segment: int, wanted: Mapping[str, set[int]]
) -> dict[str, tuple[bool, bytes]]:
    found: dict[str, tuple[bool, bytes]] = {}
    for name in names:
        for run in runs_of(read_segment(spills / name, segment)):
            key = run.key.decode()
            if key in wanted:
                changed, known = found.get(key, (False, b""))
                lines = [*filter(None, (known,)), *run.lines.splitlines()]
                found[key] = (changed or run.changed, latest(lines))
    return found


def needs_more(path: Path, layout: Layout) -> bool:
    """Whether what was brought refers to further Medications."""
    ends = read_trailer(path).ends
    return ends[-1] > ends[2 * layout.partitions - 1]


def pool_of(runs: Iterable[Run]) -> dict[str, tuple[bool, Resource]]:
    """The Medications of runs, by id."""
    pool: dict[str, tuple[bool, Resource]] = {}
    lines: defaultdict[str, list[bytes]] = defaultdict(list)
    changed: set[str] = set()
    for run in runs:
        lines[run.key.decode()] += run.lines.splitlines()
        if run.changed:
            changed.add(run.key.decode())
    for key, versions in sorted(lines.items()):
        try:
            pool[key] = (key in changed, decode_resource(latest(versions)))
        except MalformedRequest:
            continue
    return pool
