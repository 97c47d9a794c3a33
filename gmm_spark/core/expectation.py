"""The hot kernels: blocks of rows in, log-densities and sums out.

Two matrix products a block do the work, ``L = Theta @ Phi`` for the E step and ``T = R @ Phi'`` for all
sums of the M step (design of the features in :mod:`gmm_spark.core.plan`). Components behind the gate
are overwritten by the accurate kernel, which subtracts the component's own mean first and whitens with
its precision factor; its sums are about that mean and land in the same layout.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs
from scipy.special import entr

from gmm_spark.core.covariance import Array
from gmm_spark.core.plan import Plan, Segment

Block = NDArray[np.floating[Any]]

# Bytes of work buffers a kernel fills before it multiplies. Fewer cost calls, more fall out of L3.
WORK_BYTES = 1 << 22
_MIN_CHUNK, _MAX_CHUNK = 256, 8192


class Accumulator(Protocol):
    """Folds blocks into one vector of float64 that adds up over disjoint blocks."""

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Fold in rows (d, m), with weights (m,) where the table has them."""
        ...

    def vector(self) -> Array:
        """Return all sums so far."""
        ...


class Kernel:
    """Weighted log-densities of every component of a plan, chunk by chunk, in reused buffers."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        d, dtype = plan.n_features, np.dtype(plan.dtype)
        per_row = dtype.itemsize * (plan.n_expanded + 2 * plan.n_rows + 2 * d)
        self.chunk = int(np.clip(WORK_BYTES // per_row, _MIN_CHUNK, _MAX_CHUNK)) // 64 * 64
        self._features = np.empty(plan.n_expanded * self.chunk, dtype)
        self._log_prob = np.empty(plan.n_rows * self.chunk, dtype)
        self._work = np.empty(d * self.chunk, dtype)
        self._center, self._inverse_scale = plan.center[:, None], (1.0 / plan.scale)[:, None]
        self._coefficients = [g.coefficients.astype(dtype) for g in plan.groups]
        self._factors = {s.candidate: _per_component(s, dtype) for s in plan.segments}
        self._means = {s.candidate: s.means.astype(dtype)[:, :, None] for s in plan.segments}
        (self._trmm,) = get_blas_funcs(("trmm",), (self._work,))

    def chunks(self, rows: Block) -> range:
        """List the starts of the chunks that a block is worked in."""
        return range(0, rows.shape[1], self.chunk)

    def expand(self, rows: Block) -> Block:
        """Quadratic features (prefix, m) of rows (d, m); valid until the next call."""
        d, m = rows.shape
        features = self._features[: self.plan.n_expanded * m].reshape(-1, m)
        features[0] = 1.0
        z = features[1 : 1 + d]
        # Subtracted in float64 whatever the product's type: the centre may be far from zero.
        np.subtract(rows, self._center, out=z, casting="same_kind")
        z *= self._inverse_scale.astype(z.dtype)
        if len(features) > 1 + d:
            np.multiply(z, z, out=features[1 + d : 1 + 2 * d])
        if len(features) > 1 + 2 * d:
            at = 1 + 2 * d
            for i in range(d - 1):
                np.multiply(z[i], z[i + 1 :], out=features[at : at + d - 1 - i])
                at += d - 1 - i
        return features

    def weighted_log_prob(self, features: Block) -> Block:
        """Log of weight times density, (components, m), nats; valid until the next call."""
        m = features.shape[1]
        log_prob = self._log_prob[: self.plan.n_rows * m].reshape(-1, m)
        for group, coefficients in zip(self.plan.groups, self._coefficients, strict=True):
            if group.expanded:
                np.matmul(coefficients, features[: coefficients.shape[1]], out=log_prob[group.rows])
        z = features[1 : 1 + self.plan.n_features]
        for segment in self.plan.segments:
            if segment.shares_scatter:
                whitened = self._centred(z, None)
                log_prob[segment.rows] -= self._half_square(whitened, segment, 0)
            for j in np.flatnonzero(segment.accurate).tolist():
                whitened = self._centred(z, self._means[segment.candidate][j])
                log_prob[segment.rows.start + j] = segment.constants[j] - self._half_square(whitened, segment, j)
        return log_prob

    def _centred(self, z: Block, mean: Block | None) -> Block:
        """Copy of z, less a mean, in the work buffer."""
        work = self._work[: z.size].reshape(z.shape)
        if mean is None:
            np.copyto(work, z)
        else:
            np.subtract(z, mean, out=work)
        return work

    def _half_square(self, centred: Block, segment: Segment, j: int) -> Block:
        """Half the squared Mahalanobis length of centred rows, whitening them in place."""
        factor = self._factors[segment.candidate][j]
        if segment.axis_aligned:
            centred *= factor
        else:
            # The transpose of a C-contiguous block is what BLAS calls column-major: (U' y)' = y' U, in place.
            self._trmm(1.0, factor, centred.T, side=1, overwrite_b=1)
        half: Block = np.einsum("ij,ij->j", centred, centred)
        half *= 0.5
        return half

    def centred_moments(self, z: Block, segment: Segment, j: int, responsibilities: Block) -> tuple[Block, Block]:
        """Weighted sum (d,) and second moment, (d,) or (d, d), of rows about a component's own mean."""
        centred = self._centred(z, self._means[segment.candidate][j])
        first = np.asarray(centred @ responsibilities)
        if segment.axis_aligned:
            second: Block = np.einsum("ij,ij,j->i", centred, centred, responsibilities)
            return first, second
        centred *= np.sqrt(responsibilities)
        return first, np.asarray(centred @ centred.T)  # a symmetric product: numpy calls syrk


