"""Sorted parts into one sorted file, and everything else that is made of it. Streams: memory does not grow."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from cds_service.screening.folder import FINDINGS, FINDINGS_TABLE, PATIENTS_TABLE
from cds_service.screening.rows import PatientRow, decode_row

OUTPUTS = ("lines", "tables")
_AT_ONCE = 256
"""Files open at the same time; more are merged in several rounds."""
_ID_AT = len(b'{"patient":"')


def merge_parts(parts: Path, names: Iterable[str], label: str) -> Iterator[bytes]:
    """The rows of all parts, sorted by patient. More parts than may be open at once are first merged in groups, in
    files that carry the `label`: several processes merge at the same time.
    """
    files = [parts / name for name in sorted(names)]
    turn = 0
    while len(files) > _AT_ONCE:
        groups = [files[at : at + _AT_ONCE] for at in range(0, len(files), _AT_ONCE)]
        merged = []
        for number, group in enumerate(groups):
            path = parts / f"{label}-{turn}-{number:05}.ndjson"
            write_lines(path, _merged(group))
            merged.append(path)
        files, turn = merged, turn + 1
    yield from _merged(files)


def write_output(kind: str, parts: Path, names: list[str], out: Path) -> None:
    """Writes one of `OUTPUTS` from the sorted parts."""
    merged = merge_parts(parts, names, kind)
    if kind == "lines":
        write_lines(out / FINDINGS, merged)
    else:
        from cds_service.screening.tables import write_tables  # pyarrow comes with the extra

        write_tables(rows_of(merged), out / PATIENTS_TABLE, out / FINDINGS_TABLE)


def rows_of(lines: Iterable[bytes]) -> Iterator[PatientRow]:
    """The rows of lines."""
    return map(decode_row, lines)


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Writes lines under another name, then renames the file into its place."""
    waiting = path.with_name(path.name + ".tmp")
    with waiting.open("wb", buffering=1024 * 1024) as file:
        file.writelines(lines)
    waiting.replace(path)


def _merged(files: list[Path]) -> Iterator[bytes]:
    with ExitStack() as stack:
        opened = [stack.enter_context(path.open("rb", buffering=256 * 1024)) for path in files]
        yield from heapq.merge(*opened, key=patient_of)


def patient_of(line: bytes) -> bytes:
    """The patient id of a row's line: it comes first, and is plain ASCII."""
    return line[_ID_AT : line.index(b'"', _ID_AT)]
