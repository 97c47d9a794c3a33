"""The hot kernels: blocks of rows in, log-densities and sums out.

Two matrix products a block do the work, ``L = Theta @ Phi`` for the E step and ``T = Phi @ R`` for all
sums of the M step (design of the features in :mod:`gmm_spark.core.plan`). Components behind the gate
are overwritten by the accurate kernel, which subtracts the component's own mean first and whitens with
its precision factor; its sums are about that mean and land in the same layout. Where a mixture is large
and a row's responsibilities are few, the M step leaves out those that add nothing
(:mod:`gmm_spark.core.sparse`).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs

from gmm_spark.core import products
from gmm_spark.core.covariance import Array, Block
from gmm_spark.core.plan import Plan, Segment, quadratic_order
from gmm_spark.core.quantiles import N_BINS, bin_weights
from gmm_spark.core.sparse import FEW, WINDOW, SparseSums, matters

# Bytes of work buffers a kernel fills before it multiplies. Fewer cost calls, more fall out of L3.
WORK_BYTES = 1 << 22
_MIN_CHUNK, _MAX_CHUNK = 2 * products.SLICE, 24 * products.SLICE

# Sums of exp(log-density - peak) below which the terms that underflow might matter: such rows are worked again.
_FAR = {np.dtype(np.float64): 2.0**-930, np.dtype(np.float32): 2.0**-93}
# Where exp() comes to the numbers that processors multiply a hundred times slower than others, the denormal ones.
_LEAST = {np.dtype(np.float64): -708.0, np.dtype(np.float32): -87.0}
# Share of a chunk's rows from which it is worked again as a whole.
_MANY_FAR = 1 / 16
# Share of a chunk's rows up to which the accurate kernel's sums pick those that matter to a component.
_HALF = 1 / 2


class Accumulator(Protocol):
    """Folds blocks into one vector of float64 that adds up over disjoint blocks."""

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Fold in rows (d, m), with weights (m,) where the table has them."""
        ...

    def vector(self) -> Array:
        """Return all sums so far."""
        ...

    def clear(self) -> None:
        """Begin anew with sums of nothing, in the same buffers."""
        ...


