"""A model in memory scores rows as transform does."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import SparkSession

from gmm_spark import GaussianMixture, GaussianMixtureModel, Mixture
from tests.examples import draw_rows, random_mixture
from tests.tables import array_table


@pytest.mark.parametrize(
    ("kind", "offset", "scale"),
    [("full", 0.0, 1.0), ("tied", 1e6, 1.0), ("diag", 0.0, 1e-6), ("spherical", -1e3, 1e3)],
)
def test_a_saved_model_scores_in_memory_as_it_transforms_a_table(
    spark: SparkSession, tmp_path, kind: str, offset: float, scale: float
) -> None:
    rng = np.random.default_rng(5)
    rows = draw_rows(random_mixture(kind, 3, 5, rng), 500, rng)[0].T * scale + offset
    estimator = GaussianMixture(
        k=3, covarianceType=kind, maxIter=3, nInit=1, logDensityCol="density", anomalyCol="odd", anomalyFraction=0.1
    )
    model = estimator.fit(array_table(spark, rows, 2)).setReasonsCol("why")
    model.save(str(tmp_path / "model"))
    # The training rows, and others far away, one of which no float64 density holds.
    rows = np.concatenate([rows, offset + scale * rng.normal(0, 1e3, (20, 5)), np.full((1, 5), 1e200)])
    scored = model.transform(array_table(spark, rows, 2)).orderBy("id").collect()
    for mixture in (Mixture.load(tmp_path / "model"), model.local()):
        assert mixture.predict(rows).tolist() == [row["prediction"] for row in scored]
        expected = np.array([row["density"] for row in scored])
        np.testing.assert_allclose(mixture.log_density(rows), expected, rtol=1e-12, atol=1e-12)
        probability = np.array([row["probability"].toArray() for row in scored])
        np.testing.assert_allclose(mixture.predict_proba(rows), probability, rtol=0, atol=1e-12)
        assert mixture.is_anomaly(rows).tolist() == [row["odd"] for row in scored]
        for found, row in zip(mixture.reasons(rows), scored, strict=True):
            assert (found is None) == (row["why"] is None)
            if found is not None:
                assert [tuple(reason) for reason in found] == [
                    (reason["feature"], reason["z"]) for reason in row["why"]
                ]


def test_a_mixture_draws_the_rows_that_its_model_draws(spark: SparkSession) -> None:
    parameters = random_mixture("full", 3, 4, np.random.default_rng(2))
    model = GaussianMixtureModel(parameters)
    drawn = model.sample(spark, 1000, seed=7, featuresCol="x").collect()
    rows, components = model.local().sample(1000, seed=7)
    np.testing.assert_array_equal(rows, [row["x"] for row in drawn])
    assert components.tolist() == [row["component"] for row in drawn]
