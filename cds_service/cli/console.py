"""What all commands share: where they print, and how they load the rules and the site's settings."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.text import Text

from cds_service.ruleset import Ruleset, RulesetError, load_ruleset

FAILED = 1
"""Some input could not be read, or something that was checked is wrong."""
CANNOT_START = 3
"""The rules or the configuration cannot be used at all. (2 is click's: a command that was called wrongly.)"""

_WIDTH_IN_FILES = 100


def out() -> Console:
    """Standard output. Made anew each time, so that a test's capture is honored."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH_IN_FILES)


def say(text: str, style: str = "") -> None:
    """Plain text, never wrapped when it goes into a file or a pipe."""
    out().print(Text(text, style=style), soft_wrap=not sys.stdout.isatty())


def complain(text: str) -> None:
    """One line on standard error."""
    click.echo(text, err=True)


def configuration() -> Any:
    """The site's WebConfig, from the environment variables that `serve` reads too.

    The web layer stands above the command line, so it is named by a string and fetched when the command runs.
    """
    config = importlib.import_module("cds_service.web.config")
    try:
        return config.config_from()
    except config.BadConfiguration as error:
        stop(str(error))


def loaded(folder: Path | None, without_snomed: bool = False, site: Path | None = None) -> Ruleset:
    """The ruleset with what a site changed, or the end of the command with every mistake on a line of its own."""
    try:
        return load_ruleset(folder, without_snomed, site=site)
    except RulesetError as error:
        stop(str(error))
    except OSError as error:
        stop(f"{folder}: {error.strerror or type(error).__name__}")


def stop(text: str, code: int = CANNOT_START) -> NoReturn:
    """Say why, and end."""
    complain(text)
    raise SystemExit(code)
