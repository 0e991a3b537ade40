"""The design of a survey: strata, clusters within them (PSUs), weights; how sure a figure is under it."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import stats

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]


class Estimate(msgspec.Struct, frozen=True):
    """A figure with the ends of its 95% confidence interval."""

    value: float
    low: float
    high: float


class Design:
    """Strata and PSUs of all people sampled. A figure about some of them keeps every PSU, with weight 0 elsewhere."""

    def __init__(self, strata: Ints, psus: Ints) -> None:
        self.strata_of_psus, index = np.unique(np.column_stack([strata, psus]), axis=0, return_inverse=True)
        self.psu: Ints = np.asarray(index, dtype=np.int64).reshape(-1)
        """The number of each person's PSU, counted through all strata."""
        self.stratum: Ints = self.strata_of_psus[:, 0]
        """The stratum of each PSU."""
        self.psus = len(self.stratum)
        self.degrees = max(self.psus - len(np.unique(self.stratum)), 1)
        """Degrees of freedom: PSUs less strata."""
        self.t = float(stats.t.ppf(0.975, self.degrees))

    def covariance(self, influence: Floats) -> Floats:
        """The covariance of a sum of `influence` (a row a person), by Taylor linearization, PSUs with replacement.

        A stratum with a single PSU is centered at the mean of all PSUs.
        """
        totals = np.zeros((self.psus, influence.shape[1]))
        np.add.at(totals, self.psu, influence)
        mean = totals.mean(axis=0)
        covariance = np.zeros((influence.shape[1], influence.shape[1]))
        for stratum in np.unique(self.stratum):
            own = totals[self.stratum == stratum]
            count = len(own)
            centered = own - (own.mean(axis=0) if count > 1 else mean)
            covariance += (count / (count - 1) if count > 1 else 1.0) * centered.T @ centered
        return covariance

    def replicates(self, count: int, seed: int = 20052006) -> Floats:
        """Rao-Wu-Yue bootstrap: a row of factors to the weights for each replicate.

        In each stratum one PSU fewer than there are is drawn with replacement, and scaled up. The same seed gives the
        same replicates, so that differences between scores are paired.
        """
        random = np.random.default_rng(seed)
        factors = np.ones((count, self.psus))
        for stratum in np.unique(self.stratum):
            own = np.flatnonzero(self.stratum == stratum)
            if len(own) < 2:
                continue
            drawn = random.integers(0, len(own), size=(count, len(own) - 1))
            for at in range(len(own)):
                factors[:, own[at]] = (drawn == at).sum(axis=1) * len(own) / (len(own) - 1)
        return factors[:, self.psu]

    def folds(self, count: int, seed: int = 20052006) -> Ints:
        """A fold for each person; a PSU is never divided, so neighbors do not vouch for each other."""
        order = np.random.default_rng(seed).permutation(self.psus)
        of_psu = np.empty(self.psus, dtype=np.int64)
        of_psu[order] = np.arange(self.psus) % min(count, self.psus)
        return of_psu[self.psu]

    def share(self, answer: Flags, weights: Floats) -> Estimate:
        """The weighted share of people with `answer` among those with a weight; the interval by logit."""
        total = weights.sum()
        value = float((weights * answer).sum() / total)
        influence = (weights * (answer - value) / total).reshape(-1, 1)
        error = float(np.sqrt(self.covariance(influence)[0, 0]))
        if not 0 < value < 1:
            return Estimate(value, value, value)
        middle, spread = np.log(value / (1 - value)), self.t * error / (value * (1 - value))
        return Estimate(value, _expit(middle - spread), _expit(middle + spread))


def _expit(number: float) -> float:
    return float(1 / (1 + np.exp(-number)))
