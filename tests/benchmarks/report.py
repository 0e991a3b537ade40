"""The figures as tables for a terminal; what counts are the ratios of one run."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.measuring import Timing
from tests.benchmarks.serving import Throughput
from tests.benchmarks.steps import FHIR_RESOURCES, ORJSON, ROAD, WSGI, Answer

STEPS = ("decode", "gather", "facts", "assess", "encode", ROAD, WSGI, FHIR_RESOURCES)


def machine() -> dict[str, str]:
    """Where this was measured."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    load = " ".join(f"{one:.2f}" for one in os.getloadavg())
    return {
        "cpu": f"{len(os.sched_getaffinity(0))} x {cpu}",
        "system": platform.platform(terse=True),
        "load before": load,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": ", ".join(
            f"{name} {version(name)}" for name in ("msgspec", "orjson", "fhir.resources", "flask", "gunicorn")
        ),
    }


def console() -> Console:
    """As wide as the tables need where there is no terminal to ask."""
    return Console(width=None if sys.stdout.isatty() else 140, highlight=False)


def steps_table(sizes: Mapping[int, Mapping[str, Timing]], answers: Mapping[int, Answer]) -> Table:
    table = Table(title="CPU time of one request, ms: median (best), and both as multiples of orjson.loads")
    table.add_column("step")
    for size in sizes:
        table.add_column(f"{size:,} resources", justify="right")
        table.add_column("x", justify="right")
    table.add_row("body, bytes", *_pairs(f"{answers[size].body_bytes:,}" for size in sizes))
    table.add_row("cards / findings", *_pairs(f"{answers[size].cards} / {answers[size].findings}" for size in sizes))
    table.add_row("answer, bytes", *_pairs(f"{answers[size].response_bytes:,}" for size in sizes))
    table.add_row("circular garbage", *_pairs(f"{answers[size].garbage:,}" for size in sizes), end_section=True)
    table.add_row(ORJSON, *(cell for found in sizes.values() for cell in (_times(found[ORJSON]), "")))
    for step in STEPS:
        cells: list[str] = []
        for found in sizes.values():
            timing = found.get(step)
            cells += ["-", "-"] if timing is None else [_times(timing), _ratio(timing, found[ORJSON])]
        strong = step in (ROAD, WSGI)
        table.add_row(step, *cells, style="bold" if strong else None, end_section=step in ("encode", WSGI))
    return table


def details_table(size: int, details: Mapping[str, tuple[int, Mapping[str, Timing]]]) -> Table:
    table = Table(title=f"{size:,} resources, by what each carries beside its clinical content")
    for name in ("detail", "bytes", "bytes a resource", ORJSON, ROAD, "x"):
        table.add_column(name, justify="left" if name == "detail" else "right")
    for detail, (body_bytes, found) in details.items():
        table.add_row(
            detail,
            f"{body_bytes:,}",
            f"{body_bytes // size:,}",
            _times(found[ORJSON]),
            _times(found[ROAD]),
            _ratio(found[ROAD], found[ORJSON]),
        )
    return table


def growth_table(title: str, what: str, found: Mapping[int, Timing]) -> Table:
    table = Table(title=title)
    table.add_column(what, justify="right")
    table.add_column("CPU ms, median (best)", justify="right")
    table.add_column("x of the first", justify="right")
    first = next(iter(found.values()))
    for number, timing in found.items():
        table.add_row(f"{number:,}", _times(timing), _ratio(timing, first))
    return table


def throughput_table(resources: int, found: Mapping[int, Mapping[str, Throughput]]) -> Table:
    table = Table(title=f"gunicorn as in production, one worker, {resources} resources a request")
    for name in ("callers", "server", "requests/s", "x", "p50 ms", "p95 ms", "p99 ms", "p99/p50", "worker CPU ms"):
        table.add_column(name, justify="left" if name == "server" else "right")
    for callers, servers in found.items():
        for kind, one in servers.items():
            table.add_row(
                str(callers),
                kind,
                f"{one.a_second:,.0f}",
                f"{one.a_second / servers['constant'].a_second:.2f}",
                f"{one.p50_ms:.2f}",
                f"{one.p95_ms:.2f}",
                f"{one.p99_ms:.2f}",
                f"{one.p99_ms / one.p50_ms:.1f}",
                f"{one.cpu_ms:.2f}",
                end_section=kind == "constant",
            )
    return table


def aims_table(
    at_1000: Mapping[str, Timing] | None, rules: Timing | None, at_20: Mapping[int, Mapping[str, Throughput]] | None
) -> Table:
    """What was aimed at. It counts as reached only when medians and best say so."""
    table = Table(title="Aims")
    for name in ("aim", "measured", ""):
        table.add_column(name)

    def add(aim: str, measured: str, is_reached: bool) -> None:
        table.add_row(aim, measured, "reached" if is_reached else "not reached")

    if at_1000 is not None:
        whole, orjson = at_1000[WSGI], at_1000[ORJSON]
        is_reached = whole.median <= orjson.median and whole.best <= orjson.best
        add("1,000 resources: whole request at most 1.0x orjson.loads", _ratio(whole, orjson), is_reached)
    if rules is not None:
        add("1,000 resources: all rules on ready Facts below 1 ms", f"{_times(rules)} ms", rules.median < 1)
    for callers, servers in (at_20 or {}).items():
        ratio = servers["service"].a_second / servers["constant"].a_second
        aim = f"20 resources, callers: {callers}: at least 0.5x the requests/s of the constant view"
        add(aim, f"{ratio:.2f}", ratio >= 0.5)
    if at_20 is not None and 8 in at_20:
        tail = at_20[8]["service"].p99_ms / at_20[8]["service"].p50_ms
        add("20 resources, callers: 8: p99 at most 5x p50", f"{tail:.1f}", tail <= 5)
    return table


def _pairs(cells: object) -> list[str]:
    return [cell for one in cells for cell in (one, "")]  # type: ignore[attr-defined]


def _times(timing: Timing) -> str:
    digits = 3 if timing.median < 10 else 1
    return f"{timing.median:.{digits}f} ({timing.best:.{digits}f})"


def _ratio(timing: Timing, to: Timing) -> str:
    """By medians, and in brackets by the best: where they part, other work on the machine slowed one more."""
    return f"{timing.median / to.median:.2f} ({timing.best / to.best:.2f})"
