"""Judge results: by likelihood, less what components gain by sitting on a handful of rows.

The likelihood of a mixture grows as a component shrinks onto few rows, or onto rows that share a value, down to the
floor under variances. Such an optimum can beat one that describes all rows (spurious maximizers: McLachlan & Peel 2000,
section 3.10). So a component that holds fewer rows than a covariance needs is judged as if it had the others'
variances: if its rows are far from all others it still gains; if it merely is narrow it does not. A component at the
floor that holds more rows may be real, a column's zeros say: another result is preferred only if its likelihood is the
same but for chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array
from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.em.loop import rank
from gmm_spark.core.em.run import Outcome
from gmm_spark.core.mixture.floor import components_at_floor
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable


def starved_of_rows(parameters: MixtureParameters, rows: float) -> NDArray[np.bool_]:
    """Tell which components hold fewer than d + 1 of so many rows, (k,); none if they share one covariance.

    Examples
    --------
    >>> starved_of_rows(MixtureParameters([0.9, 0.1], [[0.0], [9.0]], [1.0, 1.0], "spherical"), 10)
    array([False,  True])
    """
    held = parameters.weights * rows
    fewer = (held > 0) & (held < parameters.n_features + 1)
    return fewer & (not parameters.structure.pooled)


def judge(result: EMResult, sample: ArrayTable, floor: Array | None) -> float:
    """Lower bound of a result, nats per row, less what is not to be trusted in it.

    Parameters
    ----------
    result : EMResult
    sample : ArrayTable
        Of the table that the result is of, with the table's moments. One iteration's work on it, if a component holds
        few rows.
    floor : array (d,), optional
        Under the variances.
    """
    parameters, rows = result.parameters, sample.moments.weights.positive
    few = starved_of_rows(parameters, rows)
    lower_bound = result.lower_bound
    if few.any():
        as_it_is, widened = sample.expect([parameters, _widen(parameters, few)])
        lower_bound -= max(as_it_is.lower_bound - widened.lower_bound, 0.0)
    if floor is not None and not parameters.structure.pooled:
        narrow = components_at_floor(parameters, floor) & ~few & (parameters.weights > 0)
        # Akaike's price of a component: by chance alone its parameters gain as much.
        lower_bound -= narrow.sum() * parameters.n_parameters / parameters.n_components / rows
    return lower_bound


def judge_together(results: Sequence[EMResult], sample: ArrayTable, floor: Array | None) -> list[float]:
    """Judge results that are to be compared; arguments as of :func:`judge`.

    If each of them has a component on few rows, there is nothing better to prefer: then the likelihoods count as they
    are.
    """
    rows = sample.moments.weights.positive
    if all(starved_of_rows(result.parameters, rows).any() for result in results):
        return [result.lower_bound for result in results]
    return [judge(result, sample, floor) for result in results]


def rank_judged(outcomes: Sequence[Outcome], sample: ArrayTable, floor: Array | None) -> list[EMResult]:
    """Sort the results, best first, the earliest of equals; errors as of :func:`gmm_spark.core.em.loop.rank`."""
    results = rank(outcomes)
    if len(results) == 1:
        return results
    judged = judge_together(results, sample, floor)
    return [results[i] for i in sorted(range(len(results)), key=lambda i: -judged[i])]


def _widen(parameters: MixtureParameters, few: NDArray[np.bool_]) -> MixtureParameters:
    """Raise the variances of some components to the average of the others', or of all if there are no others."""
    share = np.where(few, 0.0, parameters.weights)
    if not share.any():
        share = parameters.weights
    average = np.average(parameters.deviations**2, axis=0, weights=share)
    raised = parameters.bounded(average)
    if raised is parameters:
        return parameters
    covariances = parameters.covariances.copy()
    covariances[few] = raised.covariances[few]
    kind, noise = parameters.covariance_type, parameters.noise
    return MixtureParameters(parameters.weights, parameters.means, covariances, kind, noise)
