"""A report as plain data: sections of sentences, tables and charts, of which Markdown and HTML are made."""

from __future__ import annotations

from typing import Literal

import msgspec

HIDDEN = "–"
"""Stands where a count is hidden, or cannot be told because its base is."""


class Table(msgspec.Struct, frozen=True):
    """A table; columns after the first are numbers unless `words` says how many more are words."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1


class Bars(msgspec.Struct, frozen=True):
    """A chart of horizontal bars, stacked where there are several series. None is a value that is hidden."""

    name: str
    """Of its file, without an ending."""
    title: str
    unit: str
    labels: tuple[str, ...]
    series: dict[str, tuple[float | None, ...]]


class Grid(msgspec.Struct, frozen=True):
    """A chart of shaded cells with their numbers. None is a value that is hidden."""

    name: str
    title: str
    labels: tuple[str, ...]
    cells: tuple[tuple[float | None, ...], ...]


class Section(msgspec.Struct, frozen=True):
    title: str
    parts: tuple[str | Table | Bars | Grid, ...]


class Report(msgspec.Struct, frozen=True):
    title: str
    about: tuple[tuple[str, str], ...]
    """What the report is about, as pairs of a word and what it is."""
    sections: tuple[Section, ...]
    language: Literal["en"] = "en"
