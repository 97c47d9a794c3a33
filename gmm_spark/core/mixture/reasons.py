"""Why a row is odd: the features that are farthest from what the others let expect.

Let a row's own component have the mean mu and the precision P. Given its other features, feature j is normal with the
variance 1 / P_jj, and the row's value is ::

    z_j = (P (x - mu))_j / sqrt(P_jj)

standard deviations above the expected one (Bishop 2006, eq. 2.96 and 2.97). Were feature j as expected and the others
as they are, the log-density under the component would be larger by z_j^2 / 2 nats: the squared Mahalanobis distance
shrinks by exactly z_j^2. That is what feature j contributes, and reasons are ordered by it.

If features are independent within the component, z_j is the common score, (x_j - mu_j) / sigma_j.

A row of noise has no component to be odd under. Its reasons are those under the most probable Gaussian: what keeps it
from being one of these.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.mixture.density import responsibilities
from gmm_spark.core.mixture.parameters import MixtureParameters

# Features that are named for a row.
MOST_REASONS = 3
# Numbers of precision factors that are held at a time.
_NUMBERS = 1 << 20


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
        Most probable component of each row; k is noise.
    most : int
        r, the features to name at most.

    Examples
    --------
    >>> p = MixtureParameters([1.0], [[0.0, 0.0]], [[[1.0, 0.8], [0.8, 1.0]]])
    >>> found = find_reasons(p, np.array([[1.0], [-1.0]]), np.array([0]), most=1)
    >>> found.features.tolist(), found.z.round(6).tolist()  # 1.8 away from the expected -0.8, where sigma is 0.6
    ([[0]], [[3.0]])
    """
    d, m = rows.shape
    most = min(most, d)
    of_noise = np.flatnonzero(components >= parameters.n_components)
    if len(of_noise):
        components = components.copy()
        components[of_noise] = responsibilities(parameters.without_noise(), rows[:, of_noise]).argmax(axis=0)
    found = Reasons(np.empty((most, m), np.intp), np.empty((most, m)))
    step = max(_NUMBERS // d**2, 1)
    for start in range(0, m, step):
        part = slice(start, start + step)
        mine = components[part]
        z, unit = _scores(parameters.means[mine], parameters.component_cholesky[mine], rows[:, part].T)
        order = np.argsort(-np.abs(z), axis=1, kind="stable")[:, :most]
        found.features[:, part] = order.T
        with np.errstate(over="ignore"):
            found.z[:, part] = (np.take_along_axis(z, order, axis=1) * unit[:, None]).T
    return found


def _scores(means: Array, factors: Array, rows: Block) -> tuple[Array, Array]:
    """Compute z of all features of rows (m, d) in units of its own for each, (m,), so that no row is too far off.

    Each row has its mean (m, d) and its precision factor, (m, d) or (m, d, d): rows that have reasons are few, and of
    many components.
    """
    # Halves, whose difference does not overflow.
    half = 0.5 * rows.astype(np.float64, copy=False) - 0.5 * means
    unit = np.abs(half).max(axis=1)
    unit[unit == 0] = 1.0
    half /= unit[:, None]
    if factors.ndim == 2:
        return half * factors, 2 * unit
    # P = U U', and sqrt(P_jj) is the length of U's row j: rows of that length 1 are multiplied, and never P itself.
    directions = factors / np.sqrt(np.einsum("mij,mij->mi", factors, factors))[:, :, None]
    return (directions @ (half[:, None, :] @ factors).transpose(0, 2, 1))[:, :, 0], 2 * unit
