"""Reads a documented table of people, strictly: a mistake is told by its row and column, never by what stands there."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from cds_service.validation.columns import Column, Columns

_MISTAKES_TOLD = 20

Cell = str | float | tuple[str, ...] | None
"""Text, a number (flags are 0.0 and 1.0), the members of a list, or None where the cell is empty."""


class BadTable(Exception):
    """A table that cannot be read. The text holds a line for each mistake."""


class Respondent(msgspec.Struct, frozen=True):
    """One row: its cells by column. Columns that the file does not have are empty."""

    row: int
    """Counted as an editor does: the header is 1."""
    cells: dict[str, Cell]

    def number(self, column: str) -> float | None:
        cell = self.cells.get(column)
        return cell if isinstance(cell, float) else None

    def text(self, column: str) -> str:
        """The cell as it stands, "" when empty; a flag is "0" or "1"."""
        cell = self.cells.get(column)
        if isinstance(cell, float):
            return f"{cell:g}"
        return cell if isinstance(cell, str) else ""

    def members(self, column: str) -> tuple[str, ...]:
        cell = self.cells.get(column)
        return cell if isinstance(cell, tuple) else ()


def read_table(path: Path, columns: Columns) -> list[Respondent]:
    """Every respondent of a CSV file, plain or gzip. Raises `BadTable`, with at most 20 mistakes."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
            return _Reading(columns).all(csv.reader(file, strict=True))
    except (EOFError, UnicodeDecodeError, csv.Error, gzip.BadGzipFile) as error:
        raise BadTable(f"is not CSV in UTF-8 ({type(error).__name__})") from None
    except OSError as error:
        raise BadTable(f"cannot be read ({error.strerror or type(error).__name__})") from None


class _Reading:
    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.mistakes: list[str] = []

    def all(self, rows: Iterator[list[str]]) -> list[Respondent]:
        header = self._header(next(rows, []))
        respondents: list[Respondent] = []
        seen: set[str] = set()
        for number, cells in enumerate(rows, start=2):
            if not cells:
                continue
            if len(cells) != len(header):
                self._mistake(number, "", f"has {len(cells)} cells where the header has {len(header)}")
                continue
            one = Respondent(number, dict(self._cells(number, header, cells)))
            self._check(one, seen)
            respondents.append(one)
        self._stop_if_wrong()
        if not respondents:
            raise BadTable("holds no respondent")
        return respondents

    def _header(self, header: list[str]) -> list[str]:
        known = self.columns.columns
        for name in header:
            if name not in known:
                self._mistake(1, name, "is not described; remove it, or describe it in a file for --columns")
        for name in sorted({name for name in header if header.count(name) > 1}):
            self._mistake(1, name, "stands twice")
        for name in sorted((self.columns.used() | {n for n, c in known.items() if c.required}) - set(header)):
            self._mistake(1, name, "is missing; add it, with empty cells where nothing is known")
        self._stop_if_wrong()
        return header

    def _cells(self, row: int, header: list[str], cells: list[str]) -> Iterable[tuple[str, Cell]]:
        for name, text in zip(header, cells, strict=True):
            column = self.columns.columns[name]
            text = text.strip()
            if text:
                yield name, self._cell(row, name, column, text)
            elif column.required:
                self._mistake(row, name, "must not be empty")

    def _cell(self, row: int, name: str, column: Column, text: str) -> Cell:
        match column.kind:
            case "text":
                return text
            case "choice":
                if text not in column.choices:
                    self._mistake(row, name, f"must be one of {', '.join(column.choices)}, or empty")
                return text
            case "list":
                return tuple(one.strip() for one in text.split("|"))
            case "flag":
                if text not in ("0", "1"):
                    self._mistake(row, name, "must be 0, 1 or empty")
                    return None
        return self._number(row, name, column, text)

    def _number(self, row: int, name: str, column: Column, text: str) -> float | None:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self._mistake(row, name, "must be a number with a decimal point, or empty")
            return None
        if column.kind == "whole" and number != int(number):
            self._mistake(row, name, "must be a whole number, or empty")
            return None
        if column.between is not None and not column.between[0] <= number <= column.between[1]:
            low, high = column.between
            self._mistake(row, name, f"must lie between {low:g} and {high:g}; look at its unit")
            return None
        return number

    def _check(self, one: Respondent, seen: set[str]) -> None:
        """What several cells say together."""
        columns, drugs = self.columns, self.columns.drugs
        known = one.text(columns.id)
        if known and known in seen:
            self._mistake(one.row, columns.id, "stands in an earlier row too; a respondent has one row")
        seen.add(known)
        names, days = one.members(drugs.names), one.members(drugs.days)
        used = one.number(drugs.used)
        if names and used != 1:
            self._mistake(one.row, drugs.used, f"must be 1 where {drugs.names} names something")
        if used == 1 and not names:
            self._mistake(one.row, drugs.names, f"must not be empty where {drugs.used} is 1; write UNKNOWN")
        if any(not name for name in names):
            self._mistake(one.row, drugs.names, "has an empty member between two bars")
        count = one.number(drugs.count)
        if count is not None and used is not None and count != len(names):
            self._mistake(one.row, drugs.count, f"must be how many names {drugs.names} holds")
        if days and len(days) != len(names):
            self._mistake(one.row, drugs.days, f"must have as many members as {drugs.names}, empty ones included")
        if any(day and not day.isdecimal() for day in days):
            self._mistake(one.row, drugs.days, "must hold whole numbers of days")

    def _mistake(self, row: int, column: str, text: str) -> None:
        self.mistakes.append(f"row {row}, column {column}: {text}" if column else f"row {row}: {text}")

    def _stop_if_wrong(self) -> None:
        if self.mistakes:
            told = self.mistakes[:_MISTAKES_TOLD]
            if more := len(self.mistakes) - len(told):
                told.append(f"and {more} more mistakes")
            raise BadTable("\n".join(told))
