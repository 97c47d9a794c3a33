"""The covariance structures: what each constrains, and what it needs from the data.

A structure says three things: how its covariances are stored and checked, how a log-density is
written as a linear function of the quadratic features (the coefficients that the E step
multiplies), and how the M step turns second moments back into covariances. Features are ordered
``[1, z | z^2 | z_i z_j (i < j)]`` so that each structure needs a prefix of them: tied the first
``1 + d``, diag and spherical the first ``1 + 2 d``, full all of them.

Shapes, with k components and d features:

========== =============== ============================== =======================
structure  covariances     precisions_cholesky            second moments
========== =============== ============================== =======================
full       (k, d, d)       (k, d, d), upper, U U^T = P    (k, d, d)
tied       (d, d)          (d, d), upper                  (d, d), over components
diag       (k, d)          (k, d), 1 / standard deviation (k, d)
spherical  (k,)            (k,)                           (k,), over features
========== =============== ============================== =======================
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri

from gmm_spark.core.arrays import Array
from gmm_spark.errors import DegenerateComponentError, ParameterError


class CovarianceStructure(Protocol):
    """What EM asks of a covariance structure; ``k`` components, ``d`` features throughout."""

    name: str
    axis_aligned: bool
    """True where precisions are diagonal, so that no cross products are needed."""
    pooled: bool
    """True where one covariance serves all components."""

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        """Shape of the covariances, and of the second moments they are estimated from."""
        ...

    def n_parameters(self, k: int, d: int) -> int:
        """Count the free covariance parameters."""
        ...

    def precisions_cholesky(self, covariances: Array) -> Array:
        """Factor the precisions; raises DegenerateComponentError where one is not positive definite."""
        ...

    def expand_cholesky(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        """Give every component its own factor: (k, d) where axis-aligned, else (k, d, d)."""
        ...

    def dense(self, covariances: Array, k: int, d: int) -> Array:
        """Write the covariances out as (k, d, d) matrices."""
        ...

    def project(self, second: Array) -> Array:
        """Reduce per-component moments, (k, d) where axis-aligned, else (k, d, d), to the stored shape."""
        ...

    def estimate(self, second: Array, resp_sum: Array, offsets: Array, floor: Array) -> Array:
        """M step of the covariances.

        Parameters
        ----------
        second : array of ``shape(k, d)``
            Weighted second moments about the reference points.
        resp_sum : array (k,)
            Summed responsibilities, all positive.
        offsets : array (k, d)
            New means minus the reference points.
        floor : array (d,)
            Variance that regularisation adds to each feature.
        """
        ...


class Full:
    """Each component has its own general covariance matrix (Bishop 2006, eq. 9.25)."""

    name = "full"
    axis_aligned = False
    pooled = False

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k, d, d)

    def n_parameters(self, k: int, d: int) -> int:
        return k * d * (d + 1) // 2

    def precisions_cholesky(self, covariances: Array) -> Array:
        return np.stack([_upper_precision_factor(c, f"component {j}") for j, c in enumerate(covariances)])

    def expand_cholesky(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        return precisions_cholesky

    def dense(self, covariances: Array, k: int, d: int) -> Array:
        return covariances

    def project(self, second: Array) -> Array:
        return second

    def estimate(self, second: Array, resp_sum: Array, offsets: Array, floor: Array) -> Array:
        covariances = second / resp_sum[:, None, None] - offsets[:, :, None] * offsets[:, None, :]
        return covariances + np.diag(floor)


class Tied:
    """All components share one general covariance matrix."""

    name = "tied"
    axis_aligned = False
    pooled = True

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (d, d)

    def n_parameters(self, k: int, d: int) -> int:
        return d * (d + 1) // 2

    def precisions_cholesky(self, covariances: Array) -> Array:
        return _upper_precision_factor(covariances, "the tied covariance")

    def expand_cholesky(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        return np.broadcast_to(precisions_cholesky, (k, d, d))

    def dense(self, covariances: Array, k: int, d: int) -> Array:
        return np.broadcast_to(covariances, (k, d, d))

    def project(self, second: Array) -> Array:
        return np.asarray(second.sum(axis=0))

    def estimate(self, second: Array, resp_sum: Array, offsets: Array, floor: Array) -> Array:
        between = (offsets * resp_sum[:, None]).T @ offsets
        covariance = (second - between) / resp_sum.sum()
        return np.asarray((covariance + covariance.T) / 2 + np.diag(floor))


class Diag:
    """Each component has its own diagonal covariance matrix."""

    name = "diag"
    axis_aligned = True
    pooled = False

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k, d)

    def n_parameters(self, k: int, d: int) -> int:
        return k * d

    def precisions_cholesky(self, covariances: Array) -> Array:
        return _inverse_deviation(covariances)

    def expand_cholesky(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        return precisions_cholesky

    def dense(self, covariances: Array, k: int, d: int) -> Array:
        return np.asarray(covariances[:, :, None] * np.eye(d))

    def project(self, second: Array) -> Array:
        return second

    def estimate(self, second: Array, resp_sum: Array, offsets: Array, floor: Array) -> Array:
        return second / resp_sum[:, None] - offsets**2 + floor


class Spherical:
    """Each component has one variance, the same along every feature."""

    name = "spherical"
    axis_aligned = True
    pooled = False

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k,)

    def n_parameters(self, k: int, d: int) -> int:
        return k

    def precisions_cholesky(self, covariances: Array) -> Array:
        return _inverse_deviation(covariances)

    def expand_cholesky(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        return np.broadcast_to(precisions_cholesky[:, None], (k, d))

    def dense(self, covariances: Array, k: int, d: int) -> Array:
        return np.asarray(covariances[:, None, None] * np.eye(d))

    def project(self, second: Array) -> Array:
        return np.asarray(second.sum(axis=1))

    def estimate(self, second: Array, resp_sum: Array, offsets: Array, floor: Array) -> Array:
        d = offsets.shape[1]
        return np.asarray((second / resp_sum - (offsets**2).sum(axis=1)) / d + floor.mean())


STRUCTURES: dict[str, CovarianceStructure] = {s.name: s for s in (Full(), Tied(), Diag(), Spherical())}


def structure(name: str) -> CovarianceStructure:
    """Look a structure up by the name that users write.

    Raises
    ------
    ParameterError
        Where the name is none of full, tied, diag, spherical.
    """
    if name not in STRUCTURES:
        raise ParameterError(f"covarianceType={name!r}; use one of {', '.join(STRUCTURES)}")
    return STRUCTURES[name]


def _upper_precision_factor(covariance: Array, owner: str) -> Array:
    # LAPACK without scipy's checks: for small matrices these take most of the time.
    lower, failed = dpotrf(covariance, lower=1, clean=1)
    # A covariance that rounding alone makes definite factors without complaint; its factor is noise.
    if failed or not np.all(lower.diagonal() ** 2 > np.finfo(float).eps * covariance.diagonal()):
        raise DegenerateComponentError(
            f"{owner} collapsed: its covariance is not positive definite; "
            "raise regCovar, lower k, or drop constant and duplicate features"
        )
    inverse, _ = dtrtri(lower, lower=1)
    upper: Array = inverse.T
    return upper


def _inverse_deviation(variances: Array) -> Array:
    collapsed = ~(variances > np.finfo(float).tiny) | ~np.isfinite(variances)
    if collapsed.any():
        component = int(np.argwhere(collapsed)[0][0])
        raise DegenerateComponentError(
            f"component {component} collapsed: it has a variance of {variances[collapsed].flat[0]:.3g}; "
            "raise regCovar, lower k, or drop constant features"
        )
    return 1.0 / np.sqrt(variances)
