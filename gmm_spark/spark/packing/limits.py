"""Limits: what surely cannot be held is refused before the first task, and a sample is cut to the driver's memory."""

from __future__ import annotations

import warnings

from pyspark.sql import SparkSession

from gmm_spark.core.kernels.sizes import count_sums, least_driver_bytes, least_task_bytes
from gmm_spark.errors import ResourceError
from gmm_spark.spark.memory import available_bytes, task_bytes
from gmm_spark.spark.results import MAX_RESULT_SIZE, WORKER_MEMORY, max_result_bytes

# Bytes of one vector that a driver is trusted to hold a few times over.
MAX_VECTOR_BYTES = 2 << 30
# Times that a sample's rows are in memory at once while starts are drawn from it and run on it.
SAMPLE_COPIES = 8


def require_memory(spark: SparkSession, covariance_type: str, k: int, d: int, starts: int) -> None:
    """Refuse a mixture that surely cannot be fitted in the memory there is.

    Parameters
    ----------
    spark : SparkSession
    covariance_type : str
    k, d : int
        Components and features.
    starts : int
        Mixtures that the driver holds at once before the first pass.

    Raises
    ------
    ResourceError
        If the driver or a task would need more memory than it can get, or a pass more sums than a driver can receive.
    """
    asked = f"covarianceType={covariance_type!r} with k={k} and {d:,} features"
    for place, needed, found, more in (
        ("the driver", least_driver_bytes(covariance_type, k, d, starts), available_bytes(), "give it more memory"),
        ("each task", least_task_bytes(covariance_type, k, d), task_bytes(spark), f"raise {WORKER_MEMORY}"),
    ):
        if found is not None and needed > found:
            raise ResourceError(
                f"{asked} needs at least {needed:,} bytes of memory on {place}, which can get {found:,}; {more}, use "
                "covarianceType 'diag' or 'spherical', lower k or nInit, or reduce the features (drop some, or PCA)"
            )
    require_vector(spark, count_sums(covariance_type, k, d))


def require_vector(spark: SparkSession, length: int) -> None:
    """Raise ResourceError if the driver cannot receive a vector of so many sums."""
    received = max_result_bytes(spark)
    if received is not None and received < min(8 * length, MAX_VECTOR_BYTES):
        limit, remedy = f"{MAX_RESULT_SIZE} allows {received:,}", f"raise {MAX_RESULT_SIZE}, lower k"
    elif 8 * length > MAX_VECTOR_BYTES:
        limit, remedy = f"limit {MAX_VECTOR_BYTES:,}", "lower k"
    else:
        return
    raise ResourceError(
        f"one pass would bring {8 * length:,} bytes of sums to the driver ({limit}); {remedy}, or use covarianceType "
        "diag or spherical, or tied if k is large"
    )


def limit_sample(n: int, d: int) -> int:
    """Return how many of n rows of d features the driver can hold as a sample, and warn if they are fewer.

    Fewer are a power of two, so that the same sample is drawn although a little more or less memory is free.

    Raises
    ------
    ResourceError
        If the driver cannot hold one row.
    """
    found = available_bytes()
    if found is None or n * d * 8 * SAMPLE_COPIES <= found:
        return n
    rows = found // (d * 8 * SAMPLE_COPIES)
    if not rows:
        raise ResourceError(
            f"the driver can get {found:,} bytes of memory, too few for a sample of rows of {d:,} features; give it "
            "more memory, or reduce the features"
        )
    rows = 1 << (rows.bit_length() - 1)
    warnings.warn(
        f"the sample has {rows:,} rows and not sampleRows={n:,}: the driver can get {found:,} bytes of memory, and one "
        f"row of {d:,} features takes {8 * d:,}, {SAMPLE_COPIES} times over. Starts may be worse for it; give the "
        "driver more memory, or lower sampleRows",
        RuntimeWarning,
        stacklevel=4,
    )
    return rows
