"""`legcramp audit`: the audit trail, for those who must read it elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec

from cds_service.cli.console import FAILED, complain, configuration, stop
from cds_service.telemetry.audit import read_entries
from cds_service.telemetry.audit_events import as_audit_event

_DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
def audit() -> None:
    """The audit trail of LEGCRAMP_AUDIT_FILE: who asked, which rules fired, what was fetched."""


@audit.command()
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path))
@click.option("--since", type=_DAY, metavar="YYYY-MM-DD", help="The first day. Days are in UTC.")
@click.option("--until", type=_DAY, metavar="YYYY-MM-DD", help="The last day.")
def export(files: tuple[Path, ...], since: datetime | None, until: datetime | None) -> None:
    """Write the trail to standard output as FHIR R4 AuditEvents, one a line (NDJSON).

    FILE is LEGCRAMP_AUDIT_FILE unless others are given, such as those that a rotation put aside; one that ends in .gz
    is read as compressed. Patients, users and hook instances are the keyed hashes that the trail holds.

    Ends with 1 when a line could not be read; all others are written.
    """
    config = configuration()
    files = files or ((config.audit_file,) if config.audit_file else ())
    if not files:
        stop("LEGCRAMP_AUDIT_FILE: is not set, so there is no trail. Name a file, or set it.")
    first = since.replace(tzinfo=UTC) if since else None
    end = until.replace(tzinfo=UTC) + timedelta(days=1) if until else None
    if first and end and first >= end:
        raise click.UsageError("--since must not be after --until")
    bad = sum(_export(file, first, end, config.settings.public_base_url) for file in files)
    if bad:
        raise SystemExit(FAILED)


def _export(file: Path, first: datetime | None, end: datetime | None, site: str) -> int:
    """Writes the events of one file; returns how many lines could not be read."""
    bad: list[int] = []
    try:
        for entry in read_entries(file, first, end, bad.append):
            click.echo(msgspec.json.encode(as_audit_event(entry, site)))
    except BrokenPipeError:
        raise  # whoever reads has enough, which click ends in silence
    except (OSError, EOFError) as error:
        stop(f"{file}: cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})", FAILED)
    for number in bad:
        complain(f"{file}:{number}: is no entry of the audit trail; left out")
    return len(bad)
