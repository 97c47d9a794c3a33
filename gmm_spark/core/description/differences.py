"""How a component differs from all others together, and from the one that is nearest: in figures and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.formatting import show_within
from gmm_spark.core.mixture.parameters import MixtureParameters

# Difference of two means, in pooled standard deviations, from which on it is worth a word, is large, and is much: Cohen
# (1988) calls 0.5 a medium effect and 0.8 a large one. Ratio of two standard deviations.
_SOMEWHAT, _HIGH, _MUCH, _WIDE = 0.5, 0.8, 2.0, 2.0
# Overlap with the nearest component below which nobody takes one for the other, and from which on they are alike.
_APART, _NEAR = 0.05, 0.5
# Differences from the nearest that are named.
_NAMED_OF_NEAREST = 2


@dataclass(frozen=True)
class Difference:
    """How a component differs along one feature: from all others together, or from another component.

    Attributes
    ----------
    feature : int
    name : str
    kind : {"level", "spread"}
        What differs: the mean, or the standard deviation.
    value, others : float
        Of the component, and of the others, in the feature's units. Level: of all other rows. Spread: of a component,
        the geometric mean. If another component is meant, both are its own.
    size : float
        Level: the difference in pooled standard deviations; positive if the component is higher. Spread: the logarithm
        of the ratio to base 2; positive if the component is wider.
    """

    feature: int
    name: str
    kind: str
    value: float
    others: float
    size: float


def find_differences(
    parameters: MixtureParameters, spreads: Array, j: int, names: Sequence[str]
) -> tuple[Difference, ...]:
    """Find how a component differs from all others together, the largest difference first."""
    weights = np.where(np.arange(parameters.n_components) == j, 0.0, parameters.weights)
    if not weights.sum() > 0:
        return ()
    weights = weights / weights.sum()
    mean = weights @ parameters.means
    spread = np.sqrt(weights @ (spreads**2 + (parameters.means - mean) ** 2))
    typical = np.exp(weights @ np.log(spreads))  # of one component: a spread of all includes how far they are apart
    found = _compare(parameters.means[j], spreads[j], mean, spread, typical, names)
    # Levels first: they say more than spreads.
    return tuple(sorted(found, key=lambda one: (one.kind, -abs(one.size), one.feature)))


def differ_from(
    parameters: MixtureParameters, spreads: Array, j: int, other: int, names: Sequence[str]
) -> tuple[Difference, ...]:
    """Find how a component differs from another, what sets them apart the most first.

    That is each difference's part in the Bhattacharyya distance of the two along the feature.
    """
    means, variances = parameters.means, spreads**2
    both = variances[j] + variances[other]
    parts = {
        "level": (means[j] - means[other]) ** 2 / (4 * both),
        "spread": np.log(both / (2 * spreads[j] * spreads[other])) / 2,
    }
    found = _compare(means[j], spreads[j], means[other], spreads[other], spreads[other], names)
    return tuple(sorted(found, key=lambda one: (-parts[one.kind][one.feature], one.feature))[:_NAMED_OF_NEAREST])


def _compare(
    mean: Array, spread: Array, other_mean: Array, other_spread: Array, typical: Array, names: Sequence[str]
) -> list[Difference]:
    """Compare means, and spreads with those that are typical, feature by feature; what is small is left out."""
    shift = (mean - other_mean) / np.sqrt((other_spread**2 + spread**2) / 2)
    ratio = np.log2(spread / typical)
    found = []
    for i, name in enumerate(names):
        if abs(shift[i]) >= _SOMEWHAT:
            found.append(Difference(i, name, "level", float(mean[i]), float(other_mean[i]), float(shift[i])))
        if abs(ratio[i]) >= np.log2(_WIDE):
            found.append(Difference(i, name, "spread", float(spread[i]), float(typical[i]), float(ratio[i])))
    return found


def tell_nearest(
    differences: Sequence[Difference], unlike: Sequence[Difference], nearest: int, overlap: float, spreads: Array
) -> str:
    """Say how a component differs from its nearest, unless they are far apart, or the others differ likewise."""
    if overlap < _APART:
        return ""
    if not unlike:
        return f" In each feature alone it is much like its nearest, {nearest}." if overlap >= _NEAR else ""
    first = unlike[0]
    told = differences[0] if differences else None
    if told and (told.feature, told.kind, told.size > 0) == (first.feature, first.kind, first.size > 0):
        return ""
    words = join([write_difference(one, float(spreads[one.feature]), f"{nearest} has") for one in unlike])
    return f" Unlike its nearest, {nearest}: {words}."


def write_difference(one: Difference, spread: float, whose: str = "others") -> str:
    """Put a difference into words."""
    if one.kind == "level":
        much = "much " if abs(one.size) >= _MUCH else "" if abs(one.size) >= _HIGH else "somewhat "
        value = show_within(one.value, spread)
        others = show_within(one.others, max(spread, abs(one.value - one.others) / 10))
        return f"{much}{'higher' if one.size > 0 else 'lower'} {one.name} ({value}; {whose} {others})"
    wide = "wider" if one.size > 0 else "narrower"
    return (
        f"{wide} in {one.name} (sd {show_within(one.value, one.value)}; {whose} {show_within(one.others, one.others)})"
    )


def join(parts: Sequence[str]) -> str:
    """Join parts of a sentence.

    Examples
    --------
    >>> join(["a"]), join(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
