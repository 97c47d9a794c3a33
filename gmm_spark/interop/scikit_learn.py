"""A mixture as a fitted GaussianMixture of scikit-learn. This module needs scikit-learn.

scikit-learn computes ``x @ U - mean @ U``, or squares of x, before it takes a difference. Of a feature that is far from
zero beside its deviation, such as a time in seconds since 1970, it so loses the digits that tell the components apart.
:class:`CentredGaussianMixture` subtracts the mean first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.mixture import GaussianMixture

from gmm_spark.core.arrays import Array
from gmm_spark.core.mixture.covariance import structure
from gmm_spark.core.mixture.density import find_nearest, find_too_far, subtract_distances
from gmm_spark.core.mixture.noise import refuse_noise
from gmm_spark.core.mixture.parameters import MixtureParameters, compute_log_normalisers
from gmm_spark.errors import ParameterError

# Nats that scikit-learn's own formula may lose near the components.
_NEGLIGIBLE = 1e-6
# What stands for minus infinity while the components of a row are compared.
_LEAST = np.finfo(np.float64).min


class CentredGaussianMixture(GaussianMixture):  # type: ignore[misc]  # scikit-learn has no types
    """scikit-learn's GaussianMixture, but that the mean of a component is subtracted before anything else is done.

    Far from zero its scores keep the digits that those of scikit-learn's own formula lose; else the two are the same.
    ``fit`` works as in scikit-learn: of diagonal covariances far from zero its M step has squares of x all the same.
    """

    def _estimate_weighted_log_prob(self, X: Any, **_: Any) -> Array:
        """Log of weight times density of each component at each row, (n, k); all other scores are made from it."""
        rows = np.asarray(X, dtype=np.float64).T
        factors = structure(self.covariance_type).expand_cholesky(self.precisions_cholesky_, *self.means_.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            found = subtract_distances(compute_log_normalisers(self.weights_, factors), self.means_, factors, rows)
        far = find_too_far(found.max(axis=0), rows)
        if len(far):
            found[:, far] = -np.inf
            found[find_nearest(self.means_, factors, self.weights_ > 0, rows[:, far]), far] = _LEAST
        return found.T

    def score_samples(self, X: Any) -> Array:
        """Log p(row), (n,), nats; minus infinity for a row so far off that float64 cannot hold it."""
        found: Array = super().score_samples(X)
        return np.where(found == _LEAST, -np.inf, found)


def to_sklearn(
    parameters: MixtureParameters,
    feature_names: Sequence[str] | None = None,
    *,
    plain: bool = False,
    settings: Mapping[str, Any] | None = None,
    converged: bool = False,
    lower_bound: float = float("nan"),
    lower_bounds: Sequence[float] = (),
) -> GaussianMixture:
    """Make a mixture of scikit-learn that is as if it had been fitted.

    Parameters
    ----------
    parameters : MixtureParameters
    feature_names : sequence of str, optional
        scikit-learn then checks the columns of the tables that it is given.
    plain : bool
        Whether to use scikit-learn's own class, which pickles that are read without this package need.
    settings : mapping, optional
        Parameters of the constructor, beside ``n_components`` and ``covariance_type``.
    converged : bool
    lower_bound : float
        Mean log-likelihood of the training rows, nats.
    lower_bounds : sequence of float
        Mean log-likelihood in each pass, nats.

    Raises
    ------
    ParameterError
        If the mixture has noise, or scikit-learn's own class is asked for, and its formula would lose more than 1e-6
        nats near the components.
    """
    refuse_noise(parameters.noise, "scikit-learn")
    kind = GaussianMixture if plain else CentredGaussianMixture
    if plain:
        _require_digits(parameters)
    mixture = kind(parameters.n_components, covariance_type=parameters.covariance_type, **(settings or {}))
    factors = parameters.precisions_cholesky.copy()
    mixture.weights_ = parameters.weights.copy()
    mixture.means_ = parameters.means.copy()
    mixture.covariances_ = parameters.covariances.copy()
    mixture.precisions_cholesky_ = factors
    aligned = parameters.structure.axis_aligned
    mixture.precisions_ = factors**2 if aligned else factors @ np.swapaxes(factors, -1, -2)
    mixture.converged_ = converged
    mixture.n_iter_ = len(lower_bounds)
    mixture.lower_bound_ = lower_bound
    mixture.lower_bounds_ = list(lower_bounds)
    mixture.n_features_in_ = parameters.n_features
    if feature_names is not None:
        mixture.feature_names_in_ = np.array(feature_names, dtype=object)
    return mixture


def _require_digits(parameters: MixtureParameters) -> None:
    """Refuse parameters at which scikit-learn's formula loses digits that matter."""
    form = parameters.structure.quadratic_form(parameters.means, parameters.component_cholesky, parameters.deviations)
    lost = float(np.finfo(float).eps * form.magnitude.max())
    if not lost <= _NEGLIGIBLE:
        raise ParameterError(
            f"plain=True: scikit-learn's formula would lose about {lost:.2g} nats of each log-density, since features "
            "are far from zero beside their deviations; need at most 1e-6. Leave plain out, or fit features from which "
            "a typical value was subtracted"
        )
