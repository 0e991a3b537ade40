"""A report as Markdown with its charts beside it, and as one HTML file with its charts inside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from cds_service.screening.report.charts import draw
from cds_service.screening.report.model import Bars, Grid, Report, Section, Table
from cds_service.screening.spill import write_whole

_CSS = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #8886; padding: .25rem .75rem; text-align: right; }
td { font-variant-numeric: tabular-nums; }
th.w, td.w { text-align: left; }
figure { margin: 1.5rem 0; background: #fff; overflow-x: auto; }
figure svg { max-width: 100%; height: auto; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; }
dd { margin: 0; }
"""


def write_report(report: Report, folder: Path, name: str = "report") -> list[Path]:
    """Writes ``name.md``, ``name.html`` and the charts of the former; returns what was written."""
    charts = {part.name: draw(part) for part in _charts(report)}
    written = []
    for chart, svg in charts.items():
        path = folder / f"{name}-charts" / f"{chart}.svg"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, svg.encode())
        written.append(path)
    for ending, text in ((".md", as_markdown(report, f"{name}-charts")), (".html", as_html(report, charts))):
        path = folder / (name + ending)
        write_whole(path, text.encode())
        written.append(path)
    return written


def _charts(report: Report) -> Iterator[Bars | Grid]:
    for section in report.sections:
        for part in section.parts:
            if isinstance(part, Bars | Grid) and part.labels:
                yield part


# -- Markdown


def as_markdown(report: Report, charts: str) -> str:
    """The report as Markdown; `charts` is the folder of its charts."""
    lines = [f"# {report.title}", ""]
    lines += [f"- {word}: {text}" for word, text in report.about]
    for section in report.sections:
        lines += ["", f"## {section.title}"]
        for part in section.parts:
            lines += ["", *_markdown(part, charts)]
    return "\n".join(lines) + "\n"


def _markdown(part: str | Table | Bars | Grid, charts: str) -> list[str]:
    if isinstance(part, str):
        return [part]
    if isinstance(part, Table):
        if not part.rows:
            return ["None."]
        rule = ["---" if at < part.words else "--:" for at in range(len(part.columns))]
        return [_row(part.columns), _row(rule), *map(_row, part.rows)]
    return [f"![{part.title}]({charts}/{part.name}.svg)"] if part.labels else []


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return "| " + " | ".join(re.sub(r"([|\\])", r"\\\1", cell) for cell in cells) + " |"


# -- HTML


def as_html(report: Report, charts: dict[str, str]) -> str:
    """The report as one HTML file without any script; `charts` are the SVGs by name."""
    about = "".join(f"<dt>{escape(word)}</dt><dd>{escape(text)}</dd>" for word, text in report.about)
    body = "".join(_section(section, charts) for section in report.sections)
    return (
        f'<!DOCTYPE html>\n<html lang="{report.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{_CSS}</style></head>\n"
        f"<body><main><h1>{escape(report.title)}</h1><dl>{about}</dl>{body}</main></body></html>\n"
    )


def _section(section: Section, charts: dict[str, str]) -> str:
    return (
        f"\n<section><h2>{escape(section.title)}</h2>"
        + "".join(_html(part, charts) for part in section.parts)
        + ("</section>")
    )


def _html(part: str | Table | Bars | Grid, charts: dict[str, str]) -> str:
    if isinstance(part, str):
        return f"<p>{escape(part)}</p>"
    if isinstance(part, Table):
        if not part.rows:
            return "<p>None.</p>"
        head = "".join(_cell("th", text, at < part.words) for at, text in enumerate(part.columns))
        rows = "".join(
            "<tr>" + "".join(_cell("td", text, at < part.words) for at, text in enumerate(row)) + "</tr>"
            for row in part.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    if not part.labels:
        return ""
    svg = charts[part.name]
    drawing = svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{escape(part.title)}"', 1)
    return f"<figure>{drawing}</figure>"


def _cell(tag: str, text: str, is_words: bool) -> str:
    style = ' class="w"' if is_words else ""
    scope = ' scope="col"' if tag == "th" else ""
    return f"<{tag}{scope}{style}>{escape(text)}</{tag}>"
