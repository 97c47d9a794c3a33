"""EM under a bound on the covariances, as a textbook would write it: the rival that the sweep judges the package by.

Nothing here calls the package. Rows are (n, d), as in scikit-learn. The bound: in coordinates divided by the square
root of the floor, no covariance has an eigenvalue below 1. The M step's maximum under that bound is the weighted
covariance with its eigenvalues clipped there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.cluster import KMeans


@dataclass(frozen=True)
class Components:
    """Mixture in coordinates where the floor is 1: weights (k,), means (k, d), covariances (k, d, d)."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    lower_bound: float = -np.inf


@dataclass(frozen=True)
class Task:
    """A table to fit: rows (n, d) over the square root of the floor, weights (n,), and what is to be fitted.

    ``log_scale`` is what the division takes from each row's log-density.
    """

    rows: np.ndarray
    weight: np.ndarray
    k: int
    covariance_type: str
    log_scale: float


def scaled_task(rows: np.ndarray, weight: np.ndarray | None, k: int, covariance_type: str, floor: np.ndarray) -> Task:
    """Centre rows (n, d) and divide them by the square root of a floor (d,)."""
    weight = np.ones(len(rows)) if weight is None else weight
    centred = rows - np.average(rows, axis=0, weights=weight)
    return Task(centred / np.sqrt(floor), weight, k, covariance_type, float(np.log(floor).sum() / 2))


def log_terms(task: Task, found: Components) -> np.ndarray:
    """Log of weight times density of each component at each row, (k, n), in the table's own unit."""
    n, d = task.rows.shape
    terms = np.empty((task.k, n))
    for j in range(task.k):
        lower = np.linalg.cholesky(found.covariances[j])
        square = (solve_triangular(lower, (task.rows - found.means[j]).T, lower=True) ** 2).sum(axis=0)
        with np.errstate(divide="ignore"):
            log_weight = np.log(found.weights[j])
        terms[j] = log_weight - d / 2 * np.log(2 * np.pi) - np.log(np.diag(lower)).sum() - square / 2 - task.log_scale
    return terms


def mean_log_likelihood(task: Task, found: Components) -> float:
    """Weighted mean of the rows' log-densities, nats."""
    return float(np.average(logsumexp(log_terms(task, found), axis=0), weights=task.weight))


def m_step(task: Task, resp: np.ndarray, before: Components | None = None) -> Components:
    """Maximum under the bound for responsibilities (k, n); a component without any keeps its mean and covariance."""
    d = task.rows.shape[1]
    share = resp * task.weight
    size = share.sum(axis=1)
    means, scatter = np.zeros((task.k, d)), np.zeros((task.k, d, d))
    for j in range(task.k):
        if size[j] > 0:
            means[j] = share[j] @ task.rows / size[j]
            off = task.rows - means[j]
            scatter[j] = (off * share[j][:, None]).T @ off
    if task.covariance_type == "tied":
        raw = np.broadcast_to(scatter.sum(axis=0) / size.sum(), scatter.shape)
    else:
        raw = scatter / np.where(size > 0, size, 1.0)[:, None, None]
        if task.covariance_type == "diag":
            raw = raw * np.eye(d)
        if task.covariance_type == "spherical":
            raw = (np.trace(raw, axis1=1, axis2=2) / d)[:, None, None] * np.eye(d)
    values, axes = np.linalg.eigh(raw)
    clipped = np.maximum(values, np.maximum(1.0, 1e-14 * values[:, -1:]))  # shorter axes are the longest's rounding
    covariances = (axes * clipped[:, None, :]) @ np.swapaxes(axes, 1, 2)
    empty = size <= 0
    if before is not None and empty.any():
        means[empty] = before.means[empty]
        if task.covariance_type != "tied":
            covariances[empty] = before.covariances[empty]
    return Components(size / size.sum(), means, covariances)


def climb(task: Task, start: Components, max_iter: int, tol: float) -> Components:
    """Run EM until a step gains less than ``tol`` nats a row; the lower bound is that of the mixture returned."""
    found = replace(start, lower_bound=mean_log_likelihood(task, start))
    for _ in range(max_iter):
        terms = log_terms(task, found)
        after = m_step(task, np.exp(terms - logsumexp(terms, axis=0)), found)
        after = replace(after, lower_bound=mean_log_likelihood(task, after))
        gain = after.lower_bound - found.lower_bound
        found = after
        if gain < tol:
            break
    return found


def kmeans_start(task: Task, spread: np.ndarray, seed: int) -> Components:
    """Start as scikit-learn's mixtures do: from the labels of one k-means, of the columns over ``spread`` (d,)."""
    labels = KMeans(task.k, n_init=1, random_state=seed).fit(task.rows / spread, sample_weight=task.weight).labels_
    return m_step(task, (labels == np.arange(task.k)[:, None]).astype(float))


def fewest_rows(task: Task, found: Components) -> float:
    """Rows that the smallest component sits on: the less of their number and of Kish's number for their weights."""
    terms = log_terms(task, found)
    resp = np.exp(terms - logsumexp(terms, axis=0))
    share = resp * task.weight
    largest = share.max(axis=1, keepdims=True)
    share = share / np.where(largest > 0, largest, 1.0)
    kish = share.sum(axis=1) ** 2 / np.maximum((share**2).sum(axis=1), np.finfo(float).tiny)
    return float(np.minimum(resp.sum(axis=1), kish).min())


def best_of_ten(task: Task, spread: np.ndarray, max_iter: int = 100, tol: float = 1e-4) -> Components | None:
    """Best of ten starts by scikit-learn's rule; None if all have a component on fewer than d + 1 rows."""
    d = task.rows.shape[1]
    found = [climb(task, kmeans_start(task, spread, seed), max_iter, tol) for seed in range(10)]
    sound = [one for one in found if fewest_rows(task, one) >= d + 1]
    return max(sound, key=lambda one: one.lower_bound, default=None)
