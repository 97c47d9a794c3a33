"""Tables in memory with their profiles and observations, made by the same sums that Spark's tasks make."""

from __future__ import annotations

import numpy as np

from gmm_spark.core.drift.observation import ObservationSums, Observed
from gmm_spark.core.drift.reference import TrainingProfile
from gmm_spark.core.mixture.density import log_density, responsibilities
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.table import ArrayTable

MIXTURE = MixtureParameters(
    [0.2, 0.3, 0.5], [[0, 0], [6, 0], [0, 60]], [np.diag([1, 100]), np.diag([1, 25]), np.diag([4, 100])]
)


def draw(n: int, seed: int, weights=MIXTURE.weights) -> np.ndarray:
    """Draw rows (2, n) of the mixture, or of its components in other shares."""
    rng = np.random.default_rng(seed)
    which = rng.choice(3, n, p=weights)
    return MIXTURE.means[which].T + MIXTURE.deviations[which].T * rng.normal(size=(2, n))


def profile_of(rows: np.ndarray, bad_rows: int = 0, weight: np.ndarray | None = None) -> TrainingProfile:
    table = ArrayTable(rows, weight)
    evaluation = table.evaluate(MIXTURE.shifted(-table.moments.mean))
    profile = TrainingProfile.of(evaluation, table.moments, ColumnProfile.of(rows, weight), bad_rows)
    assert profile is not None
    return profile


def observe(profile: TrainingProfile, *parts: np.ndarray, bad_rows: int = 0) -> Observed:
    """Fold the rows of several tasks, (2, m) each."""
    sums = ObservationSums(profile)
    vectors = []
    for rows in parts:
        fold = sums.accumulator()
        leaders = responsibilities(MIXTURE, rows).argmax(axis=0).astype(np.int32)
        fold.add(rows, leaders, log_density(MIXTURE, rows), bad_rows)
        vectors.append(fold.vector())
    return sums.read(vectors)
