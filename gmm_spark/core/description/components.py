"""Each component of a mixture in words: what makes it different from the others, how tight it is, what is nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.description.differences import (
    Difference,
    differ_from,
    find_differences,
    join,
    tell_nearest,
    write_difference,
)
from gmm_spark.core.mixture.matching import bhattacharyya_distances
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.portrait import CERTAINTY_EDGES, Portrait

CERTAIN = 0.9
"""Responsibility of its most probable component from which on a row is certain of it; an edge of the bins."""

# Correlation that is worth a word, and how far it has to be from that within the other components.
_CORRELATED, _UNLIKE = 0.7, 0.4
# Differences from all others that a sentence names.
_NAMED = 3


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
    unlike_nearest : tuple of Difference
        How it differs from that one, what sets them apart the most first: up to two.
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
    unlike_nearest: tuple[Difference, ...]
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
    overlaps = np.exp(-distances.min(axis=1))
    certain = None if portrait is None else _find_certain(portrait)
    typical = _average_correlation(parameters, spreads)
    described = []
    for j in range(parameters.n_components):
        differences = find_differences(parameters, spreads, j, names)
        nearest = int(distances[j].argmin()) if np.isfinite(distances[j]).any() else None
        unlike_nearest = () if nearest is None else differ_from(parameters, spreads, j, nearest, names)
        sentence = _write_sentence(parameters, spreads, j, names, differences, typical)
        if nearest is not None and np.count_nonzero(parameters.weights) > 2 and parameters.weights[j] > 0:
            sentence += tell_nearest(differences, unlike_nearest, nearest, float(overlaps[j]), spreads[j])
        share = float(parameters.weights[j])
        described.append(
            ComponentDescription(
                component=j,
                share=share,
                rows=None if rows is None else share * rows,
                means=parameters.means[j],
                spreads=spreads[j],
                differences=differences[:_NAMED],
                sentence=sentence,
                tightness=float(tightness[j]),
                nearest=nearest,
                unlike_nearest=unlike_nearest,
                overlap=0.0 if nearest is None else float(overlaps[j]),
                certain=None if certain is None or np.isnan(certain[j]) else float(certain[j]),
            )
        )
    return tuple(described)


def share_certain(portrait: Portrait) -> float:
    """Return the share of a table's rows that are certain of their component."""
    return float(_count_certain(portrait).sum() / portrait.sizes.sum())


def _count_certain(portrait: Portrait) -> Array:
    """Count the rows of each component that are certain of it, (k,)."""
    return np.asarray(portrait.certainty[:, CERTAINTY_EDGES.index(CERTAIN) :].sum(axis=1))


def _find_certain(portrait: Portrait) -> Array:
    """Share of each component's rows that are certain of it, (k,); NaN if there are none."""
    sizes, certain = portrait.sizes, _count_certain(portrait)
    return np.asarray(np.divide(certain, sizes, out=np.full(len(sizes), np.nan), where=sizes > 0))


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
        told = join([write_difference(one, float(spreads[j, one.feature])) for one in differences[:_NAMED]])
        said = f"{told[0].upper()}{told[1:]}."
    else:
        said = "Much like all others together in each feature alone."
    return said + _relate(parameters, spreads, j, names, typical)


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
