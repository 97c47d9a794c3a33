"""Rows of patterns that few others have: all together, each component's covariance factored for every pattern at once.

A missing feature is left out of a covariance by writing a row and a column of the identity in its place, and 0 for its
value: then it adds nothing to the squared distance, nor to the determinant. So patterns of any number of features are
one stack of matrices, which numpy factors without Python in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.missing.patterns import Indices, find_runs, sort_by_pattern
from gmm_spark.core.mixture.parameters import MixtureParameters

# Numbers of a stack of matrices.
_NUMBERS = 1 << 21


class FewRows(NamedTuple):
    """What is known of some rows by the formula for few of a pattern.

    Attributes
    ----------
    at : array (n,)
        Their places among those that were passed.
    log_prob : array (k, n)
        Log of weight times density of the observed features, nats; not finite if a row is too far off. If there is
        noise, it is the last row, (k + 1, n).
    peaks : array (k, n)
        The largest values that these can have.
    expected : array (k, d, n) or None
        Mean of all features under each Gaussian, given the observed ones; if it was asked for.
    """

    at: Indices
    log_prob: Array
    peaks: Array
    expected: Array | None


def look_at_few(parameters: MixtureParameters, rows: Block, expected: bool = False) -> Iterator[FewRows]:
    """Yield what is known of rows (d, m), with NaN for missing values, some at a time; each must have a value."""
    k, d = parameters.means.shape
    aligned = parameters.structure.axis_aligned
    scale = parameters.deviations  # (k, d)
    matrices = None
    if not aligned:
        # By powers of two nothing is rounded: what has a factor keeps it, however nearly singular it is.
        scale = np.exp2(np.rint(np.log2(scale)))
        matrices = parameters.dense_covariances / scale[:, :, None] / scale[:, None, :]
        if parameters.structure.pooled:
            matrices = matrices[:1]
    with np.errstate(divide="ignore"):
        log_weights = np.log(parameters.weights)
    order = sort_by_pattern(np.isnan(rows))
    step = max(_NUMBERS // (k * d * (1 if aligned else d)), 1)
    for start in range(0, rows.shape[1], step):
        at = order[start : start + step]
        part = np.asarray(rows[:, at], np.float64)
        observed = ~np.isnan(part)  # (d, n)
        centred = (np.where(observed, part, 0.0) - parameters.means[:, :, None]) / scale[:, :, None]
        centred = np.where(observed, centred, 0.0).transpose(2, 0, 1)  # (n, k, d)
        widths = np.log(scale) @ observed  # (k, n)
        guess: Array | None = None
        if matrices is None:
            whitened = centred
        else:
            factors = _factor(matrices, part)  # (n, k or 1, d, d)
            widths = widths + np.log(np.diagonal(factors, axis1=2, axis2=3)).sum(axis=2).T
            whitened = _solve(factors, centred)
            if expected:
                guess = np.einsum("kij,nkj->nki", np.broadcast_to(matrices, (k, d, d)), _solve_back(factors, whitened))
        peaks = log_weights[:, None] - widths - 0.5 * np.log(2 * np.pi) * observed.sum(axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            log_prob = peaks - 0.5 * np.einsum("nkj,nkj->kn", whitened, whitened)
        found = None
        if expected:
            found = np.broadcast_to(parameters.means[:, :, None], (k, d, len(at)))
            if guess is not None:
                found = found + scale[:, :, None] * guess.transpose(1, 2, 0)
        if parameters.noise is not None:
            box = np.log(parameters.noise.high - parameters.noise.low)
            log_prob = np.concatenate([log_prob, (np.log(parameters.noise.weight) - box @ observed)[None]])
        yield FewRows(at, log_prob, peaks, found)


def _factor(matrices: Array, rows: Block) -> Array:
    """Factor the covariances (k, d, d) of what is observed of rows (d, n), ordered by pattern: (n, k, d, d)."""
    runs = list(find_runs(rows))
    observed = ~np.isnan(rows[:, [run.rows.start for run in runs]]).T  # (p, d)
    pairs = observed[:, None, :, None] & observed[:, None, None, :]
    factors = np.linalg.cholesky(np.where(pairs, matrices, np.eye(len(rows))))
    counts = [run.rows.stop - run.rows.start for run in runs]
    return factors if len(runs) == rows.shape[1] else np.repeat(factors, counts, axis=0)


def _solve(factors: Array, right: Array) -> Array:
    """Solve lower triangular systems (n, k, d, d) for right sides (n, k, d)."""
    found = np.empty_like(right)
    for i in range(right.shape[2]):
        known = np.einsum("nkj,nkj->nk", np.broadcast_to(factors[:, :, i, :i], found[:, :, :i].shape), found[:, :, :i])
        found[:, :, i] = (right[:, :, i] - known) / factors[:, :, i, i]
    return found


def _solve_back(factors: Array, right: Array) -> Array:
    """Solve the transposed systems."""
    found = np.empty_like(right)
    for i in reversed(range(right.shape[2])):
        column = np.broadcast_to(factors[:, :, i + 1 :, i], found[:, :, i + 1 :].shape)
        known = np.einsum("nkj,nkj->nk", column, found[:, :, i + 1 :])
        found[:, :, i] = (right[:, :, i] - known) / factors[:, :, i, i]
    return found
