"""Tables of very many features: structures with diagonal covariances need no matrix of d x d, anywhere."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from gmm_spark.core.kernels import log_prob
from gmm_spark.core.kernels.accumulators import StatisticsSums
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.mixture import density, sampling
from gmm_spark.core.mixture.covariance import STRUCTURES
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.sampling import CHUNK_ROWS, component_counts, draw_chunk, rows_per_chunk
from gmm_spark.core.search.grid import sweep
from gmm_spark.core.search.single import polish, search
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable, Sample

D, ROWS, K = 4_000, 30, 2
# A matrix of d x d takes 128 MB. What is needed grows with d: the work buffers, small ones here, and some dozens of
# copies of the rows.
WORK_BYTES = 1 << 22
MOST_BYTES = 4 * WORK_BYTES + 40 * 8 * D * ROWS
AXIS_ALIGNED = [name for name, structure in STRUCTURES.items() if structure.axis_aligned]


@pytest.fixture
def table(rng: np.random.Generator) -> ArrayTable:
    rows = rng.normal(size=(D, ROWS))
    rows[:, ROWS // 2 :] += 0.1
    return ArrayTable(rows)


def draw_from(table: ArrayTable) -> Sample:
    return table.rows, table.sample_weight


def fit_alone(table: ArrayTable, settings: Settings) -> MixtureParameters:
    return search(table, draw_from(table), settings).parameters


def fit_in_a_grid(table: ArrayTable, settings: Settings) -> MixtureParameters:
    (result,) = sweep(table, lambda n, seed: draw_from(table), [settings])
    assert not isinstance(result, Exception)
    return result.parameters


def fit_from_a_start(table: ArrayTable, settings: Settings) -> MixtureParameters:
    structure = STRUCTURES[settings.covariance_type]
    means = table.rows[:, [0, -1]].T - table.moments.mean
    covariances = structure.initial_covariances(table.moments.variance, K)
    start = MixtureParameters(np.full(K, 1 / K), means, covariances, settings.covariance_type)
    return polish(table, draw_from(table), start, settings).parameters


@pytest.mark.parametrize("kind", AXIS_ALIGNED)
@pytest.mark.parametrize(
    ("fit", "mode"),
    [
        (fit_alone, "k-means||"),
        pytest.param(fit_alone, "random_from_data", marks=pytest.mark.slow),
        pytest.param(fit_in_a_grid, "k-means++", marks=pytest.mark.slow),
        (fit_from_a_start, "k-means++"),
    ],
)
def test_no_step_of_a_fit_holds_a_matrix_of_all_pairs_of_features(
    table: ArrayTable,
    kind: str,
    fit: Callable[[ArrayTable, Settings], MixtureParameters],
    mode: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_prob, "MAX_WORK_BYTES", WORK_BYTES)
    settings = Settings(k=K, covariance_type=kind, n_init=4, max_iter=3, init_mode=mode)
    tracemalloc.start()
    try:
        found = fit(table, settings)
        _, variance = found.moments()
        table.evaluate(found)
        density.log_density(found, table.rows - table.moments.mean[:, None])
        draw_chunk(found, component_counts(found, ROWS, 1), 1, 0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES < 8 * D * D
    assert variance.mean() == pytest.approx(table.rows.var(axis=1).mean(), rel=0.01)


@pytest.mark.parametrize("kind", AXIS_ALIGNED)
def test_a_table_too_wide_for_whole_chunks_has_the_sums_of_narrow_ones(
    kind: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rng.normal(size=(30, 2_000))
    table = ArrayTable(rows)
    covariances = STRUCTURES[kind].initial_covariances(np.ones(30), 2)
    start = MixtureParameters([0.5, 0.5], rng.normal(size=(2, 30)), covariances, kind)
    (expected,) = table.expect([start])
    monkeypatch.setattr(log_prob, "MAX_WORK_BYTES", 8 * 100 * 7)
    plan = plan_pass([start], table.moments.mean, table.moments.scale)
    assert StatisticsSums(plan).accumulator().kernel.chunk < 10
    (found,) = table.expect([start])
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(found.resp_sum, expected.resp_sum, rtol=1e-12)
    np.testing.assert_allclose(found.second, expected.second, rtol=1e-10)


def test_rows_of_many_features_are_drawn_in_smaller_chunks(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = MixtureParameters([1.0], rng.normal(size=(1, 300)), [4.0], "spherical")
    monkeypatch.setattr(sampling, "CHUNK_NUMBERS", 100_000)
    assert rows_per_chunk(wide) == 256  # the largest power of two within the bound
    counts = component_counts(wide, 261, 3)
    first, last = draw_chunk(wide, counts, 3, 0)[0], draw_chunk(wide, counts, 3, 1)[0]
    assert (first.shape, last.shape) == ((300, 256), (300, 5))
    assert (last - wide.means.T).std() == pytest.approx(2.0, rel=0.2)


def test_up_to_512_features_a_seed_draws_the_chunks_that_it_always_drew() -> None:
    assert rows_per_chunk(MixtureParameters([1.0], np.zeros((1, 512)), [1.0], "spherical")) == CHUNK_ROWS
