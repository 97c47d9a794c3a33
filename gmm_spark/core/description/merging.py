"""The merge tree: which components are parts of one cluster (Baudry, Raftery, Celeux, Lo & Gottardo 2010).

A mixture needs several Gaussians for a cluster that is not Gaussian. Here the components are merged two by two, until
one cluster is left; each time the two whose merging lowers the entropy of the responsibilities the most. As long as
parts of one cluster are merged the entropy falls steeply, and then hardly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import xlogy

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.formatting import count_of, say_share
from gmm_spark.core.missing.density import responsibilities
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk, rows_per_chunk
from gmm_spark.errors import ParameterError

# Rows that are looked at, and logarithms that are taken for the first merge at most.
_ROWS, _LOGARITHMS = 20_000, 40_000_000
# Entropy, as a share of the largest possible, below which hardly a row is shared; and what is left of the entropy after
# a merge that takes most of it away.
_HARDLY, _STEEP = 0.02, 0.25
# How many times as fast the entropy falls before a clear bend as after it, by the rows that are merged.
_CLEAR = 5.0


@dataclass(frozen=True)
class Merge:
    """One step of a merge tree.

    Attributes
    ----------
    first, second : tuple of int
        Components of the two clusters that are merged; the first has the lowest component.
    clusters : int
        Clusters that are left.
    entropy : float
        Of the responsibilities of these, in nats a row.
    weight : float
        Share of the rows in the two.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    clusters: int
    entropy: float
    weight: float


