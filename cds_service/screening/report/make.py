"""The report of a run's folder, and of another run beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from cds_service.screening.finish import rows_of
from cds_service.screening.folder import FINDINGS, RUN
from cds_service.screening.report.compare import compare_runs, reviewer_list, section_of
from cds_service.screening.report.content import Writer
from cds_service.screening.report.count import count_burden
from cds_service.screening.report.render import write_report
from cds_service.screening.rows import PatientRow
from cds_service.screening.spill import write_whole
from cds_service.screening.summary import Summary

REVIEWER = "examples-for-the-reviewer.md"


class NoRun(Exception):
    """A folder without a finished run. The text names it."""


def make_report(
    folder: Path, against: Path | None, titles: Mapping[str, str], hide_below: int, examples: int
) -> list[Path]:
    """Writes the report of `folder`; returns what was written. Raises `NoRun`."""
    summary = read_summary(folder)
    report = Writer(summary, count_burden(read_rows(folder)), titles, hide_below).report()
    if against is None:
        return write_report(report, folder)
    earlier = read_summary(against)
    changes = compare_runs(read_rows(against), read_rows(folder), examples)
    compared = section_of(changes, earlier.plan, summary.plan, titles, hide_below)
    written = write_report(msgspec.structs.replace(report, sections=(compared, *report.sections)), folder)
    if examples:
        write_whole(folder / REVIEWER, reviewer_list(changes, titles).encode())
        written.append(folder / REVIEWER)
    return written


def read_summary(folder: Path) -> Summary:
    """run.json of a finished run. Raises `NoRun`."""
    try:
        return msgspec.json.decode((folder / RUN).read_bytes(), type=Summary)
    except (OSError, msgspec.DecodeError):
        raise NoRun(f"{folder}: holds no finished run of this version") from None


def read_rows(folder: Path) -> Iterator[PatientRow]:
    """The rows of a finished run, one at a time."""
    with (folder / FINDINGS).open("rb") as file:
        yield from rows_of(file)
