"""`legcramp check`: what the service says about the patients in files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from cds_service.assess import Assessment, assess
from cds_service.cards.response import to_builtins
from cds_service.cli.console import FAILED, complain, configuration, loaded, out
from cds_service.cli.inputs import BadInput, gathered_from
from cds_service.cli.show import show_assessment
from cds_service.engine.model import Finding
from cds_service.fhir.context import HOOKS
from cds_service.scenarios.when import end_of_day


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each file.")
@click.option("--hook", type=click.Choice(list(HOOKS)), help="The hook; patient-view for a bundle unless given.")
@click.option(
    "--today",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="Count from the end of this day in the site's zone instead of from now.",
)
@click.option("--together", is_flag=True, help="The files are parts of one patient's record.")
@click.option("--rules", type=click.Path(path_type=Path), help="The folder of the rules, if not the bundled one.")
def check(
    files: tuple[Path, ...], as_json: bool, hook: str | None, today: datetime | None, together: bool, rules: Path | None
) -> None:
    """Show the cards for each FILE: an R4 bundle, a CDS Hooks request, or NDJSON of one patient."""
    config = configuration()
    ruleset = loaded(rules or config.rules, not config.snomed, config.site_rules)
    zone = config.settings.zone
    now = end_of_day(today.date(), zone) if today else datetime.now(zone)
    failed = False
    for paths in [list(files)] if together else [[path] for path in files]:
        name = " + ".join(path.as_posix() for path in paths)
        try:
            gathered = gathered_from(paths, hook)
        except BadInput as error:
            complain(f"{name}: {error}")
            failed = True
            continue
        assessment = assess(gathered, ruleset, config.settings, now)
        if as_json:
            click.echo(msgspec.json.encode(as_data(name, now, assessment)))
        else:
            show_assessment(out(), name, gathered.hook, assessment)
    if failed:
        raise SystemExit(FAILED)


def as_data(name: str, now: datetime, assessment: Assessment) -> dict[str, Any]:
    """One assessment as plain data. The order of its keys is part of the format."""
    tier = assessment.tier
    return {
        "input": name,
        "now": now.isoformat(),
        "cards": to_builtins(assessment.cards),
        "findings": [finding_data(finding) for finding in assessment.findings],
        "tier": tier.level if tier else None,
        "data_gaps": to_plain(assessment.data_gaps),
        "points": tier.points if tier else None,
        "contributors": [{"rule": one.finding.rule.id, "points": one.points} for one in tier.contributors]
        if tier
        else [],
        "mode": assessment.mode,
        "patient_gate": assessment.gate,
        "knowledge": assessment.knowledge,
        "ruleset": assessment.ruleset,
        "held_back": to_plain(assessment.held_back),
        "silent": [one.rule for one in assessment.silent],
    }


def finding_data(finding: Finding) -> dict[str, Any]:
    """One finding as plain data; one that an exception kept quiet is a no that says why."""
    return {
        "rule": finding.rule.id,
        "verdict": "no" if finding.silenced else finding.verdict,
        "band": finding.band,
        "indicator": finding.indicator,
        "points": finding.points,
        "evidence": references(finding.evidence),
        "missing": list(finding.missing),
        "silenced": finding.silenced,
    }


def references(evidence: Sequence[Any]) -> list[str]:
    """The resources that facts came from, each once."""
    return list(dict.fromkeys(fact.reference for fact in evidence if getattr(fact, "reference", None)))


def to_plain(value: Any) -> Any:
    """Structs as plain data."""
    return msgspec.to_builtins(value)
