"""Files of NDJSON into blocks of whole lines: plain files by range, so that several processes share a large one;
gzip and zstd from their beginning, for nothing in them can be sought.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

LONGEST_LINE = 64 * 1024 * 1024
"""A longer line is broken: it is cut here, counted, and its rest passed over."""

SUFFIXES = (".ndjson", ".ndjson.gz", ".ndjson.zst", ".jsonl", ".jsonl.gz", ".jsonl.zst")


class Stretch(msgspec.Struct, frozen=True):
    """One piece of reading: a range of a plain file, or a compressed file as a whole.

    `number` is the file's place in the sorted list, so that names and order never depend on who reads first.
    """

    file: str
    number: int
    start: int
    end: int
    """In bytes of the file as it lies there."""


class Unreadable(Exception):
    """A file that cannot be read to its end. The text names it and why, without any of its content."""


def is_compressed(name: str) -> bool:
    return name.endswith((".gz", ".zst"))


def stretches_of(file: str, number: int, size: int, block: int) -> list[Stretch]:
    """The pieces of one file, each about `block` bytes."""
    if is_compressed(file) or size <= block:
        return [Stretch(file, number, 0, size)]
    count = -(-size // block)
    cuts = [size * at // count for at in range(count + 1)]
    return [Stretch(file, number, start, end) for start, end in pairwise(cuts)]


def blocks_of(folder: Path, stretch: Stretch, block: int) -> Iterator[bytes]:
    """Blocks of whole lines, each about `block` bytes. Raises `Unreadable`."""
    path = folder / stretch.file
    try:
        if is_compressed(stretch.file):
            with open_file(path) as stream:
                yield from _blocks(stream, block)
        else:
            with path.open("rb") as stream:
                yield from _range(stream, stretch, block)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "is damaged or cut short"
        raise Unreadable(f"{stretch.file}: {reason}") from None
    except Exception as error:  # zstandard has an error of its own, and is there only with the extra
        if type(error).__name__ != "ZstdError":
            raise
        raise Unreadable(f"{stretch.file}: is damaged or cut short") from None


def open_file(path: Path) -> BinaryIO:
    """A plain, gzip or zstd file, to be read from its beginning."""
    if path.name.endswith(".gz"):
        return cast(BinaryIO, gzip.open(path, "rb"))
    if path.name.endswith(".zst"):
        try:
            import zstandard
        except ImportError:
            raise Unreadable(f"{path.name}: zstd needs the extra [screening]") from None
        reader = zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True, closefd=True)
        return io.BufferedReader(reader)
    return path.open("rb")


def _range(stream: BinaryIO, stretch: Stretch, block: int) -> Iterator[bytes]:
    """The lines that begin within the range."""
    begin = stretch.start
    if begin:
        stream.seek(begin - 1)
        while (skipped := stream.readline(LONGEST_LINE)) and not skipped.endswith(b"\n"):
            pass
        begin = stream.tell()
    while begin < stretch.end:
        data = stream.read(min(block, stretch.end - begin))
        if not data:
            return
        begin += len(data)
        if not data.endswith(b"\n"):
            rest = stream.readline(LONGEST_LINE)
            begin += len(rest)
            data += rest
            if not rest.endswith(b"\n"):
                begin += _pass_over(stream)
        yield data


def _pass_over(stream: BinaryIO) -> int:
    """Reads to the end of an overlong line; returns how far it was."""
    passed = 0
    while part := stream.readline(LONGEST_LINE):
        passed += len(part)
        if part.endswith(b"\n"):
            break
    return passed


def _blocks(stream: BinaryIO, block: int) -> Iterator[bytes]:
    kept = b""
    cutting = False
    while data := stream.read(block):
        end = data.rfind(b"\n") + 1
        if cutting:
            first = data.find(b"\n") + 1
            if not first:
                continue
            data, end, cutting = data[first:], end - first, False
        if not end and len(kept) + len(data) > LONGEST_LINE:
            yield kept[:LONGEST_LINE] or data[:LONGEST_LINE]
            kept, cutting = b"", True
        elif not end:
            kept += data
        else:
            yield kept + data[:end]
            kept = data[end:]
    if kept:
        yield kept
