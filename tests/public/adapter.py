"""scikit-learn's interface of a mixture over the core, so that cases of its public tests can be put to ours.

Rows are (n, d), as scikit-learn has them. No Spark: a fit takes milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.mixture import criteria, density
from gmm_spark.core.mixture.parameters import InitialMeans, MixtureParameters
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk
from gmm_spark.core.search.single import polish, search
from gmm_spark.core.search.starts import under_table_variance
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable


@dataclass
class Mixture:
    """A mixture to fit, with scikit-learn's names; defaults are this package's.

    ``means_init`` alone starts under the table's variances. With ``warm_start`` a fit goes on from the one before.
    """

    n_components: int = Settings.k
    covariance_type: str = Settings.covariance_type
    tol: float = Settings.tol
    reg_covar: float = Settings.reg_covar
    max_iter: int = Settings.max_iter
    n_init: int = Settings.n_init
    init_params: str = Settings.init_mode
    random_state: int = Settings.seed
    accelerate: bool = Settings.accelerate
    weights_init: ArrayLike | None = None
    means_init: ArrayLike | None = None
    precisions_init: ArrayLike | None = None
    warm_start: bool = False
    precision: str = "float64"
    result: EMResult = field(init=False, repr=False)
    parameters: MixtureParameters = field(init=False, repr=False)

    def fit(self, rows: ArrayLike, sample_weight: ArrayLike | None = None) -> Mixture:
        block = np.ascontiguousarray(np.asarray(rows).T)
        weight = None if sample_weight is None else np.asarray(sample_weight, float)
        table = ArrayTable(block, weight, precision=self.precision)
        start = self._start(table)
        if start is None:
            self.result = search(table, (block, weight), self._settings())
        else:
            self.result = polish(table, (block, weight), start.shifted(-table.moments.mean), self._settings())
        self.parameters = self.result.parameters.shifted(table.moments.mean)
        return self

    def _settings(self) -> Settings:
        return Settings(
            k=self.n_components,
            covariance_type=self.covariance_type,
            max_iter=self.max_iter,
            tol=self.tol,
            seed=self.random_state,
            n_init=self.n_init,
            init_mode=self.init_params,
            reg_covar=self.reg_covar,
            accelerate=self.accelerate,
        )

    def _start(self, table: ArrayTable) -> MixtureParameters | None:
        if self.warm_start and hasattr(self, "parameters"):
            return self.parameters
        if self.means_init is None:
            return None
        means = InitialMeans(self.means_init, self.weights_init)
        if self.precisions_init is None:
            return under_table_variance(means.means, table.moments.variance, self.covariance_type, means.weights)
        return MixtureParameters.from_precisions(means.weights, means.means, self.precisions_init, self.covariance_type)

    @property
    def weights_(self) -> np.ndarray:
        return self.parameters.weights

    @property
    def means_(self) -> np.ndarray:
        return self.parameters.means

    @property
    def covariances_(self) -> np.ndarray:
        return self.parameters.covariances

    @property
    def precisions_cholesky_(self) -> np.ndarray:
        return self.parameters.precisions_cholesky

    @property
    def precisions_(self) -> np.ndarray:
        factors = self.precisions_cholesky_
        if self.parameters.structure.axis_aligned:
            return factors**2
        return factors @ np.swapaxes(factors, -1, -2)

    @property
    def converged_(self) -> bool:
        return self.result.converged

    @property
    def n_iter_(self) -> int:
        return len(self.result.history)

    @property
    def lower_bounds_(self) -> list[float]:
        return [record.lower_bound for record in self.result.history]

    @property
    def n_parameters(self) -> int:
        return self.parameters.n_parameters

    def score_samples(self, rows: ArrayLike) -> np.ndarray:
        return density.log_density(self.parameters, np.asarray(rows, float).T)

    def score(self, rows: ArrayLike) -> float:
        return float(self.score_samples(rows).mean())

    def predict_proba(self, rows: ArrayLike) -> np.ndarray:
        return density.responsibilities(self.parameters, np.asarray(rows, float).T).T

    def predict(self, rows: ArrayLike) -> np.ndarray:
        return self.predict_proba(rows).argmax(axis=1)

    def aic(self, rows: ArrayLike) -> float:
        return criteria.aic(float(self.score_samples(rows).sum()), self.n_parameters)

    def bic(self, rows: ArrayLike) -> float:
        found = self.score_samples(rows)
        return criteria.bic(float(found.sum()), self.n_parameters, len(found))

    def sample(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw up to one chunk of rows."""
        rows, components = draw_chunk(
            self.parameters, component_counts(self.parameters, n, self.random_state), self.random_state, 0
        )
        return rows.T, components
