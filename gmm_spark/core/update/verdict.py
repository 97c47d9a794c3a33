"""The verdict on an update: whether the mixture still describes its table, or should be fitted anew.

EM moves, widens and reweighs components; it neither makes nor removes one. So an update follows what drifts, and fails
where a cluster is new or has gone. That shows in today's rows. Many of them are unlike all that the mixture before
expected; once a component has widened to cover them, only that first day tells. Or they are less likely than the
updated mixture expects of rows of its own, or otherwise distributed, or a component has next to none of them left. The
rows of the last fit are the measure: a mixture that never described its table well is not worse for that today.

If values are missing, today's rows are compared with rows of the mixture that lack the same values (:mod:`.likeness`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.core.mixture.density import weighted_log_prob
from gmm_spark.core.mixture.log_space import normalise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk, rows_per_chunk
from gmm_spark.core.update.likeness import compare_with_own
from gmm_spark.core.update.memory import Memory

UPDATED, REFIT = "updated", "refit"
# Nats per row that today's rows may be less likely, beyond those of the last fit, than the mixture expects of its own.
MOST_SHORTFALL = 0.25
# Largest difference of the two distributions of log-densities, beyond that of the last fit.
MOST_GAP = 0.1
# Share of today's rows, beyond that of the last fit, that may be less likely under the mixture before than all but one
# in a hundred of its own; and rows at least.
MOST_STRANGE, _STRANGE_ROWS = 0.03, 5.0
# Share of its weight at the last fit below which a component has starved, and rows below which no day is judged, nor a
# component by what it should have had of a day.
LEAST_WEIGHT, _ROWS = 0.1, 20.0
# Standard errors that a figure must exceed its limit by.
_ERRORS = 3.3
# Rows that are drawn from the mixture, and numbers in them at most.
_DRAWN, _NUMBERS = 20_000, 2_000_000
_AT_A_TIME = 8192


@dataclass(frozen=True)
class Verdict:
    """What became of a mixture by an update.

    Attributes
    ----------
    word : {"updated", "refit"}
    reasons : tuple of str
        Why it should be fitted anew; none if it need not.
    log_density_before : float
        Mean log-density of today's rows under the mixture before, nats.
    log_density : float
        The same under the updated mixture.
    expected : float
        Mean log-density that the updated mixture expects of rows of its own with the same values missing, nats.
    shortfall : float
        What today's rows are less likely than that.
    shortfall_at_fit : float
        The same of the rows of the last fit, under that mixture.
    error : float
        Standard error of the shortfall, nats.
    gap, gap_at_fit : float
        Largest difference of the two cumulative distributions, of today's rows and of those of the last fit.
    strange, strange_at_fit : float
        Share of today's rows that are less likely under the mixture before than all but one in a hundred of its own
        rows; the same of the rows of the last fit, under that mixture.
    starving : tuple of int
        Components that have less than a tenth of the rows today that their weight before lets expect.
    starved : tuple of int
        Components of which less than a tenth of their weight at the last fit is left.
    judged : float
        Share of today's rows that shortfall, gap and strange are of: all, unless values are missing. Then complete
        rows, and those of patterns that have 500. If there are none, the three are 0.
    """

    word: str
    reasons: tuple[str, ...]
    log_density_before: float
    log_density: float
    expected: float
    shortfall: float
    shortfall_at_fit: float
    error: float
    gap: float
    gap_at_fit: float
    strange: float
    strange_at_fit: float
    starving: tuple[int, ...]
    starved: tuple[int, ...]
    judged: float


@dataclass(frozen=True, eq=False)
class Today:
    """Today's rows, as an update found them.

    Attributes
    ----------
    rows : float
        Effective number of rows.
    log_density_before, log_density : float
        Mean log-density under the mixture before and under the updated one, nats.
    log_densities_before, log_densities : mapping of bytes to LogDensityHistogram
        Distribution of the log-densities under each, by pattern of missing values.
    judged : float
        Share of the rows' weight that these distributions are of.
    incomplete : bool
        Whether values are missing in the rows.
    shares : array (k,)
        Share of the rows' weight that each component is responsible for.
    """

    rows: float
    log_density_before: float
    log_density: float
    log_densities_before: Mapping[bytes, LogDensityHistogram]
    log_densities: Mapping[bytes, LogDensityHistogram]
    judged: float
    incomplete: bool
    shares: Sequence[float]


def judge(before: MixtureParameters, after: MixtureParameters, memory: Memory, today: Today) -> Verdict:
    """Judge an update.

    Parameters
    ----------
    before, after : MixtureParameters
    memory : Memory
        Of the mixture before, with what was measured at the last fit.
    today : Today
    """
    old, new = compare_with_own(before, today.log_densities_before), compare_with_own(after, today.log_densities)
    shortfall, gap, strange, deviation = 0.0, 0.0, 0.0, 0.0
    if old is not None and new is not None:
        shortfall, gap, strange, deviation = new.shortfall, new.gap, old.below, new.deviation
    if not today.incomplete:
        shortfall = expect_of_itself(after) - today.log_density  # without drawing, but for what overlap adds
    fitted = memory.shortfall or 0.0, memory.gap or 0.0, memory.strange or 0.0
    n = max(today.rows * today.judged, 1.0)
    error = deviation / np.sqrt(n)
    shares = np.asarray(today.shares)
    expects = before.weights * today.rows >= _ROWS
    starving = np.flatnonzero(expects & (shares < LEAST_WEIGHT * before.weights))
    starved = np.flatnonzero((memory.weights > 0) & (after.weights < LEAST_WEIGHT * memory.weights))
    reasons = []
    allowed = fitted[2] + MOST_STRANGE
    judged = n >= _ROWS  # a mean of fewer is far from normal: no figure of theirs is beyond chance
    if judged and strange * n >= _STRANGE_ROWS and strange > allowed + _ERRORS * np.sqrt(allowed / n):
        reasons.append(
            f"{strange:.1%} of today's rows are less likely than all but 1 % of those that the model expected; of "
            f"the rows of the last fit {fitted[2]:.1%} were"
        )
    if judged and shortfall - fitted[0] > MOST_SHORTFALL + _ERRORS * error:
        reasons.append(
            f"today's rows are {shortfall:.3g} nats less likely than the updated mixture expects of its own; those of "
            f"the last fit were {fitted[0]:.3g}"
        )
    if judged and gap - fitted[1] > MOST_GAP + _ERRORS / 2 / np.sqrt(n):
        reasons.append(
            f"the log-densities of today's rows are distributed otherwise than those of the mixture's own rows, by "
            f"{gap:.2f} of them; those of the last fit were by {fitted[1]:.2f}"
        )
    if len(starved):
        named = ", ".join(map(str, starved))
        reasons.append(f"component {named}: less than a tenth of the weight at the last fit is left")
    return Verdict(
        word=REFIT if reasons else UPDATED,
        reasons=tuple(reasons),
        log_density_before=today.log_density_before,
        log_density=today.log_density,
        expected=today.log_density + shortfall,
        shortfall=shortfall,
        shortfall_at_fit=fitted[0],
        error=float(error),
        gap=gap,
        gap_at_fit=fitted[1],
        strange=strange,
        strange_at_fit=fitted[2],
        starving=tuple(starving.tolist()),
        starved=tuple(starved.tolist()),
        judged=today.judged,
    )


def expect_of_itself(parameters: MixtureParameters, seed: int = 0) -> float:
    """Compute the mean log-density, nats, that a mixture expects of rows of its own.

    Without overlap it is known: each component's log of weight and normalising constant, less half its squared
    distances, which are d on average. What overlap adds is the mean of -log responsibility of the component that a row
    is of, over rows drawn from the mixture.

    Examples
    --------
    >>> round(expect_of_itself(MixtureParameters([1.0], [[3.0]], [1.0], "spherical")), 4)
    -1.4189
    """
    d, present = parameters.n_features, parameters.weights > 0
    alone = parameters.weights[present] @ (parameters.log_normalisers[present] - d / 2)
    if parameters.noise is not None:
        alone += parameters.noise.weight * parameters.noise.log_height
    n = int(np.clip(_NUMBERS // d, 1000, _DRAWN))
    counts = component_counts(parameters, n, seed)
    surprise = 0.0
    for chunk in range(-(-n // rows_per_chunk(parameters))):
        rows, components = draw_chunk(parameters, counts, seed, chunk)
        for start in range(0, rows.shape[1], _AT_A_TIME):
            part = slice(start, start + _AT_A_TIME)
            terms = weighted_log_prob(parameters, np.ascontiguousarray(rows[:, part]))
            own = terms[components[part], np.arange(terms.shape[1])]  # a copy: normalise() writes over the terms
            surprise += float((normalise(terms) - own).sum())
    return float(alone + surprise / n)


def measure(
    parameters: MixtureParameters, mean_log_density: float | None, seen: Mapping[bytes, LogDensityHistogram]
) -> tuple[float, float, float]:
    """Measure how well a mixture describes rows: their shortfall, gap and strange share; 0 if they are not known.

    Parameters
    ----------
    parameters : MixtureParameters
    mean_log_density : float or None
        Of the rows, nats, if no values are missing.
    seen : mapping of bytes to LogDensityHistogram
        Log-densities of the rows by pattern of missing values.
    """
    found = compare_with_own(parameters, seen)
    shortfall = 0.0 if found is None else found.shortfall
    if mean_log_density is not None:
        shortfall = expect_of_itself(parameters) - mean_log_density
    return shortfall, *((0.0, 0.0) if found is None else (found.gap, found.below))
