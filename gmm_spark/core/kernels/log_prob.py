"""The log-densities of a block: rows in, weighted log-densities of every component out.

The fast kernel is one matrix product, ``L = Theta @ Phi``: coefficients (:mod:`gmm_spark.core.kernels.plan`) times the
quadratic features of the rows (:mod:`gmm_spark.core.mixture.quadratic`). It may lose digits by cancellation; the plan
tells for which components. These are overwritten by the accurate kernel, which subtracts the component's own mean first
and multiplies by its precision factor. Its sums are about that mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import get_blas_funcs

from gmm_spark.core.arrays import Block
from gmm_spark.core.kernels import blas
from gmm_spark.core.kernels.plan import Plan, Segment
from gmm_spark.core.kernels.sparse import find_significant

# Bytes of work buffers that a chunk of rows fills. Smaller chunks cost calls, larger ones fall out of the L3 cache.
WORK_BYTES = 1 << 22
_MIN_CHUNK, _MAX_CHUNK = 2 * blas.SLICE, 24 * blas.SLICE
# Bytes of work buffers at most: rows of very many features have smaller chunks.
MAX_WORK_BYTES = 1 << 26

# Share of a chunk's rows up to which the accurate kernel picks those whose responsibilities are not negligible.
_WORTH_PICKING = 1 / 2


class Kernel:
    """Computes the weighted log-densities of a plan's segments, chunk by chunk, in reused buffers.

    A chunk's features serve one segment after another, so that they stay in the core's own cache.

    Parameters
    ----------
    plan : Plan
    workspace : Workspace, optional
        Buffers that it shares with others; by default its own.
    """

    def __init__(self, plan: Plan, workspace: blas.Workspace | None = None) -> None:
        self.plan = plan
        workspace = workspace or blas.Workspace()
        d, dtype = plan.n_features, np.dtype(plan.dtype)
        per_row = dtype.itemsize * (plan.n_expanded + 2 * plan.most_classes + 2 * d)
        self.chunk = int(np.clip(WORK_BYTES // per_row, _MIN_CHUNK, _MAX_CHUNK)) // blas.SLICE * blas.SLICE
        self.chunk = min(self.chunk, max(MAX_WORK_BYTES // per_row, 1))
        self._features = workspace.take("features", plan.n_expanded * self.chunk, dtype)
        self._log_prob = workspace.take("log_prob", plan.most_classes * self.chunk, dtype)
        self._work = workspace.take("work", d * self.chunk, dtype)
        # The centre may be far from zero, so it is subtracted in float64 if rows are of another type than the products.
        # Else subtract it in two parts: at most one rounding of the difference is lost.
        self._exact_center = plan.center[:, None]
        with np.errstate(over="ignore"):  # beyond float32: rows are then float64, and this is unused
            self._center = self._exact_center.astype(dtype)
        rest = np.where(np.isfinite(self._center), self._exact_center - self._center, 0.0).astype(dtype)
        self._center_rest = rest if rest.any() else None
        self._inverse_scale = (1.0 / plan.scale)[:, None].astype(dtype)
        self._coefficients = [s.coefficients.astype(dtype) for s in plan.segments]
        self._factors = [_lay_out_factors(s, dtype) for s in plan.segments]
        self._means = [s.means.astype(dtype)[:, :, None] for s in plan.segments]
        (self._trmm,) = get_blas_funcs(("trmm",), (self._work,))

    def chunks(self, rows: Block) -> range:
        """List the first row of each chunk of a block."""
        return range(0, rows.shape[1], self.chunk)

    def expand(self, rows: Block) -> Block:
        """Compute the quadratic features (prefix, m) of rows (d, m); valid until the next call."""
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
            # All products z_i z_(i + gap) at once: both operands are contiguous.
            np.multiply(z[: d - gap], z[gap:], out=features[at : at + d - gap])
            at, gap = at + d - gap, gap + 1
        return features

    def weighted_log_prob(self, features: Block, i: int = 0, out: Block | None = None) -> Block:
        """Compute log(weight * density) - peak, (k, m), nats, of the plan's segment i; the last row is noise if it has.

        Valid until the next call, unless written to ``out``.
        """
        segment, coefficients, factors = self.plan.segments[i], self._coefficients[i], self._factors[i]
        m = features.shape[1]
        log_prob = found = self._log_prob[: segment.n_classes * m].reshape(-1, m) if out is None else out
        if segment.noise is not None:
            log_prob, found[-1] = found[:-1], segment.noise
        if segment.expanded:
            blas.evaluate(coefficients, features[: coefficients.shape[1]], log_prob)
        z = features[1 : 1 + self.plan.n_features]
        if segment.uses_row_scatter:
            log_prob -= self._half_square_length(self._subtract_mean(z, None), segment, factors[0])
        for j in np.flatnonzero(segment.accurate).tolist():
            centred = self._subtract_mean(z, self._means[i][j])
            log_prob[j] = segment.constants[j] - self._half_square_length(centred, segment, factors[j])
        return found

    def _subtract_mean(self, z: Block, mean: Block | None) -> Block:
        """Copy z less a mean into the work buffer."""
        work = self._work[: z.size].reshape(z.shape)
        if mean is None:
            np.copyto(work, z)
        else:
            np.subtract(z, mean, out=work)
        return work

    def _half_square_length(self, centred: Block, segment: Segment, factor: Block) -> Block:
        """Compute half the squared Mahalanobis length of centred rows, (m,); multiplies them by the factor in place."""
        if segment.structure.axis_aligned:
            centred *= factor
        else:
            # y' U = (U' y)': the transpose of a C-contiguous block is column-major, so BLAS works in place.
            self._trmm(1.0, factor, centred.T, side=1, overwrite_b=1)
        half: Block = np.einsum("ij,ij->j", centred, centred)
        half *= 0.5
        return half

    def centred_moments(self, z: Block, i: int, j: int, responsibilities: Block, weight: float) -> tuple[Block, Block]:
        """Sum rows about the mean of segment i's component j: weighted sum (d,), second moment (d,) or (d, d).

        ``weight`` is the mean row weight; it sets the threshold below which responsibilities are dropped.
        """
        found = find_significant(responsibilities, _WORTH_PICKING, weight)
        if found is not None:
            z, responsibilities = z[:, found], responsibilities[found]
        centred = self._subtract_mean(z, self._means[i][j])
        first = np.asarray(centred @ responsibilities)
        if self.plan.segments[i].structure.axis_aligned:
            second: Block = np.einsum("ij,ij,j->i", centred, centred, responsibilities)
            return first, second
        centred *= np.sqrt(responsibilities)
        return first, np.asarray(centred @ centred.T)  # numpy calls syrk for a symmetric product


def _lay_out_factors(segment: Segment, dtype: np.dtype[Any]) -> list[Block]:
    """Lay out each component's factor for its kernel: a column if axis-aligned, else Fortran-ordered."""
    if segment.structure.axis_aligned:
        return [f[:, None].astype(dtype) for f in segment.factors]
    if segment.structure.shares_scatter:
        return [np.asarray(segment.factors, dtype, order="F")] * len(segment.means)
    return [np.asarray(f, dtype, order="F") for f in segment.factors]
