"""A table of codes as spreadsheets write it: CSV with commas, semicolons or tabs, read and written back whole."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

NEEDED = ("system", "code", "display")
_DELIMITERS = ",;\t"
_MOST_ERRORS = 20


class BadTable(Exception):
    """Why a table cannot be used: `file:line: ...`, one line for each mistake."""


class Table:
    """The heading and rows as they were written, and where the columns are that are read."""

    def __init__(self, heading: list[str], rows: list[list[str]], delimiter: str, newline: str) -> None:
        self.heading, self.rows, self.delimiter, self.newline = heading, rows, delimiter, newline
        self._places = {name.strip().lower(): place for place, name in enumerate(heading)}

    def column(self, name: str) -> list[str]:
        place = self._places[name]
        return [row[place].strip() for row in self.rows]

    def has(self, name: str) -> bool:
        return name in self._places

    def with_columns(self, names: Sequence[str], values: Iterable[Sequence[str]]) -> str:
        """The table with columns added behind its own, as text in its own form."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self.delimiter, lineterminator=self.newline)
        writer.writerow([*self.heading, *names])
        writer.writerows([*row, *more] for row, more in zip(self.rows, values, strict=True))
        return text.getvalue()


def read_table(path: Path, adding: Sequence[str]) -> Table:
    """Reads a table with the columns `NEEDED`; `adding` are those that it must not have yet. Raises BadTable."""
    text = _text(path)
    first = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=lambda one: len(_names(first, one) & set(NEEDED)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    errors: list[str] = []
    heading: list[str] | None = None
    line = 1
    try:
        for row in reader:
            if heading is None:
                heading = row
                _check_heading(path, row, adding)
            elif len(row) == len(heading):
                rows.append(row)
            elif row:
                errors.append(f"{path}:{line}: {_fields(len(row))} where the heading has {len(heading)}")
            line = reader.line_num + 1
    except csv.Error as error:
        errors.append(f"{path}:{line}: not CSV: {error}")
    if heading is None:
        raise BadTable(f"{path}:1: is empty")
    if errors:
        more = [f"{path}: and {len(errors) - _MOST_ERRORS} more like it"] if len(errors) > _MOST_ERRORS else []
        raise BadTable("\n".join([*errors[:_MOST_ERRORS], *more]))
    return Table(heading, rows, delimiter, "\r\n" if first.endswith("\r") else "\n")


def write_text(path: Path, text: str) -> None:
    """Puts a file in its place as a whole or not at all. Raises OSError."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _text(path: Path) -> str:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise BadTable(f"{path}: cannot be read ({error.strerror or type(error).__name__})") from None
    encoding = "utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise BadTable(f"{path}:{line}: not UTF-8; save it as CSV UTF-8") from None
    if "\0" in text:
        raise BadTable(f"{path}:{text.count(chr(10), 0, text.index(chr(0))) + 1}: not text: holds a zero byte")
    return text


def _names(heading: str, delimiter: str) -> set[str]:
    return {name.strip().strip('"').strip().lower() for name in heading.split(delimiter)}


def _check_heading(path: Path, heading: list[str], adding: Sequence[str]) -> None:
    names = [name.strip().lower() for name in heading]
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise BadTable(f"{path}:1: the heading lacks {', '.join(missing)}; needed are {', '.join(NEEDED)}")
    twice = [name for name in (*NEEDED, "kind") if names.count(name) > 1]
    if twice:
        raise BadTable(f"{path}:1: the heading names {twice[0]} twice")
    there = [name for name in adding if name in names]
    if there:
        raise BadTable(f"{path}:1: has a column {there[0]} already, which would be added")


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"
