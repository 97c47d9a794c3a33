"""The log-densities of one row, in a few calls of numpy: what a service needs that scores rows as they come.

It computes what :class:`gmm_spark.core.kernels.log_prob.Kernel` does in float64, in the same coordinates, with the same
choice between the fast and the accurate formula for each component. The products of features are made at once in place
of one call for each distance, and so are the components that take the accurate formula. It has no buffers, so that
threads can share it.
"""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.plan import Plan
from gmm_spark.core.mixture.quadratic import quadratic_order


class SingleRowKernel:
    """Computes the weighted log-densities of a plan's one segment at one row.

    Parameters
    ----------
    plan : Plan
        Of one candidate.
    """

    chunk = 1

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        (segment,) = plan.segments
        d = plan.n_features
        self._inverse_scale = 1.0 / plan.scale
        i, j = quadratic_order(d) if plan.n_expanded > 1 + d else (np.empty(0, np.intp), np.empty(0, np.intp))
        self._left, self._right = i[: plan.n_expanded - 1 - d], j[: plan.n_expanded - 1 - d]
        self._accurate = np.flatnonzero(segment.accurate)
        self._means = segment.means[self._accurate]
        factors = segment.factors
        if segment.structure.shares_scatter:
            self._factors = factors.T
        else:
            own = factors[self._accurate]
            self._factors = own if segment.structure.axis_aligned else np.swapaxes(own, 1, 2)

    def chunks(self, rows: Block) -> range:
        """List the rows of a block."""
        return range(rows.shape[1])

    def expand(self, rows: Block) -> Array:
        """Compute the quadratic features (prefix, 1) of one row (d, 1)."""
        z = np.subtract(rows[:, 0], self.plan.center, dtype=np.float64)
        z *= self._inverse_scale
        return np.concatenate([_ONE, z, z[self._left] * z[self._right]])[:, None]

    def weighted_log_prob(self, features: Block) -> Array:
        """Compute log(weight * density) - peak, (k, 1), nats; the last row is noise if it has."""
        (segment,) = self.plan.segments
        z = features[1 : 1 + self.plan.n_features, 0]
        if segment.expanded:
            log_prob = segment.coefficients @ features[: segment.coefficients.shape[1]]
        else:
            log_prob = np.empty((segment.n_components, 1))
        if segment.uses_row_scatter:
            whitened = self._factors @ z
            log_prob -= 0.5 * (whitened @ whitened)
        if len(self._accurate):
            centred = z - self._means  # (a, d)
            if segment.structure.axis_aligned:
                whitened = centred * self._factors
            elif segment.structure.shares_scatter:
                whitened = centred @ self._factors.T
            else:
                whitened = np.matmul(self._factors, centred[:, :, None])[:, :, 0]
            half = 0.5 * np.einsum("ij,ij->i", whitened, whitened)
            log_prob[self._accurate, 0] = segment.constants[self._accurate] - half
        return log_prob if segment.noise is None else np.append(log_prob, [[segment.noise]], axis=0)


_ONE = np.ones(1)
