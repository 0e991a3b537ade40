"""What the report of one run says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from cds_service.engine.model import INDICATORS
from cds_service.screening.report.count import NO_MODE, Burden
from cds_service.screening.report.model import HIDDEN, Bars, Grid, Report, Section, Table
from cds_service.screening.report.suppress import hidden_cells, hidden_parts
from cds_service.screening.rows import AGE_BANDS, SEXES
from cds_service.screening.summary import Summary

MODES = ("full", "quiet", NO_MODE)
K = TypeVar("K")
G = TypeVar("G")
WORST_FIRST: tuple[str, ...] = tuple(reversed(INDICATORS))
_MOST_OVERLAPPING = 12
_MOST_UNMAPPED = 40


class Writer:
    """Writes the sections, hiding what few people stand behind."""

    def __init__(self, summary: Summary, burden: Burden, titles: Mapping[str, str], threshold: int) -> None:
        self.summary, self.burden, self.titles, self.threshold = summary, burden, titles, threshold
        self.rules = [rule for rule, _ in _most_first(_sum(burden.cards, lambda key: key[0]))]

    def report(self) -> Report:
        """The whole report."""
        plan = self.summary.plan
        hidden = "none"
        if self.threshold > 1:
            hidden = f"of 1 to {self.threshold - 1} people, and what would give them away"
        about = (
            ("Assessed as of", plan.now.isoformat()),
            ("Ruleset", f"{plan.knowledge} ({plan.ruleset})"),
            ("Export", plan.export[:16]),
            ("Since", plan.since.isoformat() if plan.since else "all patients"),
            ("Patients assessed", self.shown(self.burden.patients)),
            ("Counts hidden", hidden),
        )
        sections = (
            self._overview(),
            self._by_rule(),
            self._by_people(),
            self._held_back(),
            self._overlap(),
            self._missing(),
            self._unmapped(),
            self._input(),
        )
        return Report("What the leg-cramp rules would do here", about, sections)

    def name(self, rule: str) -> str:
        title = self.titles.get(rule)
        return f"{title} ({rule})" if title else rule

    def shown(self, count: int) -> str:
        """A count on its own."""
        return HIDDEN if 0 < count < self.threshold else f"{count:,}"

    def per_1000(self, count: int, of: int) -> float | None:
        if 0 < count < self.threshold or of < max(self.threshold, 1):
            return None
        return 1000 * count / of

    # -- sections

    def _overview(self) -> Section:
        burden = self.burden
        indicators = _sum(burden.cards, lambda key: key[1])
        people = _sum(burden.carded, lambda key: key[0])
        counts = [*(indicators[one] for one in WORST_FIRST), sum(indicators.values())]
        gone = hidden_cells([counts], self.threshold, [[people[one] for one in (*WORST_FIRST, "any")]])
        rows = [
            (name, *self._pair(count, burden.patients, (0, at) in gone))
            for at, (name, count) in enumerate(zip((*WORST_FIRST, "all cards"), counts, strict=True))
        ]
        numbers = sorted(burden.cards_each)
        hidden = hidden_parts([burden.cards_each[number] for number in numbers], self.threshold)
        each = [
            (f"{number}", *self._pair(burden.cards_each[number], burden.patients, at in hidden))
            for at, number in enumerate(numbers)
        ]
        return Section(
            "Cards",
            (
                Table(("indicator", "cards", "per 1,000 patients"), tuple(rows)),
                Table(("cards that one patient has", "patients", "per 1,000 patients"), tuple(each)),
            ),
        )

    def _by_rule(self) -> Section:
        counts = _sum(self.burden.cards, lambda key: (key[0], key[1]))
        cells = [[counts[rule, indicator] for indicator in WORST_FIRST] for rule in self.rules]
        shown = self._with_totals(cells)
        rows, labels = [], []
        for rule, line in zip(self.rules, shown, strict=False):
            total = line[-1]
            rate = self.per_1000(total, self.burden.patients) if total is not None else None
            rows.append((self.name(rule), *map(_number, line), _rate(rate)))
            labels.append(rule)
        series = {
            indicator: tuple(
                self.per_1000(count, self.burden.patients) if (count := line[at]) is not None else None
                for line in shown[: len(self.rules)]
            )
            for at, indicator in enumerate(WORST_FIRST)
        }
        return Section(
            "By rule",
            (
                "The rule of a card is the one that it is about; a summary card speaks for others too.",
                Table(("rule", *WORST_FIRST, "all", "per 1,000 patients"), tuple(rows)),
                Bars("by-rule", "Cards per 1,000 patients by rule", "cards per 1,000 patients", tuple(labels), series),
            ),
        )

    def _by_people(self) -> Section:
        parts: list[str | Table | Bars | Grid] = []
        for title, place, groups in (("age band", 0, AGE_BANDS), ("sex", 1, SEXES), ("mode", 2, MODES)):
            people, cards, carded = self._by(place)
            present = [group for group in groups if people[group]]
            gone = hidden_parts([people[group] for group in present], self.threshold)
            shown = self._with_totals(
                [[cards[group, one] for one in WORST_FIRST] for group in present],
                [[carded[group, one] for one in (*WORST_FIRST, "any")] for group in present],
            )
            rows = []
            series: dict[str, list[float | None]] = {indicator: [] for indicator in WORST_FIRST}
            for at, group in enumerate(present):
                line = shown[at] if at not in gone else [None] * (len(WORST_FIRST) + 1)
                base = people[group]
                rates = [self.per_1000(count, base) if count is not None else None for count in line]
                rows.append((group, HIDDEN if at in gone else f"{base:,}", *map(_number, line), _rate(rates[-1])))
                for indicator, rate in zip(WORST_FIRST, rates, strict=False):
                    series[indicator].append(rate)
            columns = (title, "patients", *WORST_FIRST, "all cards", "cards per 1,000 of them")
            parts.append(Table(columns, tuple(rows)))
            parts.append(
                Bars(
                    f"by-{title.replace(' ', '-')}",
                    f"Cards per 1,000 patients by {title}",
                    "cards per 1,000 patients of the group",
                    tuple(present),
                    {indicator: tuple(values) for indicator, values in series.items()},
                )
            )
        note = (
            "Full mode is for people with leg cramps on record. A patient gate holds back every card of children and of"
            " the deceased."
        )
        return Section("By age, sex and mode", (note, *parts))

    def _by(self, place: int) -> tuple[Counter[str], Counter[tuple[str, str]], Counter[tuple[str, str]]]:
        """People, cards by indicator, and people with cards by indicator, by age band (0), sex (1) or mode (2)."""
        people: Counter[str] = Counter()
        cards: Counter[tuple[str, str]] = Counter()
        carded: Counter[tuple[str, str]] = Counter()
        for group, count in self.burden.people.items():
            people[group[place]] += count
        for key, count in self.burden.cards.items():
            cards[key[place + 2], key[1]] += count
        for with_card, count in self.burden.carded.items():
            carded[with_card[place + 1], with_card[0]] += count
        return people, cards, carded

    def _held_back(self) -> Section:
        by_rule = _sum(self.burden.held_back, lambda key: key[0])
        rules = [rule for rule, _ in _most_first(by_rule)]
        shown = self._with_totals([[self.burden.held_back[rule, one] for one in WORST_FIRST] for rule in rules])
        rows = [(self.name(rule), *map(_number, line)) for rule, line in zip(rules, shown, strict=False)]
        series = {
            indicator: tuple(
                self.per_1000(count, self.burden.patients) if (count := line[at]) is not None else None
                for line in shown[: len(rules)]
            )
            for at, indicator in enumerate(WORST_FIRST)
        }
        return Section(
            "What quiet mode held back",
            (
                "Findings that fired in people without leg cramps on record, and that no card speaks for.",
                Table(("rule", *WORST_FIRST, "all"), tuple(rows)),
                Bars(
                    "held-back",
                    "Held back per 1,000 patients",
                    "findings per 1,000 patients",
                    tuple(rules),
                    series,
                ),
            ),
        )

    def _overlap(self) -> Section:
        rules = sorted(rule for rule, _ in _most_first(self.burden.fired)[:_MOST_OVERLAPPING])
        both = self.burden.both
        cells: list[tuple[float | None, ...]] = []
        for one in rules:
            line: list[float | None] = []
            for other in rules:
                count = self.burden.fired[one] if one == other else both[min(one, other), max(one, other)]
                # how many have one without the other must not come out either
                alone = min(self.burden.fired[one], self.burden.fired[other]) - count
                small = 0 < count < self.threshold or (one != other and 0 < alone < self.threshold)
                line.append(None if small else float(count))
            cells.append(tuple(line))
        pairs = [
            (self.name(one), self.name(other), f"{both[one, other]:,}")
            for row, one in enumerate(rules)
            for column, other in enumerate(rules)
            if one < other and both[one, other] and cells[row][column] is not None
        ]
        pairs.sort(key=lambda pair: (-int(pair[2].replace(",", "")), pair))
        return Section(
            "Rules that fire together",
            (
                f"People in whom both rules fired, shown or not; the {len(rules)} rules that fire most often.",
                Grid("overlap", "People in whom both rules fired", tuple(rules), tuple(cells)),
                Table(("rule", "and rule", "patients"), tuple(pairs), words=2),
            ),
        )

    def _missing(self) -> Section:
        burden = self.burden
        gaps = [
            (kind, what, *self._pair(count, burden.patients, self._is_small(count)))
            for (kind, what), count in _most_first(burden.gaps)
        ]
        analytes = [
            (analyte, *self._pair(count, burden.patients, self._is_small(count)))
            for analyte, count in _most_first(burden.without_result)
        ]
        unknown = [
            (
                self.name(rule),
                "; ".join(sorted(what for one, what in burden.missing if one == rule)),
                *self._pair(count, burden.patients, self._is_small(count)),
            )
            for rule, count in _most_first(burden.unknown)
        ]
        return Section(
            "What data were missing",
            (
                Table(("data gap", "of", "patients", "per 1,000 patients"), tuple(gaps), words=2),
                "Without a usable result, among those whom the contributor level was computed for:",
                Table(("result", "patients", "per 1,000 patients"), tuple(analytes)),
                "Rules that could not be answered:",
                Table(("rule", "for want of", "patients", "per 1,000 patients"), tuple(unknown), words=2),
            ),
        )

    def _unmapped(self) -> Section:
        told = [row for row in self.summary.unmapped if row[3] >= max(self.threshold, 1)]
        told.sort(key=lambda row: (not row[0].startswith("unit"), -row[3], row))
        rows = [
            (where, system or "none", code, f"{patients:,}", f"{resources:,}")
            for where, system, code, patients, resources in told[:_MOST_UNMAPPED]
        ]
        rest = len(self.summary.unmapped) - len(rows)
        return Section(
            "Codes and units that nothing here knows",
            (
                "Units first: a result in such a unit is not used. A code that no value set holds is mostly one that"
                " no rule asks for; those that mean a drug, disease or result of these rules are to be mapped.",
                Table(("in", "code system", "code or unit", "patients", "resources"), tuple(rows), words=3),
                f"{rest:,} more, less frequent or of too few patients to be told.",
            ),
        )

    def _input(self) -> Section:
        summary = self.summary
        rows = [
            ("files", f"{summary.files:,}"),
            ("lines", f"{summary.lines:,}"),
            ("lines that could not be read", f"{summary.broken_lines:,}"),
            ("files that could not be read to their end", f"{len(summary.unreadable_files):,}"),
            ("lines of types that no rule reads", f"{summary.lines_skipped:,}"),
            ("lines about no patient that can be told", f"{summary.lines_about_nobody:,}"),
            ("errors that the export reported", f"{summary.export_errors:,}"),
            ("kinds of data not in the export", ", ".join(summary.not_supplied) or "none"),
        ]
        rows += [
            (f"patients not assessed: {status}", self.shown(count))
            for status, count in sorted(self.burden.not_assessed.items())
        ]
        return Section("What went in", (Table(("", ""), tuple(rows)),))

    # -- hiding

    def _is_small(self, count: int) -> bool:
        """Few have it, or few do not: both are told by the count beside the number of all."""
        return 0 < count < self.threshold or 0 < self.burden.patients - count < self.threshold

    def _pair(self, count: int, of: int, hide: bool) -> tuple[str, str]:
        return (HIDDEN, HIDDEN) if hide else (f"{count:,}", _rate(self.per_1000(count, of)))

    def _with_totals(
        self, cells: Sequence[Sequence[int]], people: Sequence[Sequence[int]] | None = None
    ) -> list[list[int | None]]:
        """The table with its totals to the right and below; None for what must be hidden.

        `people` are those behind the cells and the totals to the right, where they are fewer than the counts.
        """
        lines = [[*row, sum(row)] for row in cells]
        lines.append(_below(lines))
        behind = None if people is None else [*people, _below(people)]
        hidden = hidden_cells(lines, self.threshold, behind)
        return [
            [None if (row, column) in hidden else count for column, count in enumerate(line)]
            for row, line in enumerate(lines)
        ]


def _below(lines: Sequence[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*lines, strict=True)] if lines else [0] * (len(WORST_FIRST) + 1)


def _sum(counts: Mapping[K, int], group: Callable[[K], G]) -> Counter[G]:
    found: Counter[G] = Counter()
    for key, count in counts.items():
        found[group(key)] += count
    return found


def _most_first(counts: Mapping[K, int]) -> list[tuple[K, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _number(count: int | None) -> str:
    return HIDDEN if count is None else f"{count:,}"


def _rate(rate: float | None) -> str:
    return HIDDEN if rate is None else f"{rate:,.1f}"
