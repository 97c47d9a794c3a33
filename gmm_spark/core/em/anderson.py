"""Anderson acceleration: from the last few EM steps of a start to where they are heading.

Near a fixed point EM is almost linear, and slow where components overlap. Anderson's method takes the
combination of past steps whose residuals nearly cancel (Walker & Ni 2011; for EM: Henderson & Varadhan 2019).
It knows nothing of likelihoods: :class:`~gmm_spark.core.em.ascent.Ascent` tries a proposal and goes on from it only
where the likelihood does not fall. The steps may be plain, or those of :mod:`gmm_spark.core.em.lookahead`.

Steps are combined in free coordinates, in which every point is a mixture: log weights, means, and of each
covariance the Cholesky factor with the logarithm of its diagonal (half the log variances where axis-aligned).
"""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import GmmSparkError

# Steps that are combined. More catch slower directions, and are less of one linear map.
_MEMORY = 12
# Singular values of the residuals' differences below this share of the largest say nothing.
_RCOND = 1e-7


class Anderson:
    """Past steps of one start, each a point and its image under EM."""

    def __init__(self) -> None:
        self._points: list[Array] = []
        self._images: list[Array] = []

    def add(self, point: MixtureParameters, image: MixtureParameters) -> None:
        """Remember that EM leads from a point to its image; one with a starved component is passed over."""
        if image.weights.min() > 0 and point.weights.min() > 0:
            self._points = [*self._points[-_MEMORY:], to_free(point)]
            self._images = [*self._images[-_MEMORY:], to_free(image)]

    def forget(self) -> None:
        """Start anew with the latest step: what came before has misled."""
        self._points, self._images = self._points[-1:], self._images[-1:]

    def propose(self, image: MixtureParameters) -> MixtureParameters | None:
        """Where the steps lead, measured where the latest ended; None where they do not say.

        Nor do they where they lead back, against the latest step: near a saddle, which EM leaves by steps that grow,
        they tell where the saddle is.

        Parameters
        ----------
        image : MixtureParameters
            Where the latest step ended; it gives the units and the structure.
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
    """Lay a mixture of positive weights out in free coordinates."""
    covariances = parameters.covariances
    if parameters.structure.axis_aligned:
        shape = 0.5 * np.log(covariances)
    else:
        # From the factor that the mixture has: to factor anew might fail where a covariance is barely definite.
        shape = np.array(np.swapaxes(np.linalg.inv(parameters.precisions_cholesky), -1, -2))
        diagonal = np.arange(parameters.n_features)
        shape[..., diagonal, diagonal] = np.log(shape[..., diagonal, diagonal])
    return np.concatenate([np.log(parameters.weights), parameters.means.ravel(), shape.ravel()])


def from_free(free: Array, like: MixtureParameters) -> MixtureParameters:
    """Read what :func:`to_free` laid out, of the structure and size of another mixture.

    Raises
    ------
    ParameterError
        Where a coordinate is so large that no mixture of floats has it.
    """
    k, d = like.means.shape
    weights = np.exp(free[:k] - free[:k].max())
    means = free[k : k + k * d].reshape(k, d)
    shape = free[k + k * d :].reshape(like.covariances.shape)
    if like.structure.axis_aligned:
        covariances = np.exp(2 * shape)
    else:
        diagonal = np.arange(d)
        lower = shape.copy()
        lower[..., diagonal, diagonal] = np.exp(lower[..., diagonal, diagonal])
        covariances = lower @ np.swapaxes(lower, -1, -2)
    return MixtureParameters(weights / weights.sum(), means, covariances, like.covariance_type)


def metric(parameters: MixtureParameters) -> Array:
    """What a free coordinate is to be multiplied by so that differences count alike.

    Means in deviations of their component, factors in those of their rows, all by the root of the weight: about
    how much the likelihood feels them.
    """
    k, d = parameters.means.shape
    root = np.sqrt(parameters.weights)
    deviations = np.sqrt(np.diagonal(parameters.dense_covariances, axis1=1, axis2=2))
    covariances = parameters.covariances
    if parameters.structure.axis_aligned and parameters.structure.pooled:
        shape = np.ones_like(covariances)
    elif parameters.structure.axis_aligned:
        shape = np.broadcast_to(root.reshape(k, *[1] * (covariances.ndim - 1)), covariances.shape)
    else:
        rows = np.broadcast_to(1 / np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))[..., None], covariances.shape)
        shape = np.array(rows if parameters.structure.pooled else rows * root[:, None, None])
        shape[..., np.arange(d), np.arange(d)] = 1.0 if parameters.structure.pooled else root[:, None]
    return np.concatenate([root, (root[:, None] / deviations).ravel(), shape.ravel()])
