"""Noise together with missing values: a row's noise is uniform over the box of what was observed of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector, Mixture
from gmm_spark.core.missing.density import log_density, responsibilities
from gmm_spark.core.mixture.conditioning import regress
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.errors import ParameterError
from gmm_spark.ml.drift import observe_drift
from tests.ml.test_portrait import assert_same

NAMES, K, N = ["x", "y", "z"], 2, 3000


def make_rows(seed: int = 1) -> np.ndarray:
    """Two clusters and a tenth of the rows anywhere, (3, n), with a fifth of the values missing."""
    rng = np.random.default_rng(seed)
    rows = np.where(np.arange(N) % 3 > 0, 6.0, 0.0) + rng.normal(size=(3, N))
    rows[:, : N // 10] = rng.uniform(-20.0, 30.0, (3, N // 10))
    missing = rng.random(rows.shape) < 0.25
    missing[rng.integers(0, 3, N), np.arange(N)] = False
    return np.where(missing, np.nan, rows)


ROWS = make_rows()


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(pd.DataFrame(ROWS.T, columns=NAMES)).repartition(2).cache()


def estimator(**settings: Any) -> GaussianMixture:
    return GaussianMixture(
        inputCols=NAMES, k=K, seed=1, nInit=3, noise=True, handleInvalid="marginal", portrait=True, **settings
    )


@pytest.fixture(scope="module")
def model(table: DataFrame) -> GaussianMixtureModel:
    return estimator(logDensityCol="log_density").fit(table)


def test_noise_takes_what_belongs_nowhere_and_the_clusters_are_as_without_it(model, table):
    assert model.noiseWeight == pytest.approx(0.1, abs=0.02)
    order = np.argsort(model.means[:, 0])
    np.testing.assert_allclose(model.means[order], [[0.0] * 3, [6.0] * 3], atol=0.15)
    np.testing.assert_allclose(model.weights[order], [0.3, 0.6], atol=0.02)
    for covariance in model.covariances:
        np.testing.assert_allclose(covariance, np.eye(3), atol=0.2)
    noise = model.parameters.noise
    np.testing.assert_allclose([noise.low, noise.high], [np.nanmin(ROWS, axis=1), np.nanmax(ROWS, axis=1)], rtol=1e-9)
    assert model.summary.logLikelihood == pytest.approx(log_density(model.parameters, ROWS).sum(), rel=1e-9)
    assert model.logLikelihood(table) == pytest.approx(model.summary.logLikelihood, rel=1e-9)
    assert min(np.diff([one.lower_bound for one in model.summary.history]), default=0.0) >= -1e-12


def test_rows_are_scored_and_filled_in_and_without_spark_alike(model, table, tmp_path):
    expected = responsibilities(model.parameters, ROWS)
    model.save(str(tmp_path / "model"))
    loaded = GaussianMixtureModel.load(str(tmp_path / "model"))
    found = loaded.transform(table).toPandas()
    block = found[NAMES].to_numpy().T
    shares = np.stack([one.toArray() for one in found["probability"]])
    np.testing.assert_allclose(shares, responsibilities(model.parameters, block).T, atol=1e-9)
    np.testing.assert_allclose(found["log_density"], log_density(model.parameters, block), rtol=1e-9)
    local = Mixture.load(tmp_path / "model")
    np.testing.assert_allclose(local.predict_proba(ROWS.T), expected.T, atol=1e-9)
    assert model.predict(ROWS[:, 5]) == expected[:, 5].argmax()
    filled = local.impute(ROWS.T)
    for i in np.flatnonzero(np.isnan(ROWS).any(axis=0))[:40]:
        seen = np.flatnonzero(~np.isnan(ROWS[:, i]))
        guess, _ = regress(model.parameters.without_noise(), seen.tolist(), ROWS[seen, i][:, None])
        np.testing.assert_allclose(np.delete(filled[i], seen), guess[:, 0], rtol=1e-7)
    imputed = model.impute(table).select(*(f"{name}_imputed" for name in NAMES)).toPandas().to_numpy()
    np.testing.assert_allclose(imputed[np.lexsort(imputed.T)], filled[np.lexsort(filled.T)], rtol=1e-9)


def test_a_portrait_and_drift_know_noise_beside_missing_values(model, table):
    assert_same(model.summary.portrait, Portrait.of(model.parameters, ROWS, None, model.summary.portrait.frame))
    scored, observation = observe_drift(model, table)
    scored.collect()
    drift = observation.get()
    assert drift is not None
    assert drift.psi.value == pytest.approx(0.0, abs=1e-9)
    assert drift.rows == N
    assert drift.compared == int(np.count_nonzero(~np.isnan(ROWS).any(axis=0)))


def test_a_selector_prefers_noise_where_there_is_some(table):
    selector = GaussianMixtureSelector(inputCols=NAMES, ks=[2], noises=[False, True], seed=1, nInit=2)
    chosen = selector.setHandleInvalid("marginal").fit(table)
    assert chosen.getNoise()
    assert [bool(row.failure) for row in chosen.summary.selection.rows] == [False, False]


def test_a_model_is_updated(model, spark):
    today = spark.createDataFrame(pd.DataFrame(make_rows(seed=2).T, columns=NAMES))
    after = GaussianMixture.update(model, today, halfLife=2.0)
    assert after.summary.update.word == "updated"
    assert after.noiseWeight == pytest.approx(0.1, abs=0.02)


def test_anomalies_are_refused_before_the_work(model, table):
    for wanted in ({"anomalyCol": "odd"}, {"reasonsCol": "why"}):
        with pytest.raises(ParameterError, match="take rows that are predicted to be noise"):
            estimator(**wanted).fit(table)
    with pytest.raises(ParameterError, match="take rows that are predicted to be noise"):
        GaussianMixtureSelector(
            inputCols=NAMES, ks=[2], noises=[False, True], handleInvalid="marginal", anomalyCol="odd"
        ).fit(table)
    judging = model.copy().setAnomalyCol("odd")
    with pytest.raises(ParameterError, match="noise"):
        judging.transform(table)
    written = GaussianMixtureModel(model.parameters, NAMES, model.logDensities)  # whose parameter noise is not set
    written._set(inputCols=NAMES, handleInvalid="marginal", anomalyCol="odd")
    with pytest.raises(ParameterError, match="noise"):
        written.transform(table)
    local = model.local()
    assert local.scores(ROWS.T[:5]).anomaly is None
    with pytest.raises(ParameterError, match="noise"):
        local.is_anomaly(ROWS.T[:5])
