"""`legcramp screen`: whole populations from a Bulk Data export."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cds_service.cli.console import FAILED, complain, configuration, loaded, say, stop
from cds_service.cli.screen_server import EXPORT, server_from, server_options
from cds_service.facts.instants import instant
from cds_service.scenarios.when import end_of_day
from cds_service.screening.export import NoExport, find_export
from cds_service.screening.folder import ScreeningFailed, settle
from cds_service.screening.lines import Unreadable
from cds_service.screening.local import screen as screen_locally
from cds_service.screening.plan import Cut, frame_of, make_plan
from cds_service.screening.proposals import Kind, write_proposals
from cds_service.screening.report.make import NoRun, make_report, read_rows
from cds_service.screening.spark import connect, screen_on_spark
from cds_service.screening.summary import Summary


class Instant(click.ParamType):  # type: ignore[type-arg]
    """An ISO 8601 instant with its offset."""

    name = "instant"

    def convert(self, value: object, param: click.Parameter | None, context: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value)
        zone = configuration().settings.zone
        found = instant(text, zone)
        if found is None:
            self.fail("write an instant such as 2026-03-10T08:00:00Z", param, context)
        return found


class _RunUnlessNamed(click.Group):
    """`legcramp screen DIR` is `legcramp screen run DIR`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RunUnlessNamed)
def screen() -> None:
    """Assess whole populations, and report what the rules would do there.

    `legcramp screen EXPORT_DIR` is short for `legcramp screen run EXPORT_DIR`.
    """


@screen.command()
@click.argument("export", required=False, type=click.Path(path_type=Path), metavar="EXPORT_DIR")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="The folder of the run.")
@click.option("--now", type=Instant(), metavar="INSTANT", help="Count from this instant instead of from now.")
@click.option(
    "--today",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="Count from the end of this day in the site's zone.",
)
@click.option("--since", type=Instant(), metavar="INSTANT", help="Only patients with a change at or after it.")
@click.option("--workers", type=click.IntRange(1), help="Worker processes, one for each core unless given.")
@click.option("--engine", type=click.Choice(["local", "spark"]), default="local", show_default=True)
@click.option("--master", help="Spark's master, such as local[*] or yarn; left out under spark-submit.")
@click.option("--fhir", type=click.Choice(["flags", "detected-issues"]), help="Also Bundles of proposed resources.")
@click.option("--restart", is_flag=True, help="Do away with what the folder holds of another run.")
@click.option("--rules", type=click.Path(path_type=Path), help="The folder of the rules, if not the bundled one.")
@server_options
def run(
    export: Path | None,
    out: Path,
    now: datetime | None,
    today: datetime | None,
    since: datetime | None,
    workers: int | None,
    engine: str,
    master: str | None,
    fhir: Kind | None,
    restart: bool,
    rules: Path | None,
    **server: Any,
) -> None:
    """Assess every patient of a FHIR Bulk Data export (NDJSON, plain, .gz or .zst), or of a FHIR server.

    Written to the folder of the run: findings.ndjson, patients.parquet, findings.parquet and run.json. A run that was
    stopped goes on where it stood when the same command is given again.
    """
    config = configuration()
    zone = config.settings.zone
    if now and today:
        raise click.UsageError("give --now or --today, not both")
    source = server_from(server)
    if (export is None) == (source is None):
        raise click.UsageError("give EXPORT_DIR or --from-server")
    at = now or (end_of_day(today.date(), zone) if today else None)
    ruleset = loaded(rules or config.rules, not config.snomed, config.site_rules)
    cut = Cut(workers=workers or 0)
    try:
        if source is not None:
            if restart:
                shutil.rmtree(out / EXPORT, ignore_errors=True)
            with Bar() as bar:
                export = source.download(out, since, bar)
        assert export is not None  # one of the two was given
        found = find_export(export)
        plan = make_plan(found, ruleset, config.settings, at or datetime.now(zone), since, cut)
        settled = settle(out, plan, restart, is_now_given=at is not None)
        if isinstance(settled, Summary):
            say(f"{out} holds this very run already.")
            summary = settled
        else:
            with Bar() as bar:
                if engine == "spark":
                    session = connect(master)
                    without, site = not config.snomed, config.site_rules
                    folder = rules or config.rules
                    summary = screen_on_spark(session, export, out, found, settled, folder, without, bar, site)
                else:
                    frame = frame_of(settled, found, export, ruleset)
                    summary = screen_locally(export, out, found, settled, frame, cut, bar)
            if find_export(export).fingerprint != found.fingerprint:
                complain(f"{export} changed while it was read: what came later is not in this run")
    except (NoExport, Unreadable, ScreeningFailed) as error:
        stop(str(error), FAILED)
    tell(summary)
    if fhir:
        titles = {rule.id: rule.title for rule in ruleset.knowledge.rules}
        bundles = write_proposals(read_rows(out), fhir, summary.plan, titles, out)
        say(f"Bundles: {len(bundles):,} of proposed {fhir}")
    if summary.broken_lines or summary.unreadable_files:
        raise SystemExit(FAILED)


