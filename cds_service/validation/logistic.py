"""Logistic regression: plain, weighted with the survey's design, and with a ridge for prediction."""

from __future__ import annotations

import msgspec
import numpy as np
from scipy import stats

from cds_service.validation.design import Design, Estimate, Flags, Floats, Ints

_STEPS, _ENOUGH = 60, 1e-9
_LARGEST = 30.0
"""A log odds beyond which a fit is taken as not converging."""


class NotEstimable(Exception):
    """The data do not determine the coefficients."""


class Fit(msgspec.Struct, frozen=True):
    beta: Floats
    covariance: Floats
    degrees: float
    """For the t of the intervals; infinite for a plain fit."""

    def ratio(self, at: int) -> Estimate:
        """The odds ratio of a column."""
        log, error = float(self.beta[at]), self.error(at)
        spread = float(stats.t.ppf(0.975, self.degrees)) * error
        return Estimate(float(np.exp(log)), float(np.exp(log - spread)), float(np.exp(log + spread)))

    def error(self, at: int) -> float:
        return float(np.sqrt(self.covariance[at, at]))


def fit_plain(columns: Floats, case: Flags) -> Fit:
    """Maximum likelihood; the covariance is the inverse information. Raises NotEstimable."""
    beta, information = _newton(columns, case, np.ones(len(case)), np.zeros(columns.shape[1]))
    covariance: Floats = np.asarray(np.linalg.inv(information), dtype=np.float64)
    return Fit(beta, covariance, np.inf)


def fit_survey(columns: Floats, case: Flags, weights: Floats, design: Design) -> Fit:
    """Pseudo maximum likelihood; the covariance by linearization over the PSUs (Binder 1983). Raises NotEstimable."""
    scaled = weights / weights[weights > 0].mean()
    beta, information = _newton(columns, case, scaled, np.zeros(columns.shape[1]))
    residual = scaled * (case - _expit(columns @ beta))
    bread = np.linalg.inv(information)
    covariance: Floats = bread @ design.covariance(columns * residual[:, None]) @ bread
    return Fit(beta, covariance, float(design.degrees))


def predict_crossed(columns: Floats, case: Flags, folds: Ints, ridge: float) -> Floats:
    """The log odds of each person from a fit on the other folds only. Columns get an intercept of their own.

    Missing cells (nan) take the fold's own median; scaling and medians come from the fitted folds only.
    """
    predicted = np.empty(len(case))
    for fold in np.unique(folds):
        held = folds == fold
        with np.errstate(all="ignore"):
            middle = np.nan_to_num(np.nanmedian(columns[~held], axis=0))
        filled = np.where(np.isnan(columns), middle, columns)
        mean, spread = filled[~held].mean(axis=0), filled[~held].std(axis=0)
        scaled = (filled - mean) / np.where(spread > 0, spread, 1.0)
        with_one = np.column_stack([np.ones(len(case)), scaled])
        penalty = np.full(with_one.shape[1], ridge)
        penalty[0] = 0.0
        beta, _ = _newton(with_one[~held], case[~held], np.ones(int((~held).sum())), penalty)
        predicted[held] = with_one[held] @ beta
    return predicted


def _newton(columns: Floats, case: Flags, weights: Floats, penalty: Floats) -> tuple[Floats, Floats]:
    beta = np.zeros(columns.shape[1])
    for _ in range(_STEPS):
        chance = _expit(columns @ beta)
        gradient = columns.T @ (weights * (case - chance)) - penalty * beta
        spread = weights * chance * (1 - chance)
        information = (columns * spread[:, None]).T @ columns + np.diag(penalty)
        try:
            step = np.linalg.solve(information, gradient)
        except np.linalg.LinAlgError:
            raise NotEstimable from None
        beta = beta + step
        if np.abs(beta).max() > _LARGEST:
            raise NotEstimable
        if np.abs(step).max() < _ENOUGH:
            return beta, information
    raise NotEstimable


def _expit(number: Floats) -> Floats:
    clipped: Floats = np.clip(number, -_LARGEST, _LARGEST)
    return 1 / (1 + np.exp(-clipped))
