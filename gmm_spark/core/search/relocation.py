"""Relocate components: from where they are needed least to where rows are explained poorly.

EM moves a component no farther than the rows it shares with others lead it. Two components that share one cluster stay
there, and so does one component that covers two clusters. A round of relocation takes one component away, puts it
elsewhere, runs EM, and keeps the result if it ends higher.
"""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.em.loop import best, fit
from gmm_spark.core.em.reseeding import degenerate_components
from gmm_spark.core.em.rounds import Round
from gmm_spark.core.em.run import Run
from gmm_spark.core.kernels.weight_kinds import FREQUENCY
from gmm_spark.core.kernels.weight_sums import WeightSums
from gmm_spark.core.missing.density import weighted_log_prob
from gmm_spark.core.mixture.log_space import normalise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.search.crew import Crew
from gmm_spark.core.search.judging import judge_together
from gmm_spark.core.search.racing import Stage, cut_after, race
from gmm_spark.core.settings import Rule
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DegenerateComponentError

# Candidates of a round: one for each of the components whose removal costs least. With three, some samples that had
# ended in a worse optimum stayed there.
_CANDIDATES = 6
# Iterations before only the best candidate is kept. With ten, some samples ended in a worse optimum; running all
# candidates to their ends takes up to twice as long, for the same optima.
_CUT_AFTER = 15
# Rows on which places are compared: on all of them that would take longer than EM.
_PLACING_ROWS = 5_000


def relocate(
    sample: ArrayTable,
    parameters: MixtureParameters,
    rule: Rule,
    rounds: int,
    rng: np.random.Generator,
    weight_kind: str = FREQUENCY,
    crew: Crew | None = None,
) -> MixtureParameters | None:
    """Move components, one in each round, as long as EM ends higher for it.

    Parameters
    ----------
    sample : ArrayTable
    parameters : MixtureParameters
        In the sample's centred coordinates.
    rule : Rule
        Of each run of EM on the sample.
    rounds : int
        At most; each takes as long as three starts on the sample.
    rng : numpy Generator
    weight_kind : {"frequency", "importance"}
    crew : Crew, optional
        Runs the candidates of a round; by default this process does.

    Returns
    -------
    MixtureParameters or None
        None if nothing was gained.

    Raises
    ------
    DegenerateComponentError
        If the mixture itself degenerates on the sample.
    """
    if parameters.n_components == 1:
        return None
    stages = cut_after(_CUT_AFTER, Stage(sample, rule.max_iter, keep=1, sample=sample))
    # A component has to gain more than Akaike's criterion asks for its parameters: a nat each, in all rows together.
    margin = parameters.n_parameters / parameters.n_components / _count_rows(sample, weight_kind)
    placing_rows = sample.part(_PLACING_ROWS, rng)
    unmoved = kept = best(fit(sample, [Run(parameters, rule)], sample=sample))
    for _ in range(rounds):
        if degenerate_components(kept.parameters):
            break  # EM has reseeded them already, as often as it may
        least_needed = np.argsort(removal_losses(kept.parameters, sample), kind="stable")[:_CANDIDATES]
        begun = Round.place(kept, [[j] for j in least_needed.tolist()], placing_rows, rng)
        if begun is None:
            break
        try:
            (leader,) = race(begun.candidates, stages, rule, crew=crew)
        except DegenerateComponentError:
            break
        before, after = judge_together([kept, leader], sample, rule.floor)
        if not after >= before + margin:
            break
        kept = leader
    return None if kept is unmoved else kept.parameters


def _count_rows(sample: ArrayTable, weight_kind: str) -> float:
    """Count the rows that a sample is evidence of: Kish's, or the weights' sum if it has all rows of a table of counts.

    Weights that were drawn, or that are no counts after all, say no more than Kish's effective rows.
    """
    if sample.sample_weight is None:
        return float(sample.rows.shape[1])
    weights = WeightSums.of(sample.sample_weight)
    counts = weight_kind == FREQUENCY and weights.positive == sample.moments.weights.positive
    return max(weights.weight_sum, weights.effective_rows) if counts else weights.effective_rows


def removal_losses(parameters: MixtureParameters, sample: ArrayTable) -> Array:
    """Mean log-likelihood per row that a mixture loses without each of its Gaussians, (k,), nats; k is 2 at least.

    The others, and noise, keep their means and covariances, and their weights in proportion.
    """
    terms = weighted_log_prob(parameters, sample.rows - sample.moments.mean[:, None])
    leading = terms.argmax(axis=0), np.arange(terms.shape[1])
    responsibilities = terms.copy()
    total = normalise(responsibilities)
    responsibilities[leading] = 0.0
    kept = np.log1p(-responsibilities)
    # If a row's leader is removed, 1 less its responsibility may be all rounding: sum the others' densities instead.
    terms[leading] = -np.inf
    kept[leading] = normalise(terms) - total
    losses = np.log1p(-parameters.class_weights) - np.average(kept, axis=1, weights=sample.sample_weight)
    return np.asarray(losses[: parameters.n_components])
