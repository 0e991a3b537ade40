"""`legcramp value-sets`: what a code stands for, and what of a hospital's lists will be recognized."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from cds_service.catalogue import Catalogue
from cds_service.catalogue.codes import CodeView, UsedBy, explain_code
from cds_service.catalogue.recognition import KINDS, Kind, Recognition, Recognized, Row, kind_of_rest
from cds_service.catalogue.systems import system_named
from cds_service.cli.console import FAILED, complain, configuration, loaded, say, stop
from cds_service.cli.refresh import refresh
from cds_service.cli.sheet_rows import BadTable, Table, read_table, write_text
from cds_service.fhir.queries import QUERIES, Query

_FOLDER = click.option("--rules", type=click.Path(path_type=Path), help="The folder, if not the bundled one.")
_ADDED = ("sets", "matched_by")


@click.group("value-sets")
def value_sets() -> None:
    """The value sets: what a code stands for, what a hospital's list matches, a fresh expansion."""


value_sets.add_command(refresh)


@value_sets.command()
@click.argument("code", metavar="CODE")
@click.option("--system", default="", help="URI, OID or short name of its code system; all of them unless given.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@_FOLDER
def explain(code: str, system: str, as_json: bool, rules: Path | None) -> None:
    """Tell which sets hold CODE, and the rules, gates and prefetch queries that this touches.

    Ends with 1 when no set holds it.
    """
    config = configuration()
    catalogue = Catalogue(loaded(rules or config.rules, not config.snomed, config.site_rules))
    found = explain_code(catalogue, code, system_named(system))
    if as_json:
        click.echo(msgspec.json.encode({"code": code, "found": [_as_data(one) for one in found]}))
    else:
        say("\n\n".join("\n".join(_told(one)) for one in found) or f"{code}: no value set holds it.")
    if not found:
        raise SystemExit(FAILED)


@value_sets.command()
@click.argument("file", metavar="FILE.csv", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Where to write, if not to standard output.")
@click.option(
    "--as", "kind", type=click.Choice(KINDS), help="What all rows are, where their code system does not tell."
)
@_FOLDER
def match(file: Path, output: Path | None, kind: Kind | None, rules: Path | None) -> None:
    """Tell what of a hospital's formulary, laboratory catalogue or diagnosis list the service recognizes.

    FILE.csv has the columns system, code and display. Written are its rows with `sets` and `matched_by` added.
    """
    config = configuration()
    ruleset = loaded(rules or config.rules, not config.snomed, config.site_rules)
    try:
        table = read_table(file, adding=_ADDED)
        found = _recognized(table, Recognition(ruleset.terminology), kind)
    except BadTable as error:
        stop(str(error), FAILED)
    text = table.with_columns(_ADDED, [(" ".join(one.sets), one.matched_by) for one in found])
    if output is None:
        click.echo(text.encode(), nl=False)
    else:
        try:
            write_text(output, text)
        except OSError as error:
            stop(f"{output}: cannot be written ({error.strerror or type(error).__name__})", FAILED)
    complain(_counted(found))


def _recognized(table: Table, recognition: Recognition, kind: Kind | None) -> list[Recognized]:
    columns = [table.column(name) for name in ("system", "code", "display")]
    rows = [Row(system_named(system), code, display) for system, code, display in zip(*columns, strict=True)]
    told = [recognition.kind_of(row) for row in rows]
    rest = kind or kind_of_rest(told)
    untold = told.count(None)
    if untold and kind is None:
        complain(f"{untold} rows do not tell what they are and were read as {rest}; --as says otherwise.")
    return [recognition.of(row, one or rest) for row, one in zip(rows, told, strict=True)]


def _counted(found: list[Recognized]) -> str:
    counts = Counter(one.matched_by for one in found)
    ways = [f"{counts[way]} by {way}" for way in ("code", "ingredient", "text") if counts[way] or way != "ingredient"]
    unused = sum(not one.used for one in found)
    note = f" Of those by code, {unused} are tests whose results are not used." if unused else ""
    return f"{len(found)} rows: {', '.join(ways)}, {counts['none']} not recognized.{note}"


# -- explaining


def _queries(one: CodeView) -> tuple[Query, ...]:
    return tuple(query for query in QUERIES if query.kind in one.data)


def _as_data(one: CodeView) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(one)
    del data["data"]
    return data | {"prefetch": {query.key: query.template for query in _queries(one)}}


def _told(one: CodeView) -> Iterator[str]:
    yield f"{one.code} of {one.system_name} ({one.system})"
    yield f"  {one.display or 'known by the code above it; no name of its own'}"
    for part in one.ingredients:
        yield f"  Ingredient {part.id}: {part.name}{f', route {part.route}' if part.route else ''}"
    if one.measures:
        yield f"  A result of this code is read as: {one.measures}"
    yield "Value sets"
    yield from (f"  {held.id}: {held.title}{'' if held.listed else ' (includes it whole)'}" for held in one.sets)
    yield "Rules"
    yield from [f"  {used.number} {_line(used)}" for used in one.rules] or ["  none"]
    yield "Gates"
    yield from [f"  {_line(used)}" for used in one.gates] or ["  none"]
    yield "Reaches the service by prefetch"
    yield from (f"  {query.key}: {query.template}" for query in _queries(one))


def _line(used: UsedBy) -> str:
    through = f", {used.through}" if used.through else ""
    return f"{used.id}: {used.title} (by {', '.join(used.sets)}{through})"
