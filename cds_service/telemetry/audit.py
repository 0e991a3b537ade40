"""The audit trail: who asked, which rules fired, what was fetched. One line of JSON a request, appended to a file.

A file and not the database, so that the trail goes on while the database is down, can lie on another disk with other
rights, and can be shipped by what ships logs. Patients, users and hook instances stand in it as keyed hashes.
"""

from __future__ import annotations

import errno
import gzip
import os
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec


class Fired(msgspec.Struct, frozen=True):
    """A rule that fired. `indicator` is empty where it had nothing to show."""

    rule: str
    indicator: str = ""


class AskedFor(msgspec.Struct, frozen=True):
    """One question to the EHR's FHIR server: the prefetch key, how it ended, how many resources came."""

    key: str
    outcome: str
    resources: int = 0


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request to a CDS service or its feedback endpoint, answered or refused. `at` is an aware instant in UTC."""

    at: datetime
    request_id: str
    action: Literal["invocation", "feedback"]
    status: int
    service: str = ""
    hook: str = ""
    client: str = ""
    denied: str = ""
    """Why no client was recognized, in one word."""
    user: str = ""
    patient: str = ""
    instance: str = ""
    """Keyed hashes of the user, the patient and the hook instance; empty where the request named none."""
    rules: tuple[Fired, ...] = ()
    cards: int = 0
    fetched: tuple[AskedFor, ...] = ()
    ruleset: str = ""
    knowledge: str = ""


class AuditFile:
    """Appends entries, a line each. Safe for threads, and for processes that append to the same file.

    A line is one `write` at the end of the file, so lines of several processes never mix on a local disk. When the file
    is renamed or removed, as a rotation does, the next line begins a new one. Only a regular file will do: a pipe whose
    reader is slow would hold up whoever writes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._descriptor = -1
        self._opened: tuple[int, int] | None = None
        self._is_cut = False
        self._encoder = msgspec.json.Encoder()

    def write(self, entry: Entry) -> None:
        """Raises `OSError` when the line is not in the file."""
        line = self._encoder.encode(entry) + b"\n"
        with self._lock:
            # what a full disk cut off must not take the next line along
            line = b"\n" + line if self._is_cut else line
            written = os.write(self._current(), line)
            self._is_cut = written != len(line)
            if self._is_cut:
                raise OSError("the disk took part of the line only")

    def check(self) -> None:
        """Opens the file, so that a start fails where a request would. Raises `OSError`."""
        with self._lock:
            self._current()

    def close(self) -> None:
        with self._lock:
            self._forget()

    def _current(self) -> int:
        try:
            found = os.stat(self._path)
            place = (found.st_dev, found.st_ino)
        except FileNotFoundError:
            place = None
        if self._opened is None or place != self._opened:
            self._forget()
            # without O_NONBLOCK opening a pipe that nobody reads would never end
            how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            self._descriptor = os.open(self._path, how, 0o600)
            found = os.fstat(self._descriptor)
            if not stat.S_ISREG(found.st_mode):
                self._forget()
                raise OSError(errno.EINVAL, "is no regular file")
            self._opened = (found.st_dev, found.st_ino)
        return self._descriptor

    def _forget(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._opened = -1, None


def read_entries(
    path: Path, since: datetime | None = None, until: datetime | None = None, bad: Callable[[int], None] | None = None
) -> Iterator[Entry]:
    """The entries of a file from `since` on and before `until`, in the order of the file. Raises `OSError`.

    A name that ends in `.gz` is read as what a rotation compressed.
    A line that is no entry, such as one that a full disk cut off, is left out; `bad` is told its number.
    """
    decoder = msgspec.json.Decoder(Entry)
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                entry = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                if bad is not None:
                    bad(number)
                continue
            at = entry.at if entry.at.tzinfo is not None else entry.at.replace(tzinfo=UTC)
            if (since is None or at >= since) and (until is None or at < until):
                yield entry
