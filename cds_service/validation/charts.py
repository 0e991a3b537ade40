"""The two charts of the report, as SVG. Everything is told by place, shape and label, nothing by color alone."""

from __future__ import annotations

from io import StringIO
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from cds_service.validation.contributors import Row
from cds_service.validation.report import Report

_MARKS = {
    "published ratio": ("s", "black", "points from a published ratio"),
    "published association": ("D", "white", "points from a published association"),
    "judged": ("o", "white", "points judged"),
}
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "leg-cramp-cds",  # the same figures give the same file
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def charts(report: Report) -> dict[str, str]:
    """File name to SVG."""
    with matplotlib.rc_context(_STYLE):
        return {"contributors.svg": _svg(_contributors(report)), "levels.svg": _svg(_levels(report))}


def _svg(figure: Figure) -> str:
    file = StringIO()
    figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def _contributors(report: Report) -> Figure:
    rows = [row for row in report.contributors if row.weighted is not None]
    figure = Figure(figsize=(8.5, 1.2 + 0.32 * len(rows)))
    axes = figure.subplots()
    told: set[str] = set()
    for at, row in enumerate(rows):
        _interval(axes, at, row, told)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.plot(
        [],
        [],
        marker="|",
        markersize=11,
        markeredgewidth=2.5,
        color="gray",
        linestyle="",
        label="what the points stand for",
    )
    axes.set_xscale("log", base=2)
    axes.set_xticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
    axes.set_yticks(range(len(rows)), [f"{row.exposure.title}  ({row.exposure.points})" for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel(
        f"Odds ratio, weighted, adjusted for age and sex: {report.outcome}\n"
        f"{report.table} {report.cycle}; points in brackets"
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.3, -0.16 if len(rows) > 12 else -0.35), ncol=2, frameon=False)
    return figure


def _interval(axes: Any, at: int, row: Row, told: set[str]) -> None:
    ratio = row.weighted
    assert ratio is not None
    marker, fill, label = _MARKS[row.exposure.basis]
    axes.plot([ratio.low, ratio.high], [at, at], color="black", linewidth=1.2)
    axes.plot(
        2 ** (row.exposure.points / 2), at, marker="|", markersize=11, markeredgewidth=2.5, color="gray", linestyle=""
    )
    axes.plot(
        ratio.value,
        at,
        marker=marker,
        markersize=6,
        markerfacecolor=fill,
        markeredgecolor="black",
        linestyle="",
        label=None if label in told else label,
    )
    told.add(label)


def _levels(report: Report) -> Figure:
    figure = Figure(figsize=(6.5, 3.2))
    axes = figure.subplots()
    marks = ("o", "s", "^", "D")
    for index, tier in enumerate(report.tiers):
        shift = 0.14 * (index - (len(report.tiers) - 1) / 2)
        places = [at + shift for at in range(len(tier.levels))]
        shares = [100 * row.share.value for row in tier.levels]
        low = [100 * (row.share.value - row.share.low) for row in tier.levels]
        high = [100 * (row.share.high - row.share.value) for row in tier.levels]
        axes.errorbar(
            places,
            shares,
            yerr=[low, high],
            fmt=marks[index % len(marks)],
            color="black",
            markerfacecolor="black" if index == 0 else "white",
            capsize=4,
            linestyle="",
            label=tier.tier,
        )
    first = report.tiers[0].levels
    axes.set_xticks(range(len(first)), [f"{row.level}\n{100 * row.population.value:.0f}% of adults" for row in first])
    axes.set_xlim(-0.5, len(first) - 0.5)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"% with {report.outcome}")
    axes.set_title(f"Contributor level and reported cramps, {report.table} {report.cycle}", fontsize=9, loc="left")
    if len(report.tiers) > 1:
        axes.legend(frameon=False, loc="upper left")
    return figure
