"""`make bench-screening`: a whole run of the local engine beside its floor, which is reading every line and
`orjson.loads` of it in as many processes, and nothing else.

Exports are made of the published sample records when they are beside the checkout, else of the invented ones. Floor and
run take turns, each in fresh processes; shown are the best of the rounds, as wall clock and as CPU time of all
processes, for another program on the machine spoils the one more than the other.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import click
import orjson
from rich.console import Console
from rich.table import Table

from cds_service.screening.lines import Stretch, blocks_of, stretches_of
from tests.screening.generate import ROOT, SAMPLES, generate

BLOCK = 16 * 1024 * 1024
TODAY = "2020-06-01"
"""A day on which the records are current."""


class Cost(NamedTuple):
    """Of one run, in seconds."""

    wall: float
    cpu: float


class Result(NamedTuple):
    """The best of the rounds; the peaks of the last."""

    patients: int
    megabytes: float
    floor: Cost
    run: Cost
    largest_mb: float
    all_mb: float
    lines: int


@click.command(help=__doc__)
@click.option("--patients", multiple=True, type=int, default=(1_000, 10_000), show_default=True)
@click.option("--workers", default=len(os.sched_getaffinity(0)), show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures there.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where exports and runs go; a temporary one if not given."
)
def main(patients: tuple[int, ...], workers: int, rounds: int, json_file: Path | None, folder: Path | None) -> None:
    console = Console(width=150)
    console.print(f"records {'as published' if SAMPLES.is_dir() else 'of fixtures/'}, {workers} workers")
    results = []
    for count in patients:
        place = Path(tempfile.mkdtemp(dir=folder))
        try:
            results.append(measure(place, count, workers, rounds))
        finally:
            shutil.rmtree(place)
        console.print(table([results[-1]]) if len(results) == 1 else table(results))
    if json_file is not None:
        json_file.write_text(json.dumps([result._asdict() for result in results], indent=1) + "\n")


def measure(place: Path, patients: int, workers: int, rounds: int) -> Result:
    export, out = place / "export", place / "out"
    size = generate(export, patients)
    floors, runs, told = [], [], {}
    for _ in range(rounds):
        floors.append(_of_children(partial(floor, export, workers)))
        shutil.rmtree(out, ignore_errors=True)
        command = [sys.executable, "-m", "cds_service.screening.job", "screen", str(export), "--out", str(out)]
        command += ["--today", TODAY, "--workers", str(workers)]
        whole = _of_children(partial(subprocess.run, command, cwd=ROOT, check=True, capture_output=True))
        told = json.loads((out / "run.json").read_bytes())
        # the start of Python and the loading of the rules are not the engine's; they are told apart
        runs.append(Cost(told["cost"]["seconds"], whole.cpu - START.cpu))
    best_floor = Cost(*map(min, zip(*floors, strict=True)))
    best_run = Cost(*map(min, zip(*runs, strict=True)))
    cost: dict[str, Any] = told["cost"]
    return Result(
        patients,
        size / 1e6,
        best_floor,
        best_run,
        cost["peak_mb_largest_process"],
        cost["peak_mb_all_processes"],
        told["lines"],
    )


def floor(export: Path, workers: int) -> int:
    """Every line read and parsed, with as many processes; the number of lines."""
    tasks = [
        (export, stretch)
        for number, path in enumerate(sorted(export.iterdir()))
        for stretch in stretches_of(path.name, number, path.stat().st_size, BLOCK)
    ]
    with ProcessPoolExecutor(workers, get_context("fork")) as pool:
        return sum(pool.map(_parse, tasks))


def _parse(task: tuple[Path, Stretch]) -> int:
    lines = 0
    for block in blocks_of(task[0], task[1], BLOCK):
        for line in block.splitlines():
            orjson.loads(line)
            lines += 1
    return lines


def _of_children(call: Any) -> Cost:
    """Wall clock, and CPU time of the processes that a call started and waited for."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    call()
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _start() -> Cost:
    """What it takes to start Python and load the rules, which every run does once."""
    program = "import cds_service.cli; from cds_service.ruleset import load_ruleset; load_ruleset()"
    command = [sys.executable, "-c", program]
    return min(_of_children(partial(subprocess.run, command, cwd=ROOT, check=True)) for _ in range(3))


START = _start() if __name__ == "__main__" else Cost(0.0, 0.0)


def table(results: list[Result]) -> Table:
    found = Table(title="A run beside reading and parsing every line", title_justify="left")
    for name in (
        "patients",
        "MB",
        "floor s",
        "run s",
        "ratio",
        "ratio of CPU",
        "patients/s",
        "MB/s",
        "largest process MB",
        "all processes MB",
        "KB/patient",
    ):
        found.add_column(name, justify="right")
    for one in results:
        found.add_row(
            f"{one.patients:,}",
            f"{one.megabytes:,.0f}",
            f"{one.floor.wall:.2f}",
            f"{one.run.wall:.2f}",
            f"{one.floor.wall / one.run.wall:.2f}",
            f"{one.floor.cpu / one.run.cpu:.2f}",
            f"{one.patients / one.run.wall:,.0f}",
            f"{one.megabytes / one.run.wall:,.0f}",
            f"{one.largest_mb:,.0f}",
            f"{one.all_mb:,.0f}",
            f"{one.all_mb * 1024 / one.patients:,.1f}",
        )
    return found


if __name__ == "__main__":
    main(prog_name="python -m tests.benchmarks.screening")
