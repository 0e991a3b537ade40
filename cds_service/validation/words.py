"""The report in words: one description of its tables, drawn in the terminal and written as Markdown alike."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from cds_service.validation.contributors import LEAST_OF_EACH, Row, shown_count
from cds_service.validation.design import Estimate
from cds_service.validation.report import OutcomeTable, Report, TierTable


class Table(msgspec.Struct, frozen=True):
    """A heading, what stands above and below the table, its columns and rows. Columns after the first are figures."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    before: str = ""
    after: str = ""
    words: int = 1
    """How many columns, from the left, hold words."""


def ratio(one: Estimate | None) -> str:
    return "-" if one is None else f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})"


def figure(one: Estimate | None, digits: int = 3) -> str:
    return "-" if one is None else f"{one.value:.{digits}f} ({one.low:.{digits}f} to {one.high:.{digits}f})"


def gap(one: Estimate | None) -> str:
    return "-" if one is None else f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})"


def percent(one: Estimate) -> str:
    return f"{100 * one.value:.1f}% ({100 * one.low:.1f} to {100 * one.high:.1f})"


def tables(report: Report) -> list[Table]:
    """Every table of the report, in the order in which it is read."""
    return [
        _people(report),
        *(_scores(report, outcome) for outcome in report.outcomes),
        *(_levels(report, tier) for tier in report.tiers),
        *(_per_point(tier) for tier in report.tiers),
        _sensitivity(report),
        _contributors(report),
        *_proposed(report),
        _nearest(report),
        _not_judged(report),
    ]


def _people(report: Report) -> Table:
    rows = [
        ("rows in the table", f"{report.respondents:,}"),
        ("old enough and answered", f"{report.answered:,}"),
        ("of them examined: the people of all tables on levels and areas", f"{report.examined:,}"),
        *((f"answered {title}", f"{count:,}") for title, count in report.grades.items()),
        ("a medicine that could not be named, or the list not known", f"{report.medicines_unknown:,}"),
        *((f"examined, {name} not known", shown_count(count)) for name, count in report.missing.items()),
        *((f"{name} refused as implausible", shown_count(count)) for name, count in report.refused.items()),
    ]
    return Table(
        title=f"People: {report.table} {report.cycle}",
        head=("", "people"),
        rows=tuple(rows),
        before=f'The question: "{report.question}"',
        after="What is not known earns no points and is no finding of absence: for a ratio such people are left out. "
        + " ".join(report.assumed.values()),
    )


def _scores(report: Report, outcome: OutcomeTable) -> Table:
    return Table(
        title=f"Discrimination: {outcome.title}",
        head=("score", "area, plain", "area, weighted", "beyond age and sex", "beyond number of drugs"),
        rows=tuple(
            (row.score, figure(row.plain), figure(row.weighted), gap(row.beyond_age_and_sex), gap(row.beyond_medicines))
            for row in outcome.scores
        ),
        before=f"{outcome.cases:,} of {outcome.people:,} people; weighted {percent(outcome.share)} of adults.",
        after="Area under the ROC curve with 95% interval: plain by DeLong; weighted by "
        f"{report.replicates:,} bootstrap replicates of the design ({report.degrees} degrees of freedom). "
        f"The regressions are crossed over whole PSUs ({report.features} columns in the one with all features). "
        "Differences are of the weighted areas, in the same people.",
    )


def _levels(report: Report, tier: TierTable) -> Table:
    against = f" Its points less those of the default: {gap(tier.against_default)}." if tier.against_default else ""
    return Table(
        title=f"Levels of {tier.tier} {tier.version}",
        head=(
            "level",
            "people",
            "with outcome",
            "of adults",
            "share with outcome",
            "odds",
            "odds ratio",
            "adjusted for age, sex",
        ),
        rows=tuple(
            (
                row.level,
                shown_count(row.people),
                shown_count(row.cases),
                percent(row.population),
                percent(row.share),
                f"{row.odds:.2f}",
                ratio(row.ratio) if row.level != "none" else "1",
                ratio(row.adjusted) if row.level != "none" else "1",
            )
            for row in tier.levels
        ),
        before=f"Outcome: {report.outcome}. Leg cramps are on nobody's record here. {tier.seen.capitalize()}.{against}",
        after="Shares, odds and ratios are weighted; people are counted as they are.",
    )


def _per_point(tier: TierTable) -> Table:
    return Table(
        title=f"One point more: {tier.tier}",
        head=("adjusted for", "odds ratio"),
        rows=tuple((row.adjusted_for, ratio(row.ratio)) for row in tier.per_point),
    )


