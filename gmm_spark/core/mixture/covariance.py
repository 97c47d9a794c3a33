"""The covariance structures: what EM asks of one, and the registry of those there are.

To add a structure, write its class in :mod:`gmm_spark.core.mixture.structures` and add it to ``STRUCTURES``.
No other module of core, spark or ml knows a structure by its name.

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

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.quadratic import QuadraticForm
from gmm_spark.core.mixture.structures.diag import Diag
from gmm_spark.core.mixture.structures.full import Full
from gmm_spark.core.mixture.structures.spherical import Spherical
from gmm_spark.core.mixture.structures.tied import Tied
from gmm_spark.errors import ParameterError


class CovarianceStructure(Protocol):
    """What EM asks of a covariance structure; ``k`` components, ``d`` features throughout.

    Two base classes answer what structures have in common:
    :class:`~gmm_spark.core.mixture.structures.axis_aligned.AxisAligned` for diagonal matrices,
    :class:`~gmm_spark.core.mixture.structures.general.General` for matrices with correlations.
    """

    name: str
    """What users write."""
    axis_aligned: bool
    """True if covariances are diagonal. A component's factor is then (d,), else (d, d)."""
    pooled: bool
    """True if one covariance serves all components; it then has no axis of components."""
    shares_scatter: bool
    """True if the components' quadratic terms are one, and their second moment is the scatter of all rows.

    Kernels then evaluate the term once and sum the scatter once, in place of once for each component. Only for matrices
    with correlations.
    """
    fits_constant_features: bool
    """True if a covariance stays positive definite when a feature is constant."""

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        """Shape of the covariances, and of the second moments they are estimated from."""
        ...

    def n_parameters(self, k: int, d: int) -> int:
        """Count the free covariance parameters."""
        ...

    def precisions_cholesky(self, covariances: Array) -> Array:
        """Factor the precisions; raises DegenerateComponentError if one is not positive definite."""
        ...

    def expand_cholesky(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        """Give every component its own factor: (k, d) if axis-aligned, else (k, d, d)."""
        ...

    def dense(self, covariances: Array, k: int, d: int) -> Array:
        """Write the covariances out as (k, d, d) matrices."""
        ...

    def project(self, second: Array) -> Array:
        """Reduce second moments of each component, (k, d) if axis-aligned, else (k, d, d), to the stored shape."""
        ...

    def quadratic_form(self, means: Array, factors: Array, deviations: Array) -> QuadraticForm:
        """Write log-densities as linear functions of the quadratic features.

        Parameters
        ----------
        means : array (k, d)
        factors : array
            Of the precisions, as :meth:`expand_cholesky` returns them.
        deviations : array (k, d)
            Standard deviations of each component along each feature.
        """
        ...

    def second_moments(self, sums: Array, scale: Array) -> Array:
        """Turn what a pass summed into second moments of ``shape(k, d)``.

        Parameters
        ----------
        sums : array
            Responsibilities times the q products of features that :meth:`quadratic_form` has coefficients for, (k, q),
            of rows divided by ``scale``. If ``shares_scatter``, the scatter of all rows instead, (d, d).
        scale : array (d,)
        """
        ...

    def estimate(self, second: Array, resp_sum: Array, offsets: Array) -> Array:
        """M step of the covariances.

        Parameters
        ----------
        second : array of ``shape(k, d)``
            Weighted second moments about the reference points.
        resp_sum : array (k,)
            Summed responsibilities, all positive; if ``pooled``, 0 for a starved component.
        offsets : array (k, d)
            New means minus the reference points.
        """
        ...

    def bound(self, covariances: Array, floor: Array) -> Array:
        """Raise covariances to a floor: of all that are at least ``diag(floor)``, those of the largest likelihood.

        Covariances that exceed the floor already are returned unchanged.

        Parameters
        ----------
        covariances : array of ``shape(k, d)``
            From :meth:`estimate`.
        floor : array (d,)
            Least variance along each feature; all positive, or all 0 for no floor. If covariances have no axis of
            features, their least variance is the largest of these.
        """
        ...

    def initial_covariances(self, variance: Array, k: int) -> Array:
        """Give every component the table's variances (d,), all positive: what a start without its own begins with."""
        ...


STRUCTURES: dict[str, CovarianceStructure] = {s.name: s for s in (Full(), Tied(), Diag(), Spherical())}


def structure(name: str) -> CovarianceStructure:
    """Look a structure up by the name that users write.

    Raises
    ------
    ParameterError
        If the name is not in the registry.
    """
    if name not in STRUCTURES:
        raise ParameterError(f"covarianceType={name!r}; use one of {', '.join(STRUCTURES)}")
    return STRUCTURES[name]
