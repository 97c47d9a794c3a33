"""A structure of the registry is a covarianceType of the public estimators, with no other place to tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pyspark import cloudpickle
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.core.mixture.covariance import STRUCTURES
from gmm_spark.core.mixture.density import log_density
from gmm_spark.errors import ParameterError
from tests import fifth_structure
from tests.fifth_structure import TiedDiag
from tests.tables import array_table, three_blobs


@pytest.fixture
def tied_diag(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Put the structure into the registry, and send its class itself to the workers, which cannot import the tests."""
    monkeypatch.setitem(STRUCTURES, TiedDiag.name, TiedDiag())
    cloudpickle.register_pickle_by_value(fifth_structure)
    yield TiedDiag.name
    cloudpickle.unregister_pickle_by_value(fifth_structure)


def test_a_fifth_structure_is_fitted_scored_saved_and_loaded(spark: SparkSession, tied_diag: str, tmp_path: Path):
    rows = three_blobs()
    table = array_table(spark, rows)
    estimator = GaussianMixture(k=3, covarianceType=tied_diag, seed=1, nInit=3, logDensityCol="log_density")
    model = estimator.fit(table)
    assert model.covariances.shape == (3,)
    # The pooled variances about the components' own means, by the responsibilities of the model: its fixed point.
    scored = model.transform(table).orderBy("id").select("probability", "log_density").collect()
    resp = np.stack([row["probability"].toArray() for row in scored])
    means = resp.T @ rows / resp.sum(axis=0)[:, None]
    pooled = np.einsum("nk,nkd->d", resp, (rows[:, None, :] - means) ** 2) / len(rows)
    np.testing.assert_allclose(model.covariances, pooled, rtol=0.02)
    np.testing.assert_allclose([row["log_density"] for row in scored], log_density(model.parameters, rows.T), rtol=1e-9)

    model.save(str(tmp_path / "model"))
    again = GaussianMixtureModel.load(str(tmp_path / "model"))
    assert again.getCovarianceType() == tied_diag
    for ours, theirs in ((again.weights, model.weights), (again.covariances, model.covariances)):
        np.testing.assert_array_equal(ours, theirs)
    assert again.transform(table).agg(F.sum("log_density")).first()[0] == pytest.approx(
        model.transform(table).agg(F.sum("log_density")).first()[0], rel=1e-12
    )


def test_without_its_entry_it_is_refused(spark: SparkSession):
    with pytest.raises(ParameterError, match="covarianceType='tied_diag'; use one of full, tied, diag, spherical"):
        GaussianMixture(covarianceType="tied_diag").fit(array_table(spark, three_blobs(60)))
