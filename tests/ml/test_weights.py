"""What row weights mean: counts of rows, or their importance, of which only the ratios matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector
from gmm_spark.errors import ParameterError
from tests.oracles import sklearn_mixture
from tests.tables import array_table, assert_same_mixture, mixture, three_blobs

ROWS = three_blobs(600)
WEIGHT = np.random.default_rng(4).lognormal(sigma=2.0, size=len(ROWS))
CRITERIA = ("logLikelihood", "lowerBound", "effectiveRows", "aic", "bic", "icl")


def fit(spark: SparkSession, weight: np.ndarray, **settings: Any) -> GaussianMixtureModel:
    # A sample smaller than the table: what is drawn must not depend on the constant either.
    given: dict[str, Any] = {"k": 3, "nInit": 4, "sampleRows": 250, "weightKind": "importance"} | settings
    return GaussianMixture(weightCol="w", **given).fit(array_table(spark, ROWS, 3, weight))


@pytest.fixture(scope="module")
def expected(spark: SparkSession) -> GaussianMixtureModel:
    return fit(spark, WEIGHT)


@pytest.mark.parametrize("power", [-990, 990])
def test_importance_weights_times_a_power_of_two_give_the_same_bits(
    spark: SparkSession, expected: GaussianMixtureModel, power: int
) -> None:
    found = fit(spark, np.ldexp(WEIGHT, power))
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in (*CRITERIA, "clusterSizes"):
        assert getattr(found.summary, name) == getattr(expected.summary, name), name
    assert [r.lower_bound for r in found.summary.history] == [r.lower_bound for r in expected.summary.history]
    assert found.logDensityQuantile(0.01) == expected.logDensityQuantile(0.01)


def test_any_constant_changes_nothing_beyond_rounding(spark: SparkSession, expected: GaussianMixtureModel) -> None:
    found = fit(spark, WEIGHT / WEIGHT.sum())
    assert_same_mixture(found.parameters, expected.parameters, 1e-9)
    for name in CRITERIA:
        assert getattr(found.summary, name) == pytest.approx(getattr(expected.summary, name), rel=1e-9), name
    assert found.summary.numIter == expected.summary.numIter


def test_criteria_of_importance_weights_count_kishs_rows(spark: SparkSession, expected: GaussianMixtureModel) -> None:
    summary = expected.summary
    n = WEIGHT.sum() ** 2 / (WEIGHT**2).sum()
    mean = np.average(sklearn_mixture(expected.parameters).score_samples(ROWS), weights=WEIGHT)
    p = expected.parameters.n_parameters
    assert summary.effectiveRows == pytest.approx(n, rel=1e-12)
    assert summary.lowerBound == pytest.approx(mean, rel=1e-11)
    assert summary.logLikelihood == pytest.approx(n * mean, rel=1e-11)
    assert summary.aic == pytest.approx(-2 * n * mean + 2 * p, rel=1e-11)
    assert summary.bic == pytest.approx(-2 * n * mean + p * np.log(n), rel=1e-11)
    assert summary.numRows == len(ROWS)


@pytest.mark.parametrize("scale", [1.0, 1e300, 1e-300])
def test_a_table_is_judged_as_the_training_table_was(
    spark: SparkSession, expected: GaussianMixtureModel, scale: float
) -> None:
    table = array_table(spark, ROWS, 3, scale * WEIGHT)
    for name in ("logLikelihood", "aic", "bic", "icl"):
        value = getattr(expected, name)(table)
        assert value == pytest.approx(getattr(expected.summary, name), rel=1e-11), name


def test_parts_of_a_table_may_differ_in_weight_beyond_what_floats_hold(spark: SparkSession) -> None:
    weight = np.repeat([1e-250, 1e250, 1e-20], 200)  # a partition each
    model = GaussianMixtureModel(mixture("full", 2, 3))._set(weightCol="w", weightKind="importance")
    heavy = sklearn_mixture(model.parameters).score_samples(ROWS[200:400])
    found = model.logLikelihood(array_table(spark, ROWS, 3, weight))
    assert found == pytest.approx(heavy.sum(), rel=1e-11)


def test_frequencies_count_rows_as_their_sum(spark: SparkSession, expected: GaussianMixtureModel) -> None:
    counts = 1.0 + np.arange(len(ROWS)) % 4
    summary = fit(spark, counts, weightKind="frequency", maxIter=3).summary
    assert summary.effectiveRows == counts.sum()
    assert summary.lowerBound == summary.logLikelihood / counts.sum()


@pytest.mark.parametrize("scale", [1 / 600, 1.0, 1000.0])
def test_the_constant_of_importance_weights_does_not_choose_k(spark: SparkSession, scale: float) -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(-4, 1, (300, 2)), rng.normal(4, 1, (300, 2))])
    selector = GaussianMixtureSelector(ks=list(range(1, 7)), weightCol="w", weightKind="importance", nInit=2)
    model = selector.fit(array_table(spark, rows, 2, np.full(600, scale)))
    assert model.getK() == 2
    unweighted = sklearn_mixture(model.parameters)
    chosen = model.summary.selection.rows[1]
    assert chosen.bic == model.summary.bic == pytest.approx(unweighted.bic(rows), rel=1e-9)


def test_a_small_sample_stands_for_light_rows_and_for_heavy_ones(spark: SparkSession) -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 1, 49_990), rng.normal(50, 1, 10)])[:, None]
    table = array_table(spark, rows, 4, np.repeat([1.0, 1e6], [49_990, 10]))
    model = GaussianMixture(k=2, weightCol="w", sampleRows=5_000).fit(table)
    assert model.summary.lowerBound == pytest.approx(-1.25, abs=0.001)


def test_an_unknown_kind_is_refused_by_name(spark: SparkSession) -> None:
    with pytest.raises(ParameterError, match="weightKind='survey'; use one of frequency, importance"):
        GaussianMixture(weightCol="w", weightKind="survey").fit(array_table(spark, ROWS, weight=WEIGHT))


def test_maps_of_different_kinds_share_no_packed_table(spark: SparkSession) -> None:
    estimator = GaussianMixture(weightCol="w", k=1, maxIter=1)
    maps = [{estimator.weightKind: kind} for kind in ("frequency", "importance")]
    models = estimator.fit(array_table(spark, ROWS, weight=WEIGHT), maps)
    kish = WEIGHT.sum() ** 2 / (WEIGHT**2).sum()
    np.testing.assert_allclose([model.summary.effectiveRows for model in models], [WEIGHT.sum(), kish], rtol=1e-12)
