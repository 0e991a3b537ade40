"""`legcramp report`: how often each rule spoke up, and what clinicians did with its cards."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import click
import msgspec
from rich.table import Table
from rich.text import Text

from cds_service.cli.console import configuration, loaded, out, say
from cds_service.cli.database import opened
from cds_service.feedback.counts import read_counts
from cds_service.feedback.report import Line, Report, make_report
from cds_service.feedback.report_tables import KINDS, Kind, as_csv, as_data

_DAY = click.DateTime(["%Y-%m-%d"])
_DEFAULT_DAYS = 90


@click.command()
@click.option("--since", type=_DAY, metavar="YYYY-MM-DD", help=f"The first day; {_DEFAULT_DAYS} days ago unless given.")
@click.option("--until", type=_DAY, metavar="YYYY-MM-DD", help="The last day; today unless given. Days are in UTC.")
@click.option("--client", default="", help="Count one client only, by its id.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with all tables.")
@click.option("--csv", "table", type=click.Choice(KINDS), help="One table as CSV.")
def report(since: datetime | None, until: datetime | None, client: str, as_json: bool, table: Kind | None) -> None:
    """Tell what was shown, accepted and overridden, by rule and over time, and which rules need a review."""
    config = configuration()
    last = until.date() if until else datetime.now(UTC).date()
    first = since.date() if since else last - timedelta(days=_DEFAULT_DAYS - 1)
    if first > last:
        raise click.UsageError("--since must not be after --until")
    if as_json and table:
        raise click.UsageError("--json and --csv are two ways to write; give one")
    knowledge = loaded(config.rules, site=config.site_rules).knowledge
    with opened(config) as database:
        counts = read_counts(database, first, last, client)
    made = make_report(counts, knowledge, first, last, client)
    if as_json:
        click.echo(msgspec.json.encode(as_data(made)))
    elif table is not None:
        click.echo(as_csv(made, table), nl=False)
    else:
        _show(made, first, last)


def _show(made: Report, first: date, last: date) -> None:
    of = f" of {made.client}" if made.client else ""
    say(f"Cards{of} from {first} to {last}", "bold")
    console = out()
    console.print(_table("Rule", made.rules, made.total, marks=True))
    console.print(_table("Topic", made.topics, None))
    console.print(_table(f"{made.step.capitalize()} from", made.periods, None))
    if made.reasons:
        say("Overridden because: " + ", ".join(f"{made.reasons[code]} {n}" for code, n in made.total.reasons.items()))
    if made.unknown:
        say(f"Feedback about cards that are not known here: {made.unknown}")
    for line in made.to_review:
        say(f"To review: {line.number} {line.title}: {', '.join(line.review)}.", "bold")


def _table(head: str, lines: Iterable[Line], total: Line | None, marks: bool = False) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(head)
    for name in ("Shown", "Accepted", "Overridden", "No answer", "Acc. %", "Overr. %", "Unsent"):
        table.add_column(name, justify="right")
    if marks:
        table.add_column("")
    for line in (*lines, *((total,) if total is not None else ())):
        share = ["-" if one is None else f"{one:.0f}" for one in (line.accepted_percent, line.overridden_percent)]
        numbers = map(str, (line.shown, line.accepted, line.overridden, line.unanswered))
        cells = [*numbers, *share, str(line.unsent or ""), *(["review" if line.review else ""] if marks else [])]
        table.add_row(Text(f"{line.number} {line.title}".strip()), *cells)
    return table