def _per_component(segment: Segment, dtype: np.dtype[Any]) -> list[Block]:
    """Each component's factor as its kernel wants it: a column where axis-aligned, else Fortran-ordered."""
    if segment.axis_aligned:
        return [f[:, None].astype(dtype) for f in segment.factors]
    if segment.pooled:
        return [np.asarray(segment.factors, dtype, order="F")] * len(segment.means)
    return [np.asarray(f, dtype, order="F") for f in segment.factors]


def normalise(log_prob: Block) -> Block:
    """Turn weighted log-densities (k, m) into responsibilities, in place; return log p(row), (m,).

    The log-sum-exp is taken about the largest term, so neither far rows nor narrow components underflow.
    """
    largest = log_prob.max(axis=0)
    log_prob -= largest
    np.exp(log_prob, out=log_prob)
    total: Block = log_prob.sum(axis=0)
    log_prob /= total
    np.log(total, out=total)
    total += largest
    return total


class StatisticsAccumulator:
    """The sums of one pass: E step, then everything the M step needs, for all candidates of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.kernel = Kernel(plan)
        d = plan.n_features
        self._rows = 0.0
        self._weight_sum = 0.0
        self._log_likelihood = np.zeros(len(plan.segments))
        self._sums = [np.zeros(g.coefficients.shape) for g in plan.groups]
        self._products = [np.empty(g.coefficients.shape, plan.dtype) for g in plan.groups]
        # The quadratic sums that do not come out of the shared product.
        self._shared_scatter = np.zeros((d, d)) if any(s.shares_scatter for s in plan.segments) else None
        self._own: dict[int, tuple[Segment, int, Array]] = {}
        for segment in plan.segments:
            for j in np.flatnonzero(segment.accurate).tolist():
                second = np.zeros(d if segment.axis_aligned else (d, d))
                self._own[segment.rows.start + j] = (segment, j, second)
        self._masked = [[r - g.rows.start for r in self._own if g.rows.start <= r < g.rows.stop] for g in plan.groups]

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Fold in rows (d, m), with weights (m,) where the table has them."""
        for start in self.kernel.chunks(rows):
            chunk = slice(start, start + self.kernel.chunk)
            self._add_chunk(rows[:, chunk], None if sample_weight is None else sample_weight[chunk])

    def _add_chunk(self, rows: Block, sample_weight: Array | None) -> None:
        plan = self.plan
        features = self.kernel.expand(rows)
        z = features[1 : 1 + plan.n_features]
        resp = self.kernel.weighted_log_prob(features)
        self._rows += rows.shape[1]
        for i, segment in enumerate(plan.segments):
            log_density = normalise(resp[segment.rows])
            if sample_weight is None:
                self._log_likelihood[i] += log_density.sum(dtype=np.float64)
            else:
                self._log_likelihood[i] += log_density.astype(np.float64) @ sample_weight
        if sample_weight is None:
            weighted = z
            self._weight_sum += rows.shape[1]
        else:
            self._weight_sum += float(sample_weight.sum())
            weight = sample_weight.astype(resp.dtype)
            resp *= weight
            weighted = z * weight if self._shared_scatter is not None else z
        for group, sums, product, masked in zip(plan.groups, self._sums, self._products, self._masked, strict=True):
            if group.expanded:
                np.matmul(resp[group.rows], features[: product.shape[1]].T, out=product)
                product[masked] = 0.0
                sums += product
        if self._shared_scatter is not None:
            self._shared_scatter += weighted @ z.T
        for row, (segment, j, second) in self._own.items():
            own_first, own_second = self.kernel.centred_moments(z, segment, j, resp[row])
            sums = self._sums[plan.group_of(row)][row - plan.groups[plan.group_of(row)].rows.start]
            sums[0] += resp[row].sum(dtype=np.float64)
            sums[1 : 1 + plan.n_features] += own_first
            second += own_second

    def vector(self) -> Array:
        """Return all sums so far, laid out as the plan says."""
        plan, d = self.plan, self.plan.n_features
        upper = np.triu_indices(d, 1)
        sums = [s.copy() for s in self._sums]
        pooled = {s.candidate: np.zeros((d, d)) for s in plan.segments if s.pooled}
        for segment in plan.segments:
            if segment.shares_scatter and self._shared_scatter is not None:
                pooled[segment.candidate] += self._shared_scatter
        for row, (segment, _, second) in self._own.items():
            quadratic = sums[plan.group_of(row)][row - plan.groups[plan.group_of(row)].rows.start, 1 + d :]
            if segment.pooled:
                pooled[segment.candidate] += second
            elif segment.axis_aligned:
                quadratic += second
            else:
                quadratic += np.concatenate([np.diagonal(second), second[upper]])
        return plan.pack(self._rows, self._weight_sum, self._log_likelihood, sums, list(pooled.values()))


