"""Discrimination: the area under the ROC curve, plain with DeLong's interval, and weighted with the survey's design.

DeLong, DeLong and Clarke-Pearson, Biometrics 1988;44:837. Ties count one half. Intervals of an area are made on the
logit scale, those of a difference on its own.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from cds_service.validation.design import Design, Estimate, Flags, Floats

_Z = float(stats.norm.ppf(0.975))


def area(score: Floats, case: Flags) -> Estimate:
    """The plain area with DeLong's interval."""
    value, of_cases, of_others = _components(score, case)
    variance = of_cases.var(ddof=1) / len(of_cases) + of_others.var(ddof=1) / len(of_others)
    return _by_logit(value, float(np.sqrt(variance)), _Z)


def difference(score: Floats, other: Floats, case: Flags) -> Estimate:
    """How much larger the area of `score` is than that of `other`, in the same people."""
    value, cases, others = _components(score, case)
    base, base_cases, base_others = _components(other, case)
    variance = (cases - base_cases).var(ddof=1) / len(cases) + (others - base_others).var(ddof=1) / len(others)
    error = float(np.sqrt(variance))
    return Estimate(value - base, value - base - _Z * error, value - base + _Z * error)


def _components(score: Floats, case: Flags) -> tuple[float, Floats, Floats]:
    """The area, and the placement of each case among the others and of each other among the cases."""
    positive, negative = score[case], score[~case]
    together = stats.rankdata(np.concatenate([positive, negative]))
    of_cases = (together[: len(positive)] - stats.rankdata(positive)) / len(negative)
    of_others = 1 - (together[len(positive) :] - stats.rankdata(negative)) / len(positive)
    return float(of_cases.mean()), of_cases, of_others


def weighted_areas(score: Floats, case: Flags, weights: Floats) -> Floats:
    """The weighted area for each row of `weights` (replicates by people)."""
    order = np.argsort(score, kind="stable")
    _, starts = np.unique(score[order], return_index=True)
    sorted_weights = weights[:, order]
    of_case = case[order].astype(float)
    cases = np.add.reduceat(sorted_weights * of_case, starts, axis=1)
    others = np.add.reduceat(sorted_weights * (1 - of_case), starts, axis=1)
    below = np.cumsum(others, axis=1) - others / 2
    areas: Floats = (cases * below).sum(axis=1) / (cases.sum(axis=1) * others.sum(axis=1))
    return areas


class WeightedAreas:
    """Weighted areas of named scores in the same people, with paired bootstrap replicates of the design."""

    def __init__(self, design: Design, case: Flags, weights: Floats, count: int) -> None:
        self.case, self.t = case, design.t
        self._weights = np.vstack([weights, design.replicates(count) * weights])
        self._areas: dict[str, Floats] = {}

    def add(self, name: str, score: Floats) -> None:
        """A score to ask for by its name."""
        self._areas[name] = weighted_areas(score, self.case, self._weights)

    def area(self, name: str) -> Estimate:
        """The area; its error is the spread of the replicates on the logit scale, t with the design's degrees."""
        areas = self._areas[name]
        return _by_logit(float(areas[0]), float(_logit(areas[1:]).std(ddof=1)), self.t, logit_error=True)

    def difference(self, name: str, other: str) -> Estimate:
        """How much larger the area of one score is than that of another."""
        gaps = self._areas[name] - self._areas[other]
        spread = self.t * float(gaps[1:].std(ddof=1))
        return Estimate(float(gaps[0]), float(gaps[0]) - spread, float(gaps[0]) + spread)


def _logit(share: Floats) -> Floats:
    clipped = np.clip(share, 1e-9, 1 - 1e-9)
    return np.log(clipped / (1 - clipped))


def _by_logit(value: float, error: float, times: float, logit_error: bool = False) -> Estimate:
    if not 0 < value < 1:
        return Estimate(value, value, value)
    spread = times * (error if logit_error else error / (value * (1 - value)))
    middle = np.log(value / (1 - value))
    return Estimate(value, float(1 / (1 + np.exp(spread - middle))), float(1 / (1 + np.exp(-spread - middle))))
