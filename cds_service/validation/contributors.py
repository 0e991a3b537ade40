"""Each contributor's odds ratio, adjusted for age and sex, beside the points it has, and what cannot be judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec
import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from cds_service.engine.model import Rule
from cds_service.engine.tier import Tier
from cds_service.ruleset import Ruleset
from cds_service.validation.cohort import Cohort
from cds_service.validation.design import Estimate, Flags, Floats
from cds_service.validation.logistic import Fit, NotEstimable, fit_plain, fit_survey
from cds_service.validation.people import Fired

LEAST_OF_EACH = 5
"""Exposed people with, and without, the outcome that an odds ratio needs."""

Basis = Literal["published ratio", "published association", "judged"]
Reading = Literal["compatible", "weaker than its points", "stronger than its points", "not judged here"]


class Exposure(msgspec.Struct, frozen=True):
    """One contributor, or one grade of it: the bands of a rule that carry the same points, or a part of one."""

    rule: str
    number: str
    title: str
    bands: tuple[str, ...]
    part: str
    points: int
    basis: Basis


class Row(msgspec.Struct, frozen=True):
    """What the table says of one exposure. Ratios are None where there are too few people."""

    exposure: Exposure
    people: int
    """Among whom it is known whether they are exposed."""
    exposed: int
    exposed_cases: int
    plain: Estimate | None = None
    weighted: Estimate | None = None
    mutual: Estimate | None = None
    """Weighted, and adjusted for all contributors with points and enough exposed people as well."""
    in_points: Estimate | None = None
    """The weighted ratio as points: 2 x log2."""
    limits: str = ""
    reading: Reading = "not judged here"
    chance: float | None = None
    """Judged ones: how probable a ratio this far outside is, if the true one lay at the edge of the points' range."""
    chance_of_all: float | None = None
    """The same after Holm, over all judged contributors with enough people."""
    proposed: int | None = None
    """Points that would agree, with the least change, where the reading differs from the judged ones."""


class NotJudged(msgspec.Struct, frozen=True):
    rule: str
    number: str
    title: str
    points: str
    why: str


class NearestRow(msgspec.Struct, frozen=True):
    """A question close to a contributor, which the rule itself does not read."""

    rule: str
    title: str
    exposed: int
    exposed_cases: int
    weighted: Estimate | None


def least_change(points: int, ratio: Estimate) -> int:
    """The points nearest to those that stand which the interval still allows, by round(2 x log2(ratio)), 0 at least.

    Not those of the ratio itself: a contributor that is picked because its ratio is extreme has, more often than not,
    a true ratio that is less so.
    """
    low, high = (max(int(np.floor(2 * np.log2(end) + 0.5)), 0) for end in (ratio.low, ratio.high))
    return min(max(points, low), high)


def exposures(ruleset: Ruleset, cohort: Cohort) -> list[Exposure]:
    """Every contributor that the table can show, by rule number; grades of one rule from most to fewest points."""
    tier = ruleset.knowledge.tier
    assert tier is not None
    told = cohort.columns.contributors
    rules = sorted((rule for rule in ruleset.knowledge.rules if rule.id in told), key=lambda rule: rule.order_of)
    seen = frozenset().union(*(one.fired for one in cohort.people))
    return [one for rule in rules for one in _of_rule(rule, tier, told[rule.id].parts, seen)]


def _of_rule(rule: Rule, tier: Tier, parts: dict[str, str], seen: frozenset[Fired]) -> Iterator[Exposure]:
    basis: Basis = (
        "published ratio"
        if rule.id in tier.published
        else "published association"
        if rule.id in tier.associations
        else "judged"
    )
    for part, title in parts.items():
        yield Exposure(rule.id, rule.number, title, (), part, 1, basis)
    if parts:
        return
    by_points: dict[int, list[str]] = {}
    for band in rule.bands:
        by_points.setdefault(band.points, []).append(band.id)
    for points in sorted(by_points, reverse=True):
        bands = tuple(by_points[points])
        met = [band for band in bands if (rule.id, band) in seen] or list(bands)
        title = rule.title if len(by_points) == 1 else f"{rule.title}: {', '.join(met).replace('-', ' ')}"
        yield Exposure(rule.id, rule.number, title, bands, "", points, basis)


