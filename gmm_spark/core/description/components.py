"""Each component of a mixture in words: what makes it different from the others, how tight it is, what is nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.formatting import show_within
from gmm_spark.core.mixture.matching import bhattacharyya_distances
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.portrait import CERTAINTY_EDGES, Portrait

CERTAIN = 0.9
"""Responsibility of its most probable component from which on a row's membership is certain; an edge of the bins."""

# Difference of two means, in pooled standard deviations, from which on it is worth a word, is large, and is much: Cohen
# (1988) calls 0.5 a medium effect and 0.8 a large one. Ratio of two standard deviations.
_SOMEWHAT, _HIGH, _MUCH, _WIDE = 0.5, 0.8, 2.0, 2.0
# Correlation that is worth a word, and how far it has to be from that within the other components.
_CORRELATED, _UNLIKE = 0.7, 0.4
# Differences that a sentence names.
_NAMED = 3


@dataclass(frozen=True)
class Difference:
    """How a component differs from all others along one feature.

    Attributes
    ----------
    feature : int
    name : str
    kind : {"level", "spread"}
        What differs: the mean, or the standard deviation.
    value, others : float
        Of the component, and of the others, in the feature's units. Level: of all other rows. Spread: of a component,
        the geometric mean.
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


@dataclass(frozen=True, eq=False)
class ComponentDescription:
    """One component.

    Attributes
    ----------
    component : int
        As in the prediction column.
    share : float
        Mixing weight.
    rows : float or None
        Rows that it explains, by responsibility; None if the number of rows is not known.
    means, spreads : array (d,)
        Mean and standard deviation of each feature, in its own units.
    differences : tuple of Difference
        What makes it different, the largest first: up to three, none for the only component.
    sentence : str
        The same in words.
    tightness : float
        Its standard deviation over that of the whole mixture: the geometric mean over the features. Below 1 it is
        tighter than the table.
    nearest : int or None
        The component that it overlaps the most; None for the only one.
    overlap : float
        Bhattacharyya coefficient of the two: 0 if they are apart, 1 if they are the same.
    certain : float or None
        Share of the rows whose most probable component it is, whose responsibility is at least 0.9. None without a
        portrait, or if there are no such rows.
    """

    component: int
    share: float
    rows: float | None
    means: Array
    spreads: Array
    differences: tuple[Difference, ...]
    sentence: str
    tightness: float
    nearest: int | None
    overlap: float
    certain: float | None


def describe_components(
    parameters: MixtureParameters, names: Sequence[str], rows: float | None = None, portrait: Portrait | None = None
) -> tuple[ComponentDescription, ...]:
    """Describe the components of a mixture, in their own order.

    Parameters
    ----------
    parameters : MixtureParameters
        In the table's own coordinates.
    names : sequence of str, (d,)
        Of the features, as sentences shall name them.
    rows : float, optional
        Rows of the table.
    portrait : Portrait, optional
        Tells how certain membership is.

    Examples
    --------
    >>> mixture = MixtureParameters([0.5, 0.5], [[0.0, 5.0], [9.0, 5.0]], [[1.0, 1.0], [1.0, 1.0]], "diag")
    >>> describe_components(mixture, ["delay", "distance"])[1].sentence
    'Much higher delay (9; others 0).'
    """
    spreads = parameters.deviations
    total_spread = np.sqrt(parameters.moments()[1])
    tightness = np.exp(np.log(spreads / total_spread).mean(axis=1))
    distances = bhattacharyya_distances(parameters, parameters)
    np.fill_diagonal(distances, np.inf)
    distances[:, parameters.weights == 0] = np.inf
    certain = None if portrait is None else _find_certain(portrait)
    typical = _average_correlation(parameters, spreads)
    described = []
    for j in range(parameters.n_components):
        differences = _find_differences(parameters, spreads, j, names)
        nearest = int(distances[j].argmin()) if np.isfinite(distances[j]).any() else None
        share = float(parameters.weights[j])
        described.append(
            ComponentDescription(
                component=j,
                share=share,
                rows=None if rows is None else share * rows,
                means=parameters.means[j],
                spreads=spreads[j],
                differences=differences[:_NAMED],
                sentence=_write_sentence(parameters, spreads, j, names, differences, typical),
                tightness=float(tightness[j]),
                nearest=nearest,
                overlap=0.0 if nearest is None else float(np.exp(-distances[j, nearest])),
                certain=None if certain is None or np.isnan(certain[j]) else float(certain[j]),
            )
        )
    return tuple(described)


def _find_certain(portrait: Portrait) -> Array:
    """Share of each component's rows that are certainly its own, (k,); NaN if there are none."""
    first = CERTAINTY_EDGES.index(CERTAIN)
    sizes = portrait.sizes
    certain = portrait.certainty[:, first:].sum(axis=1)
    return np.asarray(np.divide(certain, sizes, out=np.full(len(sizes), np.nan), where=sizes > 0))


