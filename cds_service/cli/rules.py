"""`legcramp rules`: check, list and read the rules."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from cds_service.cli.console import FAILED, configuration, loaded, out, say, stop
from cds_service.cli.coverage import coverage
from cds_service.cli.diff import diff
from cds_service.cli.explain import explain
from cds_service.cli.mutate import mutate
from cds_service.engine.model import Rule
from cds_service.ruleset import Ruleset
from cds_service.scenarios import Checked, check_rules
from cds_service.scenarios.checked import record

_FOLDER = click.option("--rules", type=click.Path(path_type=Path), help="The folder, if not the bundled one.")
_SITE = click.option("--site", type=click.Path(path_type=Path), help="The site's folder, laid over it.")


@click.group()
def rules() -> None:
    """The rules: check them, list them, read one, review a change."""


rules.add_command(coverage)
rules.add_command(diff)
rules.add_command(mutate)


@rules.command()
@_FOLDER
@_SITE
@click.option("--record", "keep", is_flag=True, help="Note that they passed, so that a start need not run them.")
def check(rules: Path | None, site: Path | None, keep: bool) -> None:
    """Load the rules, naming every mistake with file and line, and run each rule's own scenarios."""
    # a site with a license for SNOMED CT and one without start from the same record
    rulesets = [_loaded(rules, site, without) for without in ((False, True) if keep else (False,))]
    checked = [check_rules(ruleset) for ruleset in rulesets]
    for failure in dict.fromkeys(str(failure) for one in checked for failure in one.failures):
        say(f"{failure}\n")
    wrong = sum(len(one.failures) for one in checked)
    for ruleset, one in zip(rulesets, checked, strict=True):
        say(_told(ruleset, one))
    if wrong:
        raise SystemExit(FAILED)
    if keep:
        try:
            say(f"Noted in {record(rulesets)}.")
        except OSError as error:
            stop(f"cannot note it: {error.strerror or type(error).__name__}", FAILED)


def _loaded(rules: Path | None, site: Path | None, without_snomed: bool = False) -> Ruleset:
    config = configuration()
    return loaded(rules or config.rules, without_snomed, site or config.site_rules)


def _told(ruleset: Ruleset, checked: Checked) -> str:
    parts = [f"{len(ruleset.knowledge.rules)} rules", f"{checked.run} scenarios", f"{len(checked.failures)} wrong"]
    if checked.waiting:
        parts.insert(2, f"{checked.waiting} that need SNOMED CT")
    without = " without SNOMED CT" if ruleset.without_snomed else ""
    changes = len(ruleset.site.changes)
    site = f" with {changes} {'change' if changes == 1 else 'changes'} of the site" if changes else ""
    return f"{', '.join(parts)}. Ruleset {ruleset.digest}{site}{without}."


@rules.command("list")
@_FOLDER
@_SITE
def list_(rules: Path | None, site: Path | None) -> None:
    """List all rules."""
    ruleset = _loaded(rules, site)
    table = Table(box=None, pad_edge=False)
    for heading in ("Number", "Id", "Shown as", "Title"):
        table.add_column(heading, no_wrap=heading != "Title")
    for rule in sorted(ruleset.knowledge.rules, key=lambda one: one.order_of):
        shown_as = ", ".join(dict.fromkeys(band.indicator for band in rule.bands))
        notes: list[str] = [rule.status] if rule.status != "active" else []
        notes += ["changed by the site"] if ruleset.site.of(rule.file) else []
        title = f"{rule.title} ({', '.join(notes)})" if notes else rule.title
        table.add_row(rule.number, rule.id, shown_as, Text(title))
    out().print(table)


@rules.command()
@click.argument("rule_id", metavar="ID")
@_FOLDER
@_SITE
def show(rule_id: str, rules: Path | None, site: Path | None) -> None:
    """Show one rule as a clinician reads it; ID is its id or its number, such as lab-hypokalemia or R01."""
    ruleset = _loaded(rules, site)
    found: list[Rule] = [rule for rule in ruleset.knowledge.rules if rule_id.lower() in (rule.id, rule.number.lower())]
    if not found:
        stop(f"there is no rule {rule_id!r}; `legcramp rules list` names them all", FAILED)
    for line in explain(found[0], ruleset):
        out().print(line)
