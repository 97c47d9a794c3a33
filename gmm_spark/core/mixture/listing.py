"""A mixture as a table: weight, size, and the mean and standard deviation of each feature by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gmm_spark.core.formatting import draw_table, show_count, show_number, show_share, show_spread
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.core.mixture.parameters import MixtureParameters

NOISE_NAME = "noise"
"""What tables call the component of constant density."""

# What a notebook shows of a large mixture.
_COMPONENTS, _FEATURES = 20, 12


def list_components(
    parameters: MixtureParameters,
    names: Sequence[str] | None = None,
    sizes: ArrayLike | None = None,
    identities: Identities | None = None,
) -> dict[str, list[Any]]:
    """List a mixture's components, by column.

    Parameters
    ----------
    parameters : MixtureParameters
    names : sequence of str, (d,), optional
    sizes : array (k,), optional
        Rows by most probable component; with noise (k + 1,).
    identities : Identities, optional

    Returns
    -------
    dict
        Noise, if there is any, is the last entry of each column, and has no mean and no standard deviation: NaN.
        ``id`` and ``name``, if the identities say more than the components' numbers; ``weight``, ``rows`` if the sizes
        are given, and ``mean of x`` and ``sd of x`` for each feature x: a list of k values each.

    Examples
    --------
    >>> mixture = MixtureParameters([0.25, 0.75], [[0.0], [4.0]], [1.0, 4.0], "spherical")
    >>> list_components(mixture, ["x"])
    {'weight': [0.25, 0.75], 'mean of x': [0.0, 4.0], 'sd of x': [1.0, 2.0]}
    """
    found: dict[str, list[Any]] = {}
    if identities is not None and not identities.is_plain:
        k = parameters.n_components
        found |= {"id": list(identities.ids[:k]), "name": list(identities.names[:k])}
    found["weight"] = parameters.class_weights.tolist()
    if sizes is not None:
        found["rows"] = np.rint(np.asarray(sizes)).astype(np.int64).tolist()
    deviations = parameters.deviations
    for i, name in enumerate(name_features(parameters, names)):
        found[f"mean of {name}"] = parameters.means[:, i].tolist()
        found[f"sd of {name}"] = deviations[:, i].tolist()
    if parameters.noise is not None:
        k = parameters.n_components
        of_noise: dict[str, Any] = {"name": NOISE_NAME}
        if identities is not None and len(identities.ids) > k:
            of_noise |= {"id": identities.ids[k], "name": identities.names[k] or NOISE_NAME}
        for column, values in found.items():
            if len(values) == parameters.n_components:
                values.append(of_noise.get(column, float("nan")))
    return found


def draw_components(
    parameters: MixtureParameters,
    names: Sequence[str] | None = None,
    sizes: ArrayLike | None = None,
    identities: Identities | None = None,
) -> str:
    """Draw the same table as HTML for a notebook, the heaviest component first; of a large mixture, a part."""
    k, d = parameters.means.shape
    order, shown = np.argsort(-parameters.weights, kind="stable")[:_COMPONENTS], min(d, _FEATURES)
    deviations = parameters.deviations
    told = identities is not None and not identities.is_plain
    rows = [
        [
            str(j),
            *([identities.label(int(j))] if identities is not None and told else []),
            show_share(float(parameters.weights[j])),
            *([] if sizes is None else [show_count(float(np.asarray(sizes)[j]))]),
            *(show_spread(float(parameters.means[j, i]), float(deviations[j, i])) for i in range(shown)),
        ]
        for j in order
    ]
    if parameters.noise is not None:
        noise, size = parameters.noise, [] if sizes is None else [show_count(float(np.asarray(sizes)[k]))]
        spans = (
            f"{show_number(float(noise.low[i]), 3)} to {show_number(float(noise.high[i]), 3)}" for i in range(shown)
        )
        rows.append([str(k), *([NOISE_NAME] if told else []), show_share(noise.weight), *size, *spans])
    caption = "mean ± standard deviation, the heaviest component first"
    if k > len(order) or d > shown:
        caption += f"; {len(order)} of {k} components, {shown} of {d} features: describe() has all"
    if parameters.noise is not None:
        caption += f"; {k} is noise, uniform over these ranges"
    head = ["component", *(["id"] if told else []), "weight", *([] if sizes is None else ["rows"])]
    head += name_features(parameters, names)[:shown]
    return draw_table(caption, head, rows)


def name_features(parameters: MixtureParameters, names: Sequence[str] | None) -> list[str]:
    """Return the names of the features; those of a vector column have none of their own, and are numbered."""
    return [f"feature {i}" for i in range(parameters.n_features)] if names is None else list(names)