def _find_differences(
    parameters: MixtureParameters, spreads: Array, j: int, names: Sequence[str]
) -> tuple[Difference, ...]:
    """Find how a component differs from all others together, the largest difference first."""
    weights = np.where(np.arange(parameters.n_components) == j, 0.0, parameters.weights)
    if not weights.sum() > 0:
        return ()
    weights = weights / weights.sum()
    mean = weights @ parameters.means
    spread = np.sqrt(weights @ (spreads**2 + (parameters.means - mean) ** 2))
    shift = (parameters.means[j] - mean) / np.sqrt((spread**2 + spreads[j] ** 2) / 2)
    typical = np.exp(weights @ np.log(spreads))  # of one component: a spread of all includes how far they are apart
    ratio = np.log2(spreads[j] / typical)
    found = []
    for i, name in enumerate(names):
        if abs(shift[i]) >= _SOMEWHAT:
            level = Difference(i, name, "level", float(parameters.means[j, i]), float(mean[i]), float(shift[i]))
            found.append((abs(shift[i]), level))
        if abs(ratio[i]) >= np.log2(_WIDE):
            width = Difference(i, name, "spread", float(spreads[j, i]), float(typical[i]), float(ratio[i]))
            found.append((abs(ratio[i]), width))
    # Levels first: they say more than spreads.
    return tuple(one for _, one in sorted(found, key=lambda pair: (pair[1].kind, -pair[0], pair[1].feature)))


def _write_sentence(
    parameters: MixtureParameters,
    spreads: Array,
    j: int,
    names: Sequence[str],
    differences: Sequence[Difference],
    typical: Array | None,
) -> str:
    """Write what makes a component different."""
    if parameters.weights[j] == 0:
        return "Without weight: it starved or collapsed."
    if np.count_nonzero(parameters.weights) < 2:
        return f"The only component.{_relate_all(names, typical)}"
    if differences:
        told = _join([_word(one, float(spreads[j, one.feature])) for one in differences[:_NAMED]])
        said = f"{told[0].upper()}{told[1:]}."
    else:
        said = "Much like all others together in each feature alone."
    return said + _relate(parameters, spreads, j, names, typical)


def _word(one: Difference, spread: float) -> str:
    """Put a difference into words."""
    if one.kind == "level":
        much = "much " if abs(one.size) >= _MUCH else "" if abs(one.size) >= _HIGH else "somewhat "
        value = show_within(one.value, spread)
        others = show_within(one.others, max(spread, abs(one.value - one.others) / 10))
        return f"{much}{'higher' if one.size > 0 else 'lower'} {one.name} ({value}; others {others})"
    wide = "wider" if one.size > 0 else "narrower"
    return (
        f"{wide} in {one.name} (sd {show_within(one.value, one.value)}; others {show_within(one.others, one.others)})"
    )


def _join(parts: Sequence[str]) -> str:
    """Join parts of a sentence.

    Examples
    --------
    >>> _join(["a"]), _join(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def relate_features(parameters: MixtureParameters, names: Sequence[str]) -> str:
    """Say which features go together most within the components on average; an empty text if none do.

    Examples
    --------
    >>> mixture = MixtureParameters([0.5, 0.5], [[0.0, 5.0], [9.0, 5.0]], [[1.0, 0.9], [0.9, 1.0]], "tied")
    >>> relate_features(mixture, ["delay", "distance"])
    'Within the components delay and distance rise together (correlation 0.90 on average).'
    """
    spreads = parameters.deviations
    typical = _average_correlation(parameters, spreads)
    found = None if typical is None else _find_largest(np.abs(typical))
    if typical is None or found is None or abs(typical[found]) < _CORRELATED:
        return ""
    return f"Within the components {_tell_pair(found, names, float(typical[found]))} on average)."


def _average_correlation(parameters: MixtureParameters, spreads: Array) -> Array | None:
    """Average the correlations within the components, by weight, (d, d); None if there are none by structure."""
    if parameters.structure.axis_aligned or parameters.n_features < 2:
        return None
    if parameters.structure.pooled:
        return np.asarray(_correlate(parameters.covariances, spreads[0]))
    weighted = (
        w * _correlate(one, s) for w, one, s in zip(parameters.weights, parameters.covariances, spreads, strict=True)
    )
    return np.asarray(sum(weighted) / parameters.weights.sum())


def _correlate(covariance: Array, spread: Array) -> Array:
    return np.asarray(covariance / spread / spread[:, None])


def _relate_all(names: Sequence[str], typical: Array | None) -> str:
    """Say how features go together within the only component."""
    found = None if typical is None else _find_largest(np.abs(typical))
    if typical is None or found is None or abs(typical[found]) < _CORRELATED:
        return ""
    return f" Within it {_tell_pair(found, names, float(typical[found]))})."


def _relate(parameters: MixtureParameters, spreads: Array, j: int, names: Sequence[str], typical: Array | None) -> str:
    """Say which correlation within a component is most unlike that within the others, if it is worth a word."""
    if typical is None or parameters.structure.pooled:
        return ""
    weight, own = parameters.weights[j], _correlate(parameters.covariances[j], spreads[j])
    others = (typical - weight * own) / (1.0 - weight)
    strong = np.maximum(np.abs(own), np.abs(others)) >= _CORRELATED
    found = _find_largest(np.where(strong, np.abs(own - others), 0.0))
    if found is None or abs(own[found] - others[found]) < _UNLIKE:
        return ""
    return f" Within it {_tell_pair(found, names, float(own[found]))}; in the others {others[found]:.2f})."


def _find_largest(sizes: Array) -> tuple[int, int] | None:
    """Find the pair of features with the largest number, the first feature first; None if all are zero."""
    second, first = np.unravel_index(int(np.tril(sizes, -1).argmax()), sizes.shape)
    return (int(first), int(second)) if second > first else None


def _tell_pair(pair: tuple[int, int], names: Sequence[str], correlation: float) -> str:
    how = "rise together" if correlation > 0 else "go against each other"
    if abs(correlation) < _CORRELATED:
        how = "hardly go together" if abs(correlation) < _CORRELATED / 2 else f"{how} less closely"
    return f"{names[pair[0]]} and {names[pair[1]]} {how} (correlation {correlation:.2f}"
