"""Marginals and conditionals of a mixture, which are mixtures again, and what some features say of the others.

Of one Gaussian, let L be the Cholesky factor of its covariance with the given features first. The others, given values
of those, have the mean mu_m + L_mo L_oo^-1 (x_o - mu_o) and covariance L_mm L_mm^T (Bishop 2006, eq. 2.81 and 2.82):
no difference is taken, so that it stays positive definite. The weights become the responsibilities for x_o.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.mixture import density
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError

Indices = NDArray[np.intp]
# Numbers that are held at a time of the components' means of rows: as many as a cache holds.
_CENTRES = 1 << 16

# The least conditional probability of noise, and of what is not noise.
_LEAST_NOISE = 2.0**-52


def marginal(parameters: MixtureParameters, features: Sequence[int]) -> MixtureParameters:
    """Return the mixture of some features, in the order given, whatever the others are.

    Parameters
    ----------
    parameters : MixtureParameters
    features : sequence of int
        Indices of features, at least one, none twice.

    Raises
    ------
    ParameterError
        If an index is not that of a feature, or stands twice, or there is none.

    Examples
    --------
    >>> mixture = MixtureParameters([0.5, 0.5], [[0.0, 5.0], [9.0, 7.0]], [[1.0, 2.0], [3.0, 4.0]], "diag")
    >>> marginal(mixture, [1]).means.tolist()
    [[5.0], [7.0]]
    """
    kept = _read_indices(features, parameters.n_features)
    covariances = parameters.covariances
    if not parameters.structure.axis_aligned:
        covariances = covariances[..., kept[:, None], kept]
    elif _has_features(parameters):
        covariances = covariances[..., kept]
    noise = None if parameters.noise is None else parameters.noise.of_features(kept)
    return MixtureParameters(
        parameters.weights, parameters.means[:, kept], covariances, parameters.covariance_type, noise
    )


def condition(parameters: MixtureParameters, given: Sequence[int], values: ArrayLike) -> MixtureParameters:
    """Return the mixture of the other features, given values of some.

    Parameters
    ----------
    parameters : MixtureParameters
    given : sequence of int
        Indices of the features whose values are known: at least one, not all, none twice.
    values : array (g,)
        Their values, finite.

    Returns
    -------
    MixtureParameters
        Of the other features in their order, in the same structure.

    Raises
    ------
    ParameterError
        If the indices are not such, or a value is not finite.

    Examples
    --------
    >>> mixture = MixtureParameters([1.0], [[0.0, 0.0]], [[[1.0, 0.8], [0.8, 1.0]]])
    >>> rest = condition(mixture, [0], [2.0])
    >>> rest.means.round(6).tolist(), rest.covariances.round(6).tolist()
    ([[1.6]], [[[0.36]]])
    """
    known = np.asarray(values, dtype=np.float64)
    split = Split.of(parameters, given)
    if known.shape != split.given.shape or not np.isfinite(known).all():
        raise ParameterError(
            f"values are {known.tolist()}; need {len(split.given)} finite number(s), one for each given feature"
        )
    rows = known[:, None]
    weights = density.responsibilities(split.marginal, rows)[:, 0]
    covariances = parameters.covariances
    if split.covariances is not None:
        covariances = split.covariances[0] if parameters.structure.pooled else split.covariances
    elif _has_features(parameters):
        covariances = covariances[..., split.rest]
    means, kind, k = split.locate(rows)[:, :, 0], parameters.covariance_type, parameters.n_components
    if split.noise is None:
        return MixtureParameters(weights, means, covariances, kind)
    # Of probability 0 or 1 it would be no component: floats may round it to these.
    noise = split.noise.with_weight(min(max(float(weights[k]), _LEAST_NOISE), 1 - _LEAST_NOISE))
    total = weights[:k].sum()
    weights = weights[:k] / total if total > 0 else parameters.weights / parameters.weights.sum()
    return MixtureParameters(weights * (1 - noise.weight), means, covariances, kind, noise)


def regress(parameters: MixtureParameters, given: Sequence[int], rows: Block) -> tuple[Array, Array]:
    """Predict the other features of rows from some: the conditional mean, and the standard deviation about it.

    Mixture regression: each component's linear regression, weighted by its responsibility for what is given. Noise has
    no part in it: it says no more of a value than that it lies in the box, whose middle may be far from every row.

    Parameters
    ----------
    parameters : MixtureParameters
    given : sequence of int
        Indices of the features that are known, as in :func:`condition`.
    rows : array (g, m)
        Their values, all finite.

    Returns
    -------
    means, deviations : array (r, m)
        Of the other r features in their order.

    Raises
    ------
    ParameterError
        If the indices are not such, or no Gaussian has weight.
    """
    split = Split.of(parameters.without_noise(), given)
    return split.regress(rows, density.responsibilities(split.marginal, rows))


@dataclass(frozen=True, eq=False)
class Split:
    """A mixture's features in two: those whose values are given, and the rest.

    Attributes
    ----------
    marginal : MixtureParameters
        Of the given features.
    given, rest : array (g,), (r,)
        Indices.
    means : array (k, r)
        Of the rest.
    slopes : array (k, r, g) or None
        Of the rest on the given features; None if they are uncorrelated.
    covariances : array (k, r, r) or None
        Of the rest, given values of the others; None if they are uncorrelated.
    variances : array (k, r)
        Their diagonals.
    noise : Noise or None
        Of the rest.
    """

    marginal: MixtureParameters
    given: Indices
    rest: Indices
    means: Array
    slopes: Array | None
    covariances: Array | None
    variances: Array
    noise: Noise | None = None

    @classmethod
    def of(cls, parameters: MixtureParameters, given: Sequence[int]) -> Split:
        """Split the features of a mixture.

        Raises
        ------
        ParameterError
            If an index is not that of a feature, or stands twice, or none or all are given.
        """
        d = parameters.n_features
        known = _read_indices(given, d)
        rest = np.delete(np.arange(d), known)
        if not len(rest):
            raise ParameterError(f"all {d} feature(s) are given; leave at least one out, to say something of")
        slopes = covariances = None
        variances = parameters.deviations[:, rest] ** 2
        if not parameters.structure.axis_aligned:
            slopes, covariances = _factor(parameters, known, rest)
            variances = np.diagonal(covariances, axis1=1, axis2=2)
        some = marginal(parameters, known.tolist())
        noise = None if parameters.noise is None else parameters.noise.of_features(rest)
        return cls(some, known, rest, parameters.means[:, rest], slopes, covariances, variances, noise)

    def locate(self, rows: Block) -> Array:
        """Compute each component's mean of the rest, given rows (g, m) of the others, (k, r, m)."""
        if self.slopes is None:
            return np.broadcast_to(self.means[:, :, None], (*self.means.shape, rows.shape[1]))
        return self.means[:, :, None] + self.slopes @ (rows - self.marginal.means[:, :, None])

    def regress(self, rows: Block, shares: Array) -> tuple[Array, Array]:
        """Predict the rest of rows (g, m) by the Gaussians, given their responsibilities for them, (k, m).

        Returns
        -------
        means, deviations : array (r, m)
        """
        means, deviations = np.empty((2, len(self.rest), rows.shape[1]))
        chunk = max(_CENTRES // self.variances.size, 1)
        for start in range(0, rows.shape[1], chunk):
            part = slice(start, start + chunk)
            centres, share = self.locate(rows[:, part]), shares[:, part]
            means[:, part] = np.einsum("km,krm->rm", share, centres)
            between = np.einsum("km,krm->rm", share, (centres - means[:, part]) ** 2)
            deviations[:, part] = np.sqrt(self.variances.T @ share + between)
        return means, deviations


def _factor(parameters: MixtureParameters, known: Indices, rest: Indices) -> tuple[Array, Array]:
    """Compute slopes (k, r, g) and conditional covariances (k, r, r) of general covariances."""
    g, order = len(known), np.concatenate([known, rest])
    dense = parameters.dense_covariances[:1] if parameters.structure.pooled else parameters.dense_covariances
    # In units of standard deviations, so that features of any scale keep their digits.
    scale = np.sqrt(np.diagonal(dense, axis1=1, axis2=2))  # (k, d), or one row for all
    correlations = (dense / scale[:, :, None] / scale[:, None, :])[:, order[:, None], order]
    try:
        factors = np.asarray(np.linalg.cholesky(correlations), np.float64)
    except np.linalg.LinAlgError:
        factors = np.stack([_factor_definite(one) for one in correlations])
    upper, mixed = np.swapaxes(factors[:, :g, :g], 1, 2), np.swapaxes(factors[:, g:, :g], 1, 2)
    slopes = np.swapaxes(np.linalg.solve(upper, mixed), 1, 2) * scale[:, rest, None] / scale[:, None, known]
    below = factors[:, g:, g:] * scale[:, rest, None]
    covariances = below @ np.swapaxes(below, 1, 2)
    k = parameters.n_components
    return np.broadcast_to(slopes, (k, *slopes.shape[1:])), np.broadcast_to(covariances, (k, *covariances.shape[1:]))


def _factor_definite(correlation: Array) -> Array:
    """Factor a correlation matrix, with axes no shorter than rounding leaves them if rounding has made one negative.

    One that is definite in one order of its features may not be so in another.
    """
    try:
        return np.asarray(np.linalg.cholesky(correlation), np.float64)
    except np.linalg.LinAlgError:
        lengths, axes = np.linalg.eigh(correlation)
        lengths = np.maximum(lengths, 16 * len(lengths) * np.finfo(float).eps * lengths[-1])
        return np.asarray(np.linalg.cholesky((axes * lengths) @ axes.T), np.float64)


def _has_features(parameters: MixtureParameters) -> bool:
    """Tell whether axis-aligned covariances have a variance for each feature."""
    shape = parameters.structure.shape
    return shape(1, 1) != shape(1, 2)


def _read_indices(features: Sequence[int], d: int) -> Indices:
    found = np.asarray(features)
    whole = found.ndim == 1 and found.size > 0 and found.dtype.kind in "iu"
    if not whole or len(set(found.tolist())) < len(found) or found.min() < 0 or found.max() >= d:
        raise ParameterError(f"features {list(features)!r}; need at least one index from 0 to {d - 1}, none twice")
    return found.astype(np.intp)