class Contributors:
    """All odds ratios of one cohort and outcome."""

    def __init__(self, cohort: Cohort, ruleset: Ruleset, cut: str, least_exposed: int) -> None:
        self.cohort, self.ruleset, self.least = cohort, ruleset, least_exposed
        self.case = cohort.cases(cut)
        self.asked = exposures(ruleset, cohort)

    def rows(self) -> list[Row]:
        """A row for each exposure."""
        enough = [one for one in self.asked if self._is_enough(one)]
        mutual = self._mutual(enough)
        return _after_holm([self._row(one, mutual) for one in self.asked])

    def not_judged(self, rows: list[Row]) -> list[NotJudged]:
        """Contributors with points, and grades of them, for which there is no ratio, and why."""
        columns = self.cohort.columns
        found = []
        for rule in sorted(self.ruleset.knowledge.rules, key=lambda rule: rule.order_of):
            if rule.id in columns.contributors:
                for row in rows:
                    one = row.exposure
                    if one.rule == rule.id and one.points and row.weighted is None:
                        why = (
                            f"Too few people with it ({shown_count(row.exposed)})." if row.exposed else "Nobody has it."
                        )
                        found.append(NotJudged(rule.id, rule.number, one.title, str(one.points), why))
            elif points := sorted({band.points for band in rule.bands if band.points}, reverse=True):
                why = columns.not_collected.get(rule.id, "The description of the table does not say how to tell it.")
                found.append(NotJudged(rule.id, rule.number, rule.title, ", ".join(map(str, points)), why))
        return found

    def nearest(self) -> list[NearestRow]:
        """The questions close to contributors."""
        rows = []
        for told in self.cohort.columns.nearest:
            values = self.cohort.numbers(told.column)
            limits = {sex: told.above.get(sex, 0.0) for sex in ("female", "male")}
            exposed = values > np.where(self.cohort.female == 1, limits["female"], limits["male"])
            known = ~np.isnan(values)
            weighted = self._weighted(exposed, known, self.cohort.interview_weights)
            cases = int((exposed & known & self.case).sum())
            rows.append(
                NearestRow(
                    told.of, told.title, int((exposed & known).sum()), cases, weighted.ratio(0) if weighted else None
                )
            )
        return rows

    # -- one exposure

    def _exposed(self, one: Exposure) -> tuple[Flags, Flags]:
        """Who is exposed, and of whom that is known; other grades of the same rule belong to neither side."""
        if one.part:
            exposed = self.cohort.flags(lambda person: (one.rule, one.part) in person.parts)
        else:
            exposed = self.cohort.flags(lambda person: any((one.rule, band) in person.fired for band in one.bands))
        known = np.ones(len(self.cohort), dtype=bool)
        for column in self.cohort.columns.contributors[one.rule].needs:
            known &= self.cohort.has(column)
        if not one.part:
            known &= ~self.cohort.flags(
                lambda person: any(rule == one.rule and band not in one.bands for rule, band in person.fired)
            )
        return exposed & known, known

    def _weights(self, rule: str) -> Floats:
        return self.cohort.exam_weights if self.cohort.columns.is_examined(rule) else self.cohort.interview_weights

    def _is_enough(self, one: Exposure) -> bool:
        exposed, known = self._exposed(one)
        return self._allows_ratio(exposed, known & (self._weights(one.rule) > 0))

    def _allows_ratio(self, exposed: Flags, known: Flags) -> bool:
        cases = int((exposed & known & self.case).sum())
        count = int((exposed & known).sum())
        return count >= self.least and min(cases, count - cases) >= LEAST_OF_EACH

    def _weighted(self, exposed: Flags, known: Flags, weights: Floats, by_age: bool = True) -> Fit | None:
        used = np.where(known, weights, 0.0)
        if not self._allows_ratio(exposed, used > 0):
            return None
        try:
            return fit_survey(self._columns(exposed, by_age), self.case, used, self.cohort.design)
        except NotEstimable:
            return None

    def _columns(self, exposed: Flags, by_age: bool) -> Floats:
        return np.column_stack([exposed.astype(float), self.cohort.adjusters(by_age)])

    def _row(self, one: Exposure, mutual: dict[Exposure, Estimate]) -> Row:
        exposed, known = self._exposed(one)
        weights = self._weights(one.rule)
        known &= weights > 0
        by_age = one.part != "age"
        limits = self.cohort.columns.contributors[one.rule].limits
        row = Row(one, int(known.sum()), int((exposed & known).sum()), int((exposed & known & self.case).sum()))
        fit = self._weighted(exposed, known, weights, by_age)
        if fit is None:
            return msgspec.structs.replace(row, limits=limits)
        plain = fit_plain(self._columns(exposed, by_age)[known], self.case[known]).ratio(0)
        ratio = fit.ratio(0)
        return msgspec.structs.replace(
            row,
            plain=plain,
            weighted=ratio,
            mutual=mutual.get(one),
            in_points=Estimate(*(float(2 * np.log2(end)) for end in (ratio.value, ratio.low, ratio.high))),
            limits=limits,
            reading=_reading(one.points, ratio),
            chance=_chance(one.points, fit) if one.basis == "judged" and not limits else None,
        )

    def _mutual(self, enough: list[Exposure]) -> dict[Exposure, Estimate]:
        """One regression with all contributors that have points; those without join it one at a time."""
        # 60 years or more is told by age itself: a column of its own would only share its coefficient
        told = [one for one in enough if one.part != "age"]
        base = [one for one in told if one.points]
        found = self._together(base)
        for one in told:
            if not one.points:
                found |= {key: ratio for key, ratio in self._together([one, *base]).items() if key == one}
        return found

    def _together(self, asked: list[Exposure]) -> dict[Exposure, Estimate]:
        """Ratios from one regression, among the people of whom all is known."""
        if not asked:
            return {}
        whole = np.logical_and.reduce([self._known(one) for one in asked])
        weights = np.where(whole, self.cohort.exam_weights, 0.0)
        columns = {one: self._exposed(one)[0] for one in asked}
        kept = [one for one, exposed in columns.items() if self._allows_ratio(exposed, weights > 0)]
        together = np.column_stack([*(columns[one].astype(float) for one in kept), self.cohort.adjusters()])
        try:
            fit = fit_survey(together, self.case, weights, self.cohort.design)
        except NotEstimable:
            return {}
        return {one: fit.ratio(at) for at, one in enumerate(kept)}

    def _known(self, one: Exposure) -> Flags:
        """Of whom the rule's columns are all known, whatever grade they have."""
        known = np.ones(len(self.cohort), dtype=bool)
        for column in self.cohort.columns.contributors[one.rule].needs:
            known &= self.cohort.has(column)
        return known


