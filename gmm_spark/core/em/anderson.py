"""Anderson acceleration: extrapolate the last few EM steps of a run.

Near a fixed point EM is almost linear, and slow if components overlap. Anderson's method takes the combination of past
steps whose residuals nearly cancel (Walker & Ni 2011; for EM: Henderson & Varadhan 2019). It does not look at the
likelihood: :class:`~gmm_spark.core.em.ascent.Ascent` accepts a proposal only if the likelihood does not fall. The steps
may be plain, or those of :mod:`gmm_spark.core.em.lookahead`.

Steps are combined in free coordinates, in which every point is a mixture: log weights, that of noise with them, means,
and the Cholesky factor of each covariance with the logarithm of its diagonal (half the log variances if axis-aligned).
"""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.noise import share_weight
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import GmmSparkError

# Steps that are combined. More steps capture slower directions, but fit one linear map less well.
_MEMORY = 12
# Singular values of the residuals' differences below this share of the largest are rounding.
_RCOND = 1e-7


class Anderson:
    """Past steps of one run, each a point and its image under EM."""

    def __init__(self) -> None:
        self._points: list[Array] = []
        self._images: list[Array] = []

    def add(self, point: MixtureParameters, image: MixtureParameters) -> None:
        """Remember that EM leads from a point to its image; a step with a starved component is skipped."""
        if image.weights.min() > 0 and point.weights.min() > 0:
            self._points = [*self._points[-_MEMORY:], to_free(point)]
            self._images = [*self._images[-_MEMORY:], to_free(image)]

    def forget(self) -> None:
        """Keep only the latest step, because the others have led to a lower likelihood."""
        self._points, self._images = self._points[-1:], self._images[-1:]

    def propose(self, image: MixtureParameters) -> MixtureParameters | None:
        """Extrapolate the steps; None if fewer than two are known or the result is no mixture.

        Also None if the proposal opposes the latest step, as near a saddle: EM leaves it by steps that grow, and the
        extrapolation leads back to it.

        Parameters
        ----------
        image : MixtureParameters
            Where the latest step ended. It sets the scale of each coordinate, and the structure.
        """
        if len(self._points) < 2:
            return None
        points, images = np.stack(self._points), np.stack(self._images)
        residuals = (images - points) * metric(image)
        differences = np.diff(residuals, axis=0)
        step = np.linalg.lstsq(differences.T, residuals[-1], rcond=_RCOND)[0]
        proposed = images[-1] - step @ np.diff(images, axis=0)
        if not np.isfinite(proposed).all() or not (proposed - points[-1]) * metric(image) @ residuals[-1] > 0:
            return None
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                return from_free(proposed, image)
        except GmmSparkError:
            return None  # so far away that rounding makes a covariance singular


def to_free(parameters: MixtureParameters) -> Array:
    """Write a mixture of positive weights in free coordinates."""
    covariances = parameters.covariances
    if parameters.structure.axis_aligned:
        shape = 0.5 * np.log(covariances)
    else:
        # From the factor that the mixture has: factoring again may fail if a covariance is barely definite.
        shape = np.array(np.swapaxes(np.linalg.inv(parameters.precisions_cholesky), -1, -2))
        diagonal = np.arange(parameters.n_features)
        shape[..., diagonal, diagonal] = np.log(shape[..., diagonal, diagonal])
    return np.concatenate([np.log(parameters.class_weights), parameters.means.ravel(), shape.ravel()])


def from_free(free: Array, like: MixtureParameters) -> MixtureParameters:
    """Invert :func:`to_free`, for the structure and size of another mixture.

    Raises
    ------
    ParameterError
        If a coordinate is so large that no mixture of floats has it.
    """
    (k, d), n = like.means.shape, like.n_classes
    weights = np.exp(free[:n] - free[:n].max())
    means = free[n : n + k * d].reshape(k, d)
    shape = free[n + k * d :].reshape(like.covariances.shape)
    if like.structure.axis_aligned:
        covariances = np.exp(2 * shape)
    else:
        diagonal = np.arange(d)
        lower = shape.copy()
        lower[..., diagonal, diagonal] = np.exp(lower[..., diagonal, diagonal])
        covariances = lower @ np.swapaxes(lower, -1, -2)
    weights, noise = share_weight(weights[:k], float(weights[k:].sum()), like.noise)
    return MixtureParameters(weights, means, covariances, like.covariance_type, noise)


def metric(parameters: MixtureParameters) -> Array:
    """Scale of each free coordinate, as an array to multiply by, that makes differences comparable.

    Means are measured in deviations of their component, factors in deviations of their rows, and both are multiplied by
    the root of the weight: about how much a difference changes the likelihood.
    """
    k, d = parameters.means.shape
    root = np.sqrt(parameters.weights)
    covariances = parameters.covariances
    if parameters.structure.axis_aligned and parameters.structure.pooled:
        shape = np.ones_like(covariances)
    elif parameters.structure.axis_aligned:
        shape = np.broadcast_to(root.reshape(k, *[1] * (covariances.ndim - 1)), covariances.shape)
    else:
        rows = np.broadcast_to(1 / np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))[..., None], covariances.shape)
        shape = np.array(rows if parameters.structure.pooled else rows * root[:, None, None])
        shape[..., np.arange(d), np.arange(d)] = 1.0 if parameters.structure.pooled else root[:, None]
    roots = np.sqrt(parameters.class_weights)
    return np.concatenate([roots, (root[:, None] / parameters.deviations).ravel(), shape.ravel()])
