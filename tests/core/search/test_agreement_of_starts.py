"""The starts that end where the best does are counted, for the check `starts-disagree`."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.search.drawing import draw_starts
from gmm_spark.core.search.single import search
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable
from tests.examples import run_em


@pytest.fixture
def groups() -> np.ndarray:
    """Two groups of three clusters: starts at random rows often give a group too few components."""
    rng = np.random.default_rng(1)
    centres = 10.0 * np.array([[0, 0], [0, 1], [1, 0], [5, 5], [5, 6], [6, 5]])
    return np.concatenate([rng.normal(size=(200, 2)) + centre for centre in centres]).T.copy()


@pytest.mark.parametrize(("mode", "most"), [("random_from_data", 5), ("k-means++", 10)])
def test_the_count_is_that_of_plain_runs_that_reach_the_best(groups: np.ndarray, mode: str, most: int) -> None:
    table, profile = ArrayTable(groups), ColumnProfile.of(groups)
    settings = Settings(k=6, init_mode=mode, seed=1)
    (starts,) = draw_starts(table, (groups, None), profile, settings, ["full"])
    ends = np.array([run_em(table, start, 100, 1e-4, sample=table).lower_bound for start in starts])
    alike = int((ends > ends.max() - 0.1).sum())  # the other optima are 0.29 nats and more below
    assert 1 < alike <= most
    result = search(table, (groups, None), settings)
    assert (result.starts_alike, result.starts) == (alike, 10)


@pytest.mark.parametrize(("n_init", "sample_rows"), [(1, 1000), (3, 0), (1, 0)])
def test_starts_are_counted_however_they_are_run(groups: np.ndarray, n_init: int, sample_rows: int) -> None:
    settings = Settings(k=2, n_init=n_init, sample_rows=sample_rows)
    result = search(ArrayTable(groups), (groups, None), settings)
    assert result.starts == n_init
    assert 1 <= result.starts_alike <= result.starts
