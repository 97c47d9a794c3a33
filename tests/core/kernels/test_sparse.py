"""Sums over significant responsibilities, against the full products and extended precision."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.kernels import log_prob as kernel
from gmm_spark.core.kernels import plan
from gmm_spark.core.kernels.accumulators import StatisticsSums
from gmm_spark.core.kernels.log_prob import Kernel
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.kernels.sparse import SparseSums, find_significant
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable
from tests.examples import draw_rows, random_mixture
from tests.oracles import assert_same_statistics, em_step_longdouble, needs_longdouble

K, D = 24, 5


@pytest.fixture(params=["one window", "a window a chunk"])
def sifted(request, monkeypatch):
    """Sift every full segment, however small it is."""
    monkeypatch.setattr(plan, "WORTH_SIFTING", -(10**9))
    monkeypatch.setattr("gmm_spark.core.kernels.log_prob._MAX_CHUNK", 752)
    if request.param == "a window a chunk":
        monkeypatch.setattr("gmm_spark.core.kernels.sparse.WINDOW", 1)


@pytest.fixture
def apart(rng):
    """Components so far apart that each row belongs to one or two."""
    return random_mixture("full", K, D, rng, spread=12.0)


def accumulated(rows, mixture, sample_weight=None, precision="float64"):
    table = ArrayTable(rows, sample_weight)
    centred = mixture.shifted(-table.moments.mean)
    sums = StatisticsSums(plan_pass([centred], table.moments.mean, table.moments.scale, precision))
    fold = sums.accumulator()
    fold.add(rows, sample_weight)
    return fold, sums.read(fold.vector())[0], table.moments.scale


def full_products(rows, mixture, sample_weight=None, precision="float64"):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "WORTH_SIFTING", 10**9)
        return accumulated(rows, mixture, sample_weight, precision)[1]


def test_responsibilities_that_change_their_components_sum_are_significant():
    shares = np.zeros((3, 40))
    shares[0, [3, 7]] = 1.0, 1e-15
    shares[0, 8] = 1e-22  # nothing beside 1
    shares[1, [5, 6]] = 1e-20, 1e-30  # of a component far from all rows
    shares[2, 9] = 1e-40  # as good as starved
    assert find_significant(shares, few=0.1).tolist() == [3, 7, 45, 46]
    assert find_significant(shares, few=0.02) is None
    assert find_significant(shares[0], few=0.1).tolist() == [3, 7]
    assert find_significant(1e9 * shares, few=0.1, weight=1e9).tolist() == [3, 7, 45, 46]
    assert find_significant(np.zeros((3, 40)), few=0.1).tolist() == []


def test_sums_are_those_of_the_responsibilities_gathered(rng):
    points = np.concatenate([np.ones((1, 90)), rng.normal(size=(D, 90))]).T.copy()
    shares = rng.uniform(size=(K, 90)) * (rng.uniform(size=(K, 90)) < 0.05)
    sums = SparseSums(K, D)
    for window in (slice(0, 60), slice(60, 90)):
        for first in range(0, window.stop - window.start, 30):
            part = np.ascontiguousarray(shares[:, window][:, first : first + 30])
            sums.gather(part, find_significant(part, few=1.0), first)
        sums.multiply(points[window])
    np.testing.assert_allclose(sums.sums, np.einsum("ki,ia,ib->kab", shares, points, points), rtol=1e-12, atol=1e-12)
    before = sums.sums.copy()
    sums.multiply(points[:0])  # nothing gathered since
    np.testing.assert_array_equal(sums.sums, before)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_sifted_sums_are_those_of_full_products(sifted, apart, rng, precision):
    rows = draw_rows(apart, 12_000, rng)[0]
    weight = rng.choice([0.0, 1.0, 2.5], rows.shape[1])
    rtol = {"float64": 1e-12, "float32": 2e-5}[precision]
    for sample_weight in (None, weight):
        fold, found, scale = accumulated(rows, apart, sample_weight, precision)
        assert fold._sifting._sparse[0].sums[:, 0, 0].sum() == pytest.approx(
            found.weight_sum, rel=1e-5
        )  # all went that way
        assert_same_statistics(found, full_products(rows, apart, sample_weight, precision), scale, rtol=rtol)


@needs_longdouble
def test_sifted_sums_are_those_of_the_definition(sifted, apart, rng):
    rows = draw_rows(apart, 2_000, rng)[0]
    fold, found, _ = accumulated(rows, apart)
    assert fold._sifting._sparse[0].sums.any()
    exact = em_step_longdouble(apart, rows)
    np.testing.assert_allclose(found.resp_sum, exact.resp_sum.astype(float), rtol=1e-10)
    assert found.log_likelihood == pytest.approx(float(exact.log_likelihood), rel=1e-12)


def test_a_component_far_from_every_row_keeps_its_own_sums(sifted, apart, rng):
    rows = draw_rows(apart, 3_000, rng)[0]
    means = apart.means.copy()
    means[0] = rows.mean(axis=1) + 32.0
    covariances = apart.covariances.copy()
    covariances[0] = 25.0 * np.eye(D)
    weights = np.concatenate([[1e-10], apart.weights[1:]])
    lost = MixtureParameters(weights / weights.sum(), means, covariances, "full")
    fold, found, _ = accumulated(rows, lost)
    assert 1e-14 < found.resp_sum[0] / found.weight_sum < 1e-6
    assert fold._sifting._sparse[0].sums[0, 0, 0] > 0
    expected = full_products(rows, lost)
    np.testing.assert_allclose(found.resp_sum, expected.resp_sum, rtol=1e-12)
    np.testing.assert_allclose(found.first[0], expected.first[0], rtol=1e-9)
    np.testing.assert_allclose(found.second[0], expected.second[0], rtol=1e-9)


def test_components_of_the_accurate_kernel_are_summed_once(sifted, apart, rng):
    covariances = apart.covariances.copy()
    covariances[2] = np.diag([1e-14, 1.0, 1.0, 1.0, 1.0])
    narrow = MixtureParameters(apart.weights, apart.means, covariances, "full")
    rows = draw_rows(narrow, 3_000, rng)[0]
    fold, found, scale = accumulated(rows, narrow)
    assert fold.plan.segments[0].accurate.sum() == 1
    assert not fold._sifting._sparse[0].sums[2].any()
    assert_same_statistics(found, full_products(rows, narrow), scale, rtol=1e-11)


def test_chunks_of_few_and_of_many_responsibilities_add_up(sifted, apart, rng, monkeypatch):
    near = random_mixture("full", K, D, rng, spread=0.1)
    rows = draw_rows(apart, 6_000, rng)[0]
    # Rows in the midst of all components are shared by many of them: their chunks take the full product.
    wide = MixtureParameters(apart.weights, apart.means, np.repeat(200.0 * np.eye(D)[None], K, axis=0), "full")
    both = MixtureParameters(
        np.concatenate([apart.weights, 1e-60 * wide.weights]) / (1 + 1e-60),
        np.concatenate([apart.means, wide.means]),
        np.concatenate([apart.covariances, wide.covariances]),
        "full",
    )
    rows = np.concatenate([rows, 300.0 + draw_rows(near, 3_000, rng)[0]], axis=1)
    fold, found, scale = accumulated(rows, both)
    assert 0 < fold._sifting._sparse[0].sums[:, 0, 0].sum() < found.weight_sum - 1_000
    assert_same_statistics(found, full_products(rows, both), scale, rtol=1e-11)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_what_is_dropped_from_a_chunk_is_below_rounding(precision):
    shares = np.geomspace(1.0, 1e-30, kernel._MAX_CHUNK, dtype=precision)[None]
    kept = find_significant(shares, few=1.0)
    assert 1 < len(kept) < shares.size
    assert np.delete(shares[0], kept).sum(dtype=float) < np.finfo(precision).eps * shares.sum(dtype=float)
    # Even if all others were as large as may be left out.
    assert shares.size * shares[0, kept[-1] + 1] < 0.1 * np.finfo(precision).eps


def test_a_responsibility_of_nan_is_not_dropped(sifted, apart, rng):
    rows = draw_rows(apart, 2_000, rng)[0]
    shares = np.zeros((3, 40))
    shares[1, 4] = np.nan
    assert find_significant(shares, few=0.5).tolist() == list(range(40, 80))
    rows[:, 10] = 1e160
    weight = np.ones(rows.shape[1])
    weight[10] = 0.0
    with np.errstate(all="ignore"):
        _, found, _ = accumulated(rows, apart, weight)
    assert np.isnan(found.second).any()


def test_candidates_that_are_sifted_share_a_pass_with_others(sifted, apart, rng):
    near = random_mixture("full", K, D, rng, spread=0.1)
    others = [random_mixture(kind, 3, D, rng, spread=12.0) for kind in ("tied", "diag", "spherical")]
    candidates = [apart, others[0], near, others[1], apart, others[2]]
    rows = draw_rows(apart, 6_000, rng)[0]
    table = ArrayTable(rows)
    centred = [c.shifted(-table.moments.mean) for c in candidates]
    sums = StatisticsSums(plan_pass(centred, table.moments.mean, table.moments.scale))
    fold = sums.accumulator()
    fold.add(rows[:, :2_500], None)
    half = fold.vector()
    np.testing.assert_array_equal(fold.vector(), half)
    fold.add(rows[:, 2_500:], None)
    found = sums.read(fold.vector())
    assert [sparse is not None for sparse in fold._sifting._sparse] == [True, False, True, False, True, False]
    for statistics, candidate in zip(found, candidates, strict=True):
        assert_same_statistics(statistics, full_products(rows, candidate), table.moments.scale, rtol=1e-11)


def test_responsibilities_are_multiplied_in_batches(rng, monkeypatch):
    monkeypatch.setattr("gmm_spark.core.kernels.sparse._BATCH", 7)
    points, shares = rng.normal(size=(30, 1 + D)), rng.uniform(size=(300, 30))
    sums = SparseSums(300, D)
    sums.gather(shares, find_significant(shares, few=1.0), 0)
    sums.multiply(points)
    np.testing.assert_allclose(sums.sums, np.einsum("ki,ia,ib->kab", shares, points, points), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("unit", [None, 1.0, 1e-31])
def test_the_accurate_kernel_picks_rows_of_significant_responsibilities(covariance_type, unit, rng, monkeypatch):
    monkeypatch.setitem(plan.GATE_TOLERANCE, "float64", -1.0)
    mixture = random_mixture(covariance_type, K, D, rng, spread=12.0)
    rows = draw_rows(mixture, 2_000, rng)[0]
    sample_weight = rng.choice([0.0, 1.0, 2.5], rows.shape[1]) * unit if unit else None
    sizes = []
    original = Kernel._subtract_mean

    def watched(self, z, mean):
        sizes.append(z.shape[1])
        return original(self, z, mean)

    monkeypatch.setattr(Kernel, "_subtract_mean", watched)
    found, scale = accumulated(rows, mixture, sample_weight)[1:]
    assert min(sizes) < rows.shape[1] / 2
    monkeypatch.setattr("gmm_spark.core.kernels.log_prob._WORTH_PICKING", -1.0)
    expected = accumulated(rows, mixture, sample_weight)[1]
    assert_same_statistics(found, expected, scale, rtol=1e-12)
