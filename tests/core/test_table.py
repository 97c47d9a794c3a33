from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.kernels import plan
from gmm_spark.core.kernels.accumulators import StatisticsSums
from gmm_spark.core.kernels.evaluation import EvaluationSums
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.mixture.density import log_density
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable
from tests.examples import draw_rows, random_mixture


def test_candidates_are_centred_at_the_tables_mean(covariance_type, rng):
    # The same candidate in the table's own coordinates has the log-likelihood of the direct formula.
    parameters = random_mixture(covariance_type, 2, 3, rng).shifted(np.array([10.0, -20.0, 30.0]))
    rows = draw_rows(parameters, 50, rng)[0]
    table = ArrayTable(rows)
    found = table.evaluate(parameters.shifted(-table.moments.mean)).log_likelihood
    assert found == pytest.approx(log_density(parameters, rows).sum(), rel=1e-10)


def test_a_pass_and_an_evaluation_agree_on_the_likelihood(covariance_type, rng):
    parameters = random_mixture(covariance_type, 2, 3, rng)
    table = ArrayTable(draw_rows(parameters, 50, rng)[0], rng.uniform(0, 2, 50))
    (statistics,) = table.expect([parameters])
    assert table.evaluate(parameters).log_likelihood == pytest.approx(statistics.log_likelihood, rel=1e-12)


def test_parts_add_up_to_the_table_and_a_second_pass_gives_the_same_bits(covariance_type, rng):
    parameters = random_mixture(covariance_type, 2, 3, rng)
    rows, weight = draw_rows(parameters, 45_003, rng)[0], rng.uniform(0, 2, 45_003)
    table = ArrayTable(rows, weight)
    (found,) = table.expect([parameters])
    (again,) = table.expect([parameters])
    parts = [
        ArrayTable(np.ascontiguousarray(part), of_part, moments=table.moments).expect([parameters])[0]
        for part, of_part in zip(np.array_split(rows, 9, axis=1), np.array_split(weight, 9), strict=True)
    ]
    assert found.rows == 45_003
    for name in ("weight_sum", "log_likelihood", "resp_sum", "first", "second"):
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name))
        np.testing.assert_allclose(
            getattr(found, name), sum(getattr(part, name) for part in parts), rtol=1e-11, atol=1e-8
        )


def test_a_sample_keeps_the_moments_of_the_table_it_is_of(rng):
    whole = Moments.of(rng.standard_normal((2, 100)))
    assert ArrayTable(np.zeros((2, 3)), moments=whole).moments is whole


def test_moments_are_weighted_as_the_table_is(rng):
    rows, weight = rng.standard_normal((2, 30)), rng.uniform(0, 1, 30)
    np.testing.assert_array_equal(ArrayTable(rows, weight).moments.mean, Moments.of(rows, weight).mean)
    assert not np.allclose(ArrayTable(rows, weight).moments.mean, rows.mean(axis=1))


def test_a_tied_mixture_of_the_accurate_kernel_leaves_the_scatter_of_others_alone(rng):
    table = ArrayTable(rng.normal(size=(2, 300)))
    open_, gated = (MixtureParameters([0.5, 0.5], [[0.0, 0.0], [s, 0.0]], np.eye(2), "tied") for s in (1.0, 1e5))
    first = table.expect([open_])[0]
    between = table.expect([gated, open_])
    expected = ArrayTable(table.rows).expect([gated])[0]
    assert not np.array_equal(expected.reference, np.zeros((2, 2)))
    np.testing.assert_array_equal(between[0].second, expected.second)
    np.testing.assert_array_equal(between[1].second, first.second)
    np.testing.assert_array_equal(table.expect([open_])[0].second, first.second)
    fresh = ArrayTable(table.rows)
    fresh.expect([gated])
    np.testing.assert_array_equal(fresh.expect([open_])[0].second, first.second)


def test_a_cleared_accumulator_sums_like_a_new_one(rng, monkeypatch):
    monkeypatch.setattr(plan, "WORTH_SIFTING", -(10**9))
    apart = [random_mixture(kind, 4, 3, rng, spread=12.0) for kind in ("full", "tied", "diag", "spherical")]
    narrow = MixtureParameters([0.5, 0.5], [[0.0] * 3, [9.0] * 3], [np.eye(3), 1e-14 * np.eye(3)], "full")
    rows, weight = draw_rows(apart[0], 700, rng)[0], rng.uniform(0, 2, 700)
    whole = plan_pass([*apart, narrow], np.zeros(3), np.ones(3))
    assert any(segment.accurate.any() for segment in whole.segments)
    for sums in (StatisticsSums(whole), EvaluationSums(whole, log_densities=True)):
        used, new = sums.accumulator(), sums.accumulator()
        used.add(rows[:, :300], weight[:300])
        used.clear()
        assert not used.vector().any()
        for fold in (used, new):
            fold.add(rows[:, 300:], weight[300:])
        np.testing.assert_array_equal(used.vector(), new.vector())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_part_has_rows_of_weight_in_their_order_and_the_moments_of_all(rng, dtype):
    rows = np.arange(200, dtype=dtype).reshape(1, 200) + 1000
    weight = np.arange(200, dtype=float) % 4 * 1.5
    table = ArrayTable(rows, weight, precision="float32")
    part = table.part(60, rng)
    assert part.rows.shape == (1, 60)
    assert part.rows.dtype == dtype
    assert (np.diff(part.rows[0]) > 0).all()
    assert part.moments is table.moments
    assert part.precision == "float32"
    drawn = part.rows[0].astype(int) - 1000
    assert weight[drawn].min() > 0
    assert (part.sample_weight > weight[drawn]).all()  # each stands for others, too


