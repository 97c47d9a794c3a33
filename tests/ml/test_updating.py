"""A model is updated by a table of today's rows: columns, weights, bad rows and precision as at its fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from gmm_spark import GaussianMixture, GaussianMixtureModel, Mixture, MixtureParameters
from gmm_spark.core.table import ArrayTable
from gmm_spark.core.update.updating import update
from gmm_spark.errors import DataError, ParameterError

MEANS = np.array([[0.0, 100.0], [8.0, 100.0], [0.0, 108.0]])


def draw(n: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    means = MEANS[rng.choice(3, n, p=[0.5, 0.3, 0.2])]
    frame = pd.DataFrame(rng.normal(size=(n, 2)) + means + [shift, 0.0], columns=["x", "y"])
    return frame.assign(w=rng.integers(1, 4, n).astype(float))


def to_table(spark: SparkSession, frame: pd.DataFrame) -> DataFrame:
    return spark.createDataFrame(frame).coalesce(2)


def fit(table: DataFrame, **params: Any) -> GaussianMixtureModel:
    return GaussianMixture(inputCols=["x", "y"], k=3, seed=1, nInit=2, **params).fit(table)


@pytest.fixture(scope="module")
def first(spark: SparkSession) -> DataFrame:
    return to_table(spark, draw(1200, 1)).persist()


@pytest.fixture(scope="module")
def model(first: DataFrame) -> GaussianMixtureModel:
    return fit(first)


@pytest.mark.parametrize(
    ("params", "factor"),
    [
        ({}, 1.0),
        ({"covarianceType": "tied", "weightCol": "w"}, 1.0),
        ({"covarianceType": "diag", "weightCol": "w", "weightKind": "importance"}, 1e-9),
        ({"covarianceType": "spherical", "precision": "float32"}, 1.0),
        ({"noise": True}, 1.0),
        ({"noise": True, "handleInvalid": "marginal"}, 1.0),
        ({"handleInvalid": "marginal", "weightCol": "w", "weightKind": "importance"}, 1e-9),
    ],
)
def test_an_update_is_that_of_the_rows_in_memory(spark: SparkSession, params: dict[str, Any], factor: float) -> None:
    frames = [draw(1200, 1), draw(500, 2)]
    for frame in frames:
        frame["w"] *= factor
        if "noise" in params:
            frame.loc[::10, ["x", "y"]] = np.random.default_rng(3).uniform([-20, 80], [30, 120], (len(frame) // 10, 2))
        if "handleInvalid" in params:
            frame.loc[::5, "x"], frame.loc[1::5, "y"] = np.nan, np.nan
    before = fit(to_table(spark, frames[0]), **params)
    after = GaussianMixture.update(before, to_table(spark, frames[1]), halfLife=2.0, elapsed=4.0, maxIter=3)
    weights = [frame["w"].to_numpy() if "weightCol" in params else np.ones(len(frame)) for frame in frames]
    counted = [one.sum() ** 2 / (one**2).sum() if "weightKind" in params else one.sum() for one in weights]
    assert before.memory is not None
    assert after.memory is not None
    assert before.memory.weight == pytest.approx(counted[0])
    assert after.memory.weight == pytest.approx(counted[0] / 4 + counted[1])
    rows = ArrayTable(frames[1][["x", "y"]].to_numpy().T, weights[1] if "weightCol" in params else None)
    mean, total = rows.moments.mean, weights[1].sum()
    oracle = update(
        rows, before.parameters.shifted(-mean), counted[0] / 4 * total / counted[1], total, before.memory.floor, 3, 1e-4
    ).result.parameters.shifted(mean)
    assert after.logDensities is not None
    complete = 0.6 if "handleInvalid" in params else 1.0
    if {"weightKind", "handleInvalid"} <= set(params):  # at the fit, what rows without a histogram weigh is not known
        complete = 0.75
    assert after.logDensities.weights.sum() / after.memory.weight == pytest.approx(complete, abs=0.02)
    tolerance = 1e-4 if "precision" in params else 1e-8
    for name in ("means", "covariances", "weights"):
        np.testing.assert_allclose(getattr(after, name), getattr(oracle, name), rtol=tolerance, atol=tolerance)
    assert (after.parameters.noise is None) == (oracle.noise is None)
    if oracle.noise is not None:
        assert after.parameters.noise.weight == pytest.approx(oracle.noise.weight, rel=1e-8)
        np.testing.assert_allclose(after.parameters.noise.low, before.parameters.noise.low, rtol=1e-12)
    assert after.summary.update.judged == pytest.approx(0.6 if "handleInvalid" in params else 1.0, abs=0.02)
    for name in ("covarianceType", "maxIter", "precision", "weightKind"):
        assert after.getOrDefault(name) == before.getOrDefault(name)


def test_an_updated_model_tells_its_verdict_and_keeps_ids_and_names(
    spark: SparkSession, model: GaussianMixtureModel
) -> None:
    named = model.copy().setComponentNames({2: "small"})
    after = GaussianMixture.update(named, to_table(spark, draw(600, 3)), halfLife=7, day="tuesday")
    verdict = after.summary.update
    assert verdict is not None
    assert (verdict.word, verdict.starving) == ("updated", ())
    assert verdict.log_density >= verdict.log_density_before
    assert (after.componentIds, after.componentNames) == (named.componentIds, named.componentNames)
    assert [one.kind for one in after.summary.changes] == ["kept"] * 3
    assert after.summary.numRows == 600
    assert after.logDensityQuantile(0.5) == pytest.approx(verdict.log_density, abs=1)
    assert after.memory is not None
    assert after.memory.days == ("tuesday",)
    with pytest.warns(RuntimeWarning, match="has seen the rows of 'tuesday'"):
        assert GaussianMixture.update(after, to_table(spark, draw(600, 3)), 7, day="tuesday") is after
    elsewhere = GaussianMixture.update(named, to_table(spark, draw(600, 3, shift=40.0)), halfLife=7)
    assert elsewhere.summary.update is not None
    assert elsewhere.summary.update.word == "refit"


def test_what_a_model_remembers_is_saved_and_a_model_that_remembers_nothing_is_refused(
    spark: SparkSession, model: GaussianMixtureModel, tmp_path: Path
) -> None:
    model.save(str(tmp_path / "m"))
    loaded, today = GaussianMixtureModel.load(str(tmp_path / "m")), to_table(spark, draw(300, 4))
    one, other = (GaussianMixture.update(each, today, halfLife=7) for each in (model, loaded))
    np.testing.assert_array_equal(one.means, other.means)
    Mixture.load(tmp_path / "m").save(tmp_path / "local")
    forgetful = GaussianMixtureModel.load(str(tmp_path / "local"))
    built = GaussianMixtureModel(MixtureParameters([1.0], [[0.0, 0.0]], [1.0], "spherical"))
    for each in (forgetful, built):
        with pytest.raises(ParameterError, match="remembers no rows"):
            GaussianMixture.update(each, today, halfLife=7)


def test_what_cannot_be_updated_by_is_refused_by_name(spark: SparkSession, model: GaussianMixtureModel) -> None:
    today = to_table(spark, draw(300, 4))
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"halfLife": 0}, ParameterError, "halfLife=0"),
        ({"elapsed": -1}, ParameterError, "elapsed=-1"),
        ({"maxIter": 0}, ParameterError, "maxIter=0"),
        ({"today": today.drop("y")}, DataError, "y"),
        ({"today": today.where("x > 1e6")}, DataError, "no"),
        ({"today": today.selectExpr("x", "nullif(y, y) as y")}, DataError, "y"),
        ({"model": 7}, ParameterError, "need a GaussianMixtureModel"),
    ]
    for changed, error, message in refused:
        with pytest.raises(error, match=message):
            GaussianMixture.update(**{"model": model, "today": today, "halfLife": 7, **changed})


def test_bad_rows_are_treated_as_at_the_fit(spark: SparkSession, first: DataFrame) -> None:
    skipping = fit(first, handleInvalid="skip")
    holed = draw(300, 5)
    holed.loc[:9, "x"] = np.nan
    after = GaussianMixture.update(skipping, to_table(spark, holed), halfLife=7)
    assert sum(after.summary.skipped.values()) == 10
    assert after.memory is not None
    assert after.memory.weight == pytest.approx(1200 * 2 ** (-1 / 7) + 290)


def test_thresholds_and_the_profile_are_of_all_rows_at_their_weights(
    spark: SparkSession, model: GaussianMixtureModel, tmp_path: Path
) -> None:
    today = draw(600, 7, shift=0.5)
    after = GaussianMixture.update(model, to_table(spark, today), halfLife=1)
    assert model.logDensities is not None
    assert model.trainingProfile is not None
    assert after.logDensities is not None
    assert after.trainingProfile is not None
    assert after.logDensities.weights.sum() == pytest.approx(1200)
    assert after.trainingProfile.rows == pytest.approx(1200)
    means = (model.trainingProfile.means + today[["x", "y"]].mean().to_numpy()) / 2
    np.testing.assert_allclose(after.trainingProfile.means, means, rtol=1e-9)
    quiet = GaussianMixture.update(after, to_table(spark, draw(20, 8)), halfLife=7)
    assert quiet.logDensityQuantile(0.01) == pytest.approx(after.logDensityQuantile(0.01), abs=0.1)
    quiet.save(str(tmp_path / "m"))
    assert GaussianMixtureModel.load(str(tmp_path / "m")).logDensityQuantile(0.01) == quiet.logDensityQuantile(0.01)


def test_a_day_of_one_row_moves_a_model_a_little(spark: SparkSession, model: GaussianMixtureModel) -> None:
    after = GaussianMixture.update(model, to_table(spark, draw(1, 6)), halfLife=float("inf"))
    np.testing.assert_allclose(after.means, model.means, atol=0.05)
    assert after.summary.update is not None
    assert after.summary.update.word == "updated"
