"""The charts of a report as SVG. Told by place, hatching and label, nothing by color alone."""

from __future__ import annotations

from io import StringIO
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from cds_service.screening.report.model import Bars, Grid

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "leg-cramp-cds",  # the same figures give the same file
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
}
_LOOKS = {
    "critical": ("#8c1c13", ""),
    "warning": ("#e6a817", "//"),
    "info": ("#9fb8d0", ".."),
    "before": ("#bbbbbb", ""),
    "after": ("#3a6ea5", "//"),
}


def draw(chart: Bars | Grid) -> str:
    """SVG of one chart; the same figures give the same bytes."""
    with matplotlib.rc_context(_STYLE):
        figure = _bars(chart) if isinstance(chart, Bars) else _grid(chart)
        file = StringIO()
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def _bars(chart: Bars) -> Figure:
    figure = Figure(figsize=(8.5, 1.0 + 0.3 * max(len(chart.labels), 1)))
    axes = figure.subplots()
    places = range(len(chart.labels))
    left = [0.0] * len(chart.labels)
    for name, values in chart.series.items():
        color, hatch = _LOOKS.get(name, ("#9fb8d0", ""))
        widths = [value or 0.0 for value in values]
        if any(widths):
            axes.barh(places, widths, left=left, color=color, hatch=hatch, edgecolor="black", linewidth=0.5, label=name)
        left = [before + width for before, width in zip(left, widths, strict=True)]
    for place, total in zip(places, left, strict=True):
        hidden = any(values[place] is None for values in chart.series.values())
        text = f"{total:,.1f}" + (" and what is hidden" if hidden else "")
        axes.annotate(text, (total, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(places, chart.labels)
    axes.invert_yaxis()
    axes.set_xlim(0, max([*left, 1e-9]) * 1.2)
    axes.set_xlabel(chart.unit)
    axes.set_title(chart.title, fontsize=9, loc="left")
    if any(any(values) for values in chart.series.values()):
        axes.legend(frameon=False, loc="lower right")
    return figure


def _grid(chart: Grid) -> Figure:
    size = len(chart.labels)
    figure = Figure(figsize=(2.5 + 0.55 * size, 1.5 + 0.45 * size))
    axes = figure.subplots()
    most = max((value for row in chart.cells for value in row if value), default=1.0)
    shades = [[(value or 0.0) / most for value in row] for row in chart.cells]
    if shades:
        axes.imshow(shades, cmap="Blues", vmin=0, vmax=1.4)
    for row, line in enumerate(chart.cells):
        for column, value in enumerate(line):
            text = "–" if value is None else f"{value:,.0f}" if value else ""
            axes.text(column, row, text, ha="center", va="center", fontsize=7)
    axes.set_yticks(range(size), chart.labels)
    axes.set_xticks(range(size), chart.labels, rotation=60, ha="right")
    axes.set_title(chart.title, fontsize=9, loc="left")
    return figure
