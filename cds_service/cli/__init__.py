"""`legcramp`: the command line. A test fails when docs/command-line.md lacks a command."""

from __future__ import annotations

import click

from cds_service import __version__
from cds_service.cli.check import check
from cds_service.cli.database import database
from cds_service.cli.doctor import doctor
from cds_service.cli.purge import purge
from cds_service.cli.report import report
from cds_service.cli.rules import rules
from cds_service.cli.scenarios import scenarios
from cds_service.cli.screen import screen
from cds_service.cli.serve import serve
from cds_service.cli.setup_sheet import setup_sheet
from cds_service.cli.validate_tier import validate_tier


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="legcramp")
def main() -> None:
    """Clinical decision support for leg cramps, from the command line."""


main.add_command(serve)
main.add_command(check)
main.add_command(doctor)
main.add_command(setup_sheet)
main.add_command(scenarios)
main.add_command(rules)
main.add_command(screen)
main.add_command(validate_tier)
main.add_command(database)
main.add_command(report)
main.add_command(purge)
