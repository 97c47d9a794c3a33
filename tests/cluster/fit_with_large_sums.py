"""One pass of a large model over many partitions under a small driver; run by ``test_small_driver.py``."""

from __future__ import annotations

import json

import numpy as np
from pyspark.sql import SparkSession

from gmm_spark import MixtureParameters
from gmm_spark.core.kernels.accumulators import StatisticsSums
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk
from gmm_spark.core.table import ArrayTable
from gmm_spark.spark.columns import resolve_features
from gmm_spark.spark.generation import sample_rows
from gmm_spark.spark.packing.table import PackedTable

K, D, ROWS, PARTITIONS = 100, 100, 20_000, 200


def main() -> None:
    """Run the pass and compare it with the same rows in memory."""
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "1g")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    rng = np.random.default_rng(0)
    mixture = MixtureParameters(np.full(K, 1 / K), 5 * rng.normal(size=(K, D)), [np.eye(D)] * K)
    table = sample_rows(spark, mixture, ROWS, seed=1).select("features").repartition(PARTITIONS)
    features = resolve_features(table, "features", None, None, D)
    assert features is not None
    with PackedTable(table, features) as packed:
        candidate = mixture.shifted(-packed.moments.mean)
        plan = plan_pass([candidate], packed.moments.mean, packed.moments.scale)
        (found,) = packed.expect([candidate])
        partitions = packed.n_partitions
        moments = packed.moments
    rows, _ = draw_chunk(mixture, component_counts(mixture, ROWS, 1), 1, 0)
    (expected,) = ArrayTable(rows, moments=moments).expect([candidate])
    scale = np.abs(expected.second).max()
    print(
        json.dumps(
            {
                "partitions": partitions,
                "vector_bytes": 8 * StatisticsSums(plan).length,
                "rows": found.rows,
                "resp_sum": float(found.resp_sum.sum()),
                "difference": float(np.abs(found.second - expected.second).max() / scale),
            }
        )
    )
    spark.stop()


if __name__ == "__main__":
    main()
