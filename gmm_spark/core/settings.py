"""The parameters of a fit, and their defaults.

A default is written here and nowhere else: estimators and jobs read the fields of :class:`Settings`, or ``DEFAULTS``.
"""

from __future__ import annotations

from dataclasses import dataclass

from gmm_spark.core.arrays import Array

# The share of the training rows, by weight, whose log-densities are an anomaly's.
ANOMALY_FRACTION = 0.001


@dataclass(frozen=True, eq=False)
class Rule:
    """How one run of EM steps and stops; ``Rule(max_iter, tol)`` is plain EM without a floor under variances.

    The attributes mean what those of :class:`Settings` mean. The floor (d,) is the least variance along each feature,
    from :func:`gmm_spark.core.mixture.floor.find_floor`. The seed decides where degenerate components are reseeded.
    """

    max_iter: int
    tol: float
    floor: Array | None = None
    accelerate: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Settings:
    """The parameters of a fit; the estimators' parameters of the same names say more about each.

    Attributes
    ----------
    k : int
        Components, >= 1.
    covariance_type : {"full", "tied", "diag", "spherical"}
    max_iter : int
        Passes over the table at most, >= 1.
    tol : float
        EM has converged if a pass changes the mean log-likelihood per row (nats) by less.
    seed : int
        Of every random choice: the same table, partitions and seed give the same bits.
    n_init : int
        Starts, of which the best is kept.
    init_mode : {"k-means++", "k-means||", "kmeans", "random_from_data", "random"}
    reg_covar : float
        Least variance of a component along each feature, as a share of the feature's variance in the table. It is
        raised to what the rounding of the values asks for. 0 for no floor at all.
    variance_floor : tuple of float, optional
        Least variance along each feature, in place of what ``reg_covar`` and the rounding of the values give.
    accelerate : bool
        Try extrapolated steps, and look ahead on the sample.
    sample_rows : int
        Rows of the sample that starts are drawn from and first run on; 0 runs every start on the table.
    weight_kind : {"frequency", "importance"}
        Whether a row's weight counts rows, or says how much the row matters beside the others.
    noise : bool
        Whether there is one more component, of constant density over the table's box.
    """

    k: int = 2
    covariance_type: str = "full"
    max_iter: int = 100
    tol: float = 1e-4
    seed: int = 0
    n_init: int = 10
    init_mode: str = "k-means++"
    reg_covar: float = 1e-6
    variance_floor: tuple[float, ...] | None = None
    accelerate: bool = True
    sample_rows: int = 100_000
    weight_kind: str = "frequency"
    noise: bool = False

    @property
    def rows_to_draw(self) -> int:
        """Rows of the sample to draw. If ``sample_rows`` is 0, starts are still drawn from a sample."""
        return self.sample_rows or DEFAULTS.sample_rows

    def rule(self, floor: Array) -> Rule:
        """Return the rule of a run of EM over the table, with a floor (d,) under the variances."""
        return Rule(self.max_iter, self.tol, floor, self.accelerate, self.seed)


DEFAULTS = Settings()
