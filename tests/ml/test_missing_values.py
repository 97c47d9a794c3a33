"""Rows with missing values: scored by a model as a mixture in memory scores them, and as scipy's marginals say."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmm_spark import GaussianMixture, GaussianMixtureModel, MixtureParameters
from gmm_spark.core.kernels.histogram import LogDensityHistogram, bin_weights
from gmm_spark.core.missing.patterns import write_pattern
from gmm_spark.core.mixture import density
from gmm_spark.errors import DataError, ParameterError
from gmm_spark.ml.drift import observe_drift
from tests.core.drift import test_incomplete as drift_tests
from tests.core.drift.profiles import MIXTURE
from tests.examples import COVARIANCE_TYPES, draw_rows, random_mixture

NAN, INF = float("nan"), float("inf")
NAMES = ["x", "y", "z"]
OUTPUTS = ["prediction", "logDensity", "anomaly"]


def model_of(covariance_type: str = "full", **params: object) -> GaussianMixtureModel:
    rng = np.random.default_rng(5)
    parameters = random_mixture(covariance_type, 4, 3, rng)
    logs = density.log_density(parameters, draw_rows(parameters, 2000, rng)[0])
    ceiling = float(logs.max()) + 1.0
    model = GaussianMixtureModel(
        parameters, NAMES, LogDensityHistogram(ceiling, bin_weights(ceiling - logs, np.ones(2000)))
    )
    options = {"logDensityCol": "logDensity", "anomalyCol": "anomaly", "reasonsCol": "reasons", "anomalyFraction": 0.1}
    return model._set(**(options | {"inputCols": NAMES, "handleInvalid": "marginal"} | params))


def holed_rows(parameters: MixtureParameters) -> np.ndarray:
    """Rows (n, 3): complete ones, of all patterns, far off, of nothing but missing values, with an infinite value."""
    rng = np.random.default_rng(6)
    rows = draw_rows(parameters, 60, rng)[0].T * rng.choice([1.0, 3.0], size=(60, 1))
    holes = rng.random(rows.shape) < 0.4
    holes[:10] = False
    rows[holes] = NAN
    rows[40] = [NAN, 1e200, NAN]
    rows[41], rows[42] = [NAN, NAN, NAN], [1.0, NAN, INF]
    return rows


def is_bad(rows: np.ndarray) -> np.ndarray:
    return np.isinf(rows).any(axis=1) | np.isnan(rows).all(axis=1)


def table_of(spark: SparkSession, rows: np.ndarray, nulls: bool) -> DataFrame:
    """A table of ids and numeric columns; missing values are null, or NaN."""
    made = [[i, *(None if nulls and np.isnan(value) else float(value) for value in row)] for i, row in enumerate(rows)]
    return spark.createDataFrame(made, "id int, x double, y double, z double")


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_rows_are_scored_by_what_is_observed_of_them(spark: SparkSession, covariance_type: str) -> None:
    model = model_of(covariance_type)
    parameters, local = model.parameters, model.local()
    rows = holed_rows(parameters)
    scored = model.transform(table_of(spark, rows, nulls=True)).orderBy("id").toPandas()
    bad = is_bad(rows)
    assert scored["prediction"].isna().tolist() == scored["probability"].isna().tolist() == bad.tolist()
    assert scored["anomaly"].isna().tolist() == bad.tolist()
    assert scored["reasons"][bad].isna().all()
    for i in np.flatnonzero(~bad & (np.abs(np.nan_to_num(rows)) < 1e100).all(axis=1)).tolist():
        o = np.flatnonzero(~np.isnan(rows[i]))
        terms = [
            np.log(weight) + multivariate_normal(mean[o], covariance[np.ix_(o, o)]).logpdf(rows[i, o])
            for weight, mean, covariance in zip(
                parameters.weights, parameters.means, parameters.dense_covariances, strict=True
            )
        ]
        assert scored["logDensity"][i] == pytest.approx(logsumexp(terms), rel=1e-10)
        np.testing.assert_allclose(scored["probability"][i].toArray(), np.exp(terms - logsumexp(terms)), atol=1e-10)
    # In memory, and row by row, it is the same.
    np.testing.assert_allclose(local.log_density(rows), scored["logDensity"].astype(float), rtol=1e-12)
    np.testing.assert_array_equal(local.predict(rows), scored["prediction"].fillna(-1))
    np.testing.assert_array_equal(local.is_anomaly(rows), scored["anomaly"].eq(True))
    assert 0 < scored["anomaly"].sum() < 40
    for i, (found, reasons) in enumerate(zip(local.reasons(rows), scored["reasons"], strict=True)):
        assert (found is None) == (reasons is None)
        if found is not None:
            assert [one.feature for one in found] == [one["feature"] for one in reasons]
            assert len(found) == (~np.isnan(rows[i])).sum()
            np.testing.assert_allclose([one.z for one in found], [one["z"] for one in reasons], rtol=1e-12)
        assert model.predict(rows[i]) == (None if bad[i] else scored["prediction"][i])
        np.testing.assert_allclose(model.logDensity(rows[i]), scored["logDensity"].astype(float)[i], rtol=1e-11)
    mean = float(np.nanmean(np.where(np.isneginf(local.log_density(rows)), np.nan, local.log_density(rows))))
    finite = np.isfinite(local.log_density(rows))
    found = model.logLikelihood(table_of(spark, rows[finite | bad], nulls=False))
    assert found == pytest.approx(mean * finite.sum(), rel=1e-10)


@pytest.mark.parametrize("form", ["numbers with NaN", "floats", "array", "vector"])
def test_missing_values_in_any_form_of_features_are_the_same(spark: SparkSession, form: str) -> None:
    model = model_of()
    rows = holed_rows(model.parameters)[:40]
    expected = model.transform(table_of(spark, rows, nulls=True)).orderBy("id").select("id", *OUTPUTS).toPandas()
    table = table_of(spark, rows, nulls=form == "array")
    if form == "array":
        table = table.select("id", F.array(*NAMES).alias("features"))
    if form == "vector":
        from pyspark.ml.functions import array_to_vector

        table = table.select("id", array_to_vector(F.array(*NAMES)).alias("features"))
    if form == "floats":
        table = table.select("id", *(F.col(name).cast("float") for name in NAMES))
    elif form != "numbers with NaN":
        model.clear(model.inputCols)
    assert table.where(model._features(table, None).has_missing()).count() == np.isnan(rows).any(axis=1).sum()
    found = model.transform(table).orderBy("id").toPandas()
    rtol = 1e-5 if form == "floats" else 1e-12
    np.testing.assert_allclose(found["logDensity"], expected["logDensity"], rtol=rtol)
    np.testing.assert_array_equal(found["prediction"], expected["prediction"])
    if form != "floats":
        np.testing.assert_array_equal(found["anomaly"], expected["anomaly"])


def test_a_table_without_missing_values_gets_the_same_bits(spark: SparkSession) -> None:
    model = model_of()
    rows = draw_rows(model.parameters, 3000, np.random.default_rng(1))[0].T
    table = table_of(spark, rows, nulls=True)
    found, expected = (
        one.transform(table).orderBy("id").select("id", "probability", *OUTPUTS).toPandas()
        for one in (model, model_of(handleInvalid="error"))
    )
    assert found.equals(expected)


@pytest.mark.parametrize("form", ["numbers", "array", "vector"])
def test_missing_values_are_filled_in_beside_the_columns(spark: SparkSession, form: str) -> None:
    model = model_of(handleInvalid="keep")
    rows = holed_rows(model.parameters)
    expected = model.local().impute(rows)
    table = table_of(spark, rows, nulls=form != "vector")
    if form == "numbers":
        filled = model.impute(table).orderBy("id")
        assert filled.columns == ["id", *NAMES, *(f"{name}_imputed" for name in NAMES)]
        found = filled.toPandas()[[f"{name}_imputed" for name in NAMES]].to_numpy(float)
    else:
        from pyspark.ml.functions import array_to_vector, vector_to_array

        features = F.array(*NAMES)
        model.clear(model.inputCols)
        table = table.select("id", (array_to_vector(features) if form == "vector" else features).alias("features"))
        filled = model.impute(table, suffix="2").orderBy("id")
        assert filled.columns == ["id", "features", "features2"]
        assert filled.schema["features2"].dataType == filled.schema["features"].dataType
        values = [row[0] for row in filled.select("features2").collect()]
        found = np.array([[NAN] * 3 if value is None else list(value) for value in values])
        del vector_to_array
    np.testing.assert_array_equal(np.isnan(found[:, 0]), is_bad(rows))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    observed = ~np.isnan(rows) & ~is_bad(rows)[:, None]
    np.testing.assert_array_equal(found[observed], rows[observed])


def test_imputing_refuses_bad_rows_and_names_that_are_there(spark: SparkSession) -> None:
    model = model_of(handleInvalid="error")
    rows = holed_rows(model.parameters)
    with pytest.raises(Exception, match=r"missing value for every feature"):
        model.impute(table_of(spark, rows[40:42], nulls=True)).collect()
    with pytest.raises(DataError, match=r"already has 'y_imputed'"):
        model.impute(table_of(spark, rows, nulls=True).withColumn("Y_imputed", F.lit(1)))
    with pytest.raises(ParameterError, match="suffix"):
        model.impute(table_of(spark, rows, nulls=True), suffix="")


def test_what_knows_complete_rows_alone_refuses_missing_values(spark: SparkSession) -> None:
    model = model_of()
    for refused in (lambda: model.to_onnx(), lambda: model.local().to_onnx()):
        with pytest.raises(ParameterError, match=r"marginal"):
            refused()


def test_rows_with_missing_values_are_compared_with_the_training_rows(spark: SparkSession, tmp_path) -> None:
    rows = drift_tests.TRAINING
    names = ["x", "y"]
    table = spark.createDataFrame(pd.DataFrame(rows.T, columns=names))
    model = GaussianMixtureModel(MIXTURE, names, trainingProfile=drift_tests.PROFILE)
    model._set(inputCols=names, handleInvalid="marginal")
    model.save(str(tmp_path / "model"))
    (line,) = (path for path in (tmp_path / "model" / "metadata").iterdir() if path.name.startswith("part-"))
    assert json.loads(line.read_text())["trainingProfile"] is None  # older versions find none, and say so
    loaded = GaussianMixtureModel.load(str(tmp_path / "model"))
    later = drift_tests.with_holes(rows[:, :5000] + 1.0, seed=9, first=0.5)
    later = later[:, ~np.isnan(later).all(axis=0)][:, :4000]
    day = spark.createDataFrame(pd.DataFrame(later.T, columns=names)).repartition(3)
    scored, observation = observe_drift(loaded, day)
    assert scored.count() == len(scored.collect()) == 4000
    found, expected = observation.get(), drift_tests.watch(drift_tests.PROFILE, later)
    assert found is not None
    np.testing.assert_allclose(found.means, expected.means, rtol=1e-10)
    np.testing.assert_allclose(found.missing, expected.missing)
    assert found.log_density_change == pytest.approx(expected.log_density_change, rel=1e-9)
    np.testing.assert_allclose(found.below_ratios, expected.below_ratios)
    assert found.psi == pytest.approx(expected.psi)
    for handling in ("skip", "keep", "error"):
        with pytest.raises(ParameterError, match="complete rows alone do not compare"):
            observe_drift(loaded.copy().setHandleInvalid(handling), table)


def test_the_way_with_missing_values_is_saved(spark: SparkSession, tmp_path) -> None:
    from gmm_spark import Mixture

    model = model_of()
    odder = LogDensityHistogram(5.0, bin_weights(np.full(5000, 1.0), np.ones(5000)))
    model.logDensitiesByPattern = {write_pattern(np.array([True, False, False])): odder}
    model.save(str(tmp_path / "model"))
    loaded, local = GaussianMixtureModel.load(str(tmp_path / "model")), Mixture.load(tmp_path / "model")
    assert loaded.getHandleInvalid() == local.handle_invalid == "marginal"
    likely = model.parameters.means[model.parameters.weights.argmax()]
    rows = np.array([[NAN, 1.0, 2.0], [NAN, 25.0, 2.0], [1.0, NAN, 2.0], likely])
    assert local.log_density(rows[0]) == pytest.approx(model.logDensity(rows[0]), rel=1e-12)
    # The threshold of the first pattern is that of its own training rows, which were all more likely than these.
    own = odder.quantile(0.1)
    assert (local.log_density(rows[:2]) < own).all()
    for one in (local, model.local(), GaussianMixtureModel.from_local(local).local()):
        assert one.is_anomaly(rows[:2]).all()
        assert not one.is_anomaly(rows[3])
    scored = loaded.transform(table_of(spark, rows, nulls=True)).orderBy("id").toPandas()
    assert scored["anomaly"].tolist() == local.is_anomaly(rows).tolist()


def test_a_fit_knows_the_thresholds_of_the_patterns_that_it_saw(spark: SparkSession) -> None:
    rng = np.random.default_rng(8)
    rows = draw_rows(random_mixture("full", 2, 3, rng), 3000, rng)[0].T * rng.choice(
        [1.0, 4.0], p=[0.9, 0.1], size=(3000, 1)
    )
    rows[:1000, 0] = rows[1000:2000, 2] = NAN  # and no complete rows among these
    table = table_of(spark, rows[:2000], nulls=True)
    estimator = GaussianMixture(inputCols=NAMES, k=2, seed=1, nInit=1, handleInvalid="marginal", anomalyFraction=0.05)
    model = estimator.setAnomalyCol("anomaly").fit(table)
    assert model.logDensities is None
    assert len(model.logDensitiesByPattern) == 2
    odd = model.transform(table).orderBy("id").toPandas()["anomaly"].to_numpy(bool)
    np.testing.assert_allclose([odd[:1000].mean(), odd[1000:].mean()], 0.05, atol=0.003)
    # Of complete rows the threshold is derived.
    assert 0.02 < model.local().is_anomaly(rows[2000:]).mean() < 0.1
