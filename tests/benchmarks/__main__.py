"""`make bench`: what a request costs, step by step, beside what it is compared with in the same run.

The garbage collector is as in production for everything measured: on, with all that was loaded at start frozen.
Authentication and memory do not exist yet. Other work on the machine spoils the times more than the ratios.
"""

from __future__ import annotations

import cProfile
import gc
import json
import pstats
from pathlib import Path
from typing import Any

import click

from tests.benchmarks import report
from tests.benchmarks.measuring import Timing
from tests.benchmarks.serving import measure_throughput
from tests.benchmarks.steps import (
    Service,
    describe,
    freeze,
    make_bodies,
    measure_details,
    measure_rules,
    measure_steps,
    measure_value_sets,
)

ROUNDS = {20: 50, 200: 40, 1_000: 40, 5_000: 12}
VALIDATIONS = {20: 10, 200: 5, 1_000: 3, 5_000: 1}
"""Rounds of fhir.resources, which takes long."""
GROWTH_AT = 1_000
HTTP_AT = 20
CALLERS = (1, 8)


@click.command(help=__doc__)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures there.")
@click.option("--quick", is_flag=True, help="A fifth of the rounds: for a first look.")
@click.option("--cpu-only", is_flag=True, help="Leave gunicorn out.")
@click.option("--http-only", is_flag=True, help="gunicorn only.")
@click.option("--profile", type=click.IntRange(min=20), help="Instead: where a request of so many resources spends it.")
def main(json_file: Path | None, quick: bool, cpu_only: bool, http_only: bool, profile: int | None) -> None:
    console = report.console()
    if profile:
        _profile(profile)
        return
    figures: dict[str, Any] = {"machine": report.machine()}
    for name, text in figures["machine"].items():
        console.print(f"{name:12} {text}")
    console.print(f"{'collector':12} on, thresholds {gc.get_threshold()}, loaded objects frozen; the same for all\n")
    at_1000, rules, found = None, None, None
    if not http_only:
        at_1000, rules = _cpu(console, figures, 5 if quick else 1)
    if not cpu_only:
        found = measure_throughput(HTTP_AT, CALLERS, rounds=2 if quick else 8, seconds=1.0 if quick else 1.5)
        console.print(report.throughput_table(HTTP_AT, found))
        figures["throughput"] = {
            callers: {kind: one._asdict() for kind, one in servers.items()} for callers, servers in found.items()
        }
    console.print(report.aims_table(at_1000, rules, found))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1) + "\n")


def _cpu(console: Any, figures: dict[str, Any], divisor: int) -> tuple[dict[str, Timing], Timing]:
    service = Service()
    sizes, answers = {}, {}
    for size, rounds in ROUNDS.items():
        bodies = make_bodies(size)
        answers[size] = describe(service, bodies[0])
        sizes[size] = measure_steps(service, bodies, max(3, rounds // divisor), max(1, VALIDATIONS[size] // divisor))
    console.print(report.steps_table(sizes, answers))
    rounds = ROUNDS[GROWTH_AT] // 2 // divisor
    details = measure_details(service, GROWTH_AT, rounds)
    console.print(report.details_table(GROWTH_AT, details))
    bodies = make_bodies(GROWTH_AT)
    rules = measure_rules(service, bodies, rounds)
    console.print(
        report.growth_table(f"All rules on ready Facts of {GROWTH_AT:,} resources", "active rules, with copies", rules)
    )
    codes = measure_value_sets(service, bodies, rounds)
    console.print(
        report.growth_table(f"Facts of {GROWTH_AT:,} gathered resources", "codes in the value sets, filled up", codes)
    )
    figures["steps"] = {
        size: answers[size]._asdict() | {name: timing._asdict() for name, timing in found.items()}
        for size, found in sizes.items()
    }
    figures["details"] = {
        detail: {"body_bytes": body_bytes} | {name: timing._asdict() for name, timing in found.items()}
        for detail, (body_bytes, found) in details.items()
    }
    figures["rules"] = {number: timing._asdict() for number, timing in rules.items()}
    figures["value_sets"] = {number: timing._asdict() for number, timing in codes.items()}
    return sizes[1_000], next(iter(rules.values()))


def _profile(resources: int) -> None:
    """cProfile over the whole road; it doubles the time of small functions, so only the order is to be trusted."""
    service = Service()
    bodies = make_bodies(resources)
    for body in bodies[:3]:
        service.answer(body)
    freeze()
    profiler = cProfile.Profile()
    for body in bodies:
        profiler.runcall(service.answer, body)
    stats = pstats.Stats(profiler)
    click.echo(f"{len(bodies)} requests of {resources} resources")
    stats.strip_dirs().sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    main(prog_name="python -m tests.benchmarks")