def _reading(points: int, ratio: Estimate) -> Reading:
    """Whether some ratio within the interval would round to the points that stand."""
    low, high = 2 * np.log2(ratio.low), 2 * np.log2(ratio.high)
    if points > 0 and high < points - 0.5:
        return "weaker than its points"
    if low > points + 0.5:
        return "stronger than its points"
    return "compatible"


def _chance(points: int, fit: Fit) -> float:
    """Two-sided, of a ratio this far beyond the nearer edge of the range that rounds to the points; 1 within it."""
    log, error = float(fit.beta[0]), fit.error(0)
    edges = [(points - 0.5) / 2 * np.log(2) if points > 0 else -np.inf, (points + 0.5) / 2 * np.log(2)]
    beyond = max(edges[0] - log, log - edges[1])
    return 1.0 if beyond <= 0 else float(2 * stats.t.sf(beyond / error, fit.degrees))


def _after_holm(rows: list[Row]) -> list[Row]:
    """Holm's correction over the judged contributors, and the points proposed for those that differ."""
    tested = [i for i, row in enumerate(rows) if row.chance is not None]
    corrected = multipletests([rows[i].chance for i in tested], method="holm")[1] if tested else []
    done = list(rows)
    for i, chance in zip(tested, corrected, strict=True):
        row = rows[i]
        differs = row.weighted is not None and row.reading != "compatible"
        done[i] = msgspec.structs.replace(
            row,
            chance_of_all=float(chance),
            proposed=least_change(row.exposure.points, row.weighted) if differs and row.weighted is not None else None,
        )
    return done


def shown_count(count: int, least: int = 5) -> str:
    """A count of people, small ones hidden."""
    return f"under {least}" if 0 < count < least else f"{count:,}"
