"""Lines grouped by where they go, one file for each block that was read.

A spill file holds one segment for each destination, one after the other, then a trailer that says where each begins.
It is written under another name and renamed when it is whole: a file that is there is done, which is all the journal
that reading needs. Its lines are patients' data, so it is readable by its owner only and goes away with the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

_LENGTH = 8


class BrokenLine(msgspec.Struct, frozen=True, array_like=True):
    """A line that is no resource: its place in the block, and whether a patient's name could be read in it."""

    line: int
    patient_known: bool


class Trailer(msgspec.Struct, frozen=True, array_like=True):
    """What one block held. `ends` are the ends of its segments in bytes."""

    ends: list[int]
    lines: int = 0
    bytes_read: int = 0
    types: dict[str, int] = {}
    skipped: int = 0
    """Lines of types that no rule reads."""
    nobody: int = 0
    """Lines about no patient that can be told."""
    broken: list[BrokenLine] = []
    last: bool = True
    """Whether no block of the same stretch follows."""

    def segment(self, number: int) -> tuple[int, int]:
        """Begin and length of a segment."""
        begin = self.ends[number - 1] if number else 0
        return begin, self.ends[number] - begin


_trailers = msgspec.msgpack.Decoder(Trailer)


def write_spill(path: Path, segments: list[list[bytes]], trailer: Trailer) -> None:
    """Writes all segments and the trailer (its `ends` filled in here), then renames the file into its place."""
    waiting = path.with_suffix(".tmp")
    ends, at = [], 0
    with waiting.open("wb", buffering=0) as file:
        os.fchmod(file.fileno(), 0o600)
        for segment in segments:
            if segment:
                data = b"".join(segment)
                file.write(data)
                at += len(data)
            ends.append(at)
        tail = msgspec.msgpack.encode(msgspec.structs.replace(trailer, ends=ends))
        file.write(tail + len(tail).to_bytes(_LENGTH, "big"))
    waiting.replace(path)


def read_trailer(path: Path) -> Trailer:
    """The trailer of a spill file."""
    with path.open("rb") as file:
        size = file.seek(-_LENGTH, os.SEEK_END)
        length = int.from_bytes(file.read(_LENGTH), "big")
        file.seek(size - length)
        return _trailers.decode(file.read(length))


def read_segment(path: Path, number: int) -> bytes:
    """One segment of a spill file."""
    begin, length = read_trailer(path).segment(number)
    if not length:
        return b""
    with path.open("rb") as file:
        file.seek(begin)
        return file.read(length)


def write_whole(path: Path, data: bytes) -> None:
    """Writes a small file so that it is there whole or not at all, also after a power failure."""
    waiting = path.with_name(path.name + ".tmp")
    with waiting.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    waiting.replace(path)


class Run(NamedTuple):
    """Lines of one patient as they came: the key, whether one of them changed, and the lines with their ends."""

    key: bytes
    changed: bool
    lines: bytes


def head_of(key: str, changed: bool, length: int) -> bytes:
    """What stands before `length` bytes of lines."""
    return f"{key} {'+' if changed else '-'} {length}\n".encode()


def runs_of(segment: bytes) -> Iterator[Run]:
    """The runs of a segment."""
    at, end = 0, len(segment)
    while at < end:
        begin = segment.index(b"\n", at) + 1
        key, changed, length = segment[at : begin - 1].split(b" ")
        at = begin + int(length)
        yield Run(key, changed == b"+", segment[begin:at])
