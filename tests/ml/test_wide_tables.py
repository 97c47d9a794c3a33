"""Tables of tens of thousands of features: fitted if covariances are diagonal, else refused before any task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector
from gmm_spark.core.mixture.density import log_density
from gmm_spark.errors import ResourceError
from gmm_spark.ml import fitting
from gmm_spark.spark import columns

ROWS = 90
WIDE = 46_342  # the least d of which d x d elements exceed 2**31


def sparse_table(spark: SparkSession, d: int) -> tuple[DataFrame, np.ndarray]:
    """Sparse vectors with each feature in one row of 90, and their elements as an array (d, rows)."""
    rng = np.random.default_rng(0)
    dense, rows = np.zeros((d, ROWS)), []
    for i in range(ROWS):
        at = np.arange(i, d, ROWS)
        dense[at, i] = rng.normal(3.0, 0.1, len(at))
        rows.append((i, Vectors.sparse(d, at.tolist(), dense[at, i].tolist())))
    return spark.createDataFrame(rows, ["id", "features"]), dense


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "d"), [("spherical", WIDE), ("diag", 20_000)])
def test_sparse_vectors_of_many_features_are_fitted_scored_saved_and_sampled(
    spark: SparkSession, kind: str, d: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "DECODED_BYTES", 8 * d * 20)  # a batch is decoded in several parts
    table, rows = sparse_table(spark, d)
    model = GaussianMixture(k=2, covarianceType=kind, nInit=1, maxIter=2, logDensityCol="lp", seed=1).fit(table)
    assert model.covariances.shape == ((2,) if kind == "spherical" else (2, d))
    assert model.summary.numRows == ROWS
    np.testing.assert_allclose(model.weights @ model.means, rows.mean(axis=1), atol=1e-9)  # as EM keeps it
    model.write().overwrite().save(str(tmp_path / "model"))
    loaded = GaussianMixtureModel.load(str(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.means, model.means)
    scored = loaded.transform(table).select("lp", "id").orderBy("id").collect()
    np.testing.assert_allclose([r["lp"] for r in scored], log_density(model.parameters, rows), rtol=1e-8)
    drawn = model.sample(spark, 5, seed=2, numPartitions=1).select("features").collect()
    assert [len(r["features"]) for r in drawn] == [d] * 5


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_a_matrix_that_cannot_be_held_is_refused_by_name_before_any_task(
    spark: SparkSession, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = 20_000
    known = F.col("features").alias("features", metadata={"ml_attr": {"num_attrs": d}})  # else a task finds it
    table = spark.createDataFrame([(Vectors.sparse(d, [0], [1.0]),)] * 3, ["features"]).select(known)
    monkeypatch.setattr(fitting, "PackedTable", lambda *_, **__: pytest.fail("the table was read"))
    words = rf"(covarianceType='{kind}' with k=2 and 20,000 features needs|one pass would bring) .*lower k.*"
    with pytest.raises(ResourceError, match=words):
        GaussianMixture(k=2, covarianceType=kind).fit(table)
    with pytest.raises(ResourceError, match=words):
        GaussianMixtureSelector(ks=[2], covarianceTypes=[kind]).fit(table)


def test_a_grid_goes_on_without_its_members_that_cannot_be_held(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, _ = sparse_table(spark, 200)
    needed = {"full": 1 << 60, "spherical": 1}
    monkeypatch.setattr("gmm_spark.spark.packing.limits.least_driver_bytes", lambda kind, k, d, starts: needed[kind])
    model = GaussianMixtureSelector(ks=[2], covarianceTypes=["full", "spherical"], nInit=1, maxIter=2).fit(table)
    refused, fitted = model.summary.selection.rows
    assert "of memory on the driver" in refused.failure
    assert fitted.failure is None
    assert model.getCovarianceType() == "spherical"
