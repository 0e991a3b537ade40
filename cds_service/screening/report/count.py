"""One pass over the rows of a run: how many people each thing concerns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import combinations

import msgspec

from cds_service.screening.rows import PatientRow

NO_MODE = "held by a patient gate"


class Burden(msgspec.Struct):
    """Counts of people (each at most once in a count), or of cards where it says so.

    Keys of the counters are what their names say, in that order.
    """

    patients: int = 0
    """All that were assessed."""
    not_assessed: Counter[str] = msgspec.field(default_factory=Counter)
    """By status."""
    people: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    """By age band, sex, mode."""
    cards: Counter[tuple[str, str, str, str, str]] = msgspec.field(default_factory=Counter)
    """Cards by rule, indicator, age band, sex, mode: a rule has at most one card a patient."""
    carded: Counter[tuple[str, str, str, str]] = msgspec.field(default_factory=Counter)
    """People with a card of an indicator (or ``any``), by it, age band, sex, mode: fewer than cards."""
    cards_each: Counter[int] = msgspec.field(default_factory=Counter)
    """People by their number of cards."""
    fired: Counter[str] = msgspec.field(default_factory=Counter)
    """By rule: with a finding that fired with an indicator, shown or not."""
    both: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """By two rules that fired in the same person, in order of their ids."""
    held_back: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """By rule and indicator: what fired and quiet mode did not show."""
    gates: Counter[str] = msgspec.field(default_factory=Counter)
    tiers: Counter[str] = msgspec.field(default_factory=Counter)
    gaps: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """By kind of data gap and what it concerns."""
    without_result: Counter[str] = msgspec.field(default_factory=Counter)
    """By analyte that the tier asks for and has no usable result."""
    unknown: Counter[str] = msgspec.field(default_factory=Counter)
    """By rule whose verdict is unknown."""
    missing: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """By rule and what it lacked, where its verdict is unknown."""


def count_burden(rows: Iterable[PatientRow]) -> Burden:
    """Counts the rows of a run."""
    burden = Burden()
    for row in rows:
        if row.status != "assessed":
            burden.not_assessed[row.status] += 1
            continue
        _count_row(burden, row)
    return burden


def _count_row(burden: Burden, row: PatientRow) -> None:
    burden.patients += 1
    mode = row.mode or NO_MODE
    burden.people[row.age_band, row.sex, mode] += 1
    burden.cards_each[len(row.cards)] += 1
    for card in row.cards:
        burden.cards[card.rule, card.indicator, row.age_band, row.sex, mode] += 1
    for indicator in {card.indicator for card in row.cards} | ({"any"} if row.cards else set()):
        burden.carded[indicator, row.age_band, row.sex, mode] += 1
    if row.gate:
        burden.gates[row.gate] += 1
    if row.tier:
        burden.tiers[row.tier] += 1
    rules = []
    for finding in row.findings:
        if finding.verdict == "unknown":
            burden.unknown[finding.rule] += 1
            for what in finding.missing:
                burden.missing[finding.rule, what] += 1
        elif finding.verdict == "yes" and finding.indicator is not None:
            rules.append(finding.rule)
            if finding.held_back:
                burden.held_back[finding.rule, finding.indicator] += 1
    burden.fired.update(rules)
    burden.both.update(combinations(sorted(rules), 2))
    burden.gaps.update({(gap.kind, gap.what) for gap in row.gaps})
    burden.without_result.update(set(row.not_assessed))
