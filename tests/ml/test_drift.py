"""Rows are compared with a model's training rows while they are scored: the figures are those of the rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gmm_spark import GaussianMixtureModel
from gmm_spark.errors import ParameterError
from gmm_spark.ml.drift import observe_drift
from tests.core.drift.profiles import MIXTURE, draw, profile_of

N = 500


def later_rows() -> np.ndarray:
    rows = draw(N, seed=2, weights=[0.5, 0.3, 0.2]).T * 1.1
    rows[::3] = rows[::3].round()
    return rows


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    """Rows in three forms, in uneven partitions; every fiftieth lacks a value."""
    frame = pd.DataFrame(later_rows(), columns=["x", "y"]).assign(id=np.arange(N))
    frame.loc[::50, "y"] = np.nan
    rows = spark.createDataFrame(frame).repartition(3, "id").withColumn("array", F.array("x", "y"))
    dense = array_to_vector(F.array("x", F.coalesce("y", F.lit(float("nan")))))  # a null in it would be refused
    return rows.withColumn("vector", dense)


@pytest.fixture(scope="module")
def model() -> GaussianMixtureModel:
    return GaussianMixtureModel(MIXTURE, ["x", "y"], trainingProfile=profile_of(draw(4_000, seed=1), bad_rows=40))


@pytest.mark.parametrize("handling", ["keep", "skip"])
@pytest.mark.parametrize("form", ["scalars", "array", "vector"])
def test_the_figures_are_those_of_the_good_rows_in_any_form(
    table: DataFrame, model: GaussianMixtureModel, small_batches: int, form: str, handling: str
) -> None:
    fitted = model.copy()
    fitted._set(handleInvalid=handling, logDensityCol="l")
    fitted._set(**({"inputCols": ["x", "y"]} if form == "scalars" else {"featuresCol": form}))
    plain = fitted.transform(table)
    scored, observation = observe_drift(fitted, table)
    found = sorted(scored.collect(), key=lambda row: row["id"])  # a sort by Spark would read the rows twice
    assert list(map(str, found)) == list(map(str, sorted(plain.collect(), key=lambda row: row["id"])))
    assert scored.schema == plain.schema
    drift = observation.get()
    good = np.delete(later_rows(), np.s_[::50], axis=0)
    assert drift is not None
    assert (drift.rows, drift.bad_rows) == (len(good), N - len(good))
    np.testing.assert_allclose(drift.means, good.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(drift.spreads, good.std(axis=0), rtol=1e-10)
    usable = [row for row in found if row["l"] is not None]
    assert drift.mean_log_density == pytest.approx(np.mean([row["l"] for row in usable]))
    sizes = np.bincount([row["prediction"] for row in usable], minlength=3)
    np.testing.assert_allclose(drift.shares, sizes / len(good))
    assert drift.psi.beyond_chance


def test_what_is_not_written_is_compared_all_the_same(
    table: DataFrame, model: GaussianMixtureModel, tmp_path: Path
) -> None:
    fitted = model.copy()
    fitted._set(inputCols=["x", "y"], handleInvalid="skip", predictionCol="", logDensityCol="", probabilityCol="p")
    scored, observation = observe_drift(fitted, table)
    scored.select("id").write.parquet(str(tmp_path / "scored"))
    drift = observation.get()
    assert drift is not None
    assert drift.rows == N - N // 50
    assert scored.columns[-1] == "p"


def test_no_row_is_no_drift(table: DataFrame, model: GaussianMixtureModel) -> None:
    fitted = model.copy()
    fitted._set(inputCols=["x", "y"])
    scored, observation = observe_drift(fitted, table.where("id < 0"))
    assert scored.collect() == []
    assert observation.get() is None


def test_a_model_without_a_profile_is_refused(table: DataFrame, model: GaussianMixtureModel) -> None:
    with pytest.raises(ParameterError, match="no profile of its training rows"):
        observe_drift(GaussianMixtureModel(MIXTURE), table)
