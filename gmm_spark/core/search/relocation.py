"""Components taken away where they are missed least, and put where they explain more.

EM moves a component no farther than the rows it shares with others lead it: two that share a cluster stay there, and so
does one that covers two clusters. Here one is taken away and put anew at rows that are explained poorly, EM runs again,
and what ends higher stands (random swaps: Fraenti & Kivijaervi 2000; splits and merges: Ueda et al. 2000).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.em.loop import best, fit
from gmm_spark.core.em.reseeding import degenerate_components, reseed
from gmm_spark.core.mixture.density import weighted_log_prob
from gmm_spark.core.mixture.log_space import normalise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DegenerateComponentError

# Components that are tried elsewhere in one round, those missed least. Of 30 samples of the flights four had led to a
# lesser optimum: with three tried none of them was mended, with six all.
_TRIED = 6
# Iterations after which but the best of them goes on. To run all to their ends takes up to twice as long and led to the
# same optima, of those 30 samples and of five other tables; after ten two samples led to a lesser one, and after five
# none was mended.
_DECIDED_AFTER = 15
# Rows by which it is chosen where one is put: that takes longer than EM on as many.
_PLACING_ROWS = 5_000


def relocate(
    sample: ArrayTable,
    parameters: MixtureParameters,
    loop: Mapping[str, Any],
    rounds: int,
    rng: np.random.Generator,
) -> MixtureParameters | None:
    """Try components elsewhere, round after round, as long as EM ends higher for it.

    Parameters
    ----------
    sample : ArrayTable
    parameters : MixtureParameters
        In the sample's centred coordinates.
    loop : mapping
        What :func:`gmm_spark.core.em.loop.fit` is asked for.
    rounds : int
        At most; each takes as long as three starts on the sample.
    rng : numpy Generator

    Returns
    -------
    MixtureParameters or None
        None where nothing was gained.

    Raises
    ------
    DegenerateComponentError
        Where the mixture itself degenerates on the sample.
    """
    if parameters.n_components == 1:
        return None
    (standing,) = fit(sample, [parameters], **loop, trial=sample)
    # One component's parameters have to gain what they cost by Akaike's criterion, a nat each in all rows together.
    gain = parameters.n_parameters / parameters.n_components / _effective_rows(sample)
    some = sample.part(_PLACING_ROWS, rng)
    moved = None
    for _ in range(rounds):
        if degenerate_components(standing.parameters):
            break  # EM has put them anew already, as often as it may
        least_missed = np.argsort(losses(standing.parameters, sample), kind="stable")[:_TRIED].tolist()
        placed = [reseed(standing.parameters, [j], some, rng) for j in least_missed]
        try:
            tried = fit(sample, [p for p in placed if p is not None], **loop, trial=sample, contest=_DECIDED_AFTER)
        except DegenerateComponentError:
            break
        leader = best(tried)
        if not leader.lower_bound > standing.lower_bound + gain:
            break
        standing, moved = leader, leader.parameters
    return moved


def _effective_rows(sample: ArrayTable) -> float:
    """As many rows of equal weight say as much (Kish 1965)."""
    if sample.sample_weight is None:
        return float(sample.rows.shape[1])
    weight = sample.sample_weight / sample.sample_weight.max()  # whose squares neither overflow nor vanish
    return float(weight.sum() ** 2 / (weight @ weight))


def losses(parameters: MixtureParameters, sample: ArrayTable) -> Array:
    """Mean log-likelihood that a mixture loses without each of its components, (k,), nats; k is 2 at least.

    The others keep their means, their covariances, and their weights in proportion.
    """
    terms = weighted_log_prob(parameters, sample.rows - sample.moments.mean[:, None])
    leading = terms.argmax(axis=0), np.arange(terms.shape[1])
    shares = terms.copy()
    total = normalise(shares)
    shares[leading] = 0.0
    kept = np.log1p(-shares)
    # 1 less its share is no measure of what is left of a row without its leader: that may be less than 1e-16.
    terms[leading] = -np.inf
    kept[leading] = normalise(terms) - total
    return np.asarray(np.log1p(-parameters.weights) - np.average(kept, axis=1, weights=sample.sample_weight))
