"""The statistics, each against a second way to the same figure."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from cds_service.validation.auc import WeightedAreas, area, difference, weighted_areas
from cds_service.validation.contributors import least_change
from cds_service.validation.design import Design, Estimate
from cds_service.validation.logistic import NotEstimable, fit_plain, fit_survey, predict_crossed

RANDOM = np.random.default_rng(11)
PEOPLE = 400
SCORE = RANDOM.integers(0, 8, PEOPLE).astype(float)
CASE = RANDOM.random(PEOPLE) < 0.15 + 0.05 * SCORE
WEIGHTS = RANDOM.uniform(0.2, 5.0, PEOPLE)
STRATA = np.arange(PEOPLE) % 10
PSUS = np.arange(PEOPLE) // 10 % 2 + 1
DESIGN = Design(STRATA, PSUS)


def by_pairs(score: np.ndarray, case: np.ndarray, weights: np.ndarray) -> float:
    """The area as its definition says it: over all pairs of a case and another person."""
    above = (score[case][:, None] > score[~case][None, :]) + 0.5 * (score[case][:, None] == score[~case][None, :])
    pairs = weights[case][:, None] * weights[~case][None, :]
    return float((above * pairs).sum() / pairs.sum())


def test_areas_are_the_share_of_pairs_in_the_right_order() -> None:
    assert area(SCORE, CASE).value == pytest.approx(by_pairs(SCORE, CASE, np.ones(PEOPLE)))
    assert weighted_areas(SCORE, CASE, WEIGHTS[None, :])[0] == pytest.approx(by_pairs(SCORE, CASE, WEIGHTS))


def test_a_weight_of_three_is_three_people() -> None:
    times = RANDOM.integers(1, 4, PEOPLE)
    weighted = weighted_areas(SCORE, CASE, times[None, :].astype(float))[0]
    assert weighted == pytest.approx(area(np.repeat(SCORE, times), np.repeat(CASE, times)).value)


def test_delongs_interval_agrees_with_the_bootstrap_of_people() -> None:
    found = area(SCORE, CASE)
    draws = RANDOM.multinomial(PEOPLE, np.full(PEOPLE, 1 / PEOPLE), size=3000).astype(float)
    logits = np.log((many := weighted_areas(SCORE, CASE, draws)) / (1 - many))
    low, high = np.log(found.low / (1 - found.low)), np.log(found.high / (1 - found.high))
    assert (high - low) / (2 * 1.96) == pytest.approx(logits.std(), rel=0.08)


def test_a_score_is_no_better_than_itself_and_noise_makes_it_worse() -> None:
    assert difference(SCORE, 3 * SCORE + 1, CASE) == Estimate(0.0, 0.0, 0.0)
    found = difference(SCORE, RANDOM.random(PEOPLE), CASE)
    assert found.low > 0
    assert found.value == pytest.approx((found.low + found.high) / 2)


def test_a_perfect_score_has_no_interval() -> None:
    assert area(CASE.astype(float), CASE) == Estimate(1.0, 1.0, 1.0)


def test_paired_replicates_make_the_difference_of_a_score_and_itself_nothing() -> None:
    areas = WeightedAreas(DESIGN, CASE, WEIGHTS, 200)
    areas.add("score", SCORE)
    areas.add("same", 2 * SCORE)
    assert areas.difference("score", "same") == Estimate(0.0, 0.0, 0.0)
    assert areas.area("score").low < areas.area("score").value < areas.area("score").high


def test_a_plain_fit_is_that_of_statsmodels() -> None:
    columns = np.column_stack([SCORE, np.ones(PEOPLE)])
    fit, other = fit_plain(columns, CASE), sm.Logit(CASE.astype(float), columns).fit(disp=0)
    assert fit.beta == pytest.approx(other.params, abs=1e-6)
    assert np.sqrt(np.diag(fit.covariance)) == pytest.approx(other.bse, rel=1e-5)


def test_a_survey_fit_without_strata_is_the_cluster_robust_one_of_statsmodels() -> None:
    columns = np.column_stack([SCORE, np.ones(PEOPLE)])
    clusters = np.arange(PEOPLE) % 20
    design = Design(np.ones(PEOPLE, dtype=int), clusters)
    times = RANDOM.integers(1, 4, PEOPLE)  # a weight of three is the same person three times, in the same cluster
    repeated = [np.repeat(one, times, axis=0) for one in (CASE.astype(float), columns, clusters)]
    other = sm.Logit(repeated[0], repeated[1]).fit(
        disp=0, cov_type="cluster", cov_kwds={"groups": repeated[2], "use_correction": False}
    )
    fit = fit_survey(columns, CASE, times.astype(float), design)
    assert fit.beta == pytest.approx(other.params, abs=1e-6)
    assert fit.covariance == pytest.approx(np.asarray(other.cov_params()) * 20 / 19, rel=1e-3)
    assert fit.degrees == 19


def test_linearization_agrees_with_the_replicates() -> None:
    share = DESIGN.share(CASE, WEIGHTS)
    replicates = DESIGN.replicates(4000) * WEIGHTS
    shares = (replicates * CASE).sum(axis=1) / replicates.sum(axis=1)
    spread = (np.log(share.high / (1 - share.high)) - np.log(share.low / (1 - share.low))) / (2 * DESIGN.t)
    assert shares.std() / (share.value * (1 - share.value)) == pytest.approx(spread, rel=0.06)


def test_replicates_keep_one_psu_of_two_and_double_it() -> None:
    replicates = DESIGN.replicates(50)
    assert set(np.unique(replicates)) == {0.0, 2.0}
    for stratum in range(10):
        assert (replicates[:, stratum == STRATA].mean(axis=1) == 1).all()
    assert (replicates == DESIGN.replicates(50)).all()


def test_people_without_a_weight_change_nothing_but_their_psus_stay() -> None:
    columns = np.column_stack([SCORE, np.ones(PEOPLE)])
    kept = STRATA != 3
    inside = fit_survey(columns, CASE, np.where(kept, WEIGHTS, 0.0), DESIGN)
    alone = fit_survey(columns[kept], CASE[kept], WEIGHTS[kept], Design(STRATA[kept], PSUS[kept]))
    assert inside.beta == pytest.approx(alone.beta)
    assert inside.covariance == pytest.approx(alone.covariance)
    assert (inside.degrees, alone.degrees) == (10, 9)


def test_a_stratum_with_one_psu_does_not_break_it() -> None:
    lonely = Design(np.where(STRATA == 0, 0, STRATA), np.where(STRATA == 0, 1, PSUS))
    assert lonely.psus == 19
    assert np.isfinite(lonely.share(CASE, WEIGHTS).low)
    assert (lonely.replicates(5)[:, STRATA == 0] == 1).all()


def test_a_fit_that_the_data_do_not_determine_is_refused() -> None:
    with pytest.raises(NotEstimable):
        fit_plain(np.column_stack([CASE.astype(float), np.ones(PEOPLE)]), CASE)
    with pytest.raises(NotEstimable):
        fit_plain(np.column_stack([SCORE, SCORE, np.ones(PEOPLE)]), CASE)


def test_no_fold_divides_a_psu_and_noise_predicts_nothing() -> None:
    folds = DESIGN.folds(10)
    assert len(np.unique(folds)) == 10
    assert all(len(np.unique(folds[DESIGN.psu == psu])) == 1 for psu in range(DESIGN.psus))
    noise = RANDOM.normal(size=(PEOPLE, 60))
    noise[RANDOM.random(noise.shape) < 0.1] = np.nan
    found = area(predict_crossed(noise, CASE, folds, 1.0), CASE)
    assert found.low < 0.5 < found.high or found.value < 0.5


@pytest.mark.parametrize(
    ("points", "low", "high", "least"),
    [
        (0, 1.38, 3.13, 1),  # 0.9 to 3.3 points
        (4, 1.10, 1.50, 1),  # 0.3 to 1.2
        (2, 0.60, 1.10, 0),  # below one: no points are negative
        (2, 1.20, 3.00, 2),  # the points are within: nothing changes
        (1, 2.9, 4.2, 3),
    ],
)
def test_the_least_change_is_the_nearest_points_that_the_interval_allows(
    points: int, low: float, high: float, least: int
) -> None:
    assert least_change(points, Estimate((low * high) ** 0.5, low, high)) == least
