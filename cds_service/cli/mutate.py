"""`legcramp rules mutate`: which slip in the rules no scenario would notice."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click
import msgspec
import yaml

from cds_service.cli.console import FAILED, configuration, loaded, say, stop
from cds_service.cli.coverage import fixtures_of
from cds_service.engine.source import RuleError
from cds_service.review.bench import prepare, scenarios_of
from cds_service.review.equivalents import Report, read_equivalents, report_on
from cds_service.review.mutants import Mutant
from cds_service.review.trial import Court, Verdict, judged

_WANTED = {
    "threshold": "a case exactly at the limit and one a smallest step beside it",
    "comparison": "a case exactly at the limit",
    "duration": "a case exactly so old, and one of a unit more or less",
    "row": "a case that only this row decides",
    "unless": "a case that fires but for this exception",
    "band": "a case that lands in this band, with its indicator",
    "member": "a case in which this member alone decides",
    "points": "a case that states `points`",
    "dose": "a case that states dose, times a day, days or recheck of the offer",
    "word": "a case that this word alone decides",
    "offer": "a case without it that says `not_offers`",
}


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option("--only", multiple=True, metavar="ID", help="Only files whose name holds this, such as lab-hypokalemia.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(_WANTED)), help="Only slips of this kind.")
@click.option("--sample", type=click.IntRange(min=1), help="Only so many, taken at random.")
@click.option("--seed", default=1, show_default=True, help="For --sample.")
@click.option("--processes", type=click.IntRange(1, 64), default=2, show_default=True, help="Worker processes.")
@click.option("--equivalents", type=click.Path(path_type=Path), help="A YAML list of slips that change no answer.")
@click.option("--list", "list_only", is_flag=True, help="List the slips and try none.")
@click.option("--rules", type=click.Path(path_type=Path), help="The folder, if not the bundled one.")
def mutate(
    paths: tuple[Path, ...],
    only: tuple[str, ...],
    kinds: tuple[str, ...],
    sample: int | None,
    seed: int,
    processes: int,
    equivalents: Path | None,
    list_only: bool,
    rules: Path | None,
) -> None:
    """Slip one small mistake after the other into the loaded rules, and list those that no scenario notices.

    A threshold one step off, `at_most` for `below`, a window one day longer, a row of a gate or an `unless` left out,
    two rows exchanged, a dose or points off by one, and so on. Run are the rules' own scenarios and those of PATH;
    without PATH those of fixtures/scenarios beside the rules.

    Ends with 1 when a slip is noticed by none and is not listed as equivalent, or when that list is wrong.
    """
    began = time.monotonic()
    ruleset = loaded(rules or configuration().rules)
    try:
        known = read_equivalents(equivalents)
        court = Court(ruleset, prepare(ruleset, scenarios_of(ruleset, fixtures_of(ruleset, paths))))
    except (RuleError, OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        stop(str(error), FAILED)
    if court.trial.failing:
        stop(f"some scenarios fail already: {', '.join(court.trial.failing[:5])}", FAILED)
    chosen = _chosen(court.mutants, only, kinds, sample, seed)
    if list_only:
        say("\n".join(court.mutants[index].text for index in chosen))
        return
    report = report_on(court.mutants, _shown(judged(court, chosen, processes), len(chosen)), known)
    _tell(report, [court.mutants[index] for index in chosen], len(court.mutants), time.monotonic() - began)
    if not report.is_good:
        raise SystemExit(FAILED)


def _chosen(
    mutants: Sequence[Mutant], only: tuple[str, ...], kinds: tuple[str, ...], sample: int | None, seed: int
) -> list[int]:
    chosen = [
        index
        for index, mutant in enumerate(mutants)
        if (not only or any(one in mutant.name for one in only)) and (not kinds or mutant.kind in kinds)
    ]
    if sample is not None and sample < len(chosen):
        chosen = sorted(random.Random(seed).sample(chosen, sample))  # noqa: S311  # no secret
    return chosen


def _shown(verdicts: Iterable[Verdict], count: int) -> Iterator[Verdict]:
    """Passes the verdicts on, with a bar where somebody watches."""
    if not sys.stderr.isatty():
        yield from verdicts
        return
    with click.progressbar(verdicts, length=count, label="Slips", file=sys.stderr) as bar:
        yield from bar


def _tell(report: Report, chosen: Sequence[Mutant], of_all: int, seconds: float) -> None:
    for mutant, verdict in report.survivors:
        asked = f"{verdict.asked} scenarios ask it and none notices" if verdict.asked else "no scenario asks it"
        say(f"{mutant.text}\n    {asked}: add {_WANTED[mutant.kind]}")
    for mutant, verdict in report.contradicted:
        say(f"{mutant.text}\n    listed as equivalent, but noticed by: {verdict.by}")
    for one in report.stale:
        say(f"listed as equivalent, but there is no such slip: {one.file}: {one.slip}")
    left = Counter(mutant.kind for mutant, _ in report.survivors)
    for kind, count in sorted(Counter(mutant.kind for mutant in chosen).items()):
        say(f"{kind}: {count}, {left[kind]} survived")
    part = "" if len(chosen) == of_all else f" of {of_all}"
    say(
        f"{len(chosen)}{part} slips: {report.killed} noticed, {len(report.survivors)} survived, "
        f"{len(report.equivalents)} equivalent, {report.refused} refused by the loader; {seconds:.0f} s."
    )
