"""Sharing: which rows two components of two mixtures have in common, on rows drawn from both mixtures.

Every component draws as many rows as the others, so that rare ones count as exactly. A row is shared as far as both
components are responsible for it; noise draws none, and takes its part of those drawn. The answer depends on the two
mixtures alone: it is the same during a fit, of which there are rows at hand, and when two saved models are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.mixture.density import responsibilities
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.sampling import draw_chunk, rows_per_chunk

# Rows drawn from each component at most and at least.
_MOST, _LEAST = 1024, 16
# What bounds them: multiplications of matrices and of single features, a second or two, and numbers held at a time.
_OF_MATRICES, _OF_FEATURES, _NUMBERS = 4e9, 4e8, 4e6


@dataclass(frozen=True, eq=False)
class Sharing:
    """Rows that the k components of one mixture and the l components of another have in common.

    A component that is its own counterpart has 1 in both, however much it overlaps others of its mixture.

    Attributes
    ----------
    taken : array (k, l)
        Of the rows of a component before, the share that a component after takes: the sum of both responsibilities over
        rows drawn from the mixture before, over that of the component before with itself. 0 if it has no rows.
    had : array (k, l)
        Of the rows of a component after, the share that a component before had: the same over rows drawn from the
        mixture after.
    was_there : array (k, l)
        Weight that a component after has among the rows of a component before, over its weight in its own mixture.
    is_there : array (k, l)
        Weight that a component before has among the rows of a component after, over its weight in its own mixture.
    """

    taken: Array
    had: Array
    was_there: Array
    is_there: Array

    @property
    def both(self) -> Array:
        """The smaller of the two shares, at most 1, (k, l)."""
        return np.minimum(np.minimum(self.taken, self.had), 1.0)


def share_rows(before: MixtureParameters, after: MixtureParameters) -> Sharing:
    """Compute what the components of two mixtures of the same features share.

    Parameters
    ----------
    before, after : MixtureParameters
        Of the same d features, in any structure; k may differ.

    Examples
    --------
    >>> one = MixtureParameters([0.5, 0.5], [[0.0], [90.0]], [1.0, 1.0], "spherical")
    >>> other = MixtureParameters([1.0], [[45.0]], [2000.0], "spherical")
    >>> sharing = share_rows(one, other)
    >>> sharing.taken.round(2).tolist(), sharing.had.round(2).tolist()
    ([[1.0], [1.0]], [[0.5], [0.5]])
    """
    first, own = _add_up(before, after)
    second, others = _add_up(after, before)
    return Sharing(
        taken=_divide(first, own),
        had=_divide(second, others).T,
        was_there=_divide(first.T, others).T,
        is_there=_divide(second.T, own),
    )


def _add_up(drawn: MixtureParameters, other: MixtureParameters) -> tuple[Array, Array]:
    """Add up products of responsibilities over rows drawn from one mixture: with the other's (k, l), squares (k,).

    Rows of noise are nobody's: none are drawn, and its share of other rows is shared with nothing.
    """
    k, others = drawn.n_components, other.n_components
    shared, own = np.zeros((k, others)), np.zeros(k)
    for rows, weight in _draw(drawn, most=_count_rows(drawn, other)):
        mine, theirs = (responsibilities(one, rows)[: one.n_components] for one in (drawn, other))
        weighted = mine * weight
        shared += weighted @ theirs.T
        own += np.einsum("ij,ij->i", weighted, mine)
    return shared, own


def _count_rows(drawn: MixtureParameters, other: MixtureParameters) -> int:
    """Choose how many rows to draw from each component: fewer of large mixtures."""
    (k, d), both = drawn.means.shape, drawn.n_components + other.n_components
    axis_aligned = drawn.structure.axis_aligned and other.structure.axis_aligned
    most = _OF_FEATURES / (k * both * d) if axis_aligned else _OF_MATRICES / (k * both * d * d)
    return int(np.clip(most, _LEAST, _MOST))


def _draw(parameters: MixtureParameters, most: int) -> Iterator[tuple[Block, Array]]:
    """Draw rows (d, m) from each component that has weight, and weigh them: a few components at a time.

    With each row its mirror image beyond the mean is drawn, so that chance moves no component's mean.
    """
    present = np.flatnonzero(parameters.weights > 0)
    at_a_time = max(int(_NUMBERS / (most * max(parameters.n_features, parameters.n_components))), 1)
    for number, start in enumerate(range(0, len(present), at_a_time)):
        some = present[start : start + at_a_time]
        counts = np.zeros(parameters.n_components, np.int64)
        counts[some] = most // 2
        for chunk in range(-(-int(counts.sum()) // rows_per_chunk(parameters))):
            rows, components = draw_chunk(parameters, counts, number, chunk)
            weight = parameters.weights[components] / (2 * (most // 2))
            mirrored = 2 * parameters.means[components].T - rows
            yield np.concatenate([rows, mirrored], axis=1), np.tile(weight, 2)


def _divide(sums: Array, by: Array) -> Array:
    """Divide each row of sums by its own number; 0 if that is 0."""
    return np.divide(sums, by[:, None], out=np.zeros_like(sums), where=by[:, None] > 0)
