"""`legcramp`: the command line. A test fails when docs/command-line.md lacks a command."""

from __future__ import annotations

from importlib import import_module

import click

from cds_service import __version__

COMMANDS = (
    *("serve", "check", "doctor", "setup-sheet", "scenarios", "rules", "value-sets"),
    *("screen", "validate-tier", "database", "report", "audit", "purge"),
)
"""In the order of the help. Each is the function of its name in the module of its name."""


class _Commands(click.Group):
    """Imports a command's module when it is asked for: a service that starts needs no statistics and no charts."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"{__name__}.{name}"), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="legcramp")
def main() -> None:
    """Clinical decision support for leg cramps, from the command line."""