@pytest.mark.parametrize("seed", range(3))
def test_a_part_stands_for_the_weight_and_for_the_rows(seed):
    rng = np.random.default_rng(seed)
    light, heavy = rng.standard_normal(9_990), 50 + rng.standard_normal(10)
    table = ArrayTable(np.concatenate([light, heavy])[None], np.repeat([1.0, 1e6], [9_990, 10]))
    part = table.part(1_000, rng)
    of_heavy = part.rows[0] > 25
    np.testing.assert_array_equal(part.rows[0, of_heavy], heavy)
    np.testing.assert_array_equal(part.sample_weight[of_heavy], 1e6)
    assert part.sample_weight[~of_heavy].sum() == pytest.approx(9_990, rel=0.15)
    assert part.rows.shape == (1, 1_000)


def test_a_part_of_more_rows_than_there_are_is_all_of_them(rng):
    rows = rng.normal(size=(2, 30))
    part = ArrayTable(rows).part(31, rng)
    np.testing.assert_array_equal(part.rows, rows)
    assert part.sample_weight is None


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_row_too_far_off_for_a_density_makes_the_likelihood_minus_infinity_and_not_nan(
    covariance_type, precision, rng
):
    parameters = random_mixture(covariance_type, 2, 3, rng)
    near = draw_rows(parameters, 50, rng)[0]
    far = np.full((3, 1), 1e200)
    with np.errstate(over="ignore", invalid="ignore"):
        table = ArrayTable(np.concatenate([near, far], axis=1), moments=Moments.of(near), precision=precision)
        found = table.evaluate(parameters.shifted(-table.moments.mean))
    assert found.log_likelihood == -np.inf
    assert np.isfinite(found.entropy)
    assert found.cluster_sizes.sum() == 51
    assert found.log_densities.quantile(0.5) > -100


def bits(found: SufficientStatistics) -> tuple[bytes | float, ...]:
    sums = found.resp_sum, found.first, found.second
    return (*(array.tobytes() for array in sums), found.log_likelihood, found.noise_sum)


def narrow(parameters: MixtureParameters) -> MixtureParameters:
    """Components so narrow that all of them take the accurate kernel, whose chunks are longer."""
    return MixtureParameters(parameters.weights, parameters.means, 1e-9 * parameters.covariances)


@pytest.mark.parametrize("missing", [False, True])
def test_sums_of_a_candidate_are_the_same_bits_whichever_others_share_the_pass(missing, rng):
    wide = random_mixture("full", 2, 12, rng)
    rows = draw_rows(wide, 9_000, rng)[0]
    if missing:
        rows[7] = np.nan
    table = ArrayTable(rows)
    candidates = [one.shifted(-table.moments.mean) for one in (wide, narrow(wide), random_mixture("full", 2, 12, rng))]
    together = table.expect(candidates)
    for candidate, found in zip(candidates, together, strict=True):
        (alone,) = table.expect([candidate])
        assert bits(found) == bits(alone)


def test_sifted_sums_are_the_same_bits_whichever_others_share_the_pass(rng):
    d, k, chunk = 30, 20, 752
    means, shapes = 8.0 * rng.normal(size=(k, d)), np.tile(np.eye(d), (k, 1, 1))
    apart = MixtureParameters(np.full(k, 1 / k), means, shapes)
    # Half of the components in one place: rows there have too many responsibilities to sift.
    heaped = MixtureParameters(np.full(k, 1 / k), np.where(np.arange(k)[:, None] < 10, means, means[10]), shapes)
    rows = means[np.where(np.arange(8 * chunk) // chunk % 2, 10, rng.integers(0, 10, 8 * chunk))].T
    rows = np.ascontiguousarray(rows + rng.normal(size=rows.shape))
    table = ArrayTable(rows)
    candidates = [one.shifted(-table.moments.mean) for one in (heaped, apart)]
    assert all(
        segment.worth_sifting for segment in plan_pass(candidates, table.moments.mean, table.moments.scale).segments
    )
    together = table.expect(candidates)
    for candidate, found in zip(candidates, together, strict=True):
        (alone,) = table.expect([candidate])
        assert bits(found) == bits(alone)
