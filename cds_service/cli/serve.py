"""`legcramp serve`: the service over HTTP."""

from __future__ import annotations

import importlib

import click

from cds_service.cli.console import configuration, stop
from cds_service.ruleset import RulesetError


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 takes a free one."
)
@click.option("--workers", type=click.IntRange(1), help="Worker processes; one for each core unless given.")
def serve(host: str, port: int, workers: int | None) -> None:
    """Serve the CDS Hooks service and its preview page until stopped."""
    config = configuration()
    # the web layer stands above this one: named by a string, see console.configuration
    server = importlib.import_module("cds_service.web.server")
    try:
        server.serve(host, port, workers, config=config)
    except RulesetError as error:
        stop(str(error))
