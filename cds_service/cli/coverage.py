"""`legcramp rules coverage`: what no scenario reaches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from cds_service.cli.console import FAILED, configuration, loaded, say, stop
from cds_service.engine.source import RuleError
from cds_service.review.bench import prepare, scenarios_of
from cds_service.review.coverage import Covered, measure
from cds_service.ruleset import Ruleset


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option("--verbose", is_flag=True, help="Show everything, with the number of scenarios that reach it.")
@click.option("--rules", type=click.Path(path_type=Path), help="The folder, if not the bundled one.")
def coverage(paths: tuple[Path, ...], verbose: bool, rules: Path | None) -> None:
    """List what no scenario reaches: bands, exceptions, rows of gates and of what follows them, offers with an `if`,
    patient gates, exceptions of the critical freeze, floors of the tier, rows of the final sweep.

    Run are the rules' own scenarios and those of PATH; without PATH those of fixtures/scenarios beside the rules.

    The sweep is a second net behind the gates, and what it forbids may never come through a gate. So each of its rows
    is asked on its own in every scenario, and counts as reached when it is true in one.

    What no patient can reach may be listed in review/unreachable.yaml of the rules, with the reason.

    Ends with 1 when anything else is not reached, or when something listed there is.
    """
    config = configuration()
    ruleset = loaded(rules or config.rules, site=config.site_rules)
    try:
        covered = measure(ruleset, prepare(ruleset, scenarios_of(ruleset, fixtures_of(ruleset, paths))))
    except RuleError as error:
        stop(str(error), FAILED)
    missed = [one for one in covered if not one.is_settled]
    if shown := covered if verbose else missed:
        say("\n".join(_lines(shown)) + "\n")
    of_each, missed_of_each = Counter(one.target.what for one in covered), Counter(one.target.what for one in missed)
    for what, count in of_each.items():
        say(f"{what}: {count - missed_of_each[what]} of {count} reached")
    known = sum(bool(one.unreachable_because) for one in covered)
    if known:
        say(f"{known} of {len(covered)} cannot be reached; review/unreachable.yaml says why.")
    say(f"{len(missed)} of {len(covered)} not reached by any scenario.")
    if missed:
        raise SystemExit(FAILED)


def fixtures_of(ruleset: Ruleset, paths: tuple[Path, ...]) -> list[Path]:
    """The files and folders that were named, or those that stand beside the rules."""
    for path in paths:
        if not path.exists():
            stop(f"{path}: there is no such file or folder", FAILED)
    beside = ruleset.folder.resolve().parent / "fixtures" / "scenarios"
    return [path.resolve() for path in paths] or ([beside] if beside.is_dir() else [])


def _lines(covered: list[Covered]) -> Iterator[str]:
    places = [f"{one.target.file}:{one.target.line}" for one in covered]
    place, what = max(map(len, places)), max(len(one.target.what) for one in covered)
    for where, one in zip(places, covered, strict=True):
        note = " (listed as unreachable)" if one.unreachable_because else ""
        yield f"{where:<{place}}  {one.target.what:<{what}}  {len(one.by):>3}  {one.target.name}{note}"
