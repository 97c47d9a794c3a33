"""What the tests judge the package by: nothing here calls its kernels, its factors or its M step.

Two oracles. scikit-learn with injected parameters, for friendly data; and the textbook formulas in
extended precision, by a hand-written Cholesky factorisation, where float64 itself is the suspect.
Rows are (d, m) as in the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.mixture.parameters import MixtureParameters

LongArray = np.ndarray[Any, np.dtype[np.longdouble]]

needs_longdouble = pytest.mark.skipif(
    bool(np.finfo(np.longdouble).eps > 1e-3 * np.finfo(np.float64).eps),
    reason="this platform's long double is no more precise than float64, so it cannot judge it",
)


def sklearn_mixture(parameters: MixtureParameters) -> GaussianMixture:
    """Make a scikit-learn mixture that holds these parameters as if it had been fitted."""
    mixture = GaussianMixture(parameters.n_components, covariance_type=parameters.covariance_type, reg_covar=0.0)
    mixture.weights_ = parameters.weights
    mixture.means_ = parameters.means
    mixture.covariances_ = parameters.covariances
    mixture.precisions_cholesky_ = _compute_precision_cholesky(parameters.covariances, parameters.covariance_type)
    return mixture


def sklearn_em_step(parameters: MixtureParameters, rows: np.ndarray) -> tuple[MixtureParameters, float, np.ndarray]:
    """One EM iteration by scikit-learn: new parameters, mean log-likelihood, log responsibilities (m, k)."""
    mixture = sklearn_mixture(parameters)
    log_prob_norm, log_resp = mixture._estimate_log_prob_resp(rows.T)
    mixture._m_step(rows.T, log_resp)
    covariances = mixture.covariances_
    if parameters.covariance_type == "tied":
        covariances = (covariances + covariances.T) / 2  # scikit-learn leaves it skew by its rounding
    found = MixtureParameters(mixture.weights_, mixture.means_, covariances, parameters.covariance_type)
    return found, float(log_prob_norm.mean()), log_resp


def dense_covariances(parameters: MixtureParameters) -> np.ndarray:
    """Write each structure's covariances out, (k, d, d), from the definition of the structure."""
    k, d = parameters.means.shape
    covariances = parameters.covariances
    written_out = {
        "full": lambda j: covariances[j],
        "tied": lambda j: covariances,
        "diag": lambda j: np.diag(covariances[j]),
        "spherical": lambda j: covariances[j] * np.eye(d),
    }[parameters.covariance_type]
    return np.array([written_out(j) for j in range(k)])


def cholesky_longdouble(matrix: np.ndarray) -> LongArray:
    """Lower Cholesky factor, column by column (Golub & Van Loan 2013, algorithm 4.2.1)."""
    a = np.asarray(matrix, dtype=np.longdouble)
    lower = np.zeros_like(a)
    for j in range(len(a)):
        column = a[j:, j] - lower[j:, :j] @ lower[j, :j]
        lower[j:, j] = column / np.sqrt(column[0])
    return lower


def solve_lower_longdouble(lower: LongArray, right: LongArray) -> LongArray:
    """Forward substitution: ``lower @ x = right`` for right (d, m)."""
    x = np.array(right)
    for i in range(len(lower)):
        x[i] = (x[i] - lower[i, :i] @ x[:i]) / lower[i, i]
    return x


def weighted_log_prob_longdouble(
    parameters: MixtureParameters, rows: np.ndarray, center: np.ndarray | None = None
) -> LongArray:
    """Log of weight times density, (k, m); rows are given at ``center``, parameters about it."""
    k, d = parameters.means.shape
    centred = np.asarray(rows, dtype=np.longdouble)
    if center is not None:
        centred = centred - np.asarray(center, dtype=np.longdouble)[:, None]
    two_pi = 8 * np.arctan(np.longdouble(1))
    result = np.empty((k, centred.shape[1]), dtype=np.longdouble)
    for j, covariance in enumerate(dense_covariances(parameters)):
        lower = cholesky_longdouble(covariance)
        difference = centred - np.asarray(parameters.means[j], dtype=np.longdouble)[:, None]
        square = (solve_lower_longdouble(lower, difference) ** 2).sum(axis=0)
        log_determinant = 2 * np.log(np.diag(lower)).sum()
        log_weight = np.log(np.longdouble(parameters.weights[j]))
        result[j] = log_weight - (d * np.log(two_pi) + log_determinant + square) / 2
    return result