@dataclass(frozen=True)
class MergeTree:
    """All merges of a mixture's components, in order.

    Attributes
    ----------
    n_components : int
    entropy : float
        Mean entropy of the responsibilities before any merge, nats a row: 0 if no row is shared.
    merges : tuple of Merge
        From the components down to one cluster: k - 1 of them.
    suggested : int
        Number of clusters at which the fall of the entropy bends.
    """

    n_components: int
    entropy: float
    merges: tuple[Merge, ...]
    suggested: int

    @classmethod
    def of(cls, parameters: MixtureParameters, rows: Block, sample_weight: Array | None = None) -> MergeTree:
        """Merge the components of a mixture by the responsibilities of rows.

        Parameters
        ----------
        parameters : MixtureParameters
            In the rows' coordinates.
        rows : array (d, m)
            A sample of the table. Up to 20,000 of them, evenly spaced, are looked at.
        sample_weight : array (m,), optional
        """
        m, k = rows.shape[1], parameters.n_components
        most = int(min(_ROWS, max(_LOGARITHMS // max(k * (k - 1) // 2, 1), 500)))
        if m > most:
            some = np.linspace(0, m - 1, most).astype(np.intp)
            rows, sample_weight = rows[:, some], None if sample_weight is None else sample_weight[some]
        shares = responsibilities(parameters, np.asarray(rows, dtype=np.float64))
        weight = np.ones(rows.shape[1]) if sample_weight is None else sample_weight
        if parameters.noise is not None:  # noise belongs with no component: a row counts as far as it is not noise
            left = shares[:k].sum(axis=0)
            shares, weight = shares[:k] / np.maximum(left, np.finfo(float).tiny), weight * left
            if not weight.sum() > 0:
                shares, weight = np.broadcast_to(parameters.weights[:, None], shares.shape), np.ones_like(weight)
        return _merge(shares, weight / weight.sum())

    @classmethod
    def drawn(cls, parameters: MixtureParameters, seed: int = 0) -> MergeTree:
        """Merge the components by rows drawn from the mixture itself, if there is no sample of the table."""
        n = min(_ROWS, rows_per_chunk(parameters))
        rows, _ = draw_chunk(parameters, component_counts(parameters, n, seed), seed, 0)
        return cls.of(parameters, rows)

    @property
    def entropies(self) -> Array:
        """Entropy for each number of clusters, from k down to 1, nats a row, (k,)."""
        return np.array([self.entropy, *(one.entropy for one in self.merges)])

    def clusters(self, n: int) -> tuple[tuple[int, ...], ...]:
        """Return the components of each of n clusters, in the order of their lowest components.

        Raises
        ------
        ParameterError
            If n is not from 1 to k.
        """
        if not 1 <= n <= self.n_components:
            raise ParameterError(f"n={n}; need a number of clusters from 1 to {self.n_components}")
        found: set[tuple[int, ...]] = {(j,) for j in range(self.n_components)}
        for one in self.merges[: self.n_components - n]:
            found -= {one.first, one.second}
            found.add(tuple(sorted(one.first + one.second)))
        return tuple(sorted(found))

    @property
    def left(self) -> float:
        """Share of the entropy that is left at the bend: rows that the clusters there still share."""
        return float(self.entropies[self.n_components - self.suggested] / self.entropy) if self.entropy > 0 else 0.0

    @property
    def is_slight(self) -> bool:
        """Whether the bend is slight: merges after it lower the entropy by more than a fifth as much, for each row."""
        at = self.n_components - self.suggested
        if not 0 < at < self.n_components - 1:
            return False
        merged = np.cumsum([0.0, *(one.weight for one in self.merges)])
        before = (self.entropies[0] - self.entropies[at]) / merged[at]
        after = (self.entropies[at] - self.entropies[-1]) / (merged[-1] - merged[at])
        return bool(before < _CLEAR * after)

    def to_dict(self) -> dict[str, Any]:
        """Write as plain lists and numbers, ready for JSON."""
        merges = [
            {
                "first": list(one.first),
                "second": list(one.second),
                "clusters": one.clusters,
                "entropy": one.entropy,
                "weight": one.weight,
            }
            for one in self.merges
        ]
        return {
            "n_components": self.n_components,
            "entropy": self.entropy,
            "merges": merges,
            "suggested": self.suggested,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MergeTree:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        ParameterError
            If it is not that.
        """
        try:
            merges = tuple(
                Merge(
                    tuple(int(j) for j in one["first"]),
                    tuple(int(j) for j in one["second"]),
                    int(one["clusters"]),
                    float(one["entropy"]),
                    float(one["weight"]),
                )
                for one in values["merges"]
            )
            k, suggested = int(values["n_components"]), int(values["suggested"])
            tree = cls(k, float(values["entropy"]), merges, suggested)
            if len(merges) != k - 1 or not 1 <= suggested <= k or tree.clusters(1) != (tuple(range(k)),):
                raise ValueError(f"{len(merges)} merges of {k} components, {suggested} clusters suggested")
        except (KeyError, TypeError, ValueError) as error:
            raise ParameterError(f"not a merge tree: {error!r}") from error
        return tree


def describe_merges(tree: MergeTree) -> str:
    """Say which components may be one cluster, what that rests on, and how sure it is.

    Examples
    --------
    >>> tree = MergeTree(3, 0.4, (Merge((0,), (2,), 2, 0.01, 0.6), Merge((0, 2), (1,), 1, 0.0, 1.0)), 2)
    >>> print(describe_merges(tree).split(". ")[1])
    The bend is clear: they probably belong to one cluster
    """
    k = tree.n_components
    if tree.suggested == k:
        return "There is nothing to merge: no components share so many rows."
    if tree.is_slight:
        sure = "The bend is slight, so they may be one cluster, or several that overlap"
    else:
        sure = "The bend is clear: they probably belong to one cluster"
    return (
        f"The fall of the entropy bends at {count_of(tree.suggested, 'cluster')}, once {name_joined(tree)} are merged: "
        f"{say_share(1 - tree.left)} of all doubt about the rows' components (entropy) is among these. {sure}. As a "
        f"density the mixture needs all {k}."
    )


def name_joined(tree: MergeTree) -> str:
    """Name the components that are merged up to the bend.

    Examples
    --------
    >>> name_joined(MergeTree(3, 0.4, (Merge((0,), (2,), 2, 0.01, 0.6), Merge((0, 2), (1,), 1, 0.0, 1.0)), 2))
    '0 with 2'
    """
    return ", ".join(" with ".join(map(str, one)) for one in tree.clusters(tree.suggested) if len(one) > 1)


def _merge(shares: Array, weight: Array) -> MergeTree:
    """Merge responsibilities (k, m) of rows of weights (m,) that sum to 1, two by two."""
    k = len(shares)
    own: list[Array] = [np.asarray(xlogy(one, one)) for one in shares]
    live = list(range(k))
    members: dict[int, tuple[int, ...]] = {j: (j,) for j in live}
    shares = shares.copy()
    gains = np.full((k, k), -np.inf)

    def gain(i: int, j: int) -> float:
        both = shares[i] + shares[j]
        return float((xlogy(both, both) - own[i] - own[j]) @ weight)

    for i in live:
        for j in range(i):
            gains[i, j] = gain(i, j)
    entropy = -float(sum(one @ weight for one in own))
    merges = []
    before = max(entropy, 0.0)
    while len(live) > 1:
        upper, lower = np.unravel_index(int(gains.argmax()), gains.shape)  # the first of equals
        i, j = int(lower), int(upper)
        weight_of_two = float((shares[i] + shares[j]) @ weight)
        entropy -= float(gains[j, i])
        shares[i] += shares[j]
        own[i] = np.asarray(xlogy(shares[i], shares[i]))
        live.remove(j)
        gains[j], gains[:, j] = -np.inf, -np.inf
        for other in live:
            if other != i:
                gains[max(i, other), min(i, other)] = gain(i, other)
        merges.append(Merge(members[i], members[j], len(live), max(entropy, 0.0), weight_of_two))
        members[i] = tuple(sorted(members[i] + members.pop(j)))
    return MergeTree(k, before, tuple(merges), _find_bend(before, merges))


def _find_bend(entropy: float, merges: list[Merge]) -> int:
    """Find the number of clusters at which the fall of the entropy bends.

    As Baudry et al. propose: the entropy is fitted by two lines against the rows merged so far, and the bend between
    them is that of the least squares. Two merges have a bend if the first takes most of the entropy away. If hardly a
    row is shared, there is nothing to merge.
    """
    entropies = np.array([entropy, *(one.entropy for one in merges)])
    k = len(entropies)
    if k < 3 or entropies[0] <= _HARDLY * np.log(k):
        return k
    if k == 3:
        return 2 if entropies[1] <= _STEEP * entropies[0] else 3
    merged = np.concatenate([[0.0], np.cumsum([one.weight for one in merges])])
    faults = [_fault(merged[: c + 1], entropies[: c + 1]) + _fault(merged[c:], entropies[c:]) for c in range(1, k - 1)]
    return k - 1 - int(np.argmin(faults))


def _fault(x: Array, y: Array) -> float:
    """Return the sum of squares that a line leaves."""
    line = np.stack([np.ones(len(x)), x], axis=1)
    coefficients = np.linalg.lstsq(line, y, rcond=None)[0]
    return float(((y - line @ coefficients) ** 2).sum())
