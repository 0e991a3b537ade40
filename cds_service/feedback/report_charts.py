"""The charts of the report as SVG. Hatching, markers and numbers tell everything, color nothing.

matplotlib is slow to load, so it is loaded by whoever draws first.
"""

from __future__ import annotations

import threading
from io import BytesIO
from typing import Any, Literal

from cds_service.feedback.report import Line, Report

Chart = Literal["rules", "time"]
CHARTS: tuple[Chart, ...] = ("rules", "time")
MOST_RULES = 20
"""The bars that one chart can hold; the table beside it has all."""

_OUTCOMES: tuple[tuple[str, str, str, str], ...] = (
    ("accepted", "Accepted", "#1b6e3c", ""),
    ("overridden", "Overridden", "#f0c36d", "////"),
    ("unanswered", "No answer", "#ffffff", ".."),
)
_MARKS = {"shown": ("o", "-", "Shown"), "accepted": ("^", "--", "Accepted"), "overridden": ("s", ":", "Overridden")}
_LONGEST_TITLE = 46
_STYLE: Any = {
    "svg.hashsalt": "legcramp",  # the same counts give the same bytes
    "svg.fonttype": "path",  # the same on every machine, whatever fonts it has
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.8,
}
# matplotlib's settings belong to the process, and requests come in threads
_LOCK = threading.Lock()


def draw(report: Report, chart: Chart) -> bytes:
    """One chart as an SVG document. An empty report makes a chart that says so."""
    import matplotlib

    with _LOCK, matplotlib.rc_context(_STYLE):
        file = BytesIO()
        figure = {"rules": _rules, "time": _time}[chart](report)
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
        return file.getvalue()


def told(report: Report, chart: Chart) -> str:
    """What the chart shows, in words, for whoever cannot see it; the numbers stand in the table beside it."""
    if not report.total.shown:
        return "No card was shown in this time."
    if chart == "rules":
        first = report.rules[0]
        return (
            "Bars of the cards shown for each rule, divided into accepted, overridden and without an answer. "
            f"Most were shown for {first.title}: {first.shown}, of them {first.accepted} accepted and "
            f"{first.overridden} overridden."
        )
    most = max(report.periods, key=lambda line: line.shown)
    return (
        f"Lines of the cards shown, accepted and overridden for each {report.step}. "
        f"Most were shown in the {report.step} from {most.name}: {most.shown}."
    )


def _rules(report: Report) -> Any:
    shown = [line for line in report.rules if line.shown][:MOST_RULES]
    figure, axes = _figure(8.5, 1.5 + 0.36 * max(len(shown), 2))
    if not shown:
        return _empty(figure, axes)
    left = [0] * len(shown)
    for name, label, color, hatch in _OUTCOMES:
        values = [int(getattr(line, name)) for line in shown]
        axes.barh(range(len(shown)), values, left=left, height=0.7, color=color, hatch=hatch,
                  edgecolor="black", linewidth=0.8, label=label)  # fmt: skip
        left = [before + value for before, value in zip(left, values, strict=True)]
    for at, line in enumerate(shown):
        place = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "fontsize": 8}
        axes.annotate(_numbers(line), (line.shown, at), **place)
    axes.set_yticks(range(len(shown)), [_shortened(line) for line in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.margins(x=0.18)
    axes.set_xlim(left=0)
    axes.set_xlabel("Cards (numbers: accepted / overridden / no answer)")
    _whole_numbers(axes.xaxis)
    axes.legend(frameon=False, ncol=3, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def _time(report: Report) -> Any:
    figure, axes = _figure(8.5, 3.4)
    if not report.total.shown:
        return _empty(figure, axes)
    places = range(len(report.periods))
    for name, (marker, dashes, label) in _MARKS.items():
        axes.plot(places, [getattr(line, name) for line in report.periods], marker=marker, linestyle=dashes,
                  color="black", markerfacecolor="white" if name == "shown" else "black", label=label)  # fmt: skip
    every = -(-len(report.periods) // 12)
    axes.set_xticks(list(places)[::every], [line.name for line in report.periods][::every], rotation=30, ha="right")
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"Cards a {report.step}")
    _whole_numbers(axes.yaxis)
    axes.legend(frameon=False, ncol=3, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.subplots()


def _empty(figure: Any, axes: Any) -> Any:
    axes.set_axis_off()
    axes.text(0.5, 0.5, "No card was shown in this time.", ha="center", va="center")
    return figure


def _numbers(line: Line) -> str:
    mark = "  review" if line.review else ""
    return f"{line.accepted} / {line.overridden} / {line.unanswered}{mark}"


def _shortened(line: Line) -> str:
    text = f"{line.number} {line.title}".strip()
    return text if len(text) <= _LONGEST_TITLE else f"{text[: _LONGEST_TITLE - 1]}…"


def _whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))