def log_sum_exp_longdouble(terms: LongArray) -> LongArray:
    """Log of the sum of exponentials over the first axis."""
    largest = terms.max(axis=0)
    total: LongArray = largest + np.log(np.exp(terms - largest).sum(axis=0))
    return total


@dataclass(frozen=True)
class ExactStep:
    """One EM iteration in extended precision."""

    log_likelihood: np.longdouble
    resp_sum: LongArray
    weights: LongArray
    means: LongArray
    covariances: LongArray
    deviations: LongArray
    """Square roots of the new variances, (k, d): the unit that errors of means and covariances are measured in."""


def em_step_longdouble(
    parameters: MixtureParameters,
    rows: np.ndarray,
    center: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> ExactStep:
    """E and M step by definition: two passes, every moment about the new mean."""
    x = np.asarray(rows, dtype=np.longdouble)
    if center is not None:
        x = x - np.asarray(center, dtype=np.longdouble)[:, None]
    m = x.shape[1]
    weight = np.ones(m, np.longdouble) if sample_weight is None else np.asarray(sample_weight, np.longdouble)
    terms = weighted_log_prob_longdouble(parameters, rows, center)
    log_density = log_sum_exp_longdouble(terms)
    resp = np.exp(terms - log_density) * weight
    resp_sum = resp.sum(axis=1)
    means = (resp @ x.T) / resp_sum[:, None]
    scatter = np.stack([((x - mu[:, None]) * r) @ (x - mu[:, None]).T for mu, r in zip(means, resp, strict=True)])
    each = scatter / resp_sum[:, None, None]
    tied = scatter.sum(axis=0) / resp_sum.sum()
    variances = np.diagonal(each, axis1=1, axis2=2)
    covariances = {"full": each, "tied": tied, "diag": variances, "spherical": variances.mean(axis=1)}
    kind = parameters.covariance_type
    spread = {
        "full": variances,
        "tied": np.broadcast_to(np.diag(tied), means.shape),
        "diag": variances,
        "spherical": np.broadcast_to(variances.mean(axis=1)[:, None], means.shape),
    }
    return ExactStep(
        log_likelihood=np.longdouble(log_density @ weight),
        resp_sum=resp_sum,
        weights=resp_sum / resp_sum.sum(),
        means=means,
        covariances=covariances[kind],
        deviations=np.sqrt(spread[kind]),
    )


def assert_same_mixture(
    found: MixtureParameters,
    weights: np.ndarray,
    means: np.ndarray,
    covariances: np.ndarray,
    deviations: np.ndarray,
    rtol: float,
) -> None:
    """Compare parameters component by component, in units of each component's own deviations (k, d).

    An offset or a unit of the table must not hide an error, so neither means nor covariances are compared with
    their own magnitude.
    """
    kind = found.covariance_type
    deviations = np.asarray(deviations, dtype=np.float64)
    unit = {
        "full": deviations[:, :, None] * deviations[:, None, :],
        "tied": np.outer(deviations[0], deviations[0]),
        "diag": deviations**2,
        "spherical": deviations[:, 0] ** 2,
    }[kind]
    np.testing.assert_allclose(found.weights, np.asarray(weights, np.float64), rtol=rtol)
    mean_error = np.abs(np.asarray(found.means - means, np.float64)) / deviations
    covariance_error = np.abs(np.asarray(found.covariances - covariances, np.float64)) / unit
    assert mean_error.max() <= rtol, f"means differ by {mean_error.max():.3g} deviations"
    assert covariance_error.max() <= rtol, f"covariances differ by {covariance_error.max():.3g} of their unit"


def assert_same_statistics(
    found: SufficientStatistics, expected: SufficientStatistics, deviations: np.ndarray, rtol: float
) -> None:
    """Compare sums with what they could at most be: the weight, times the table's deviations (d,) to their power."""
    assert found.covariance_type == expected.covariance_type
    np.testing.assert_array_equal(found.reference, expected.reference)
    assert found.rows == expected.rows
    assert found.weight_sum == pytest.approx(expected.weight_sum, rel=rtol)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=rtol)
    weight = expected.weight_sum
    unit = {
        "full": np.outer(deviations, deviations),
        "tied": np.outer(deviations, deviations),
        "diag": deviations**2,
        "spherical": (deviations**2).sum(),
    }[expected.covariance_type]
    for name, bound in (("resp_sum", 1.0), ("first", deviations), ("second", unit)):
        error = (np.abs(getattr(found, name) - getattr(expected, name)) / bound).max()
        assert error <= rtol * weight, f"{name} differs by {error:.3g} of its unit, at a weight of {weight:.6g}"
