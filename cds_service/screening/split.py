"""The first phase: a stretch of the export, line by line, into spill files by patient."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from cds_service.screening.instants import updated_at
from cds_service.screening.lines import Stretch, blocks_of
from cds_service.screening.route import route
from cds_service.screening.spill import BrokenLine, Trailer, head_of, read_trailer, write_spill

_MOST_BROKEN = 10_000
"""So many broken lines of one block are named; more are a file of another kind."""
LOST = b"{}"
"""Stands for a line that could not be read: the second phase reads it as a resource that nobody can read."""


class Layout(msgspec.Struct, frozen=True):
    """How the lines are laid out: `partitions` by patient; shared medications and who needs them in as many buckets.

    Segments of a spill file: patients' lines; Medications; needs (a partition, and the Medication that it needs).
    """

    partitions: int
    block: int
    """Bytes read at once."""
    since: datetime | None = None

    def of(self, key: str) -> int:
        """The partition of a patient or the bucket of a medication."""
        return zlib.crc32(key.encode()) % self.partitions


def split_stretch(
    export: Path, stretch: Stretch, changed_file: bool, layout: Layout, spills: Path
) -> Iterator[tuple[str, Trailer]]:
    """Spills one stretch block by block; yields each spill file's name and trailer. Blocks already there are kept.

    `changed_file` says that lines without an instant of their own count as changed. Raises `lines.Unreadable`.
    """
    for number, block in enumerate(blocks_of(export, stretch, layout.block)):
        name = block_name(stretch, number)
        path = spills / name
        yield name, read_trailer(path) if path.exists() else spill_block(path, block, changed_file, layout)


def block_name(stretch: Stretch, number: int) -> str:
    """The name of one block's spill file: in order of the names, blocks stand as in the files."""
    return f"{stretch.number:06}-{stretch.start:015}-{number:06}.spill"


class Sorted:
    """The lines of one block by where they go, and what was counted on the way."""

    def __init__(self, block: bytes, changed_file: bool, since: datetime | None) -> None:
        self.patients: defaultdict[str, list[bytes]] = defaultdict(list)
        self.changed: set[str] = set()
        """Patients and Medications with a line that changed since the instant asked for."""
        self.medications: defaultdict[str, list[bytes]] = defaultdict(list)
        self.needs: set[tuple[str, str]] = set()
        """Patient and the Medication that a line of theirs refers to."""
        self.types: Counter[str] = Counter()
        self.broken: list[BrokenLine] = []
        self.skipped = self.nobody = 0
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        self.lines = len(lines)
        self._sort(lines, changed_file, since)

    def _sort(self, lines: list[bytes], changed_file: bool, since: datetime | None) -> None:
        patients, types = self.patients, self.types
        for number, line in enumerate(lines, 1):
            routed = route(line)
            what = routed.what
            key = routed.key
            if what == "patient":
                types[routed.type] += 1
                patients[key].append(line)
                for medication in routed.medications:
                    self.needs.add((key, medication))
            elif what == "skipped":
                self.skipped += 1
                continue
            elif what == "medication":
                types["Medication"] += 1
                self.medications[key].append(line)
            elif what == "nobody":
                self.nobody += 1
                continue
            else:
                self._note_broken(number, line, key)
            if since is not None and key:
                at = updated_at(routed.updated)
                if changed_file if at is None else at >= since:
                    self.changed.add(f"{what}/{key}")

    def _note_broken(self, number: int, line: bytes, key: str) -> None:
        if not line.strip():
            return
        if len(self.broken) < _MOST_BROKEN:
            self.broken.append(BrokenLine(number, bool(key)))
        if key:
            self.patients[key].append(LOST)

    def trailer(self, size: int) -> Trailer:
        """What was counted in a block of so many bytes."""
        return Trailer([], self.lines, size, dict(self.types), self.skipped, self.nobody, self.broken)

    def is_changed(self, key: str, what: str = "patient") -> bool:
        """Whether a patient or a Medication has a line that changed; a broken line counts as its patient's."""
        changed = self.changed
        return f"{what}/{key}" in changed or (what == "patient" and f"broken/{key}" in changed)


def spill_block(path: Path, block: bytes, changed_file: bool, layout: Layout) -> Trailer:
    """Groups one block of lines by patient and writes it."""
    found = Sorted(block, changed_file, layout.since)
    partitions = layout.partitions
    segments: list[list[bytes]] = [[] for _ in range(3 * partitions)]
    for key, lines in found.patients.items():
        segments[layout.of(key)] += run_of(key, found.is_changed(key), lines)
    for key, lines in found.medications.items():
        segments[partitions + layout.of(key)] += run_of(key, found.is_changed(key, "medication"), lines)
    for at, medication in sorted({(layout.of(patient), medication) for patient, medication in found.needs}):
        segments[2 * partitions + layout.of(medication)].append(need_of(at, medication))
    trailer = found.trailer(len(block))
    write_spill(path, segments, trailer)
    return trailer


def run_of(key: str, changed: bool, lines: list[bytes]) -> list[bytes]:
    """The pieces of a run: its head, then the lines."""
    data = b"\n".join(lines)
    return [head_of(key, changed, len(data) + 1), data, b"\n"]


def need_of(partition: int, medication: str) -> bytes:
    """The run that says that a partition needs a Medication."""
    return head_of(f"{partition}/{medication}", False, 0)
