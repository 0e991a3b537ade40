"""`legcramp doctor`: is this deployment set up so that clinicians get cards and nobody else does?"""

from __future__ import annotations

import importlib
from typing import Any

import click
import msgspec
from rich.text import Text

from cds_service.cli.console import FAILED, out
from cds_service.cli.examine import Examination
from cds_service.cli.finding import Finding

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a list.")
@click.option("--offline", is_flag=True, help="Ask nobody over the network.")
def doctor(as_json: bool, offline: bool) -> None:
    """Check the configuration of a deployment, and say what mends each finding.

    Reads the environment variables that `serve` reads. Ends with 1 when something is wrong.
    """
    # the web layer stands above this one: named by a string, see console.configuration
    config = importlib.import_module("cds_service.web.config")
    try:
        settings: Any = config.config_from()
    except config.BadConfiguration as error:
        findings = [Finding("settings", "fail", str(error), "Set the variable as docs/integrating.md says.")]
    else:
        findings = list(Examination(settings, offline).findings())
    failed = any(finding.level == "fail" for finding in findings)
    if as_json:
        click.echo(msgspec.json.encode({"failed": failed, "findings": findings}))
    else:
        _show(findings)
    if failed:
        raise SystemExit(FAILED)


def _show(findings: list[Finding]) -> None:
    console = out()
    width = max(len(finding.about) for finding in findings)
    for finding in findings:
        line = Text(f"{finding.level:<5}", style=_STYLES[finding.level])
        line.append(f"{finding.about:<{width}}  {finding.what}", style="default")
        console.print(line, soft_wrap=True)
        if finding.mend:
            console.print(Text(f"{'':<{width + 7}}{finding.mend}", style="dim"), soft_wrap=True)
    counts = {level: sum(finding.level == level for finding in findings) for level in ("ok", "warn", "fail")}
    console.print(Text(", ".join(f"{count} {level}" for level, count in counts.items())))
