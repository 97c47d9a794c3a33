"""Directions in which rows are least Gaussian: clusters that variance does not show are apart there.

On whitened rows every direction has variance 1, so what tells directions apart is their higher moments. Along a
direction in which clusters of about equal size lie apart, the kurtosis is low (Pena & Prieto 2001); if one of them is
much smaller, the skewness is high. Both are found by symmetric fixed-point iterations (FastICA: Hyvarinen 1999), which
begin at the extreme eigenvectors of the rows' scatter weighted by their squared lengths (FOBI: Cardoso 1989).

With d features and m rows, chance makes some directions look non-Gaussian too, the more the larger d / m. The least
kurtosis is therefore first looked for among few eigenvectors, and from there among all directions.
"""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array

# Eigenvalues of the covariance below this share of the largest are rounding: columns that are collinear.
_COLLINEAR = 1e-9
# Eigenvectors among which the least kurtosis is first looked for, and directions that go on from there.
_EIGENVECTORS, _CONTINUED = 20, 8
# Directions that the skewest are chosen among: the iterations begin at as many eigenvectors.
_SKEW_STARTS = 16
_ITERATIONS = 30
# Directions whose cosines with those of the iteration before are all above this have converged.
_SETTLED = 1 - 1e-4


def find_flattest(rows: Array, weight: Array, most: int) -> Array:
    """Find directions of least kurtosis.

    Parameters
    ----------
    rows : array (d, m)
        Columns need not be independent of each other.
    weight : array (m,)
        Non-negative, not all 0.
    most : int

    Returns
    -------
    array (n, d)
        Up to ``most`` directions, the flattest first, by which rows are multiplied. The products are uncorrelated and
        have variance 1. None, so (0, d), if no feature varies.
    """
    whitening, white, share = _whiten(rows, weight)
    if not len(white):
        return whitening
    few = _sort_by_scatter(white, share)[:_EIGENVECTORS]
    directions = _iterate(few @ white, share, np.eye(len(few)), order=4) @ few
    found = _iterate(white, share, _keep_flattest(directions, white, share, max(most, _CONTINUED)), order=4)
    return _keep_flattest(found, white, share, most) @ whitening


def find_skewest(rows: Array, weight: Array, most: int) -> Array:
    """Find directions of greatest skewness; arguments and result as of :func:`find_flattest`."""
    whitening, white, share = _whiten(rows, weight)
    if not len(white):
        return whitening
    sorted_by_scatter = _sort_by_scatter(white, share)
    n = min(len(white), _SKEW_STARTS)
    ends = np.concatenate([sorted_by_scatter[: n // 2], sorted_by_scatter[len(white) - (n - n // 2) :]])
    found = _iterate(white, share, ends, order=3)
    skewness = np.abs((found @ white) ** 3 @ share)
    return np.asarray(found[np.argsort(-skewness, kind="stable")[:most]] @ whitening)


def _whiten(rows: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Return a whitening matrix (r, d), the whitened rows (r, m) and each row's share of the weight."""
    share = weight / weight.sum()
    centred = rows - (rows @ share)[:, None]
    values, vectors = np.linalg.eigh((centred * share) @ centred.T)
    varying = values > max(_COLLINEAR * values[-1], np.finfo(float).tiny)
    whitening = (vectors[:, varying] / np.sqrt(values[varying])).T
    return whitening, whitening @ centred, share


def _sort_by_scatter(white: Array, share: Array) -> Array:
    """Eigenvectors, as rows, of the scatter weighted by squared lengths; the flattest are first."""
    squares = np.einsum("ij,ij->j", white, white)
    return np.asarray(np.linalg.eigh((white * (share * squares)) @ white.T)[1].T)


def _iterate(white: Array, share: Array, directions: Array, order: int) -> Array:
    """Fixed-point iterations to extremes of the third or fourth moment, from orthonormal directions (n, r)."""
    for _ in range(_ITERATIONS):
        along = directions @ white
        moved = along**2 * share @ white.T if order == 3 else along**2 * along * share @ white.T - 3 * directions
        left, _, right = np.linalg.svd(moved, full_matrices=False)
        moved = left @ right  # the orthonormal directions nearest to them
        settled = np.abs(np.einsum("ij,ij->i", moved, directions)).min() > _SETTLED
        directions = moved
        if settled:
            break
    return directions


def _keep_flattest(directions: Array, white: Array, share: Array, most: int) -> Array:
    kurtosis = (directions @ white) ** 4 @ share
    return directions[np.argsort(kurtosis, kind="stable")[:most]]
