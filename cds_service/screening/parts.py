"""The second phase: one partition's lines to sorted rows.

A partition larger than the budget (a few very large patients, or an export beyond what the partitions were made for)
is gone through several times, each time for some of its patients, so that memory stays bounded.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from cds_service.facts.unmapped import Unmapped
from cds_service.screening.medications import Pool, pool_of
from cds_service.screening.patient import Frame, assess_patient
from cds_service.screening.rows import encode_row
from cds_service.screening.spill import Run, read_segment, read_trailer, runs_of, write_whole

BUDGET = 256 * 1024 * 1024
"""Bytes of lines that one pass over a partition takes up."""


class PartStats(msgspec.Struct):
    """What one partition came to, without any patient. Its file is written last: where it is, the part is done."""

    statuses: dict[str, int] = {}
    unchanged: int = 0
    """Patients left out: deleted, or without a change since the instant asked for."""
    resources: int = 0
    files: list[str] = []
    unmapped: list[tuple[str, str, str, int, int]] = []
    """Where it stands, code system, code or unit, patients, resources; sorted."""

    def add(self, other: PartStats) -> None:
        """Adds another part's counts."""
        self.statuses = dict(Counter(self.statuses) + Counter(other.statuses))
        self.unchanged += other.unchanged
        self.resources += other.resources
        self.files = sorted({*self.files, *other.files})
        both: dict[tuple[str, str, str], list[int]] = {}
        for where, system, code, patients, resources in (*self.unmapped, *other.unmapped):
            known = both.setdefault((where, system, code), [0, 0])
            known[0] += patients
            known[1] += resources
        self.unmapped = [(*key, *counts) for key, counts in sorted(both.items())]  # type: ignore[misc]

    @property
    def patients(self) -> int:
        return sum(self.statuses.values())


def assess_partition(
    spills: Path, names: list[str], shared: list[str], partition: int, frame: Frame, parts: Path, budget: int = BUDGET
) -> PartStats:
    """Assesses every patient of a partition and writes its sorted rows, unless that was done before."""
    done = parts / f"part-{partition:05}.json"
    if done.exists():
        return msgspec.json.decode(done.read_bytes(), type=PartStats)
    sizes = {name: read_trailer(spills / name).segment(partition)[1] for name in names}
    held = [name for name in names if sizes[name]]
    passes = max(1, -(-sum(sizes.values()) // budget))
    medications = pool_of(run for name in shared for run in runs_of(read_segment(spills / name, partition)))
    stats = PartStats()
    unmapped = Unmapped()
    for turn in range(passes):
        runs = _runs(spills, held, partition, turn, passes)
        rows = assess_all(runs, medications, frame, stats, unmapped)
        if rows:
            name = f"part-{partition:05}-{turn:04}.ndjson"
            write_whole(parts / name, b"".join(rows))
            stats.files.append(name)
    stats.unmapped = [(*key, *counts) for key, counts in sorted(unmapped.counts.items())]  # type: ignore[misc]
    write_whole(done, msgspec.json.encode(stats))
    return stats


def assess_all(
    runs: Iterable[Run], medications: Pool, frame: Frame, stats: PartStats, unmapped: Unmapped
) -> list[bytes]:
    """The rows, as lines, of the patients of some runs in any order; sorted by patient."""
    by_patient: dict[bytes, list[bytes]] = {}
    changed: set[bytes] = set()
    for key, is_changed, lines in runs:
        known = by_patient.get(key)
        if known is None:
            by_patient[key] = [lines]
        else:
            known.append(lines)
        if is_changed:
            changed.add(key)
    rows = []
    for key in sorted(by_patient):
        lines = b"".join(by_patient.pop(key))
        row = assess_one(key.decode(), lines, key in changed, medications, frame, stats, unmapped)
        if row is not None:
            rows.append(row)
    return rows


def assess_one(
    patient: str,
    lines: bytes,
    changed: bool,
    medications: Pool,
    frame: Frame,
    stats: PartStats,
    unmapped: Unmapped,
) -> bytes | None:
    """One patient's row as a line, counted; None when the patient is left out."""
    row = assess_patient(patient, lines, changed, medications, frame, unmapped)
    if row is None:
        stats.unchanged += 1
        return None
    stats.resources += row.resources
    stats.statuses[row.status] = stats.statuses.get(row.status, 0) + 1
    return encode_row(row) + b"\n"


def _runs(spills: Path, names: list[str], partition: int, turn: int, passes: int) -> Iterator[Run]:
    for name in names:
        runs = runs_of(read_segment(spills / name, partition))
        # another hash than that of the partitions, or every patient would fall into the same pass
        yield from runs if passes == 1 else (run for run in runs if zlib.adler32(run.key, 7) % passes == turn)
