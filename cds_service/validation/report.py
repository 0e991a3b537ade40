"""Everything that is found on one table, as plain data. Nothing in it is about a single person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from cds_service.ruleset import Ruleset
from cds_service.validation import models
from cds_service.validation.auc import WeightedAreas, area
from cds_service.validation.cohort import Cohort
from cds_service.validation.columns import Columns
from cds_service.validation.contributors import Contributors, NearestRow, NotJudged, Row
from cds_service.validation.design import Estimate, Flags, Floats
from cds_service.validation.logistic import NotEstimable, fit_survey
from cds_service.validation.people import Person

AGE_SEX, MEDICINES, CEILING = "age and sex", "number of prescription drugs", "logistic regression, all features"
WITH_POINTS = "age, sex and the tier's points"


class ScoreRow(msgspec.Struct, frozen=True):
    """How well one score tells people with the outcome from others."""

    score: str
    plain: Estimate
    weighted: Estimate
    beyond_age_and_sex: Estimate | None = None
    """Weighted area less that of age and sex."""
    beyond_medicines: Estimate | None = None
    """Weighted area less that of the number of drugs."""


class OutcomeTable(msgspec.Struct, frozen=True):
    outcome: str
    title: str
    people: int
    cases: int
    share: Estimate
    """Weighted."""
    scores: tuple[ScoreRow, ...]


class LevelRow(msgspec.Struct, frozen=True):
    """One level of a tier. Ratios are against the level none, weighted; None where there are too few people."""

    level: str
    people: int
    cases: int
    population: Estimate
    """The weighted share of adults at this level."""
    share: Estimate
    """The weighted share of them with the outcome."""
    odds: float
    ratio: Estimate | None
    adjusted: Estimate | None
    """For age and sex."""


class PerPoint(msgspec.Struct, frozen=True):
    """The odds ratio of one point more, weighted."""

    adjusted_for: str
    ratio: Estimate


class Sensitivity(msgspec.Struct, frozen=True):
    what: str
    people: int
    cases: int
    plain: Estimate
    weighted: Estimate


class TierTable(msgspec.Struct, frozen=True):
    """One tier version on the primary outcome."""

    tier: str
    title: str
    version: str
    seen: str
    """Whether the table is the one that its points were fitted on, or an independent one."""
    levels: tuple[LevelRow, ...]
    per_point: tuple[PerPoint, ...]
    against_default: Estimate | None
    """Weighted area less that of the first tier."""


class Report(msgspec.Struct, frozen=True):
    table: str
    cycle: str
    question: str
    outcome: str
    """The title of the outcome on which levels and contributors are judged."""
    respondents: int
    answered: int
    """Of the age from which all questions were asked."""
    examined: int
    grades: dict[str, int]
    missing: dict[str, int]
    """Cells that are empty among the examined, by column that a contributor needs."""
    refused: dict[str, int]
    """Results that the decoder could not use, by analyte."""
    medicines_unknown: int
    replicates: int
    least_exposed: int
    features: int
    degrees: int
    outcomes: tuple[OutcomeTable, ...]
    tiers: tuple[TierTable, ...]
    sensitivity: tuple[Sensitivity, ...]
    contributors: tuple[Row, ...]
    not_judged: tuple[NotJudged, ...]
    nearest: tuple[NearestRow, ...]
    assumed: dict[str, str]
    same_survey: str
    """Which points come from a source that looked at these very people."""
    knowledge: str
    ruleset: str


def judge(
    people: Sequence[Person],
    respondents: int,
    columns: Columns,
    rulesets: Mapping[str, Ruleset],
    outcome: str,
    least_exposed: int,
    replicates: int,
) -> Report:
    """The whole report. `rulesets` holds the tier versions, the first of which is judged contributor by contributor."""
    return _Judging(Cohort(people, columns), rulesets, outcome, least_exposed, replicates).report(respondents)


class _Judging:
    def __init__(
        self, cohort: Cohort, rulesets: Mapping[str, Ruleset], outcome: str, least_exposed: int, replicates: int
    ) -> None:
        self.cohort, self.rulesets, self.outcome = cohort, rulesets, outcome
        self.least_exposed, self.replicates = least_exposed, replicates
        self.kept: Flags = cohort.exam_weights > 0
        self.weights = np.where(self.kept, cohort.exam_weights, 0.0)
        self.points: dict[str, Floats] = {
            name: np.array([float(one.scored[name].points) for one in cohort.people]) for name in rulesets
        }
        self.first = next(iter(rulesets))
        self.features = 0

    def report(self, respondents: int) -> Report:
        cohort, columns = self.cohort, self.cohort.columns
        contributors = Contributors(cohort, self.rulesets[self.first], self.outcome, self.least_exposed)
        rows = contributors.rows()
        outcomes = tuple(self._outcome(cut) for cut in columns.outcome.cuts)
        ruleset = self.rulesets[self.first]
        return Report(
            table=columns.table,
            cycle=cohort.people[0].respondent.text(columns.cycle),
            question=columns.outcome.question,
            outcome=columns.outcome.cuts[self.outcome].title,
            respondents=respondents,
            answered=len(cohort),
            examined=int(self.kept.sum()),
            grades={title: int((cohort.grade == float(key)).sum()) for key, title in columns.outcome.answers.items()},
            missing=self._missing(),
            refused=self._refused(),
            medicines_unknown=int((~cohort.medicines_known).sum()),
            replicates=self.replicates,
            least_exposed=self.least_exposed,
            features=self.features,
            degrees=cohort.design.degrees,
            outcomes=outcomes,
            tiers=tuple(self._tier(name) for name in self.rulesets),
            sensitivity=tuple(self._sensitivity()),
            contributors=tuple(rows),
            not_judged=tuple(contributors.not_judged(rows)),
            nearest=tuple(contributors.nearest()),
            assumed=columns.assumed,
            same_survey=columns.same_survey.why,
            knowledge=ruleset.knowledge_version,
            ruleset=ruleset.digest,
        )

    # -- discrimination

    def _outcome(self, cut: str) -> OutcomeTable:
        cohort, kept = self.cohort, self.kept
        case = cohort.cases(cut)
        everything, self.features = models.everything(cohort, case, kept)
        levels = self.rulesets[self.first].knowledge.tier
        assert levels is not None
        scores: dict[str, Floats] = {
            AGE_SEX: models.age_and_sex(cohort, case, kept),
            MEDICINES: cohort.medicines,
            **{f"points of {name}": points for name, points in self.points.items()},
            f"level of {self.first}": np.array(
                [float(levels.levels.get(one.scored[self.first].level, 0)) for one in cohort.people]
            ),
            WITH_POINTS: models.age_sex_and_points(cohort, self.points[self.first], case, kept),
            CEILING: everything,
        }
        weighted = WeightedAreas(cohort.design, case, self.weights, self.replicates)
        for name, score in scores.items():
            weighted.add(name, score)
        rows = tuple(
            ScoreRow(
                score=name,
                plain=area(score[kept], case[kept]),
                weighted=weighted.area(name),
                beyond_age_and_sex=None if name == AGE_SEX else weighted.difference(name, AGE_SEX),
                beyond_medicines=None if name == MEDICINES else weighted.difference(name, MEDICINES),
            )
            for name, score in scores.items()
        )
        title = cohort.columns.outcome.cuts[cut].title
        share = cohort.design.share(case, self.weights)
        return OutcomeTable(cut, title, int(kept.sum()), int(case[kept].sum()), share, rows)

    def _sensitivity(self) -> list[Sensitivity]:
        """The first tier's points among other people, or read otherwise."""
        cohort, points = self.cohort, self.points[self.first]
        cramping = np.array([float(one.with_cramps.points) for one in cohort.people])
        pregnant = cohort.numbers(cohort.columns.pregnancy.column) == 1
        quinine = cohort.flags(lambda one: "quinine" in one.classes)
        whole = np.logical_and.reduce([cohort.has(name) for name in self._needed()])
        asked: list[tuple[str, Flags, Floats, Floats]] = [
            ("with leg cramps on everybody's record, so that pregnancy scores too", self.kept, self.weights, cramping),
            ("all who answered, examined or not", cohort.interview_weights > 0, cohort.interview_weights, points),
            (
                "without points whose source is this survey",
                self.kept,
                self.weights,
                np.array([float(one.scored[self.first].independent) for one in cohort.people]),
            ),
            ("without pregnant women", self.kept & ~pregnant, self.weights, points),
            ("without users of quinine", self.kept & ~quinine, self.weights, points),
            ("only people of whom every needed column is known", self.kept & whole, self.weights, points),
            ("under 60 years", self.kept & (cohort.age < 60), self.weights, points),
            ("60 years and over", self.kept & (cohort.age >= 60), self.weights, points),
            ("women", self.kept & (cohort.female == 1), self.weights, points),
            ("men", self.kept & (cohort.female == 0), self.weights, points),
        ]
        case = cohort.cases(self.outcome)
        rows = []
        for what, kept, weights, score in asked:
            if min(int((case & kept).sum()), int((~case & kept).sum())) < self.least_exposed:
                continue
            weighted = WeightedAreas(cohort.design, case, np.where(kept, weights, 0.0), self.replicates)
            weighted.add(what, score)
            plain = area(score[kept], case[kept])
            rows.append(Sensitivity(what, int(kept.sum()), int((case & kept).sum()), plain, weighted.area(what)))
        return rows

    # -- one tier version

    def _tier(self, name: str) -> TierTable:
        tier = self.rulesets[name].knowledge.tier
        assert tier is not None
        cycle = self.cohort.people[0].respondent.text(self.cohort.columns.cycle)
        seen = "points not fitted on any table"
        if tier.fitted_on:
            seen = (
                "fitted on this very table" if tier.fitted_on == cycle else f"fitted on {tier.fitted_on}, not on this"
            )
        case = self.cohort.cases(self.outcome)
        against = None
        if name != self.first:
            weighted = WeightedAreas(self.cohort.design, case, self.weights, self.replicates)
            weighted.add(name, self.points[name])
            weighted.add(self.first, self.points[self.first])
            against = weighted.difference(name, self.first)
        data = self.rulesets[name].knowledge.sources[f"tiers/{name}.yaml"]
        return TierTable(
            tier=name,
            title=str(data.get("title", name)),
            version=tier.version,
            seen=seen,
            levels=tuple(self._levels(name, ["none", *sorted(tier.levels, key=tier.levels.__getitem__)], case)),
            per_point=tuple(self._per_point(name, case)),
            against_default=against,
        )

    def _levels(self, name: str, levels: list[str], case: Flags) -> list[LevelRow]:
        cohort, design = self.cohort, self.cohort.design
        at = np.array([levels.index(one.scored[name].level) for one in cohort.people])
        dummies = np.column_stack([(at == i).astype(float) for i in range(1, len(levels))])
        ratios = self._ratios(np.column_stack([dummies, np.ones(len(cohort))]), case, len(levels) - 1)
        adjusted = self._ratios(np.column_stack([dummies, cohort.adjusters()]), case, len(levels) - 1)
        rows = []
        for i, level in enumerate(levels):
            here = (at == i) & self.kept
            cases = int((here & case).sum())
            if not here.any():
                continue
            share = design.share(case, np.where(here, self.weights, 0.0))
            rows.append(
                LevelRow(
                    level=level,
                    people=int(here.sum()),
                    cases=cases,
                    population=design.share(here, self.weights),
                    share=share,
                    odds=share.value / (1 - share.value) if share.value < 1 else float("inf"),
                    ratio=ratios[i - 1] if i and ratios else None,
                    adjusted=adjusted[i - 1] if i and adjusted else None,
                )
            )
        return rows

    def _per_point(self, name: str, case: Flags) -> list[PerPoint]:
        """Whether the points say anything that plainer figures do not."""
        cohort, points = self.cohort, self.points[name]
        asked = {
            "nothing": np.column_stack([points, np.ones(len(cohort))]),
            "age and sex": np.column_stack([points, cohort.adjusters()]),
            "age, sex and the number of drugs": np.column_stack([points, cohort.adjusters(), cohort.medicines]),
        }
        found = []
        for adjusted_for, columns in asked.items():
            ratios = self._ratios(columns, case, 1)
            if ratios:
                found.append(PerPoint(adjusted_for, ratios[0]))
        return found

    def _ratios(self, columns: Floats, case: Flags, count: int) -> list[Estimate]:
        """The odds ratios of the first columns; none where the data do not determine them."""
        try:
            fit = fit_survey(columns, case, self.weights, self.cohort.design)
        except (NotEstimable, np.linalg.LinAlgError):
            return []
        return [fit.ratio(at) for at in range(count)]

    # -- what is missing

    def _needed(self) -> list[str]:
        needs = self.cohort.columns.contributors.values()
        return list(dict.fromkeys(name for one in needs for name in one.needs))

    def _missing(self) -> dict[str, int]:
        return {name: int((~self.cohort.has(name) & self.kept).sum()) for name in self._needed()}

    def _refused(self) -> dict[str, int]:
        names = sorted(set().union(*(one.unusable for one in self.cohort.people)))
        return {name: sum(name in one.unusable for one in self.cohort.people) for name in names}
