"""`legcramp rules`: check, list and read the rules."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from cds_service.cli.console import FAILED, complain, configuration, loaded, out, say, stop
from cds_service.cli.coverage import coverage
from cds_service.cli.diff import diff
from cds_service.cli.explain import explain
from cds_service.cli.mutate import mutate
from cds_service.engine.model import Rule
from cds_service.engine.source import RuleError
from cds_service.scenarios import Runner
from cds_service.scenarios.grammar import of_rule
from cds_service.scenarios.when import day

_FOLDER = click.option("--rules", type=click.Path(path_type=Path), help="The folder, if not the bundled one.")


@click.group()
def rules() -> None:
    """The rules: check them, list them, read one, review a change."""


rules.add_command(coverage)
rules.add_command(diff)
rules.add_command(mutate)


@rules.command()
@_FOLDER
def check(rules: Path | None) -> None:
    """Load the rules, naming every mistake with file and line, and run each rule's own scenarios."""
    ruleset = loaded(rules or configuration().rules)
    runner = Runner(ruleset)
    today = day(runner.words.said["today"])
    run = wrong = 0
    for rule in ruleset.knowledge.active_rules:
        try:
            for scenario in of_rule(rule, ruleset.folder, today):
                run += 1
                outcome = runner.run(scenario)
                if outcome.mismatches:
                    wrong += 1
                    say(outcome.text() + "\n")
        except RuleError as error:
            complain(str(error))
            wrong += 1
    say(f"{len(ruleset.knowledge.rules)} rules, {run} scenarios, {wrong} wrong. Ruleset {ruleset.digest}.")
    if wrong:
        raise SystemExit(FAILED)


@rules.command("list")
@_FOLDER
def list_(rules: Path | None) -> None:
    """List all rules."""
    ruleset = loaded(rules or configuration().rules)
    table = Table(box=None, pad_edge=False)
    for heading in ("Number", "Id", "Shown as", "Title"):
        table.add_column(heading, no_wrap=heading != "Title")
    for rule in sorted(ruleset.knowledge.rules, key=lambda one: one.order_of):
        shown_as = ", ".join(dict.fromkeys(band.indicator for band in rule.bands))
        title = rule.title if rule.status == "active" else f"{rule.title} ({rule.status})"
        table.add_row(rule.number, rule.id, shown_as, Text(title))
    out().print(table)


@rules.command()
@click.argument("rule_id", metavar="ID")
@_FOLDER
def show(rule_id: str, rules: Path | None) -> None:
    """Show one rule as a clinician reads it; ID is its id or its number, such as lab-hypokalemia or R01."""
    ruleset = loaded(rules or configuration().rules)
    found: list[Rule] = [rule for rule in ruleset.knowledge.rules if rule_id.lower() in (rule.id, rule.number.lower())]
    if not found:
        stop(f"there is no rule {rule_id!r}; `legcramp rules list` names them all", FAILED)
    for line in explain(found[0], ruleset):
        out().print(line)