def _sensitivity(report: Report) -> Table:
    return Table(
        title=f"Points of {report.tiers[0].tier} among other people, or read otherwise",
        head=("people", "count", "with outcome", "area, plain", "area, weighted"),
        rows=tuple(
            (row.what, f"{row.people:,}", f"{row.cases:,}", figure(row.plain), figure(row.weighted))
            for row in report.sensitivity
        ),
    )


def _contributors(report: Report) -> Table:
    judged = [row for row in report.contributors if row.chance is not None]
    return Table(
        title="Contributors: odds ratios beside points",
        head=(
            "rule",
            "contributor",
            "points",
            "from",
            "exposed",
            "with outcome",
            "plain",
            "weighted",
            "with all others",
            "in points",
            "reading",
        ),
        rows=tuple(_contributor(row) for row in report.contributors if row.weighted is not None),
        before=f"Outcome: {report.outcome}. Odds ratios are adjusted for age, its square and sex (60 years or more: "
        "for sex alone), with 95% intervals; the last two columns speak of the weighted one. With all others: one "
        "regression with every contributor in it. In points: 2 x log2 of the ratio, the formula of section 3.",
        after="Compatible: some ratio within the interval rounds to the points; with a wide interval that is no "
        f"support for them. {len(judged)} judged values were tested; one in twenty would differ by chance alone. "
        f"Contributors with under {report.least_exposed} exposed people, or under {LEAST_OF_EACH} exposed with or "
        f"without the outcome, are left out. {report.same_survey}".rstrip(),
        words=2,
    )


def _contributor(row: Row) -> tuple[str, ...]:
    one = row.exposure
    told = one.title + (f" ({row.limits})" if row.limits else "")
    return (
        *(one.number, told, str(one.points), one.basis, shown_count(row.exposed), shown_count(row.exposed_cases)),
        *(ratio(row.plain), ratio(row.weighted), ratio(row.mutual), figure(row.in_points, 1), row.reading),
    )


def _proposed(report: Report) -> list[Table]:
    found = [row for row in report.contributors if row.proposed is not None]
    rows = tuple(
        (
            row.exposure.number,
            row.exposure.title,
            str(row.exposure.points),
            str(row.proposed),
            ratio(row.weighted),
            figure(row.in_points, 1),
            f"{row.chance:.3f}",
            f"{row.chance_of_all:.2f}",
        )
        for row in found
    )
    table = Table(
        title="Judged points that the data contradict",
        head=("rule", "contributor", "points", "least change", "weighted ratio", "in points", "p", "p after Holm"),
        rows=rows,
        after="The least change is the number of points nearest to the judged one that the interval allows.",
        words=2,
    )
    return [table] if rows else []


def _nearest(report: Report) -> Table:
    return Table(
        title="Questions close to a contributor, which its rule does not read",
        head=("rule", "question", "exposed", "with outcome", "weighted ratio"),
        rows=tuple(
            (row.rule, row.title, shown_count(row.exposed), shown_count(row.exposed_cases), ratio(row.weighted))
            for row in report.nearest
        ),
        words=2,
    )


def _not_judged(report: Report) -> Table:
    return Table(
        title="What cannot be judged on this table",
        head=("rule", "contributor", "points", "why"),
        rows=tuple((row.number, row.title, row.points, row.why) for row in report.not_judged),
        words=4,
    )


def markdown(report: Report, link: Callable[[str], str] | None = None, level: int = 3) -> str:
    """All tables as Markdown. `link` makes the address of a chart from its file name; without it there are none."""
    parts = []
    for table in tables(report):
        parts.append(f"{'#' * level} {table.title}\n")
        if table.before:
            parts.append(table.before + "\n")
        parts.append("\n".join(_lines(table)) + "\n")
        if table.after:
            parts.append(table.after + "\n")
        chart = CHARTS.get(table.title.split(":")[0].split(" of ")[0])
        if link is not None and chart is not None:
            name, alternative = chart
            if link(name):
                parts.append(f"![{alternative}]({link(name)})\n")
    return "\n".join(parts)


CHARTS = {
    "Contributors": (
        "contributors.svg",
        "Odds ratio of each contributor with its interval, and the ratio its points stand for",
    ),
    "Levels": ("levels.svg", "Share of people with cramps at each level, with intervals"),
}
"""The first words of a table's title to the chart that stands below it, and what the chart shows in words."""


def _lines(table: Table) -> list[str]:
    rule = ["---" if at < table.words else "---:" for at in range(len(table.head))]
    return ["| " + " | ".join(cells) + " |" for cells in (table.head, rule, *table.rows)]
