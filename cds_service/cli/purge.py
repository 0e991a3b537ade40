"""`legcramp purge`: removes what is older than the site keeps it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from cds_service.cli.console import configuration, say
from cds_service.cli.database import opened
from cds_service.feedback import retention


@click.command()
@click.option("--days", type=click.IntRange(1, 36_500), help="Keep this many days instead of LEGCRAMP_RETENTION_DAYS.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
def purge(days: int | None, dry_run: bool) -> None:
    """Remove cards and feedback that are older than the site keeps them, and tokens that have expired."""
    config = configuration()
    keep = timedelta(days=days or config.retention_days)
    with opened(config) as database:
        gone = retention.purge(database, datetime.now(UTC), keep, dry_run)
    verb = "Would remove" if dry_run else "Removed"
    old = f"{gone.shown} cards and {gone.feedback} feedbacks older than {keep.days} days"
    say(f"{verb} {old}, {gone.tokens} used tokens.")
