"""Fitting on Spark: the right mixture, whatever the partitions, the same bits for the same seed."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pyspark.ml.linalg import Vectors
from pyspark.sql import SparkSession
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture as SklearnMixture

from gmm_spark import GaussianMixture, GaussianMixtureModel, MixtureParameters
from gmm_spark.core.em.ascent import PassRecord
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import ParameterError
from tests import examples
from tests.tables import array_table, assert_same_mixture, rough_start, scalar_table, three_blobs

ROWS = three_blobs(900)
KINDS = ("full", "tied", "diag", "spherical")


def twenty_passes(spark: SparkSession, start: MixtureParameters, partitions: int) -> GaussianMixtureModel:
    estimator = GaussianMixture(maxIter=20, tol=0.0, accelerate=False, regCovar=0.0).setInitialModel(start)
    return estimator.fit(array_table(spark, ROWS, partitions))


@pytest.fixture(scope="module")
def fitted(spark: SparkSession) -> GaussianMixtureModel:
    """Twenty passes over seven partitions."""
    return twenty_passes(spark, rough_start(ROWS), 7)


# EM through Spark


@pytest.mark.parametrize("partitions", [1, 2, 40])
def test_the_partitioning_moves_no_parameter_by_more_than_rounding(
    spark: SparkSession, fitted: GaussianMixtureModel, partitions: int
) -> None:
    other = twenty_passes(spark, rough_start(ROWS), partitions)
    assert other.summary.numIter == fitted.summary.numIter == 20
    assert_same_mixture(other.parameters, fitted.parameters, 1e-9)


def test_a_fit_is_em_in_memory(fitted: GaussianMixtureModel) -> None:
    table = ArrayTable(np.ascontiguousarray(ROWS.T))
    center = table.moments.mean
    expected = examples.run_em(table, rough_start(ROWS).shifted(-center), 20)
    assert_same_mixture(fitted.parameters, expected.parameters.shifted(center), 1e-9)
    bounds = [record.lower_bound for record in fitted.summary.history]
    np.testing.assert_allclose(bounds, [r.lower_bound for r in expected.history], rtol=1e-11)


@pytest.mark.filterwarnings("ignore:Best performing initialization")
@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_takes_the_steps_of_scikit_learn(spark: SparkSession, kind: str, fitted: GaussianMixtureModel) -> None:
    start = rough_start(ROWS, covariance_type=kind)
    passes = 20 if kind == "full" else 8
    if kind == "full":
        model = fitted
    else:
        estimator = GaussianMixture(maxIter=passes, tol=0.0, accelerate=False, regCovar=0.0).setInitialModel(start)
        model = estimator.fit(array_table(spark, ROWS))
    invert = np.linalg.inv if kind in ("full", "tied") else np.reciprocal
    oracle = SklearnMixture(
        3,
        covariance_type=kind,
        max_iter=passes,
        tol=0.0,  # never converged
        reg_covar=0.0,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=invert(start.covariances),
    ).fit(ROWS)
    assert oracle.n_iter_ == passes
    expected = MixtureParameters(oracle.weights_, oracle.means_, np.array(oracle.covariances_), kind)
    assert_same_mixture(model.parameters, expected, 1e-8)


def test_the_likelihood_never_falls(fitted: GaussianMixtureModel) -> None:
    bounds = [record.lower_bound for record in fitted.summary.history]
    assert all(later >= earlier - 1e-10 * abs(earlier) for earlier, later in pairwise(bounds))
    assert fitted.summary.lowerBound >= bounds[-1]


def test_the_same_seed_gives_the_same_bits(spark: SparkSession) -> None:
    table = array_table(spark, ROWS, 3)
    first, second = (GaussianMixture(k=3, seed=11, nInit=2, maxIter=4, tol=0.0).fit(table) for _ in range(2))
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    assert first.summary.logLikelihood == second.summary.logLikelihood


def test_another_seed_gives_another_start(spark: SparkSession) -> None:
    table = array_table(spark, ROWS)
    arguments: dict[str, Any] = {"k": 3, "initMode": "random", "maxIter": 1}
    first, second = (GaussianMixture(seed=seed, **arguments).fit(table) for seed in (1, 2))
    assert not np.array_equal(first.means, second.means)


def two_clusters(d: int) -> tuple[np.ndarray, np.ndarray]:
    """Ground truth: 1,500 rows in two unit-variance clusters at ±5 on every axis."""
    rng = np.random.default_rng(d)
    labels = np.arange(1500) % 2
    return rng.normal(size=(1500, d)) + np.where(labels, 5.0, -5.0)[:, None], labels


@pytest.mark.parametrize("d", [5, 20, 40, 100])
def test_two_distant_clusters_are_told_apart_in_any_dimension(spark: SparkSession, d: int) -> None:
    rows, labels = two_clusters(d)
    model = GaussianMixture(k=2, seed=1).fit(array_table(spark, rows))
    # Sampling error of a mean of 750 unit-variance values is 0.037.
    np.testing.assert_allclose(np.abs(model.means[0] - model.means[1]), 10.0, atol=0.25)
    np.testing.assert_allclose(model.weights, 0.5, atol=1e-9)
    found = model.transform(array_table(spark, rows)).orderBy("id").toPandas()["prediction"].to_numpy()
    accuracy = (found == labels).mean()
    assert max(accuracy, 1 - accuracy) == 1.0
    assert sorted(model.summary.clusterSizes) == [750, 750]


@pytest.mark.parametrize(
    ("rows", "k", "log_likelihood"),
    [
        pytest.param(examples.iris, 2, -214.3547, id="iris, k=2"),
        pytest.param(examples.iris, 3, -180.1855, id="iris, k=3"),
        pytest.param(examples.spark_univariate, 2, -30.375478, id="Spark's 1-D example"),
    ],
)
def test_published_likelihoods_are_reached(spark: SparkSession, rows: object, k: int, log_likelihood: float) -> None:
    data = rows().T  # type: ignore[operator]
    estimator = GaussianMixture(k=k, nInit=8, regCovar=0.0, tol=1e-8, maxIter=300, seed=5)
    model = estimator.fit(array_table(spark, data, 1))
    assert model.summary.logLikelihood == pytest.approx(log_likelihood, abs=1e-3)
    assert model.summary.converged


def test_the_univariate_example_has_its_published_parameters(spark: SparkSession) -> None:
    table = spark.createDataFrame([(Vectors.dense(x),) for x in examples.spark_univariate().ravel()], ["features"])
    model = GaussianMixture(k=2, regCovar=0.0, tol=1e-10, seed=1).fit(table)
    order = np.argsort(-model.means[:, 0])
    np.testing.assert_allclose(model.means[order, 0], [5.1604, -4.3673], atol=1e-3)
    np.testing.assert_allclose(model.covariances[order, 0, 0], [0.86644, 1.1098], atol=1e-3)
    np.testing.assert_allclose(model.weights[order], [2 / 3, 1 / 3], atol=1e-3)


def test_a_table_far_from_zero_is_fitted_as_well(spark: SparkSession) -> None:
    offset = np.array([1e7, -1e7, 3e6])
    near, far = (
        GaussianMixture(maxIter=8, tol=0.0, accelerate=False)
        .setInitialModel(rough_start(ROWS).shifted(move))
        .fit(array_table(spark, ROWS + move))
        for move in (np.zeros(3), offset)
    )
    # Rows at 1e7 carry about 2e-9 of rounding themselves.
    np.testing.assert_allclose(far.covariances, near.covariances, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(far.means - offset, near.means, atol=1e-6)


def test_one_component_is_the_tables_mean_and_covariance(spark: SparkSession) -> None:
    model = GaussianMixture(k=1, regCovar=0.0).fit(array_table(spark, ROWS))
    np.testing.assert_allclose(model.means[0], ROWS.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(model.covariances[0], np.cov(ROWS.T, bias=True), rtol=1e-10)
    assert model.weights.tolist() == [1.0]


def test_the_floor_is_a_share_of_each_features_variance_and_a_bound(spark: SparkSession) -> None:
    rows = ROWS * [1.0, 1000.0, 1e-3]
    table = array_table(spark, rows)
    for share in (1e-6, 0.1, 3.0):
        model = GaussianMixture(k=1, regCovar=share, covarianceType="diag").fit(table)
        np.testing.assert_allclose(model.covariances[0], max(share, 1.0) * rows.var(axis=0), rtol=1e-9)
        np.testing.assert_allclose(model.summary.varianceFloor, share * rows.var(axis=0), rtol=1e-9)
    given = [0.5, 4e6, 1e-9]
    model = GaussianMixture(k=1, varianceFloor=given, covarianceType="diag").fit(table)
    np.testing.assert_allclose(model.covariances[0], np.maximum(rows.var(axis=0), given), rtol=1e-9)
    assert model.summary.varianceFloor == given


def test_the_rounding_of_a_column_is_seen_and_raises_its_floor(spark: SparkSession) -> None:
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(0, 3, 500).round(), rng.normal(0, 3, 500)])
    summary = GaussianMixture(k=1).fit(array_table(spark, rows)).summary
    assert summary.roundingSteps == [1.0, 0.0]
    assert summary.varianceFloor[0] == pytest.approx(np.log(500) / (2 * np.pi**2))
    assert summary.varianceFloor[1] == pytest.approx(1e-6 * rows[:, 1].var())


@pytest.mark.parametrize("given", [[1.0], [1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 1.0], [1.0, float("nan"), 1.0], []])
def test_a_floor_is_a_positive_number_for_each_feature(spark: SparkSession, given: list[float]) -> None:
    with pytest.raises(ParameterError, match="varianceFloor"):
        GaussianMixture(varianceFloor=given).fit(array_table(spark, ROWS))


def test_float32_products_reach_the_same_mixture_within_their_precision(spark: SparkSession) -> None:
    table = array_table(spark, ROWS)
    exact, single = (
        GaussianMixture(maxIter=5, tol=0.0, accelerate=False, precision=p).setInitialModel(rough_start(ROWS)).fit(table)
        for p in ("float64", "float32")
    )
    assert not np.array_equal(exact.means, single.means)
    np.testing.assert_allclose(single.means, exact.means, rtol=1e-3)


# Weights


def test_weight_two_is_the_row_twice(spark: SparkSession) -> None:
    weight = 1.0 + (np.arange(len(ROWS)) % 3 == 0)
    estimator = GaussianMixture(maxIter=6, tol=0.0, accelerate=False).setInitialModel(rough_start(ROWS))
    twice = estimator.fit(array_table(spark, np.repeat(ROWS, weight.astype(int), axis=0)))
    weighted = estimator.setWeightCol("w").fit(array_table(spark, ROWS, weight=weight))
    assert_same_mixture(weighted.parameters, twice.parameters, 1e-10)
    assert weighted.summary.logLikelihood == pytest.approx(twice.summary.logLikelihood, rel=1e-11)
    assert weighted.summary.bic == pytest.approx(twice.summary.bic, rel=1e-11)
    assert weighted.summary.numRows == len(ROWS)


def test_rows_of_weight_zero_change_nothing(spark: SparkSession) -> None:
    outliers = ROWS[:100] + 300.0
    outliers[50:] = 1e300  # whose square is infinite
    rows, weight = np.concatenate([ROWS, outliers]), np.repeat([1.0, 0.0], [len(ROWS), 100])
    estimator = GaussianMixture(maxIter=6, tol=0.0, accelerate=False).setInitialModel(rough_start(ROWS))
    without = estimator.fit(array_table(spark, ROWS))
    weighted = estimator.setWeightCol("w").fit(array_table(spark, rows, weight=weight))
    assert_same_mixture(weighted.parameters, without.parameters, 1e-10)
    assert weighted.summary.logLikelihood == pytest.approx(without.summary.logLikelihood, rel=1e-11)
    assert weighted.summary.numRows == len(ROWS)
    judged = array_table(spark, rows, weight=weight)
    assert weighted.logLikelihood(judged) == pytest.approx(without.summary.logLikelihood, rel=1e-11)


def test_starts_are_drawn_among_rows_of_positive_weight(spark: SparkSession) -> None:
    rows, weight = np.concatenate([ROWS, ROWS[:100] + 300.0]), np.repeat([1.0, 0.0], [len(ROWS), 100])
    model = GaussianMixture(k=3, weightCol="w", nInit=3, maxIter=3).fit(array_table(spark, rows, weight=weight))
    assert model.means.max() < ROWS.max() + 1


# What a fit reports


def test_the_callback_sees_every_pass_of_the_history(spark: SparkSession) -> None:
    seen: list[PassRecord] = []
    estimator = (
        GaussianMixture(maxIter=5, tol=0.0, accelerate=False)
        .setInitialModel(rough_start(ROWS))
        .setCallback(seen.append)
    )
    model = estimator.fit(array_table(spark, ROWS))
    assert tuple(seen) == model.summary.history
    assert [r.iteration for r in seen] == [1, 2, 3, 4, 5]
    assert math.isnan(seen[0].change)
    np.testing.assert_allclose([r.change for r in seen[1:]], np.diff([r.lower_bound for r in seen]), rtol=1e-12)
    assert all(r.seconds > 0 for r in seen)
    estimator.setCallback(None).fit(array_table(spark, ROWS))
    assert len(seen) == 5


def test_convergence_is_reported_as_it_happened(spark: SparkSession) -> None:
    table = array_table(spark, ROWS)
    stopped = GaussianMixture(maxIter=2, tol=1e-9).setInitialModel(rough_start(ROWS)).fit(table)
    loose = GaussianMixture(maxIter=50, tol=0.05).setInitialModel(rough_start(ROWS)).fit(table)
    assert not stopped.summary.converged
    assert stopped.summary.numIter == 2
    assert loose.summary.converged
    *before, last = loose.summary.history
    assert abs(last.change) < 0.05
    assert all(abs(r.change) >= 0.05 for r in before[1:])


def test_tol_means_the_same_at_any_number_of_rows(spark: SparkSession) -> None:
    estimator = GaussianMixture(maxIter=50, tol=1e-2).setInitialModel(rough_start(ROWS))
    once = estimator.fit(array_table(spark, ROWS))
    tenfold = estimator.fit(array_table(spark, np.tile(ROWS, (10, 1))))
    assert once.summary.numIter == tenfold.summary.numIter < 50


def test_an_initial_model_may_be_a_fitted_model(spark: SparkSession, fitted: GaussianMixtureModel) -> None:
    estimator = GaussianMixture(k=9, covarianceType="diag", maxIter=1, regCovar=0.0).setInitialModel(fitted)
    assert (estimator.getK(), estimator.getCovarianceType()) == (3, "full")
    further = estimator.fit(array_table(spark, ROWS, 7))
    assert further.summary.history[0].lower_bound == pytest.approx(fitted.summary.lowerBound, rel=1e-12)


def test_scalar_columns_and_an_array_column_fit_alike(spark: SparkSession) -> None:
    names = ["x", "Y y", "z.z"]
    start = rough_start(ROWS)
    by_name = GaussianMixture(inputCols=names, maxIter=3, tol=0.0, accelerate=False).setInitialModel(start)
    scalars = by_name.fit(scalar_table(spark, ROWS, names))
    array = GaussianMixture(maxIter=3, tol=0.0, accelerate=False).setInitialModel(start).fit(array_table(spark, ROWS))
    assert_same_mixture(scalars.parameters, array.parameters, 1e-10)
    assert scalars.featureNames == names
    assert array.featureNames == ["features[0]", "features[1]", "features[2]"]


@pytest.mark.parametrize("kind", KINDS)
def test_initial_means_start_under_the_tables_variances(spark: SparkSession, kind: str) -> None:
    means, weights = ROWS[[10, 20, 30]], [0.2, 0.3, 0.5]
    estimator = GaussianMixture(k=9, covarianceType=kind, maxIter=2, tol=0.0).setInitialMeans(means, weights)
    assert estimator.getK() == 3
    model = estimator.fit(array_table(spark, ROWS))
    variance = np.full(3, ROWS.var(axis=0).mean()) if kind == "spherical" else ROWS.var(axis=0)
    densities = [
        w * multivariate_normal(mean, np.diag(variance)).pdf(ROWS) for w, mean in zip(weights, means, strict=True)
    ]
    assert model.summary.history[0].lower_bound == pytest.approx(np.log(sum(densities)).mean(), rel=1e-10)
    equal = estimator.setInitialMeans(means).fit(array_table(spark, ROWS))
    densities = [multivariate_normal(mean, np.diag(variance)).pdf(ROWS) / 3 for mean in means]
    assert equal.summary.history[0].lower_bound == pytest.approx(np.log(sum(densities)).mean(), rel=1e-10)


@pytest.mark.filterwarnings("ignore:Best performing initialization")
@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_means_and_precisions_are_scikit_learns(spark: SparkSession, kind: str) -> None:
    start = rough_start(ROWS, covariance_type=kind)
    precisions = 2.0 * (np.linalg.inv if kind in ("full", "tied") else np.reciprocal)(start.covariances)
    weights = [0.2, 0.3, 0.5]
    oracle = SklearnMixture(
        3,
        covariance_type=kind,
        max_iter=3,
        tol=0.0,
        reg_covar=0.0,
        weights_init=weights,
        means_init=start.means,
        precisions_init=precisions,
    ).fit(ROWS)
    estimator = GaussianMixture(covarianceType=kind, maxIter=3, tol=0.0, regCovar=0.0, accelerate=False)
    model = estimator.setInitialMeans(start.means, weights, precisions).fit(array_table(spark, ROWS))
    expected = MixtureParameters(oracle.weights_, oracle.means_, np.array(oracle.covariances_), kind)
    assert_same_mixture(model.parameters, expected, 1e-8)


def test_a_later_start_replaces_an_earlier_one_and_none_removes_it(spark: SparkSession) -> None:
    table, start = array_table(spark, ROWS), rough_start(ROWS, covariance_type="diag")
    estimator = GaussianMixture(maxIter=1, seed=3)
    for last in (estimator.setInitialMeans(start.means), estimator.setInitialModel(None)):
        assert last is estimator
    drawn = GaussianMixture(k=3, maxIter=1, seed=3).fit(table)
    np.testing.assert_array_equal(estimator.fit(table).means, drawn.means)
    by_model = estimator.setInitialMeans(ROWS[:2]).setInitialModel(start)
    assert (by_model.getK(), by_model.getCovarianceType()) == (3, "diag")
    assert by_model._initial is start
    by_means = by_model.setInitialMeans(ROWS[:4])
    assert (by_means.getK(), by_means.getCovarianceType()) == (4, "diag")
    assert by_means.fit(table).summary.k == 4
    assert by_means.setInitialMeans(None)._initial is None


@pytest.mark.parametrize("mode", ["k-means++", "k-means||", "kmeans", "random_from_data", "random"])
def test_every_init_mode_leads_to_a_finite_mixture(spark: SparkSession, mode: str) -> None:
    model = GaussianMixture(k=3, initMode=mode, maxIter=3, seed=4).fit(array_table(spark, ROWS))
    one = GaussianMixture(k=1).fit(array_table(spark, ROWS))
    assert model.summary.logLikelihood > one.summary.logLikelihood


# pyspark.ml's conventions


def test_setters_chain_and_getters_return_what_was_set() -> None:
    estimator = (
        GaussianMixture()
        .setK(4)
        .setCovarianceType("diag")
        .setMaxIter(7)
        .setTol(0.5)
        .setSeed(-3)
        .setNInit(2)
        .setInitMode("random")
        .setRegCovar(0.25)
        .setVarianceFloor([1, 0.5])
        .setSampleRows(0)
        .setAccelerate(False)
        .setAggregationDepth(3)
        .setFeaturesCol("f")
        .setInputCols(["a", "b"])
        .setWeightCol("w")
        .setWeightKind("importance")
        .setPredictionCol("p")
        .setProbabilityCol("q")
        .setLogDensityCol("l")
        .setAnomalyCol("a")
        .setAnomalyFraction(0.25)
        .setReasonsCol("why")
        .setHandleInvalid("keep")
        .setPrecision("float32")
        .setPortrait(True)
        .setPacking("parquet")
        .setNoise(True)
        .setComponentIdCol("id")
        .setVerbose(True)
    )
    got = {name: getattr(estimator, f"get{name[0].upper()}{name[1:]}")() for name in (p.name for p in estimator.params)}
    assert got == {
        "k": 4,
        "covarianceType": "diag",
        "maxIter": 7,
        "tol": 0.5,
        "seed": -3,
        "nInit": 2,
        "initMode": "random",
        "regCovar": 0.25,
        "varianceFloor": [1.0, 0.5],
        "sampleRows": 0,
        "accelerate": False,
        "aggregationDepth": 3,
        "featuresCol": "f",
        "inputCols": ["a", "b"],
        "weightCol": "w",
        "weightKind": "importance",
        "predictionCol": "p",
        "probabilityCol": "q",
        "logDensityCol": "l",
        "anomalyCol": "a",
        "anomalyFraction": 0.25,
        "reasonsCol": "why",
        "handleInvalid": "keep",
        "precision": "float32",
        "packing": "parquet",
        "noise": True,
        "componentIdCol": "id",
        "portrait": True,
        "verbose": True,
    }
    assert all(estimator.isSet(p) for p in estimator.params)


def test_an_unset_estimator_has_the_published_defaults() -> None:
    estimator = GaussianMixture()
    assert not any(estimator.isSet(p) for p in estimator.params)
    defaults = {p.name: estimator.getOrDefault(p) for p in estimator.params if estimator.hasDefault(p)}
    assert defaults == {
        "k": 2,
        "covarianceType": "full",
        "maxIter": 100,
        "tol": 1e-4,
        "seed": defaults["seed"],
        "nInit": 10,
        "initMode": "k-means++",
        "regCovar": 1e-6,
        "sampleRows": 100_000,
        "accelerate": True,
        "aggregationDepth": 2,
        "featuresCol": "features",
        "weightKind": "frequency",
        "predictionCol": "prediction",
        "probabilityCol": "probability",
        "logDensityCol": "",
        "anomalyCol": "",
        "anomalyFraction": 0.001,
        "reasonsCol": "",
        "handleInvalid": "error",
        "precision": "float64",
        "packing": "auto",
        "noise": False,
        "componentIdCol": "",
        "portrait": False,
        "verbose": False,
    }
    assert defaults["seed"] == GaussianMixture().getSeed()


def test_acceleration_and_starts_on_the_full_table_reach_the_fit(spark: SparkSession) -> None:
    table = array_table(spark, ROWS)
    model = GaussianMixture(k=3, seed=1, nInit=2, sampleRows=0, accelerate=True, maxIter=40).fit(table)
    assert "extrapolated" in {record.step for record in model.summary.history}
    known = GaussianMixture(k=3, seed=1, nInit=2, maxIter=40).fit(table)
    assert model.summary.lowerBound == pytest.approx(known.summary.lowerBound, abs=1e-3)


def test_parameters_may_be_overridden_for_one_fit(spark: SparkSession) -> None:
    estimator = GaussianMixture(k=2, maxIter=2)
    table = array_table(spark, ROWS)
    models = estimator.fit(table, [{estimator.k: 1}, {estimator.covarianceType: "tied"}])
    assert [(m.parameters.n_components, m.parameters.covariance_type) for m in models] == [(1, "full"), (2, "tied")]
    assert estimator.getK() == 2


def test_a_copied_estimator_keeps_its_start_and_is_independent() -> None:
    estimator = GaussianMixture(maxIter=4).setInitialModel(rough_start(ROWS))
    copied = estimator.copy({estimator.tol: 0.5})
    assert (copied.getTol(), estimator.getTol()) == (0.5, 1e-4)
    assert copied._initial is estimator._initial
    copied.setMaxIter(9)
    assert estimator.getMaxIter() == 4
    copied.setInitialMeans(ROWS[:2])
    assert estimator._initial is not copied._initial
    assert copied.copy()._initial is copied._initial


def test_the_model_carries_the_estimators_columns_and_uid(spark: SparkSession) -> None:
    estimator = GaussianMixture(k=1, predictionCol="p", probabilityCol="q", logDensityCol="l", handleInvalid="keep")
    model = estimator.fit(array_table(spark, ROWS))
    assert model.uid == estimator.uid
    assert (model.getPredictionCol(), model.getProbabilityCol(), model.getLogDensityCol()) == ("p", "q", "l")
    assert model.getHandleInvalid() == "keep"


# Degenerate components


def test_a_starving_component_is_reseeded_and_the_history_says_so(spark: SparkSession) -> None:
    start = rough_start(ROWS)
    means = start.means.copy()
    means[1] = 1e5
    starving = MixtureParameters(start.weights, means, start.covariances, start.covariance_type)
    settings: dict[str, Any] = {"maxIter": 100, "tol": 1e-6, "seed": 2}
    models = [
        GaussianMixture(**settings).setInitialModel(one).fit(array_table(spark, ROWS)) for one in (start, starving)
    ]
    expected, found = (model.summary for model in models)
    assert [record.reseeded for record in found.history if record.reseeded] == [(1,)]
    assert found.degenerateComponents == []
    assert found.lowerBound == pytest.approx(expected.lowerBound, abs=1e-4)
    assert {record.reseeded for record in expected.history} == {()}


@pytest.mark.filterwarnings("ignore:component.* have no weight")  # it may collapse again
@pytest.mark.parametrize("accelerate", [False, True])
def test_a_component_that_collapses_from_an_initial_model_is_reseeded_accelerated_or_not(
    spark: SparkSession, accelerate: bool
) -> None:
    rows = examples.repeated_value().T
    means, variances = [[0.0], [4.2], [1.7]], [1.0, 1e-4, 1.0]
    start = MixtureParameters([0.4, 0.2, 0.4], means, variances, "spherical")
    estimator = GaussianMixture(regCovar=0.0, tol=1e-7, maxIter=1000, accelerate=accelerate).setInitialModel(start)
    model = estimator.fit(array_table(spark, rows))
    assert np.isfinite(model.summary.lowerBound)
    assert ("extrapolated" in {record.step for record in model.summary.history}) == accelerate
    if not accelerate:  # whether extrapolated steps lead to the collapse depends on the BLAS kernel
        assert (1,) in [record.reseeded for record in model.summary.history]


def test_a_component_that_stays_without_weight_is_named_in_the_summary_and_a_warning(spark: SparkSession) -> None:
    start = rough_start(ROWS)
    means = start.means.copy()
    means[2] = 1e5
    starving = MixtureParameters(start.weights, means, start.covariances, start.covariance_type)
    estimator = GaussianMixture(maxIter=2, tol=0.0).setInitialModel(starving)
    with pytest.warns(RuntimeWarning, match=r"component\(s\) 2 of k=3 have no weight.*lower `k`"):
        model = estimator.fit(array_table(spark, ROWS))
    assert model.summary.degenerateComponents == [2]
