"""`legcramp scenarios`: run cases and see what differs."""

from __future__ import annotations

from pathlib import Path

import click

from cds_service.cli.console import FAILED, complain, configuration, loaded, say, stop
from cds_service.engine.source import RuleError
from cds_service.ruleset import Ruleset
from cds_service.scenarios import Outcome, Runner, Scenario


@click.group()
def scenarios() -> None:
    """Cases as a clinician tells them, and what the service must answer."""


@scenarios.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option("--match", default="", help="Only scenarios whose title holds these letters, such as T05 or HZ-03.")
@click.option("--verbose", is_flag=True, help="Name the scenarios that passed or wait, too.")
@click.option("--rules", type=click.Path(path_type=Path), help="The folder of the rules, if not the bundled one.")
def run(paths: tuple[Path, ...], match: str, verbose: bool, rules: Path | None) -> None:
    """Run the scenarios of files and folders; without PATH those of fixtures/scenarios."""
    config = configuration()
    ruleset = loaded(rules or config.rules, site=config.site_rules)
    runner = Runner(ruleset)
    told, failed = _told(runner, paths or (_fixtures(ruleset),))
    counts = {"passed": 0, "failed": 0, "waiting": 0}
    for scenario in told:
        if match.lower() not in scenario.title.lower():
            continue
        try:
            outcome = runner.run(scenario)
        except RuleError as error:
            complain(str(error))
            counts["failed"] += 1
            continue
        counts[_report(outcome, verbose)] += 1
    say(", ".join(f"{count} {what}" for what, count in counts.items()))
    if failed or counts["failed"]:
        raise SystemExit(FAILED)


def _told(runner: Runner, paths: tuple[Path, ...]) -> tuple[list[Scenario], bool]:
    """The scenarios that can be read, and whether some could not."""
    told: list[Scenario] = []
    failed = False
    for path in paths:
        if not path.exists():
            complain(f"{path}: there is no such file or folder")
            failed = True
            continue
        for file in sorted(path.rglob("*.yaml")) if path.is_dir() else [path]:
            try:
                told += runner.in_files([file.resolve()], Path.cwd())
            except RuleError as error:
                complain(str(error))
                failed = True
    return told, failed


def _report(outcome: Outcome, verbose: bool) -> str:
    if outcome.waiting_for:
        if verbose:
            say(f"waiting  {outcome.scenario.title}  for {', '.join(outcome.waiting_for)}", style="dim")
        return "waiting"
    if outcome.passed:
        if verbose:
            say(f"passed   {outcome.scenario.title}")
        return "passed"
    say(outcome.text() + "\n")
    return "failed"


def _fixtures(ruleset: Ruleset) -> Path:
    folder = ruleset.folder.parent / "fixtures" / "scenarios"
    if not folder.is_dir():
        stop("no fixtures/scenarios beside the rules: name a PATH")
    return folder
