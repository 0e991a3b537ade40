"""`legcramp value-sets refresh`: SNOMED CT sets expanded anew, shown as a difference before anything is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from cds_service.cli.console import FAILED, complain, configuration, say, stop
from cds_service.cli.sheet_rows import write_text
from cds_service.engine.source import RuleError, read_document
from cds_service.fhir.expand import SNOMED, Expander, ExpandFailed
from cds_service.ruleset import default_folder

_SHOWN = 20


class Difference(msgspec.Struct, frozen=True):
    """What an expansion has that the file lacks, and the other way round."""

    path: Path
    added: dict[str, str]
    kept: int
    """Codes that are not in the expansion. They stay: old records hold retired codes, and lists were reviewed."""

    def with_added(self) -> str:
        """The file with the new codes in their order."""
        data = json.loads(self.path.read_text(encoding="utf-8"))
        include = next(one for one in data["compose"]["include"] if one["system"] == SNOMED and "concept" in one)
        concepts = include["concept"] + [{"code": code, "display": name} for code, name in self.added.items()]
        include["concept"] = sorted(concepts, key=lambda one: str(one["code"]))
        return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


@click.command()
@click.option("--tx", required=True, metavar="URL", help="FHIR base URL of the terminology server.")
@click.option("--set", "only", multiple=True, metavar="ID", help="Only this set; may be given again.")
@click.option("--timeout", type=click.FloatRange(0.1), default=60.0, show_default=True, help="Seconds for each set.")
@click.option("--yes", is_flag=True, help="Write without asking.")
@click.option("--rules", type=click.Path(path_type=Path), help="The folder, if not the bundled one.")
def refresh(tx: str, only: tuple[str, ...], timeout: float, yes: bool, rules: Path | None) -> None:
    """Expand the intensional SNOMED CT sets on a terminology server, show what is new, and add it when told to.

    Ends with 1 when any set could not be expanded; the others are shown and written all the same.
    """
    folder = rules or configuration().rules or default_folder()
    differences: list[Difference] = []
    failed = False
    expander = Expander(tx, timeout)
    for set_id, expression in _expressions(folder, only).items():
        path = folder / "value-sets" / "snomed-ct" / f"{set_id}-snomed-ct.json"
        try:
            difference = _compared(path, expander.expand(expression))
        except ExpandFailed as error:
            complain(f"{set_id}: {error}")
            failed = True
            continue
        _tell(set_id, difference)
        if difference.added:
            differences.append(difference)
    if differences and (yes or click.confirm(f"Write {len(differences)} files?", err=True)):
        for difference in differences:
            write_text(difference.path, difference.with_added())
        say(f"{len(differences)} files written. Now: legcramp rules check --record")
    elif differences:
        say("Nothing written.")
    if failed:
        raise SystemExit(FAILED)


def _expressions(folder: Path, only: tuple[str, ...]) -> Mapping[str, str]:
    try:
        known: dict[str, Any] = read_document(folder / "intensional.yaml", f"{folder.name}/intensional.yaml").data
    except (RuleError, OSError) as error:
        stop(str(error), FAILED)
    if unknown := [one for one in only if one not in known]:
        stop(f"{unknown[0]} is no intensional set; known are {', '.join(known)}", FAILED)
    return {one: known[one] for one in only} if only else known


def _compared(path: Path, expansion: Mapping[str, str]) -> Difference:
    if not expansion:
        raise ExpandFailed("the expansion is empty; nothing is taken from it")
    includes = json.loads(path.read_text(encoding="utf-8"))["compose"]["include"]
    listed = {str(one["code"]) for include in includes for one in include.get("concept", ())}
    added = {code: name for code, name in sorted(expansion.items()) if code not in listed}
    return Difference(path, added, len(listed - expansion.keys()))


def _tell(set_id: str, one: Difference) -> None:
    say(f"{set_id}: {len(one.added)} new, {one.kept} not in the expansion and kept")
    for code, name in list(one.added.items())[:_SHOWN]:
        say(f"  + {code} {name}")
    if len(one.added) > _SHOWN:
        say(f"  and {len(one.added) - _SHOWN} more")
