"""Two runs side by side: what a change of rules, of thresholds or of time means to people.

Goes through both sorted files at once, so that memory does not grow. What is told of people is counted, and hidden
where they are few; ids stand only in the list for the reviewer, which is no part of the report.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from cds_service.screening.plan import Plan
from cds_service.screening.report.model import HIDDEN, Bars, Section, Table
from cds_service.screening.report.suppress import hidden_parts
from cds_service.screening.rows import CardRow, PatientRow

Change = tuple[str, str]
"""A rule, and what became of its card: ``new``, ``gone``, or the two indicators, such as ``info to warning``."""


class Changes(msgspec.Struct):
    """What differs between two runs, by people."""

    both: int = 0
    only_before: int = 0
    only_after: int = 0
    unchanged: int = 0
    """With the very same cards."""
    cards: Counter[Change] = msgspec.field(default_factory=Counter)
    tiers: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    before: Counter[str] = msgspec.field(default_factory=Counter)
    """People with a card of the rule."""
    after: Counter[str] = msgspec.field(default_factory=Counter)
    examples: defaultdict[Change, list[str]] = msgspec.field(default_factory=lambda: defaultdict(list))
    """Ids of patients by change: the first few of each."""


def compare_runs(before: Iterable[PatientRow], after: Iterable[PatientRow], examples: int) -> Changes:
    """Compares two runs, each sorted by patient."""
    changes = Changes()
    for old, new in _pairs(before, after):
        if old is not None:
            changes.before.update({card.rule for card in old.cards})
        if new is not None:
            changes.after.update({card.rule for card in new.cards})
        if old is None or new is None:
            changes.only_before += new is None
            changes.only_after += old is None
            continue
        changes.both += 1
        changes.unchanged += _is_same(old, new)
        if old.tier != new.tier:
            changes.tiers[old.tier or "none told", new.tier or "none told"] += 1
        for change in _changes(old.cards, new.cards):
            changes.cards[change] += 1
            if len(changes.examples[change]) < examples:
                changes.examples[change].append(new.patient)
    return changes


def _pairs(
    before: Iterable[PatientRow], after: Iterable[PatientRow]
) -> Iterator[tuple[PatientRow | None, PatientRow | None]]:
    olds, news = iter(before), iter(after)
    old, new = next(olds, None), next(news, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old.patient < new.patient):
            yield old, None
            old = next(olds, None)
        elif old is None or new.patient < old.patient:
            yield None, new
            new = next(news, None)
        else:
            yield old, new
            old, new = next(olds, None), next(news, None)


def _is_same(old: PatientRow, new: PatientRow) -> bool:
    return {(card.rule, card.indicator) for card in old.cards} == {(card.rule, card.indicator) for card in new.cards}


def _changes(old: tuple[CardRow, ...], new: tuple[CardRow, ...]) -> Iterator[Change]:
    befores = {card.rule: card.indicator for card in old}
    afters = {card.rule: card.indicator for card in new}
    for rule in sorted(befores.keys() | afters.keys()):
        one, other = befores.get(rule), afters.get(rule)
        if one != other:
            yield rule, "new" if one is None else "gone" if other is None else f"{one} to {other}"


def differences(old: Plan, new: Plan) -> list[tuple[str, str, str]]:
    """What the two runs were made of, where it differs."""
    names = {"export": "export", "ruleset": "ruleset", "knowledge": "knowledge", "now": "as of", "since": "since"}
    names |= {"region": "region", "risk_summary": "risk summary", "zone": "zone"}
    return [
        (word, str(getattr(old, name))[:25], str(getattr(new, name))[:25])
        for name, word in names.items()
        if getattr(old, name) != getattr(new, name)
    ]


def section_of(changes: Changes, old: Plan, new: Plan, titles: Mapping[str, str], threshold: int) -> Section:
    """The comparison as a section of the report."""
    differing = tuple(differences(old, new)) or (("nothing", "", ""),)
    people = (changes.unchanged, changes.both - changes.unchanged, changes.only_before, changes.only_after)
    words = ("the same cards", "other cards", "only in the earlier run", "only in this run")
    gone = hidden_parts(people, threshold)
    rules = sorted(changes.before.keys() | changes.after.keys())
    counts = [(rule, changes.before[rule], changes.after[rule]) for rule in rules]
    shown = [
        (_name(rule, titles), _shown(one, threshold), _shown(other, threshold), _difference(one, other, threshold))
        for rule, one, other in counts
    ]
    changed = sorted(changes.cards.items(), key=lambda item: (-item[1], item[0]))
    tiers = sorted(changes.tiers.items(), key=lambda item: (-item[1], item[0]))
    return Section(
        "Compared with the earlier run",
        (
            Table(("differs", "earlier", "now"), differing, words=3),
            Table(
                ("patients with", "patients"),
                tuple(
                    (word, HIDDEN if at in gone else f"{count:,}")
                    for at, (word, count) in enumerate(zip(words, people, strict=True))
                ),
            ),
            Table(("patients with a card of", "earlier", "now", "difference"), tuple(shown)),
            Bars(
                "compared",
                "Patients with a card, earlier and now",
                "patients",
                tuple(f"{rule}, {word}" for rule in rules for word in ("earlier", "now")),
                {
                    "before": tuple(v for _, one, _ in counts for v in (_value(one, threshold), 0.0)),
                    "after": tuple(v for _, _, other in counts for v in (0.0, _value(other, threshold))),
                },
            ),
            Table(
                ("rule", "its card", "patients"),
                tuple((_name(rule, titles), what, _shown(count, threshold)) for (rule, what), count in changed),
                words=2,
            ),
            Table(
                ("contributor level, earlier", "now", "patients"),
                tuple((one, other, _shown(count, threshold)) for (one, other), count in tiers),
                words=2,
            ),
        ),
    )


def reviewer_list(changes: Changes, titles: Mapping[str, str]) -> str:
    """Examples by patient id, as Markdown: for the reviewer at the site and for nobody else."""
    lines = [
        "# Examples for the reviewer",
        "",
        "This list names patients by their ids. It belongs where the records are; it is no part of the report.",
    ]
    for (rule, what), ids in sorted(changes.examples.items()):
        lines += ["", f"## {_name(rule, titles)}: {what}", "", *(f"- Patient/{id_}" for id_ in ids)]
    return "\n".join(lines) + "\n"


def _name(rule: str, titles: Mapping[str, str]) -> str:
    return f"{titles[rule]} ({rule})" if rule in titles else rule


def _shown(count: int, threshold: int) -> str:
    return HIDDEN if 0 < count < threshold else f"{count:,}"


def _value(count: int, threshold: int) -> float | None:
    return None if 0 < count < threshold else float(count)


def _difference(one: int, other: int, threshold: int) -> str:
    """Hidden where either side is, or where so few made the difference."""
    if any(0 < count < threshold for count in (one, other, abs(other - one))):
        return HIDDEN
    return f"{other - one:+,}" if other != one else "0"