class Kernel:
    """Weighted log-densities of a plan's segments, chunk by chunk, in reused buffers.

    Segments take turns: the expanded features and what one candidate makes of them stay in the core's own cache.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        d, dtype = plan.n_features, np.dtype(plan.dtype)
        per_row = dtype.itemsize * (plan.n_expanded + 2 * plan.most_components + 2 * d)
        self.chunk = int(np.clip(WORK_BYTES // per_row, _MIN_CHUNK, _MAX_CHUNK)) // products.SLICE * products.SLICE
        self._features = products.buffer(plan.n_expanded * self.chunk, dtype)
        self._log_prob = products.buffer(plan.most_components * self.chunk, dtype)
        self._work = products.buffer(d * self.chunk, dtype)
        # Subtracted in float64 unless rows have the product's type: the centre may be far from zero. In that type the
        # centre goes in two parts, so that of it no more than a rounding of what is left is lost.
        self._exact_center = plan.center[:, None]
        with np.errstate(over="ignore"):  # beyond float32; then rows are of float64 and this is not used
            self._center = self._exact_center.astype(dtype)
        rest = np.where(np.isfinite(self._center), self._exact_center - self._center, 0.0).astype(dtype)
        self._center_rest = rest if rest.any() else None
        self._inverse_scale = (1.0 / plan.scale)[:, None].astype(dtype)
        self._coefficients = [s.coefficients.astype(dtype) for s in plan.segments]
        self._factors = [_per_component(s, dtype) for s in plan.segments]
        self._means = [s.means.astype(dtype)[:, :, None] for s in plan.segments]
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
        if rows.dtype == z.dtype:
            np.subtract(rows, self._center, out=z)
            if self._center_rest is not None:
                z -= self._center_rest
        else:
            np.subtract(rows, self._exact_center, out=z, casting="same_kind")
        z *= self._inverse_scale
        at, gap = 1 + d, 0
        while at < len(features):
            # Contiguous as they are, the rows of one gap are one long product for numpy.
            np.multiply(z[: d - gap], z[gap:], out=features[at : at + d - gap])
            at, gap = at + d - gap, gap + 1
        return features

    def weighted_log_prob(self, features: Block, i: int = 0, out: Block | None = None) -> Block:
        """Log of weight times density less the segment's peak, (k, m), nats, of the plan's segment i.

        Valid until the next call, unless ``out`` was given to hold it.
        """
        segment, coefficients, factors = self.plan.segments[i], self._coefficients[i], self._factors[i]
        m = features.shape[1]
        log_prob = self._log_prob[: segment.n_components * m].reshape(-1, m) if out is None else out
        if segment.expanded:
            products.evaluate(coefficients, features[: coefficients.shape[1]], log_prob)
        z = features[1 : 1 + self.plan.n_features]
        if segment.shares_scatter:
            log_prob -= self._half_square(self._centred(z, None), segment, factors[0])
        for j in np.flatnonzero(segment.accurate).tolist():
            whitened = self._centred(z, self._means[i][j])
            log_prob[j] = segment.constants[j] - self._half_square(whitened, segment, factors[j])
        return log_prob

    def _centred(self, z: Block, mean: Block | None) -> Block:
        """Copy of z, less a mean, in the work buffer."""
        work = self._work[: z.size].reshape(z.shape)
        if mean is None:
            np.copyto(work, z)
        else:
            np.subtract(z, mean, out=work)
        return work

    def _half_square(self, centred: Block, segment: Segment, factor: Block) -> Block:
        """Half the squared Mahalanobis length of centred rows, whitening them in place."""
        if segment.axis_aligned:
            centred *= factor
        else:
            # The transpose of a C-contiguous block is what BLAS calls column-major: (U' y)' = y' U, in place.
            self._trmm(1.0, factor, centred.T, side=1, overwrite_b=1)
        half: Block = np.einsum("ij,ij->j", centred, centred)
        half *= 0.5
        return half

    def centred_moments(self, z: Block, i: int, j: int, responsibilities: Block, weight: float) -> tuple[Block, Block]:
        """Weighted sum (d,) and second moment, (d,) or (d, d), of rows about the mean of segment i's component j.

        The rows' mean weight, of which responsibilities are shares, says which of them are too small to matter.
        """
        found = matters(responsibilities, _HALF, weight)
        if found is not None:
            z, responsibilities = z[:, found], responsibilities[found]
        centred = self._centred(z, self._means[i][j])
        first = np.asarray(centred @ responsibilities)
        if self.plan.segments[i].axis_aligned:
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


def exponentiate(terms: Block, out: Block | None = None) -> None:
    """Take exp() of logarithms that are at most 0, keeping clear of denormal results; in place unless ``out`` is given.

    Where there would be any, results are rounded to a multiple of ``_FAR`` / 2^23, or / 2^52 in float64: the smallest
    become 0, and sums of no less than ``_FAR`` stay exact to rounding. Terms that low are raised to where they begin.
    """
    least, far = _LEAST[terms.dtype], _FAR[terms.dtype]
    results = terms if out is None else out
    if terms.min(initial=0.0) >= least:
        np.exp(terms, out=results)
        return
    np.maximum(terms, least, out=terms)
    np.exp(terms, out=results)
    # The sum drops the digits that its last place does not hold, and to take the same off again is exact.
    results += far
    results -= far


def normalise(log_prob: Block) -> Block:
    """Turn weighted log-densities (k, m) into responsibilities, in place; return their log-sum-exp, (m,).

    The log-sum-exp is taken about the largest term, so neither far rows nor narrow components underflow.
    """
    largest = log_prob.max(axis=0)
    log_prob -= largest
    exponentiate(log_prob)
    total: Block = log_prob.sum(axis=0)
    log_prob /= total
    np.log(total, out=total)
    total += largest
    return total


def _hard_sizes(terms: Block) -> NDArray[np.intp]:
    """How many rows have each component as their most probable, the first of equals; the largest term of a row is 0."""
    leads = terms == 0
    sizes = np.count_nonzero(leads, axis=1)
    if sizes.sum() > terms.shape[1]:  # ties: of the components that a row prefers alike, the first
        sizes = np.bincount(leads.argmax(axis=0), minlength=len(terms))
    return np.asarray(sizes)


class StatisticsAccumulator:
    """The sums of one pass: E step, then everything the M step needs, for all candidates of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.kernel = Kernel(plan)
        d, k = plan.n_features, plan.most_components
        self._total = products.buffer(self.kernel.chunk, plan.dtype)
        self._ones = np.ones(k, plan.dtype)
        self._turned = products.buffer(k * self.kernel.chunk, plan.dtype)
        # Of segments so large that it pays to look for the responsibilities that matter, the points that these belong
        # to, [1, z] row by row, until they are multiplied.
        sifting = any(s.worth_sifting for s in plan.segments)
        window = -(-WINDOW // self.kernel.chunk) * self.kernel.chunk if sifting else 0
        self._points = np.empty((window, 1 + d), plan.dtype)
        self.clear()

    def clear(self) -> None:
        """Begin anew with sums of nothing, in the same buffers."""
        d, segments = self.plan.n_features, self.plan.segments
        self._rows = 0.0
        self._weight_sum = 0.0
        self._log_likelihood = np.zeros(len(segments))
        self._sums = [np.zeros(s.coefficients.shape[::-1]) for s in segments]
        self._sparse = [SparseSums(s.n_components, d) if s.worth_sifting else None for s in segments]
        self._gathered = 0
        # The quadratic sums that do not come out of the shared product.
        scattered = any(s.shares_scatter and self.plan.sums_pooled(s) for s in segments)
        self._shared_scatter = np.zeros((d, d)) if scattered else None
        # What the accurate kernel sums for its components: weight and first moment, (1 + d,), and the second.
        self._own: list[dict[int, tuple[Array, Array]]] = [
            {
                j: (np.zeros(1 + d), np.zeros(d if segment.axis_aligned else (d, d)))
                for j in np.flatnonzero(segment.accurate).tolist()
            }
            for segment in segments
        ]

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Fold in rows (d, m), with weights (m,) where the table has them."""
        for start in self.kernel.chunks(rows):
            chunk = slice(start, start + self.kernel.chunk)
            self._add_chunk(rows[:, chunk], None if sample_weight is None else sample_weight[chunk])

    def _add_chunk(self, rows: Block, sample_weight: Array | None) -> None:
        features = self.kernel.expand(rows)
        z = features[1 : 1 + self.plan.n_features]
        self._rows += rows.shape[1]
        weight_sum = rows.shape[1] if sample_weight is None else float(sample_weight.sum())
        self._weight_sum += weight_sum
        weight = weight_sum / max(rows.shape[1], 1)
        if self._shared_scatter is not None:
            weighted = z if sample_weight is None else z * sample_weight.astype(z.dtype)
            self._shared_scatter += weighted @ z.T
        gathered = False
        for i, (segment, sums) in enumerate(zip(self.plan.segments, self._sums, strict=True)):
            shares = self._expect(features, i, sample_weight)
            for j, (first, second) in self._own[i].items():
                own_first, own_second = self.kernel.centred_moments(z, i, j, shares[j], weight)
                first[0] += shares[j].sum(dtype=np.float64)
                first[1:] += own_first
                second += own_second
            if self._gather(i, shares, weight):
                gathered = True
            elif segment.expanded:
                products.accumulate(features[: len(sums)], shares, sums, self._turned)
        if gathered:
            end = self._gathered + rows.shape[1]
            self._points[self._gathered : end] = features[: 1 + self.plan.n_features].T
            self._gathered = end
            if end + self.kernel.chunk > len(self._points):
                self._multiply_gathered()

    def _gather(self, i: int, shares: Block, weight: float) -> bool:
        """Keep the responsibilities of segment i that matter, if they are few and it is worth while."""
        sparse = self._sparse[i]
        if sparse is None:
            return False
        shares[self.plan.segments[i].accurate] = 0.0
        found = matters(shares, FEW, weight)
        if found is not None:
            sparse.gather(shares, found, self._gathered)
        return found is not None

    def _multiply_gathered(self) -> None:
        for sparse in filter(None, self._sparse):
            sparse.multiply(self._points[: self._gathered])
        self._gathered = 0

    def _expect(self, features: Block, i: int, sample_weight: Array | None) -> Block:
        """Weighted responsibilities (k, m) of segment i; the log-likelihood is added up on the way.

        No log-density exceeds the segment's peak, so that exp() cannot overflow and no largest term need be looked for.
        Where all terms of a row nearly vanish, that row is worked again about its largest.
        """
        segment, far_below = self.plan.segments[i], _FAR[features.dtype]
        terms = self.kernel.weighted_log_prob(features, i)
        (k, m), total = terms.shape, self._total[: features.shape[1]]
        exponentiate(terms)
        np.matmul(self._ones[:k], terms, out=total)
        if total.min() >= far_below:
            log_density = np.log(total)
        else:
            found = np.flatnonzero(total < far_below)
            far = found if len(found) < _MANY_FAR * m else slice(None)  # picking many would cost more
            again = np.empty((k, len(total[far])), terms.dtype)
            far_density = normalise(self.kernel.weighted_log_prob(features[:, far], i, again))
            terms[:, far], total[far] = again, 1.0
            log_density = np.log(total)
            log_density[far] = far_density
        if sample_weight is None:
            self._log_likelihood[i] += log_density.sum(dtype=np.float64) + m * segment.peak
            terms *= np.reciprocal(total, out=total)
        else:
            self._log_likelihood[i] += (log_density.astype(np.float64) + segment.peak) @ sample_weight
            terms *= np.divide(sample_weight, total, out=total, casting="same_kind")
        return terms

    def vector(self) -> Array:
        """Return all sums so far, laid out as the plan says."""
        d = self.plan.n_features
        i, j = quadratic_order(d)
        self._multiply_gathered()
        sums, pooled = [s.T.copy() for s in self._sums], []
        for table, sparse in zip(sums, self._sparse, strict=True):
            if sparse is not None:
                table[:, : 1 + d] += sparse.sums[:, 0]
                table[:, 1 + d :] += sparse.sums[:, 1 + i, 1 + j]
        for segment, table, own in zip(self.plan.segments, sums, self._own, strict=True):
            if self.plan.sums_pooled(segment):
                scatter = self._shared_scatter if segment.shares_scatter else sum(second for _, second in own.values())
                pooled.append(np.asarray(scatter))
            for component, (first, second) in own.items():
                row = table[component]
                row[:] = 0.0  # the shared product has columns for these components too
                row[: 1 + d] = first
                if not segment.pooled:
                    row[1 + d :] = second if segment.axis_aligned else second[i, j]
        return self.plan.pack(self._rows, self._weight_sum, self._log_likelihood, sums, pooled)


class EvaluationAccumulator:
    """The sums of a pass that judges candidates rather than improving them.

    Parameters
    ----------
    plan : Plan
    log_densities : bool
        Sum up histograms of the log-densities as well.
    """

    def __init__(self, plan: Plan, log_densities: bool = False) -> None:
        self.plan = plan
        self.kernel = Kernel(plan)
        self._n_histograms = len(plan.segments) if log_densities else 0
        self._shares = products.buffer(plan.most_components * self.kernel.chunk, plan.dtype)
        self.clear()

    def clear(self) -> None:
        """Begin anew with sums of nothing, in the same buffers."""
        self._totals = np.zeros(2)  # rows, weight sum
        self._log_likelihood = np.zeros(len(self.plan.segments))
        self._entropy = np.zeros(len(self.plan.segments))
        self._cluster_sizes = np.zeros(self.plan.n_components)
        self._histograms = np.zeros((self._n_histograms, N_BINS))

    def add(self, rows: Block, sample_weight: Array | None) -> None:
        """Fold in rows (d, m), with weights (m,) where the table has them."""
        for start in self.kernel.chunks(rows):
            part = rows[:, start : start + self.kernel.chunk]
            weight = np.ones(part.shape[1])
            if sample_weight is not None:
                weight = sample_weight[start : start + self.kernel.chunk]
            self._totals += [part.shape[1], weight.sum()]
            features = self.kernel.expand(part)
            for i, segment in enumerate(self.plan.segments):
                terms = self.kernel.weighted_log_prob(features, i)
                largest = terms.max(axis=0)
                terms -= largest
                self._cluster_sizes[segment.rows] += _hard_sizes(terms)
                shares = self._shares[: terms.size].reshape(terms.shape)
                # Shares of 0 come of terms that are finite, or the product of the two would be NaN.
                exponentiate(terms, shares)
                total = shares.sum(axis=0)
                log_total = np.log(total)
                log_density = log_total + largest + segment.peak
                self._log_likelihood[i] += log_density @ weight
                # The entropy of shares / total, a sum without cancellation: no term is negative.
                self._entropy[i] += (log_total - np.einsum("ij,ij->j", shares, terms) / total) @ weight
                if len(self._histograms):
                    self._histograms[i] += bin_weights(segment.ceiling - log_density, weight)

    def vector(self) -> Array:
        """Rows, weight sum; of each segment log-likelihood; entropy; rows by most probable component; histogram."""
        of_segments = [self._log_likelihood, self._entropy, self._cluster_sizes, self._histograms.ravel()]
        return np.concatenate([self._totals, *of_segments])
