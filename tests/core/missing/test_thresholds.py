"""Thresholds of anomalies by pattern: near the share that is asked for, also if rows have heavy tails."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.kernels.histogram import LogDensityHistogram, bin_weights
from gmm_spark.core.missing import marginals as marginals_module
from gmm_spark.core.missing.marginals import Marginals
from gmm_spark.core.missing.patterns import write_pattern
from gmm_spark.core.missing.scorer import IncompleteScorer
from gmm_spark.core.missing.thresholds import Thresholds
from gmm_spark.core.mixture.density import log_density
from gmm_spark.core.mixture.parameters import MixtureParameters
from tests.examples import draw_rows, random_mixture


def histogram_of(values: np.ndarray) -> LogDensityHistogram:
    ceiling = float(values.max()) + 1.0
    return LogDensityHistogram(ceiling, bin_weights(ceiling - values, np.ones(len(values))))


def without(rows: np.ndarray, features: list[int]) -> np.ndarray:
    found = rows.copy()
    found[features] = np.nan
    return found


def share_of_anomalies(thresholds: Thresholds, rows: np.ndarray) -> float:
    marginal = thresholds.marginals.of(write_pattern(np.isnan(rows[:, 0])))
    found = log_density(marginal.parameters, rows[marginal.observed])
    return float(thresholds.find_anomalies(rows, found).mean())


def test_complete_rows_have_the_threshold_of_their_histogram() -> None:
    parameters = random_mixture("full", 3, 4, np.random.default_rng(1))
    rows, _ = draw_rows(parameters, 5000, np.random.default_rng(2))
    logs = log_density(parameters, rows)
    histogram = histogram_of(logs)
    thresholds = Thresholds.of_training(Marginals(parameters), 0.01, histogram)
    np.testing.assert_array_equal(thresholds.find_anomalies(rows, logs), logs < histogram.quantile(0.01))
    mixed = np.concatenate([rows, without(rows, [1])], axis=1)
    found = thresholds.find_anomalies(mixed, np.concatenate([logs, np.full(5000, np.inf)]))
    np.testing.assert_array_equal(found[:5000], logs < histogram.quantile(0.01))


@pytest.mark.parametrize("missing", [[0], [1, 3], [0, 1, 2, 3]])
@pytest.mark.parametrize("fraction", [0.1, 0.01, 0.002])
def test_a_pattern_that_no_row_of_training_had_has_about_as_many_anomalies(
    covariance_type: str, missing: list[int], fraction: float
) -> None:
    rng = np.random.default_rng(3)
    parameters = random_mixture(covariance_type, 3, 5, rng)
    training, fresh = draw_rows(parameters, 60_000, rng)[0], draw_rows(parameters, 60_000, rng)[0]
    known = histogram_of(log_density(parameters, training))
    found = share_of_anomalies(Thresholds.of_training(Marginals(parameters), fraction, known), without(fresh, missing))
    assert 0.5 * fraction < found < 1.6 * fraction


@pytest.mark.parametrize("freedom", [4, 8])
def test_heavy_tails_of_training_rows_go_over_to_other_patterns(freedom: int) -> None:
    # A threshold by the mixture alone would call 10 to 30 times as many rows anomalies.
    rng = np.random.default_rng(4)
    center = np.array([[0.0] * 6, [9.0] * 6])
    factor = np.tril(rng.normal(size=(6, 6))) * 0.3 + np.eye(6)
    parameters = MixtureParameters([0.5, 0.5], center, np.stack([factor @ factor.T] * 2))

    def draw() -> np.ndarray:
        rows = factor @ rng.normal(size=(6, 60_000)) / np.sqrt(rng.chisquare(freedom, 60_000) / freedom)
        return rows + center[rng.integers(2, size=60_000)].T

    known = histogram_of(log_density(parameters, draw()))
    thresholds = Thresholds.of_training(Marginals(parameters), 0.005, known)
    for missing in ([2], [0, 1, 5], [1, 2, 3, 4, 5]):
        assert 0.4 * 0.005 < share_of_anomalies(thresholds, without(draw(), missing)) < 1.8 * 0.005


def test_training_rows_that_spread_less_than_the_mixture_have_as_many_anomalies(covariance_type: str) -> None:
    rng = np.random.default_rng(9)
    one = MixtureParameters(
        [1.0], np.zeros((1, 4)), random_mixture(covariance_type, 1, 4, rng).covariances, covariance_type
    )
    training, fresh = 0.7 * draw_rows(one, 60_000, rng)[0], 0.7 * draw_rows(one, 60_000, rng)[0]
    thresholds = Thresholds.of_training(Marginals(one), 0.01, histogram_of(log_density(one, training)))
    for missing in ([0], [1, 3]):
        assert 0.005 < share_of_anomalies(thresholds, without(fresh, missing)) < 0.03


def test_a_pattern_with_rows_enough_has_the_quantile_of_its_own() -> None:
    rng = np.random.default_rng(5)
    parameters = random_mixture("full", 3, 4, rng)
    marginals = Marginals(parameters)
    rows = without(draw_rows(parameters, 2000, rng)[0], [0])
    pattern = write_pattern(np.isnan(rows[:, 0]))
    logs = log_density(marginals.of(pattern).parameters, rows[1:])
    complete = histogram_of(log_density(parameters, draw_rows(parameters, 2000, rng)[0]))
    own = histogram_of(logs - 3.0)  # rows that are odder than the mixture's
    for fraction, is_known in ((0.01, True), (0.001, False)):
        thresholds = Thresholds(marginals, fraction, {marginals.whole: complete, pattern: own})
        assert thresholds.is_known(pattern) == is_known
        assert (thresholds.of(marginals.of(pattern)) == own.quantile(fraction)) == is_known


def test_thresholds_can_be_derived_without_complete_rows() -> None:
    rng = np.random.default_rng(6)
    parameters = random_mixture("full", 3, 4, rng)
    marginals = Marginals(parameters)
    rows = without(draw_rows(parameters, 40_000, rng)[0], [2])
    pattern = write_pattern(np.isnan(rows[:, 0]))
    known = histogram_of(log_density(marginals.of(pattern).parameters, rows[[0, 1, 3]]))
    thresholds = Thresholds(marginals, 0.01, {pattern: known})
    fresh, _ = draw_rows(parameters, 40_000, rng)
    assert 0.005 < np.mean(thresholds.find_anomalies(fresh, log_density(parameters, fresh))) < 0.016


@pytest.mark.parametrize("at", [-1e300, -1e6, 1e3])
def test_any_histogram_gives_finite_thresholds(covariance_type: str, at: float) -> None:
    parameters = random_mixture(covariance_type, 3, 4, np.random.default_rng(7))
    marginals = Marginals(parameters)
    weights = np.zeros_like(histogram_of(np.zeros(1)).weights)
    weights[-1 if at < 0 else 0] = 1.0
    thresholds = Thresholds.of_training(marginals, 0.001, LogDensityHistogram(at, weights))
    for missing in ([0], [1, 2, 3]):
        holed = without(np.zeros((4, 1)), missing)
        assert np.isfinite(thresholds.of(marginals.of(write_pattern(np.isnan(holed[:, 0])))))


@pytest.mark.parametrize("freedom", [4, 1e9])
def test_rows_of_rare_patterns_are_anomalies_as_those_of_frequent_ones(
    covariance_type: str, freedom: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(8)
    parameters = random_mixture(covariance_type, 3, 6, rng, spread=1.0)
    rows = draw_rows(parameters, 4000, rng)[0] / np.sqrt(rng.chisquare(freedom, 4000) / freedom)
    known = histogram_of(log_density(parameters, rows))
    holed = np.where(rng.random(rows.shape) < 0.3, np.nan, rows)[:, :2000]
    holed[0] = rows[0, :2000]
    found = []
    for few in (0, 10_000):
        monkeypatch.setattr(marginals_module, "FEW", few)
        marginals = Marginals(parameters)
        logs = IncompleteScorer(marginals).score(holed).log_density
        found.append(Thresholds.of_training(marginals, 0.01, known).find_anomalies(holed, logs))
    assert found[0].sum() > 5
    np.testing.assert_array_equal(found[0], found[1])


def test_likely_rows_of_rare_patterns_are_no_anomalies() -> None:
    parameters = random_mixture("full", 2, 3, np.random.default_rng(9))
    thresholds = Thresholds.of_training(
        Marginals(parameters),
        0.001,
        histogram_of(log_density(parameters, draw_rows(parameters, 5000, np.random.default_rng(10))[0])),
    )
    rows = without(parameters.means[:1].T, [0])
    found = thresholds.find_anomalies(rows, IncompleteScorer(thresholds.marginals).score(rows).log_density)
    assert found.tolist() == [False]
    assert thresholds.find_anomalies(rows[:, :0], np.empty(0)).tolist() == []