@screen.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR")
@click.option("--against", type=click.Path(path_type=Path, exists=True, file_okay=False), help="An earlier run.")
@click.option(
    "--hide-below",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="Counts of people from 1 up to this are hidden, and what would give them away; 0 hides nothing.",
)
@click.option("--examples", type=click.IntRange(0), default=5, show_default=True, help="Ids for the reviewer a change.")
@click.option("--rules", type=click.Path(path_type=Path), help="The folder of the rules, if not the bundled one.")
def report(folder: Path, against: Path | None, hide_below: int, examples: int, rules: Path | None) -> None:
    """Report what the rules would do to the people of a run: report.html and report.md in its folder.

    With --against also what differs from an earlier run, and for the reviewer a list of examples by patient id.
    """
    config = configuration()
    ruleset = loaded(rules or config.rules, site=config.site_rules)
    titles = {rule.id: rule.title for rule in ruleset.knowledge.rules}
    try:
        written = make_report(folder, against, titles, hide_below, examples)
    except NoRun as error:
        stop(str(error), FAILED)
    for path in written:
        say(path.as_posix())


def tell(summary: Summary) -> None:
    """The run in a few lines; what was broken on standard error, by place."""
    for place in summary.broken:
        complain(f"{place.file}:{place.line}: no resource that can be read")
    if summary.broken_lines > len(summary.broken):
        complain(f"and {summary.broken_lines - len(summary.broken)} more lines")
    for text in summary.unreadable_files:
        complain(text)
    statuses = ", ".join(f"{count:,} {status}" for status, count in summary.statuses.items()) or "none"
    say(f"Patients: {statuses}; {summary.left_out:,} left out (deleted or unchanged)")
    say(
        f"Lines: {summary.lines:,} in {summary.files:,} files, {summary.lines_skipped:,} of types that no rule reads, "
        f"{summary.lines_about_nobody:,} about no patient that can be told, {summary.broken_lines:,} broken"
    )
    if summary.export_errors:
        say(f"The export reported {summary.export_errors:,} errors: every patient's row names the gap.")
    cost = summary.cost
    if cost is not None:
        rate, mb = summary.patients / max(cost.seconds, 0.01), summary.bytes_read / 1e6 / max(cost.seconds, 0.01)
        say(f"Time: {cost.seconds:,.1f} s, {rate:,.0f} patients/s, {mb:,.1f} MB/s with {cost.workers} workers")
        say(
            f"Memory: {cost.peak_mb_largest_process:,.0f} MB in the largest process, "
            f"{cost.peak_mb_all_processes:,.0f} MB in all, {cost.kb_per_patient:,.1f} KB a patient"
        )


class Bar:
    """A progress bar on standard error. It draws when told to, without a thread, for the engine forks."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description:<20}"),
            BarColumn(),
            TextColumn("{task.fields[done]}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._unit = ""

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def phase(self, name: str, total: float, unit: str) -> None:
        self._task = self._progress.add_task(name, total=total, done="", rate="")
        self._unit = unit
        self._progress.refresh()

    def advance(self, by: float) -> None:
        if self._task is None:
            return
        self._progress.advance(self._task, by)
        task = self._progress.tasks[self._task]
        self._progress.update(
            self._task,
            done=f"{_amount(task.completed, self._unit)} of {_amount(task.total or 0, self._unit)}",
            rate=f"{_amount(task.speed, self._unit)}/s" if task.speed else "",
        )
        self._progress.refresh()


def _amount(count: float, unit: str) -> str:
    return f"{count / 1e6:,.1f} MB" if unit == "bytes" else f"{count:,.0f} {unit}"
