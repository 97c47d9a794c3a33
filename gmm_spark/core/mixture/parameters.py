"""The parameters of a Gaussian mixture, which check themselves; and means to start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.covariance import CovarianceStructure, structure
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.errors import DegenerateComponentError, ParameterError

_WEIGHT_SUM_TOLERANCE = 1e-6
_SYMMETRY_TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False, init=False)
class MixtureParameters:
    """Weights, means and covariances of k Gaussians in d dimensions, and perhaps noise beside them.

    Noise is the last component wherever components are numbered: it is component k.

    Parameters
    ----------
    weights : array (k,)
        Mixing weights of the Gaussians, non-negative. They sum to 1, or with noise to what its weight leaves.
    means : array (k, d)
    covariances : array
        In the shape of the structure: full (k, d, d), tied (d, d), diag (k, d), spherical (k,).
    covariance_type : {"full", "tied", "diag", "spherical"}
    noise : Noise, optional
        One more component, of constant density.

    Raises
    ------
    ParameterError
        If a shape, a weight or a covariance cannot be that of a mixture.

    Examples
    --------
    >>> p = MixtureParameters([0.25, 0.75], [[0.0], [4.0]], [1.0, 2.0], "spherical")
    >>> p.n_components, p.n_features, p.n_parameters
    (2, 1, 5)
    """

    weights: Array
    means: Array
    covariances: Array
    covariance_type: str = "full"
    noise: Noise | None = None

    def __init__(
        self,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        covariance_type: str = "full",
        noise: Noise | None = None,
    ) -> None:
        kind = structure(covariance_type)
        object.__setattr__(self, "covariance_type", covariance_type)
        object.__setattr__(self, "weights", _to_floats("weights", weights, 1))
        object.__setattr__(self, "means", _to_floats("means", means, 2))
        k, d = self.means.shape
        shape = kind.shape(k, d)
        object.__setattr__(self, "covariances", _to_floats("covariances", covariances, len(shape)))
        object.__setattr__(self, "noise", noise)
        _require_weights(self.weights, k, d, 0.0 if noise is None else noise.weight)
        if noise is not None and len(noise.low) != d:
            raise ParameterError(f"noise has a box of {len(noise.low)} feature(s) and means of {d}; need the same")
        if self.covariances.shape != shape:
            raise ParameterError(f"{covariance_type} covariances have shape {self.covariances.shape}; need {shape}")
        if not kind.axis_aligned:
            _require_symmetric(f"{covariance_type} covariances", self.covariances)
        try:
            _ = self.precisions_cholesky
        except DegenerateComponentError as error:
            raise ParameterError(f"covariances: {error}") from error

    @property
    def structure(self) -> CovarianceStructure:
        """The covariance structure of this name."""
        return structure(self.covariance_type)

    @property
    def n_components(self) -> int:
        """Number of Gaussians, k."""
        return int(self.means.shape[0])

    @property
    def n_classes(self) -> int:
        """Number of answers that a row can get: k, and one more if there is noise, which is the last."""
        return self.n_components + (self.noise is not None)

    @property
    def class_weights(self) -> Array:
        """Mixing weights of all components, noise last, (k,) or (k + 1,); they sum to 1."""
        return self.weights if self.noise is None else np.append(self.weights, self.noise.weight)

    @property
    def n_features(self) -> int:
        """Number of features, d."""
        return int(self.means.shape[1])

    @property
    def n_parameters(self) -> int:
        """Count of free parameters."""
        return count_parameters(self.covariance_type, self.n_components, self.n_features, self.noise is not None)

    @cached_property
    def precisions_cholesky(self) -> Array:
        """Upper factors U of the precisions, U U^T = inverse covariance, in the structure's shape."""
        return self.structure.precisions_cholesky(self.covariances)

    @cached_property
    def component_cholesky(self) -> Array:
        """Precision factor of each component: (k, d) if axis-aligned, else (k, d, d)."""
        return self.structure.expand_cholesky(self.precisions_cholesky, *self.means.shape)

    @cached_property
    def log_normalisers(self) -> Array:
        """Log of weight times normalising constant of each component's density, (k,)."""
        return compute_log_normalisers(self.weights, self.component_cholesky)

    @property
    def deviations(self) -> Array:
        """Standard deviation of each component along each feature, (k, d)."""
        if self.structure.axis_aligned:
            return 1 / self.component_cholesky
        return np.sqrt(np.diagonal(self.dense_covariances, axis1=1, axis2=2))

    @property
    def dense_covariances(self) -> Array:
        """Covariances written out as (k, d, d) matrices; d may be too large for that if they are axis-aligned."""
        return self.structure.dense(self.covariances, *self.means.shape)

    def moments(self) -> tuple[Array, Array]:
        """Compute the mean (d,) and the variance of each feature, (d,), of the Gaussians together, without noise."""
        weights = self.weights if self.noise is None else self.weights / self.weights.sum()
        mean = weights @ self.means
        return mean, weights @ (self.deviations**2 + (self.means - mean) ** 2)

    def without_noise(self) -> MixtureParameters:
        """Return the mixture of the Gaussians alone, with weights that sum to 1; itself if there is no noise.

        Raises
        ------
        ParameterError
            If no Gaussian has weight.
        """
        if self.noise is None:
            return self
        total = self.weights.sum()
        if not total > 0:
            raise ParameterError("no Gaussian has weight: noise is the whole mixture")
        return MixtureParameters(self.weights / total, self.means, self.covariances, self.covariance_type)

    def with_noise(self, noise: Noise | None) -> MixtureParameters:
        """Return the mixture with such noise in place of its own, or with none; the Gaussians share what it leaves."""
        alone = self.without_noise()
        if noise is None:
            return alone
        weights = alone.weights * (1.0 - noise.weight)
        return MixtureParameters(weights, self.means, self.covariances, self.covariance_type, noise)

    def shifted(self, offset: Array) -> MixtureParameters:
        """Return the mixture with every mean, and the box of noise, moved by ``offset`` (d,)."""
        noise = None if self.noise is None else self.noise.shifted(offset)
        return MixtureParameters(self.weights, self.means + offset, self.covariances, self.covariance_type, noise)

    def reordered(self, order: Sequence[int]) -> MixtureParameters:
        """Return the mixture with its features in another order, (d,)."""
        noise = None if self.noise is None else self.noise.of_features(order)
        if self.structure.axis_aligned:
            covariances = self.covariances if self.covariances.ndim == 1 else self.covariances[:, order]
        else:
            covariances = self.covariances[..., order, :][..., :, order]
        return MixtureParameters(self.weights, self.means[:, order], covariances, self.covariance_type, noise)

    def bounded(self, floor: Array) -> MixtureParameters:
        """Return the mixture with covariances raised to a floor (d,) if they are below it, else the mixture itself."""
        covariances = self.structure.bound(self.covariances, floor)
        if np.array_equal(covariances, self.covariances):
            return self
        return MixtureParameters(self.weights, self.means, covariances, self.covariance_type, self.noise)

    def to_dict(self) -> dict[str, Any]:
        """Write as plain lists and strings, ready for JSON; floats survive the round trip exactly."""
        found = {
            "covariance_type": self.covariance_type,
            "weights": self.weights.tolist(),
            "means": self.means.tolist(),
            "covariances": self.covariances.tolist(),
        }
        return found if self.noise is None else found | {"noise": self.noise.to_dict()}

    @classmethod
    def from_precisions(
        cls, weights: ArrayLike, means: ArrayLike, precisions: ArrayLike, covariance_type: str = "full"
    ) -> MixtureParameters:
        """Make parameters from precisions, the inverses of the covariances, like scikit-learn's ``precisions_init``.

        Parameters
        ----------
        weights : array (k,)
        means : array (k, d)
        precisions : array
            In the shape of the structure: full (k, d, d), tied (d, d), diag (k, d), spherical (k,).
        covariance_type : {"full", "tied", "diag", "spherical"}

        Raises
        ------
        ParameterError
            If a shape is not the structure's, or a precision is not symmetric and positive definite.

        Examples
        --------
        >>> MixtureParameters.from_precisions([0.5, 0.5], [[0.0], [4.0]], [[1.0], [0.25]], "diag").covariances
        array([[1.],
               [4.]])
        """
        kind = structure(covariance_type)
        means = _to_floats("means", means, 2)
        shape = kind.shape(*means.shape)
        inverse = _to_floats("precisions", precisions, len(shape))
        if inverse.shape != shape:
            raise ParameterError(f"{covariance_type} precisions have shape {inverse.shape}; need {shape}")
        smallest: Array = inverse
        largest: Array = inverse
        if not kind.axis_aligned:
            _require_symmetric(f"{covariance_type} precisions", inverse)
            lengths = np.asarray(np.linalg.eigvalsh(inverse), dtype=np.float64)
            smallest, largest = lengths[..., 0], lengths[..., -1]
        indefinite = ~(smallest > np.finfo(float).eps * np.abs(largest))
        if indefinite.any():
            which = f"the {covariance_type} precision" if kind.pooled else f"component {np.argwhere(indefinite)[0][0]}"
            raise ParameterError(
                f"precisions: {which} is not positive definite, {smallest[indefinite].flat[0]:.3g} along one "
                "direction; need more than 0 in all"
            )
        if kind.axis_aligned:
            return cls(weights, means, 1.0 / inverse, covariance_type)
        covariances = np.linalg.inv(inverse)
        return cls(weights, means, (covariances + np.swapaxes(covariances, -1, -2)) / 2, covariance_type)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MixtureParameters:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        ParameterError
            If a key is missing or unknown, or a value cannot be that of a mixture.
        """
        needed = {"weights", "means", "covariances"}
        missing, unknown = needed - set(values), set(values) - needed - {"covariance_type", "noise"}
        if missing or unknown:
            raise ParameterError(
                f"parameters lack {sorted(missing)} and have unknown keys {sorted(unknown)}; "
                "need weights, means, covariances and, unless full, covariance_type; noise is optional"
            )
        noise = values.get("noise")
        return cls(**{**values, "noise": None if noise is None else Noise.from_dict(noise)})


@dataclass(frozen=True, eq=False, init=False)
class InitialMeans:
    """Means and weights to start from. The covariances will be the table's variances.

    Parameters
    ----------
    means : array (k, d)
    weights : array (k,), optional
        Equal by default.

    Raises
    ------
    ParameterError
        If a shape or a weight cannot be that of a mixture.
    """

    means: Array
    weights: Array

    def __init__(self, means: ArrayLike, weights: ArrayLike | None = None) -> None:
        object.__setattr__(self, "means", _to_floats("means", means, 2))
        k = self.n_components
        equal = np.full(k, 1.0 / max(k, 1))
        object.__setattr__(self, "weights", _to_floats("weights", equal if weights is None else weights, 1))
        _require_weights(self.weights, *self.means.shape)

    @property
    def n_components(self) -> int:
        """Number of components, k."""
        return int(self.means.shape[0])

    @property
    def n_features(self) -> int:
        """Number of features, d."""
        return int(self.means.shape[1])


def compute_log_normalisers(weights: Array, factors: Array) -> Array:
    """Compute log of weight times normalising constant of each component, (k,).

    Parameters
    ----------
    weights : array (k,)
    factors : array (k, d) or (k, d, d)
        Of the precisions.
    """
    diagonals = factors if factors.ndim == 2 else np.diagonal(factors, axis1=1, axis2=2)
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    return np.asarray(log_weights + np.log(diagonals).sum(axis=1) - 0.5 * factors.shape[1] * np.log(2 * np.pi))


def count_parameters(covariance_type: str, k: int, d: int, noise: bool = False) -> int:
    """Count the free parameters: weights (k - 1, or k with noise), means (k d), covariances (by structure)."""
    return int(k - 1 + noise + k * d + structure(covariance_type).n_parameters(k, d))


def _to_floats(name: str, values: ArrayLike, n_dimensions: int) -> Array:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name} is not a rectangular array of numbers: {error}") from error
    if array.ndim != n_dimensions or not np.isfinite(array).all():
        raise ParameterError(f"{name} has shape {array.shape}; need {n_dimensions} dimension(s), all values finite")
    array.setflags(write=False)
    return array


def _require_weights(weights: Array, k: int, d: int, noise: float = 0.0) -> None:
    if weights.shape != (k,) or k < 1 or d < 1:
        raise ParameterError(f"weights has shape {weights.shape} and means {(k, d)}; need (k,) and (k, d)")
    if weights.min() < 0 or abs(weights.sum() + noise - 1) > _WEIGHT_SUM_TOLERANCE:
        beside = f" beside noise of {noise:.6g}" if noise else ""
        needed = f"need values >= 0 that sum to {1 - noise:.6g}"
        raise ParameterError(f"weights sum to {weights.sum():.6g}{beside}; {needed}")


def _require_symmetric(name: str, matrices: Array) -> None:
    skew = np.abs(matrices - np.swapaxes(matrices, -1, -2)).max()
    if skew > _SYMMETRY_TOLERANCE * np.abs(matrices).max():
        raise ParameterError(f"{name} differ from their transposes by {skew:.3g}")
