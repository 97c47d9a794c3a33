"""Fits under small limits on results and on the workers' memory; run by ``test_small_driver.py``."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector, MixtureParameters

K, D, ROWS = 3, 32, 200_000


def main() -> None:
    """Fit alone, by k-means||, and in a grid; print what came out."""
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.maxResultSize", "16m")
        .config("spark.executor.pyspark.memory", "2g")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    rng = np.random.default_rng(0)
    mixture = MixtureParameters([0.2, 0.3, 0.5], 4 * rng.normal(size=(K, D)), np.ones(K), "spherical")
    table = GaussianMixtureModel(mixture).sample(spark, ROWS, seed=1, numPartitions=4).select("features")
    warnings.simplefilter("error", RuntimeWarning)
    shared: dict[str, Any] = {"covarianceType": "diag", "nInit": 2, "maxIter": 5, "seed": 1}
    models = {
        "alone": GaussianMixture(k=K, **shared).fit(table),
        "oversampled": GaussianMixture(k=K, initMode="k-means||", **shared).fit(table),
        "grid": GaussianMixtureSelector(ks=[2, K], covarianceTypes=["diag"], nInit=2, maxIter=5, seed=1).fit(table),
    }
    print(json.dumps({name: sorted(model.weights.tolist()) for name, model in models.items()}))
    spark.stop()


if __name__ == "__main__":
    main()
