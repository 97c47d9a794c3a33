"""Anomalies: rows less likely than nearly all training rows, from the fit's histogram to the output column."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector
from gmm_spark.core.kernels.histogram import LogDensityHistogram, bin_weights
from gmm_spark.core.mixture.density import log_density
from gmm_spark.errors import ParameterError
from tests.examples import draw_rows, random_mixture
from tests.oracles import sklearn_mixture
from tests.tables import array_table, mixture, three_blobs

ROWS = three_blobs(900)
HOLED = "select * from values (0, array(1.0D, 2.0D)), (1, null), (2, array(3.0D, double('NaN'))), \
(3, array(900.0D, 0.0D)) t(id, features)"


def knowing_model(**params: object) -> GaussianMixtureModel:
    """A mixture whose training rows had log-densities of -1, -2, ..., -100."""
    logs = -np.arange(1.0, 101.0)
    model = GaussianMixtureModel(mixture(), logDensities=LogDensityHistogram(0.0, bin_weights(-logs, np.ones(100))))
    model._set(**params)
    return model


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> Iterator[DataFrame]:
    found = array_table(spark, ROWS, 2).persist()
    yield found
    found.unpersist()


@pytest.mark.parametrize(
    ("d", "k", "offset", "scale", "precision"),
    [
        (1, 1, 0.0, 1.0, "float64"),
        (1, 2, 1e8, 1.0, "float32"),
        (4, 2, 1e8, 1.0, "float64"),
        (4, 2, 0.0, 1e-8, "float32"),
        (16, 1, 1e8, 1.0, "float32"),
        (16, 2, 0.0, 1e-8, "float64"),
    ],
)
def test_a_fit_flags_the_share_of_its_own_rows_that_was_asked_for(
    spark: SparkSession, d: int, k: int, offset: float, scale: float, precision: str
) -> None:
    rng = np.random.default_rng(d)
    n = 10_000
    rows = draw_rows(random_mixture("full", 2, d, rng), n, rng)[0].T * scale + offset
    weight = rng.uniform(0.0, 2.0, n)
    table = array_table(spark, rows, 3, weight)
    estimator = GaussianMixture(k=k, weightCol="w", precision=precision, maxIter=5, anomalyCol="odd")
    model = estimator.fit(table)
    for share in (0.001, 0.02):
        odd = model.setAnomalyFraction(share).transform(table).where("odd").agg(F.sum("w")).first()[0] or 0.0
        # A row at the threshold may fall on either side. Bins of 1/16 nat here move the share by a few hundredths.
        assert odd / weight.sum() == pytest.approx(share, rel=0.05, abs=2 * 2.0 / weight.sum())


def test_the_quantiles_are_those_of_the_training_rows(table: DataFrame) -> None:
    model = GaussianMixture(k=3, seed=1, maxIter=5).fit(table)
    logs = sklearn_mixture(model.parameters).score_samples(ROWS)
    for q in (0.0, 0.001, 0.1, 0.5, 0.9, 1.0):
        assert model.logDensityQuantile(q) == pytest.approx(np.quantile(logs, q, method="inverted_cdf"), abs=0.07)
    with pytest.raises(ParameterError, match="q=2"):
        model.logDensityQuantile(2)


def test_the_same_partitions_give_the_same_histogram(spark: SparkSession) -> None:
    table = array_table(spark, ROWS, 5, 0.1 + np.arange(900) % 7)
    first, second = (GaussianMixture(k=2, weightCol="w", maxIter=2).fit(table).logDensities for _ in range(2))
    np.testing.assert_array_equal(first.weights, second.weights)


def test_the_best_of_a_selection_and_the_models_of_param_maps_keep_their_log_densities(table: DataFrame) -> None:
    selector = GaussianMixtureSelector(ks=[1, 3], covarianceTypes=["full", "diag"], maxIter=5, validationFraction=0.1)
    best = selector.fit(table)
    assert best.logDensities.weights.sum() == best.summary.numRows < len(ROWS)
    chosen = best.summary.selection.rows[best.summary.selection.best]
    assert best.summary.bic == chosen.bic, "the certifying pass moves no figure of the selection"
    estimator = GaussianMixture(maxIter=3)
    for model in [best, *estimator.fit(table, [{estimator.k: 1}, {estimator.k: 3}])]:
        logs = sklearn_mixture(model.parameters).score_samples(ROWS)
        assert model.logDensityQuantile(0.5) == pytest.approx(np.median(logs), abs=0.2)


def test_a_row_is_an_anomaly_below_the_quantile_and_only_there(spark: SparkSession) -> None:
    rows = np.random.default_rng(2).normal(scale=30.0, size=(400, 2))
    logs = sklearn_mixture(mixture()).score_samples(rows)
    for share in (0.05, 0.5, 0.95):
        model = knowing_model(anomalyCol="odd", anomalyFraction=share)
        found = [r["odd"] for r in model.transform(array_table(spark, rows)).orderBy("id").collect()]
        assert found == (logs < model.logDensityQuantile(share)).tolist()
        assert 0 < sum(found) < 400


def test_the_anomaly_column_is_boolean_and_last_and_may_be_the_only_one(spark: SparkSession) -> None:
    table = array_table(spark, np.array([[0.0, 0.0], [900.0, 0.0]]), 1)
    scored = knowing_model(anomalyCol="odd", logDensityCol="l").transform(table)
    assert scored.columns == ["id", "features", "probability", "prediction", "l", "odd"]
    assert scored.schema["odd"].dataType == T.BooleanType()
    alone = knowing_model(anomalyCol="odd", predictionCol="", probabilityCol="").transform(table)
    assert alone.columns == ["id", "features", "odd"]
    assert [r["odd"] for r in alone.orderBy("id").collect()] == [False, True]


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_row_whose_density_underflows_is_an_anomaly(spark: SparkSession, precision: str) -> None:
    far = np.array([[1e200, 0.0], [-1e300, 1e300], [0.0, 0.0], [1e30, 1.0]])
    scored = knowing_model(anomalyCol="odd", precision=precision).transform(array_table(spark, far, 1))
    assert [r["odd"] for r in scored.orderBy("id").collect()] == [True, True, False, True]


@pytest.mark.parametrize("handle", ["keep", "skip"])
def test_a_bad_row_has_a_null_anomaly_or_is_dropped(spark: SparkSession, handle: str) -> None:
    scored = knowing_model(anomalyCol="odd", handleInvalid=handle).transform(spark.sql(HOLED).coalesce(1))
    found = {r["id"]: r["odd"] for r in scored.collect()}
    assert found == ({0: False, 1: None, 2: None, 3: True} if handle == "keep" else {0: False, 3: True})


def test_a_model_without_log_densities_refuses_anomalies_at_once(table: DataFrame) -> None:
    model = GaussianMixtureModel(mixture(d=3))
    assert model.logDensities is None
    with pytest.raises(ParameterError, match=r"built from parameters.*older gmm_spark; fit it again"):
        model.logDensityQuantile(0.5)
    with pytest.raises(ParameterError, match="leave anomalyCol and reasonsCol empty"):
        model.setAnomalyCol("odd").transform(table)
    assert "prediction" in model.setAnomalyCol("").transform(table).columns


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, float("nan")])
def test_an_anomaly_fraction_outside_0_to_1_is_refused(table: DataFrame, share: float) -> None:
    for refuse in (
        lambda: knowing_model(anomalyFraction=share).transform(table),
        lambda: GaussianMixture(anomalyFraction=share).fit(table),
        lambda: GaussianMixtureSelector(ks=[1], anomalyFraction=share).fit(table),
    ):
        with pytest.raises(ParameterError, match=rf"anomalyFraction={share}; need a number > 0 and < 1"):
            refuse()


def test_a_copy_keeps_the_log_densities() -> None:
    model = knowing_model()
    copied = model.copy({model.anomalyCol: "odd"})
    assert copied.logDensityQuantile(0.5) == model.logDensityQuantile(0.5)
    assert (copied.getAnomalyCol(), model.getAnomalyCol()) == ("odd", "")


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_rows_below_the_threshold_have_their_reasons_and_no_others(
    spark: SparkSession, kind: str, precision: str
) -> None:
    rng = np.random.default_rng(8)
    parameters = random_mixture(kind, 2, 4, rng)
    rows = np.concatenate([draw_rows(parameters, 150, rng)[0].T, 20 * rng.normal(size=(50, 4))])
    logs = log_density(parameters, rows.T)
    densities = LogDensityHistogram(0.0, bin_weights(0.0 - logs, np.ones(len(logs))))
    model = GaussianMixtureModel(parameters, logDensities=densities)
    model.setReasonsCol("why").setLogDensityCol("density").setAnomalyFraction(0.2)._set(precision=precision)
    found = model.transform(array_table(spark, rows, 2)).orderBy("id").collect()
    threshold = model.logDensityQuantile(0.2)
    assert [row["why"] is not None for row in found] == [row["density"] < threshold for row in found]
    assert 30 <= sum(row["why"] is not None for row in found) <= 50
    for row, values in zip(found, rows, strict=True):
        if row["why"] is not None:
            component = row["prediction"]
            precisions = np.linalg.inv(parameters.dense_covariances[component])
            z = precisions @ (values - parameters.means[component]) / np.sqrt(np.diag(precisions))
            order = np.argsort(-np.abs(z), kind="stable")[:3]
            assert [reason["feature"] for reason in row["why"]] == [f"features[{j}]" for j in order]
            np.testing.assert_allclose([reason["z"] for reason in row["why"]], z[order], rtol=1e-8)


def test_reasons_of_bad_rows_are_null_and_names_are_those_of_the_columns(spark: SparkSession) -> None:
    model = knowing_model(inputCols=["a.b", "drop table"], handleInvalid="keep", anomalyFraction=0.5, reasonsCol="why")
    table = spark.sql("select id, features[0] as `a.b`, features[1] as `drop table` from (" + HOLED + ")")
    found = {row["id"]: row["why"] for row in model.transform(table).collect()}
    assert [found[i] for i in range(3)] == [None, None, None]
    assert {reason["feature"] for reason in found[3]} == {"a.b", "drop table"}
    assert found[3][0]["feature"] == "a.b"
    local = model.local().reasons({"a.b": 900.0, "drop table": 0.0})
    assert [(reason.feature, reason.z) for reason in local] == [(reason["feature"], reason["z"]) for reason in found[3]]


def test_reasons_need_a_model_that_knows_its_training_rows(spark: SparkSession) -> None:
    with pytest.raises(ParameterError, match="leave anomalyCol and reasonsCol empty"):
        GaussianMixtureModel(mixture()).setReasonsCol("why").transform(spark.sql(HOLED))
