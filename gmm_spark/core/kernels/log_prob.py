"""The hot kernel: blocks of rows in, weighted log-densities of every component out.

One matrix product a block does the work, ``L = Theta @ Phi`` (features: :mod:`gmm_spark.core.kernels.plan`).
Components behind the gate are overwritten by the accurate kernel, which subtracts the component's own mean first and
whitens with its precision factor; the sums that it takes are about that mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import get_blas_funcs

from gmm_spark.core.arrays import Block
from gmm_spark.core.kernels import blas
from gmm_spark.core.kernels.plan import Plan, Segment
from gmm_spark.core.kernels.sparse import matters

# Bytes of work buffers a kernel fills before it multiplies. Fewer cost calls, more fall out of L3.
WORK_BYTES = 1 << 22
_MIN_CHUNK, _MAX_CHUNK = 2 * blas.SLICE, 24 * blas.SLICE

# Share of a chunk's rows up to which the accurate kernel's sums pick those that matter to a component.
_HALF = 1 / 2


class Kernel:
    """Weighted log-densities of a plan's segments, chunk by chunk, in reused buffers.

    Segments take turns: the expanded features and what one candidate makes of them stay in the core's own cache.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        d, dtype = plan.n_features, np.dtype(plan.dtype)
        per_row = dtype.itemsize * (plan.n_expanded + 2 * plan.most_components + 2 * d)
        self.chunk = int(np.clip(WORK_BYTES // per_row, _MIN_CHUNK, _MAX_CHUNK)) // blas.SLICE * blas.SLICE
        self._features = blas.buffer(plan.n_expanded * self.chunk, dtype)
        self._log_prob = blas.buffer(plan.most_components * self.chunk, dtype)
        self._work = blas.buffer(d * self.chunk, dtype)
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
            blas.evaluate(coefficients, features[: coefficients.shape[1]], log_prob)
        z = features[1 : 1 + self.plan.n_features]
        if segment.uses_row_scatter:
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
        if segment.structure.axis_aligned:
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
        if self.plan.segments[i].structure.axis_aligned:
            second: Block = np.einsum("ij,ij,j->i", centred, centred, responsibilities)
            return first, second
        centred *= np.sqrt(responsibilities)
        return first, np.asarray(centred @ centred.T)  # a symmetric product: numpy calls syrk


def _per_component(segment: Segment, dtype: np.dtype[Any]) -> list[Block]:
    """Each component's factor as its kernel wants it: a column where axis-aligned, else Fortran-ordered."""
    if segment.structure.axis_aligned:
        return [f[:, None].astype(dtype) for f in segment.factors]
    if segment.structure.shares_scatter:
        return [np.asarray(segment.factors, dtype, order="F")] * len(segment.means)
    return [np.asarray(f, dtype, order="F") for f in segment.factors]
