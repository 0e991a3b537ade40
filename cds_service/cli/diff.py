"""`legcramp rules diff`: what changes between two rules folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from cds_service.cli.console import FAILED, loaded, say, stop
from cds_service.cli.coverage import fixtures_of
from cds_service.engine.source import RuleError
from cds_service.review.diff import RulesDiff, compare

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("old", type=_FOLDER)
@click.argument("new", type=_FOLDER)
@click.option("--site", type=_FOLDER, help="A site's folder, laid over NEW.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def diff(old: Path, new: Path, site: Path | None, as_json: bool) -> None:
    """Tell what changes for a clinician from the rules folder OLD to NEW.

    Rules, gates, derived facts, orders, safety tables and texts are compared in words, value sets by their codes. The
    own scenarios of both folders and those of fixtures/scenarios beside each are run with both, and those that end
    otherwise are shown.

    Ends with 0 when nothing changes, with 1 when something does.
    """
    before, after = loaded(old.resolve()), loaded(new.resolve(), site=site.resolve() if site else None)
    try:
        found = compare(before, after, fixtures_of(before, ()), fixtures_of(after, ()))
    except RuleError as error:
        stop(str(error))
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        say("\n".join(_text(found)))
    if not found.is_empty:
        raise SystemExit(FAILED)


def _text(found: RulesDiff) -> Iterator[str]:
    for file in found.files:
        yield f"{file.how} {file.kind}: {file.name} ({file.file})"
        yield from (f"  {one.where}: {one.text}" if one.where else f"  {one.text}" for one in file.changes)
    for one in found.value_sets:
        size = f"{'none' if one.before is None else one.before} -> {'none' if one.after is None else one.after} codes"
        yield f"value set {one.id}: {size} ({one.added} added, {one.removed} removed)"
    if not (found.files or found.value_sets):
        yield "No rule, table, text or value set differs."
    for outcome in found.outcomes:
        yield f"scenario {outcome.title} ({outcome.place})"
        yield from (f"  - {line}" for line in outcome.only_before)
        yield from (f"  + {line}" for line in outcome.only_after)
    yield f"{len(found.outcomes)} of {found.scenarios_run} scenarios end otherwise."
