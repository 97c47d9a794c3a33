"""Mixtures of known parameters, and tables sampled from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gmm_spark import GaussianMixtureModel, MixtureParameters


def mixture(d: int, k: int, covariance_type: str, seed: int = 0, spread: float = 2.0) -> MixtureParameters:
    """Components of every shape, about one wide along each feature, their means ``spread`` about zero."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(k, d, d)) / np.sqrt(d)
    dense = factors @ np.swapaxes(factors, 1, 2) + 0.5 * np.eye(d)
    variances = np.diagonal(dense, axis1=1, axis2=2)
    shapes = {"full": dense, "tied": dense[0], "diag": variances, "spherical": variances.mean(axis=1)}
    return MixtureParameters(
        rng.dirichlet(np.full(k, 5.0)), spread * rng.normal(size=(k, d)), shapes[covariance_type], covariance_type
    )


def sampled_table(
    spark: SparkSession, data: Path, source: MixtureParameters, rows: int, precision: str, name: str
) -> DataFrame:
    """Rows of a mixture, in random order, as Parquet below ``data``, made once; the name tells mixtures apart."""
    kind = "float" if precision == "float32" else "double"
    path = data / f"rows={rows}-d={source.n_features}-{name}-{kind}-shuffled"
    if not (path / "_SUCCESS").exists():
        # Rows are sampled component by component, as no table of a user lies; Spark shuffles them.
        drawn = GaussianMixtureModel(source).sample(spark, rows, 1, columns(source.n_features), precision=precision)
        drawn.drop("component").orderBy(F.rand(1)).write.mode("overwrite").parquet(str(path))
    return spark.read.parquet(str(path))


def columns(d: int) -> list[str]:
    """Names of the benchmark tables' features."""
    return [f"x{i}" for i in range(d)]
