"""Runs the service's own `assess` on every respondent and keeps what the statistics need of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from cds_service.assess import Assessment, assess
from cds_service.ruleset import Ruleset
from cds_service.settings import Settings
from cds_service.validation.columns import Columns
from cds_service.validation.record import RecordMaker
from cds_service.validation.table import Respondent

Fired = tuple[str, str]
"""A rule and its band."""


class Scored(msgspec.Struct, frozen=True):
    points: int
    level: str
    independent: int
    """Points without the contributors whose source looked at this very survey."""


class Person(msgspec.Struct, frozen=True):
    """A respondent and what the rules say of the record.

    `scored` holds each tier version by its id, on a record without leg cramps: the tier is meant to be read before
    anybody complains. `with_cramps` is the default version with leg cramps on everybody's record, and `fired` what
    fires then, since some rules wait for cramps; the same is done to all, so the answer does not leak into it.
    """

    respondent: Respondent
    scored: dict[str, Scored]
    with_cramps: Scored
    fired: frozenset[Fired]
    parts: frozenset[tuple[str, str]]
    """Rule and binding, of rules that are judged part by part."""
    classes: frozenset[str]
    """Value sets of the listed medicines."""
    drug_unknown: bool
    """Some medicine could not be named: that a drug is not taken is then not known."""
    unusable: frozenset[str]
    """Analytes with a result that the decoder refused."""


def assess_people(
    respondents: Sequence[Respondent],
    columns: Columns,
    rulesets: Mapping[str, Ruleset],
    settings: Settings,
    advance: Callable[[], None] = lambda: None,
) -> list[Person]:
    """Every respondent who answered the question, of the age from which all questions were asked.

    `rulesets` holds the same rules with each tier version; the first is the one with which contributors are judged.
    """
    maker = RecordMaker(columns, settings)
    people = []
    for one in respondents:
        advance()
        if one.text(columns.outcome.column) and (one.number(columns.age) or 0) >= columns.adults_from:
            people.append(_person(one, columns, rulesets, settings, maker))
    return people


def _person(
    one: Respondent, columns: Columns, rulesets: Mapping[str, Ruleset], settings: Settings, maker: RecordMaker
) -> Person:
    first = next(iter(rulesets.values()))
    now = maker.calendar.now
    plain = maker.gathered(one)
    left_out = frozenset(columns.same_survey.rules)
    scored = {
        name: _scored(assess(plain, ruleset, settings, now), ruleset, left_out) for name, ruleset in rulesets.items()
    }
    cramping = assess(maker.gathered(one, with_cramps=True), first, settings, now)
    fired = [finding for finding in cramping.findings if finding.fired]
    return Person(
        respondent=one,
        scored=scored,
        with_cramps=_scored(cramping, first, left_out),
        fired=frozenset((finding.rule.id, finding.band) for finding in fired),
        parts=frozenset(
            (finding.rule.id, name)
            for finding in fired
            if finding.rule.id in columns.contributors
            for name in finding.bound
            if name in columns.contributors[finding.rule.id].parts
        ),
        classes=_classes(one, columns, first),
        drug_unknown=any(
            name in columns.drugs.not_known or (columns.drugs.unspecified and name.endswith(columns.drugs.unspecified))
            for name in one.members(columns.drugs.names)
        ),
        unusable=frozenset(gap.what for gap in cramping.data_gaps if gap.kind in ("unusable-result", "unknown-unit")),
    )


def _scored(assessment: Assessment, ruleset: Ruleset, left_out: frozenset[str]) -> Scored:
    tier, rules = assessment.tier, ruleset.knowledge.tier
    assert tier is not None, "every adult has a tier"
    assert rules is not None
    by_group: Counter[str] = Counter()
    for one in tier.contributors:
        if one.finding.rule.id not in left_out:
            by_group[one.group] += one.points
    independent = sum(min(points, rules.caps[group]) for group, points in by_group.items())
    return Scored(tier.points, tier.level, independent)


def _classes(one: Respondent, columns: Columns, ruleset: Ruleset) -> frozenset[str]:
    """The value sets of the medicines by their names alone, for the regression that the tier is compared with."""
    terminology = ruleset.terminology
    found: set[str] = set()
    for name in one.members(columns.drugs.names):
        reading = terminology.text_names.read(name.lower(), terminology.text_rules)
        if reading.route is None or reading.route in terminology.text_rules.systemic:
            for ingredient in reading.ingredients:
                found |= ingredient.sets
    return frozenset(found)
