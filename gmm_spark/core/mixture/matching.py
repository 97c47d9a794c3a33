"""Match the components of two mixtures of the same features: which is which, and how far each has moved.

Components are assigned one to one so that they share the most rows (:mod:`.sharing`). A pair that shares too few is a
component that has gone and another that is new. One that has gone although its rows are still there was merged into
another; one that is new although its rows were there before was split off.

How far a pair is apart is told by the affinity of its Gaussians: BC, the Bhattacharyya coefficient, is the integral of
sqrt(p q), 1 if they are alike and 0 if they are apart. Hellinger's distance is sqrt(1 - BC).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import linear_sum_assignment

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.sharing import Sharing, share_rows
from gmm_spark.errors import ParameterError

# Hellinger distance up to which a component counts as unchanged: two of one shape are then half a deviation apart.
ALIKE = 0.18
# Share of its rows that a component has to have in common with its counterpart. Of two halves, either would do.
COMMON = 0.3
# Share of a component's weight that has to be in one component of the other mixture for it to be split off, or merged.
_THERE = 0.3
# Bhattacharyya distance, -ln BC, up to which components without rows are counterparts. Of two of one shape it is
# d^2 / 8, with d the distance of the means in standard deviations: here about six.
_APART = 4.6
# Of pairs that are far apart along one feature alone the distance along it is taken, which is a lower bound.
_FAR = 50.0


@dataclass(frozen=True, eq=False)
class Match:
    """A component of one mixture, and the component of another that it has become.

    Attributes
    ----------
    before, after : int
    weights : array (2,)
        Before and after.
    shared : float
        The smaller of two shares: of the rows of the component before, those that the one after takes, and of the rows
        of that, those that the one before had. 0 if one of them has no weight.
    hellinger : float
        Distance of the two Gaussians, from 0 (the same) to 1 (apart).
    shifts : array (d,)
        Of the mean along each feature, in standard deviations of the component before.
    distance : float
        Of the means, in standard deviations: Mahalanobis, under the mean of the two covariances.
    spread_ratios : array (d,)
        Standard deviation along each feature, over that before.
    """

    before: int
    after: int
    weights: Array
    shared: float
    hellinger: float
    shifts: Array
    distance: float
    spread_ratios: Array


@dataclass(frozen=True, eq=False)
class Matching:
    """How the components of two mixtures go together.

    Attributes
    ----------
    matches : tuple of Match
        In the order of the components before.
    gone, new : tuple of int
        Components without a counterpart, before and after.
    split, merged : dict
        For each new component whose rows were there before, the component that had most of them; for each that has gone
        and whose rows are still there, the component that takes most of them.
    nearest : dict
        For each new component the one before that had most of its rows, however few.
    sizes : (int, int)
        Number of components before and after, without noise.
    noise : (bool, bool)
        Whether there was noise before, and is after. It is the last component of its mixture, and always itself.
    """

    matches: tuple[Match, ...]
    gone: tuple[int, ...]
    new: tuple[int, ...]
    split: dict[int, int]
    merged: dict[int, int]
    nearest: dict[int, int]
    sizes: tuple[int, int]
    noise: tuple[bool, bool] = (False, False)

    @property
    def kept(self) -> dict[int, int]:
        """For each component after that has a counterpart, noise included, the one before."""
        found = {match.after: match.before for match in self.matches}
        return found | {self.sizes[1]: self.sizes[0]} if all(self.noise) else found

    @property
    def n_after(self) -> int:
        """Number of components after, noise included."""
        return self.sizes[1] + self.noise[1]


def match_components(before: MixtureParameters, after: MixtureParameters) -> Matching:
    """Match the components of two mixtures by the rows that they share.

    Parameters
    ----------
    before, after : MixtureParameters
        Of the same d features, in any structure; k may differ.

    Raises
    ------
    ParameterError
        If the numbers of features differ.

    Examples
    --------
    >>> one = MixtureParameters([0.3, 0.7], [[0.0], [9.0]], [1.0, 1.0], "spherical")
    >>> other = MixtureParameters([0.6, 0.4], [[9.5], [0.0]], [1.0, 1.0], "spherical")
    >>> [(match.before, match.after, float(match.shifts[0])) for match in match_components(one, other).matches]
    [(0, 1, 0.0), (1, 0, 0.5)]
    """
    if before.n_features != after.n_features:
        raise ParameterError(
            f"mixtures of {before.n_features} and {after.n_features} features cannot be matched; both need the same"
        )
    sharing = share_rows(before, after)
    both = sharing.both
    rows, columns = linear_sum_assignment(both, maximize=True)
    pairs = {int(i): int(j) for i, j in zip(rows, columns, strict=True) if both[i, j] >= COMMON}
    pairs |= _pair_without_rows(before, after, pairs)
    spreads = before.deviations, after.deviations
    matches = tuple(_describe(before, after, spreads, i, pairs[i], float(both[i, pairs[i]])) for i in sorted(pairs))
    gone = sorted({*range(before.n_components)} - {*pairs})
    new = sorted({*range(after.n_components)} - {*pairs.values()})
    return Matching(matches, tuple(gone), tuple(new), *_trace(sharing, gone, new), *_count(before, after))


def pair_components(before: MixtureParameters, after: MixtureParameters) -> Matching:
    """Describe how far each component has moved if their order is known to be the same, as between steps of EM."""
    both, spreads = share_rows(before, after).both, (before.deviations, after.deviations)
    matches = (_describe(before, after, spreads, j, j, float(both[j, j])) for j in range(before.n_components))
    return Matching(tuple(matches), (), (), {}, {}, {}, *_count(before, after))


def _count(before: MixtureParameters, after: MixtureParameters) -> tuple[tuple[int, int], tuple[bool, bool]]:
    return (before.n_components, after.n_components), (before.noise is not None, after.noise is not None)


def _pair_without_rows(before: MixtureParameters, after: MixtureParameters, pairs: dict[int, int]) -> dict[int, int]:
    """Pair components of which one has no weight, and so shares no row, if they are near each other."""
    left = [i for i in range(before.n_components) if i not in pairs]
    right = [j for j in range(after.n_components) if j not in {*pairs.values()}]
    if not left or not right:
        return {}
    empty = np.logical_or.outer(before.weights[left] <= 0, after.weights[right] <= 0)
    if not empty.any():
        return {}
    distances = np.where(empty, bhattacharyya_distances(before, after)[np.ix_(left, right)], np.inf)
    rows, columns = linear_sum_assignment(np.minimum(distances, _FAR))
    return {left[i]: right[j] for i, j in zip(rows, columns, strict=True) if distances[i, j] < _APART}


def _trace(sharing: Sharing, gone: list[int], new: list[int]) -> tuple[dict[int, int], dict[int, int], dict[int, int]]:
    """Find out what new components were split off from, what gone ones were merged into, and what new ones are near."""
    nearest = {j: int(sharing.had[:, j].argmax()) for j in new}
    heirs = {i: int(sharing.taken[i].argmax()) for i in gone}
    split = {j: i for j, i in nearest.items() if sharing.was_there[i, j] >= _THERE}
    merged = {i: j for i, j in heirs.items() if sharing.is_there[i, j] >= _THERE}
    return split, merged, nearest


def bhattacharyya_distances(before: MixtureParameters, after: MixtureParameters) -> Array:
    """Compute -ln BC of each component of one mixture and each of another, (k, l); weights do not count.

    Kailath (1967). If two are farther apart than 50 along a single feature, the distance along that feature.
    """
    exact = before.structure.axis_aligned and after.structure.axis_aligned
    found = np.empty((before.n_components, after.n_components))
    spreads, others = before.deviations, after.deviations
    for i, (mean, spread) in enumerate(zip(before.means, spreads, strict=True)):
        along = _distances_along(mean, spread, after.means, others)  # (l, d)
        found[i] = along.sum(axis=1) if exact else along.max(axis=1)  # of all features together, no less than of one
        for j in [] if exact else np.flatnonzero(found[i] < _FAR):
            found[i, j] = _distance(before, after, i, int(j))
    return found


def _distances_along(mean: Array, spread: Array, means: Array, spreads: Array) -> Array:
    """Compute -ln BC of a component and others along each feature."""
    pooled = (spread**2 + spreads**2) / 2
    return np.asarray((mean - means) ** 2 / pooled / 8 + 0.5 * np.log(pooled / (spread * spreads)))


def _distance_of_pair(
    before: MixtureParameters, after: MixtureParameters, spreads: tuple[Array, Array], i: int, j: int
) -> float:
    """Compute -ln BC of one component of each mixture, as :func:`bhattacharyya_distances` does of all."""
    along = _distances_along(before.means[i], spreads[0][i], after.means[j], spreads[1][j])
    if before.structure.axis_aligned and after.structure.axis_aligned:
        return float(along.sum())
    return _distance(before, after, i, j) if along.max() < _FAR else float(along.max())


def _distance(before: MixtureParameters, after: MixtureParameters, i: int, j: int) -> float:
    """Compute -ln BC of two components with general covariances."""
    first, second = _covariance(before, i), _covariance(after, j)
    # In units of one component's deviations, so that features of any scale keep their digits.
    scale = np.sqrt(np.sqrt(np.diag(first)) * np.sqrt(np.diag(second)))
    first, second = (one / scale / scale[:, None] for one in (first, second))
    factor = np.linalg.cholesky((first + second) / 2)
    shift = solve_triangular(factor, (before.means[i] - after.means[j]) / scale, lower=True)
    halves = sum(np.linalg.slogdet(one)[1] for one in (first, second)) / 2
    return float(max(shift @ shift / 8 + np.log(np.diag(factor)).sum() - halves / 2, 0.0))


def _describe(
    before: MixtureParameters, after: MixtureParameters, spreads: tuple[Array, Array], i: int, j: int, shared: float
) -> Match:
    """Describe a pair of components; the standard deviations of all components are given, (k, d) and (l, d)."""
    distance = _distance_of_pair(before, after, spreads, i, j)
    first, second = spreads[0][i], spreads[1][j]
    moved = after.means[j] - before.means[i]
    scale = np.sqrt((first**2 + second**2) / 2)
    if before.structure.axis_aligned and after.structure.axis_aligned:
        far = moved / scale
    else:
        pooled = (_covariance(before, i) + _covariance(after, j)) / 2 / scale / scale[:, None]
        far = solve_triangular(np.linalg.cholesky(pooled), moved / scale, lower=True)
    return Match(
        before=i,
        after=j,
        weights=np.array([before.weights[i], after.weights[j]]),
        shared=shared,
        hellinger=float(np.sqrt(-np.expm1(-distance))),
        shifts=moved / first,
        distance=float(np.linalg.norm(far)),
        spread_ratios=second / first,
    )


def _covariance(parameters: MixtureParameters, i: int) -> Array:
    """Return the covariance of one component as a matrix, (d, d)."""
    kind = parameters.structure
    if kind.axis_aligned:
        return np.diag(1 / parameters.component_cholesky[i] ** 2)
    return np.asarray(parameters.covariances if kind.pooled else parameters.covariances[i])
