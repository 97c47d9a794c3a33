"""The quadratic features of a row, in which a Gaussian's log-density is linear.

The features of a row z are ordered ``[1, z | z^2 | z_i z_j (i < j)]``, so that each covariance structure needs a
prefix: diag and spherical the first ``1 + 2 d``, full all of them. Tied needs ``1 + d``: its quadratic term is the same
for all components and is computed once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array


class QuadraticForm(NamedTuple):
    """Coefficients of ``-(z - mu)' P (z - mu) / 2`` for k components, without its constant.

    Attributes
    ----------
    linear : array (k, d)
        Of the features z.
    quadratic : array (k, q)
        Of the first q products of features, in the order of :func:`quadratic_order`.
    magnitude : array (k,)
        Size of the terms that cancel, at a row about one deviation from the mean. Times the unit roundoff it bounds the
        rounding error of the log-density.
    """

    linear: Array
    quadratic: Array
    magnitude: Array


def quadratic_order(d: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """List the indices i <= j of the products z_i z_j in the order of the features: by j - i, so squares come first.

    All products with the same j - i are one product of two contiguous arrays.

    Examples
    --------
    >>> [a.tolist() for a in quadratic_order(3)]
    [[0, 1, 2, 0, 1, 0], [0, 1, 2, 1, 2, 2]]
    """
    i = np.concatenate([np.arange(d - gap) for gap in range(d)])
    gap = np.repeat(np.arange(d), np.arange(d, 0, -1))
    return i, i + gap
