"""Sizes of what a fit holds, known from k, d and the structure alone: what cannot be held is refused at once.

They count only what is there at the same moment for certain, so that nothing is refused that might have been held.
"""

from __future__ import annotations

import math

from gmm_spark.core.mixture.covariance import structure

_FLOAT64, _FLOAT32 = 8, 4


def count_sums(covariance_type: str, k: int, d: int) -> int:
    """Count the numbers in the vector of sums of a pass over one candidate."""
    scatter = d * d if structure(covariance_type).shares_scatter else 0
    return 3 + _count_coefficients(covariance_type, k, d) + scatter  # rows, weight and log-likelihood come first


def _count_coefficients(covariance_type: str, k: int, d: int) -> int:
    """Count the coefficients of the quadratic features, and the sums over these."""
    kind = structure(covariance_type)
    products = 0 if kind.shares_scatter else d if kind.axis_aligned else d * (d + 1) // 2
    return k * (1 + d + products)


def least_driver_bytes(covariance_type: str, k: int, d: int, starts: int = 1) -> int:
    """Return the bytes that the driver holds at least, in the M step or with so many starts drawn.

    A mixture holds its covariances and their factors. After a pass there are also the factors and the coefficients of
    its plan, the vector of sums, and the second moments that it becomes.
    """
    matrices = math.prod(structure(covariance_type).shape(k, d))
    after_a_pass = 4 * matrices + count_sums(covariance_type, k, d) + _count_coefficients(covariance_type, k, d)
    return _FLOAT64 * max(after_a_pass, 2 * starts * matrices)


def least_task_bytes(covariance_type: str, k: int, d: int) -> int:
    """Return the bytes that a task holds at least: the factors of its plan, in float32 perhaps, and its sums."""
    matrices = math.prod(structure(covariance_type).shape(k, d))
    return _FLOAT32 * matrices + _FLOAT64 * count_sums(covariance_type, k, d)
