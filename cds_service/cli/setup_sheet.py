"""`legcramp setup-sheet`: what the build team of an EHR types in."""

from __future__ import annotations

import importlib
import json

import click

from cds_service.cli.console import FAILED, configuration, loaded, stop
from cds_service.cli.sheets import SHEETS, Services, write_sheet
from cds_service.clients.fetch import fetch, open_session

EXAMPLE = "https://cds.example.org"


@click.command(name="setup-sheet")
@click.argument("kind", type=click.Choice(list(SHEETS)))
@click.option("--base-url", default=EXAMPLE, show_default=True, help="The public address of the service.")
@click.option(
    "--live", is_flag=True, help="Read discovery at the public address instead of taking what this code says."
)
def setup_sheet(kind: str, base_url: str, live: bool) -> None:
    """Print the set-up sheet for one KIND of EHR, as Markdown."""
    config = configuration()
    ruleset = loaded(config.rules, not config.snomed, config.site_rules)
    base = base_url.rstrip("/")
    services = _live(base, config.development) if live else _ours()
    click.echo(write_sheet(kind, base, services, ruleset), nl=False)


def _ours() -> Services:
    # the web layer stands above this one: named by a string, see console.configuration
    discovery = importlib.import_module("cds_service.web.discovery")
    services: Services = json.loads(discovery.document())["services"]
    return services


def _live(base: str, http_allowed: bool) -> Services:
    try:
        answer = fetch(open_session(), f"{base}/cds-services", http_allowed)
        services: Services = json.loads(answer.body)["services"] if answer.status == 200 else []
    except (OSError, ValueError, KeyError, TypeError):
        services = []
    if not services:
        stop(f"{base}/cds-services: no discovery document can be read there", FAILED)
    return services
