"""A second tier version from one table: judged points that it contradicts, changed as little as it allows."""

from __future__ import annotations

from cds_service.validation.columns import Columns
from cds_service.validation.contributors import Row
from cds_service.validation.report import Report


class NothingToPropose(Exception):
    """No version can be made of this table; the text says why."""


def tier_version(report: Report, columns: Columns, name: str, based_on: str) -> str:
    """The YAML of ``rules/tiers/<name>.yaml``. Raises `NothingToPropose`."""
    if report.cycle not in columns.fit_on:
        raise NothingToPropose(
            f"points are fitted on {', '.join(columns.fit_on)} only; this table is {report.cycle}, which judges them"
        )
    changed = [row for row in report.contributors if row.proposed is not None]
    if not changed:
        raise NothingToPropose("no judged point value is contradicted by this table")
    lines = [
        f"# Made by `legcramp validate-tier --propose` from {report.table} {report.cycle}.",
        "# A proposal for clinical review, never the default: it counts only where it is asked for by name.",
        "# docs/validation.md says how far to trust it.",
        f"tier: {name}",
        f"based_on: {based_on}            # everything that is not said here is as there",
        f"title: Contributor level, judged points changed by {report.table} {report.cycle}",
        "version: 0.1.0",
        "status: proposed",
        "fitted_on:",
        f"  table: {report.table}",
        f'  cycle: "{report.cycle}"',
        f"  outcome: {report.outcome}",
        "  adjusted_for: age, age squared and sex; survey weights and design",
        "points:",
    ]
    for row in changed:
        lines += _of_row(row)
    return "\n".join(lines) + "\n"


def _of_row(row: Row) -> list[str]:
    one, ratio, chance = row.exposure, row.weighted, row.chance_of_all
    assert ratio is not None
    assert chance is not None
    holds = "holds" if chance < 0.05 else "does not hold"
    note = f"{one.number}, {row.reading}; {holds} after Holm (p = {chance:.2f})"
    figures = (
        f"points: {row.proposed}, instead_of: {one.points}, ratio: {ratio.value:.2f}, low: {ratio.low:.2f},"
        f' high: {ratio.high:.2f}, people: {row.exposed}, note: "{note}"'
    )
    return [f"  {one.rule}:", *(f"    {band}: {{{figures}}}" for band in one.bands)]
