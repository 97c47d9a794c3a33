"""Why a row is odd: the features that are farthest from what the others let expect.

Let a row's own component have the mean mu and the precision P. Given its other features, feature j is normal with the
variance 1 / P_jj, and the row's value is ::

    z_j = (P (x - mu))_j / sqrt(P_jj)

standard deviations above the expected one (Bishop 2006, eq. 2.96 and 2.97). Were feature j as expected and the others
as they are, the log-density under the component would be larger by z_j^2 / 2 nats: the squared Mahalanobis distance
shrinks by exactly z_j^2. That is what feature j contributes, and reasons are ordered by it.

If features are independent within the component, z_j is the common score, (x_j - mu_j) / sigma_j.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.mixture.parameters import MixtureParameters

# Features that are named for a row.
MOST_REASONS = 3


class Reasons(NamedTuple):
    """The features that contribute most to how odd each of m rows is; r of them, or all d if there are fewer.

    Attributes
    ----------
    features : array (r, m)
        Numbers of the features, the largest contribution first; of equal ones the first feature.
    z : array (r, m)
        Standard deviations above what the other features let expect; negative if below. Infinite if float64 cannot hold
        it.
    """

    features: NDArray[np.intp]
    z: Array


def find_reasons(
    parameters: MixtureParameters, rows: Block, components: NDArray[np.integer], most: int = MOST_REASONS
) -> Reasons:
    """Find the features that contribute most to how odd rows are, each under its own component.

    Parameters
    ----------
    parameters : MixtureParameters
    rows : array (d, m)
        Finite.
    components : array (m,)
        Most probable component of each row.
    most : int
        r, the features to name at most.

    Examples
    --------
    >>> p = MixtureParameters([1.0], [[0.0, 0.0]], [[[1.0, 0.8], [0.8, 1.0]]])
    >>> found = find_reasons(p, np.array([[1.0], [-1.0]]), np.array([0]), most=1)
    >>> found.features.tolist(), found.z.round(6).tolist()  # 1.8 away from the expected -0.8, where sigma is 0.6
    ([[0]], [[3.0]])
    """
    m, most = rows.shape[1], min(most, len(rows))
    found = Reasons(np.empty((most, m), np.intp), np.empty((most, m)))
    for j in np.unique(components).tolist():
        mine = np.flatnonzero(components == j)
        z, unit = _scores(parameters.means[j], parameters.component_cholesky[j], rows[:, mine])
        order = np.argsort(-np.abs(z), axis=0, kind="stable")[:most]
        found.features[:, mine] = order
        with np.errstate(over="ignore"):
            found.z[:, mine] = np.take_along_axis(z, order, axis=0) * unit
    return found


def _scores(mean: Array, factor: Array, rows: Block) -> tuple[Array, Array]:
    """Compute z of all features (d, m) in units of its own for each row, (m,), so that no row is too far off."""
    # Halves, whose difference does not overflow.
    half = 0.5 * rows.astype(np.float64, copy=False) - 0.5 * mean[:, None]
    unit = np.abs(half).max(axis=0)
    unit[unit == 0] = 1.0
    half /= unit
    if factor.ndim == 1:
        return half * factor[:, None], 2 * unit
    # P = U U', and sqrt(P_jj) is the length of U's row j: rows of that length 1 are multiplied, and never P itself.
    directions = factor / np.sqrt(np.einsum("ij,ij->i", factor, factor))[:, None]
    return directions @ (factor.T @ half), 2 * unit
