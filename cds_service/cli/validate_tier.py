"""`legcramp validate-tier`: what the contributor tier is worth on a table of real people."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from cds_service.cli.console import FAILED, configuration, out, say, stop
from cds_service.ruleset import Ruleset, RulesetError, load_ruleset
from cds_service.validation.columns import BUNDLED, BadColumns, Columns, load_columns
from cds_service.validation.table import BadTable, Respondent, read_table

_WIDEST = 150


@click.command("validate-tier")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--columns", type=click.Path(path_type=Path), help="The description of the table, if not NHANES's.")
@click.option("--cycle", help="Judge the rows of this survey cycle; needed when the file holds several.")
@click.option("--outcome", help="The outcome of levels and contributors; the description's primary one unless given.")
@click.option(
    "--tier", "tiers", multiple=True, metavar="NAME", help="Judge this tier version beside the default; repeatable."
)
@click.option(
    "--least-exposed", type=click.IntRange(min=10), default=30, show_default=True, help="People a ratio needs."
)
@click.option(
    "--replicates", type=click.IntRange(min=50), default=1000, show_default=True, help="Bootstrap replicates."
)
@click.option("--json", "as_json", is_flag=True, help="The whole report as one JSON object.")
@click.option(
    "--out", "folder", type=click.Path(path_type=Path, file_okay=False), help="Write Markdown, JSON and charts here."
)
@click.option(
    "--propose",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a second tier version here, named as the file.",
)
@click.option("--rules", type=click.Path(path_type=Path), help="The folder of the rules, if not the bundled one.")
def validate_tier(
    file: Path,
    columns: Path | None,
    cycle: str | None,
    outcome: str | None,
    tiers: tuple[str, ...],
    least_exposed: int,
    replicates: int,
    as_json: bool,
    folder: Path | None,
    propose: Path | None,
    rules: Path | None,
) -> None:
    """Judge the contributor tier on FILE, a documented table of people with the cramps they report."""
    statistics = _statistics()
    config = configuration()
    described = _described(columns)
    cut = outcome or described.outcome.primary
    if cut not in described.outcome.cuts:
        raise click.BadParameter(f"known are {', '.join(described.outcome.cuts)}", param_hint="--outcome")
    rulesets = _rulesets(rules or config.rules, tiers)
    respondents = _respondents(file, described, cycle)
    people = _assessed(respondents, described, rulesets, config.settings)
    if not people:
        stop(f"{file.name}: nobody is old enough and answered the question", FAILED)
    report = statistics("report").judge(people, len(respondents), described, rulesets, cut, least_exposed, replicates)
    if folder is not None:
        _write(folder, report, statistics)
    if propose is not None:
        _propose(propose, report, described, next(iter(rulesets)), statistics)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=1))
    elif folder is None and propose is None:
        _show(out(), report, statistics)


def _statistics() -> Callable[[str], Any]:
    """Fetches the modules that need the extra, or ends with what to install."""
    try:
        for name in ("numpy", "scipy", "statsmodels"):
            importlib.import_module(name)
    except ImportError as error:
        stop(f"validate-tier needs {error.name}: install the extra, pip install 'leg-cramp-cds[validation]'")
    return lambda name: importlib.import_module(f"cds_service.validation.{name}")


def _described(path: Path | None) -> Columns:
    try:
        return load_columns(path or BUNDLED)
    except BadColumns as error:
        stop(str(error), FAILED)


def _rulesets(folder: Path | None, tiers: tuple[str, ...]) -> dict[str, Ruleset]:
    """The default version first, then those that are asked for."""
    try:
        found = [load_ruleset(folder), *(load_ruleset(folder, tier=name) for name in tiers)]
    except RulesetError as error:
        stop(str(error))
    return {one.knowledge.tier.id: one for one in found if one.knowledge.tier is not None}


def _respondents(file: Path, columns: Columns, cycle: str | None) -> list[Respondent]:
    try:
        respondents = read_table(file, columns)
    except BadTable as error:
        stop("\n".join(f"{file.name}: {line}" for line in str(error).splitlines()), FAILED)
    cycles = sorted({one.text(columns.cycle) for one in respondents})
    if cycle is None and len(cycles) > 1:
        stop(
            f"{file.name}: holds {', '.join(cycles)}; choose one with --cycle, since each has weights of its own",
            FAILED,
        )
    if cycle is not None and cycle not in cycles:
        stop(f"{file.name}: has no rows of that cycle; it holds {', '.join(cycles)}", FAILED)
    return [one for one in respondents if cycle is None or one.text(columns.cycle) == cycle]


def _assessed(
    respondents: list[Respondent], columns: Columns, rulesets: dict[str, Ruleset], settings: Any
) -> list[Any]:
    from cds_service.validation.people import assess_people

    with Progress(console=Console(stderr=True), transient=True, disable=not Console(stderr=True).is_terminal) as bar:
        task = bar.add_task("Assessing", total=len(respondents))
        return assess_people(respondents, columns, rulesets, settings, lambda: bar.advance(task))


def _write(folder: Path, report: Any, statistics: Callable[[str], Any]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, svg in statistics("charts").charts(report).items():
            (folder / name).write_text(svg, encoding="utf-8")
        text = f"# Contributor tier on {report.table} {report.cycle}\n\n"
        text += statistics("words").markdown(report, link=lambda name: name, level=2)
        (folder / "report.md").write_text(text, encoding="utf-8")
        (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    except OSError as error:
        stop(f"{folder}: {error.strerror or type(error).__name__}", FAILED)
    say(f"{folder.as_posix()}: report.md, report.json, contributors.svg, levels.svg")


def _propose(path: Path, report: Any, columns: Columns, based_on: str, statistics: Callable[[str], Any]) -> None:
    module = statistics("propose")
    try:
        path.write_text(module.tier_version(report, columns, path.stem, based_on), encoding="utf-8")
    except module.NothingToPropose as error:
        stop(f"{path.name}: {error}", FAILED)
    except OSError as error:
        stop(f"{path.name}: {error.strerror or type(error).__name__}", FAILED)
    say(f"{path.as_posix()}: a proposal for clinical review")


def _show(console: Console, report: Any, statistics: Callable[[str], Any]) -> None:
    console = Console(highlight=False, width=max(console.width, _WIDEST) if not console.is_terminal else None)
    for described in statistics("words").tables(report):
        console.print(Text(described.title, style="bold"))
        if described.before:
            console.print(Text(described.before, style="dim"))
        table = Table(show_edge=False, pad_edge=False)
        for at, name in enumerate(described.head):
            table.add_column(name, justify="left" if at < described.words else "right", overflow="fold")
        for row in described.rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
        if described.after:
            console.print(Text(described.after, style="dim"))
        console.print()