class EvaluationAccumulator:
    """The sums of a pass that judges one candidate rather than improving it."""

    def __init__(self, plan: Plan) -> None:
        if len(plan.segments) != 1:
            raise ValueError(f"an evaluation judges one candidate, got {len(plan.segments)}")
        self.plan = plan
        self.kernel = Kernel(plan)
        self._totals = np.zeros(4)  # rows, weight sum, log-likelihood, entropy
        self._cluster_sizes = np.zeros(plan.n_rows)

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Fold in rows (d, m), with weights (m,) where the table has them."""
        for start in self.kernel.chunks(rows):
            part = rows[:, start : start + self.kernel.chunk]
            weight = np.ones(part.shape[1])
            if sample_weight is not None:
                weight = sample_weight[start : start + self.kernel.chunk]
            resp = self.kernel.weighted_log_prob(self.kernel.expand(part))
            self._cluster_sizes += np.bincount(resp.argmax(axis=0), minlength=len(resp))
            log_density = normalise(resp).astype(np.float64)
            entropy = entr(resp).sum(axis=0, dtype=np.float64)
            self._totals += [part.shape[1], weight.sum(), log_density @ weight, entropy @ weight]

    def vector(self) -> Array:
        """Rows, weight sum, log-likelihood, entropy, then rows by most probable component, (4 + k,)."""
        return np.concatenate([self._totals, self._cluster_sizes])
