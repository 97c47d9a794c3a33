"""The kernels, each behind a forced gate, against scikit-learn and extended precision."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from gmm_spark.core.em.m_step import maximize
from gmm_spark.core.kernels import blas
from gmm_spark.core.kernels.accumulators import StatisticsSums
from gmm_spark.core.kernels.log_prob import Kernel
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.mixture.log_space import FAR, count_leaders, exponentiate, find_leaders, normalise, subtract_largest
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable
from tests.examples import COVARIANCE_TYPES, blobs, draw_rows, laws, permuted_features, random_mixture
from tests.oracles import (
    assert_same_mixture,
    assert_same_statistics,
    em_step_longdouble,
    needs_longdouble,
    sklearn_em_step,
    sklearn_mixture,
    weighted_log_prob_longdouble,
)

K, D, M = 3, 4, 500
NO_FLOOR = np.zeros(D)


@pytest.fixture
def mixture(covariance_type, rng):
    """Overlapping components, so that responsibilities are neither 0 nor 1."""
    return random_mixture(covariance_type, K, D, rng, spread=1.5)


@pytest.fixture
def rows(mixture, rng):
    return draw_rows(mixture, M, rng)[0]


def centred(table: ArrayTable, parameters: MixtureParameters) -> MixtureParameters:
    return parameters.shifted(-table.moments.mean)


def expect(table: ArrayTable, parameters: MixtureParameters) -> SufficientStatistics:
    (statistics,) = table.expect([centred(table, parameters)])
    return statistics


def em_step(table: ArrayTable, parameters: MixtureParameters) -> tuple[MixtureParameters, SufficientStatistics]:
    """One iteration by the package, back in the table's own coordinates."""
    start = centred(table, parameters)
    (statistics,) = table.expect([start])
    floor = np.zeros(parameters.n_features)
    return maximize(statistics, start, floor).shifted(table.moments.mean), statistics


def deviations(parameters: MixtureParameters) -> np.ndarray:
    return np.sqrt(np.diagonal(parameters.dense_covariances, axis1=1, axis2=2))


def test_e_step_is_scikit_learns(mixture, rows, gate):
    table = ArrayTable(rows)
    plan = plan_pass([centred(table, mixture)], table.moments.mean, table.moments.scale)
    assert plan.segments[0].accurate.all() == (gate == "open")
    kernel = Kernel(plan)
    log_prob = kernel.weighted_log_prob(kernel.expand(rows)) + plan.segments[0].peak
    oracle = sklearn_mixture(mixture)
    np.testing.assert_allclose(log_prob.T, oracle._estimate_weighted_log_prob(rows.T), rtol=1e-10)
    log_density, log_resp = oracle._estimate_log_prob_resp(rows.T)
    np.testing.assert_allclose(normalise(log_prob), log_density, rtol=1e-10)
    np.testing.assert_allclose(log_prob.T, np.exp(log_resp), rtol=1e-10)


def test_m_step_is_scikit_learns(mixture, rows, gate):
    found, statistics = em_step(ArrayTable(rows), mixture)
    expected, lower_bound, log_resp = sklearn_em_step(mixture, rows)
    assert statistics.lower_bound == pytest.approx(lower_bound, rel=1e-10)
    np.testing.assert_allclose(statistics.resp_sum, np.exp(log_resp).sum(axis=0), rtol=1e-10)
    assert_same_mixture(found, expected.weights, expected.means, expected.covariances, deviations(expected), rtol=1e-10)


@pytest.mark.parametrize("d", [100, 200, 784])
def test_an_em_step_in_many_dimensions_is_scikit_learns(covariance_type, d, rng):
    # Starts a little beside the truth, so that components share rows at any d; 3 d rows keep covariances definite.
    mixture = random_mixture(covariance_type, 2, d, rng, spread=0.3)
    rows = draw_rows(mixture, 6 * d, rng)[0]
    found, statistics = em_step(ArrayTable(rows), mixture)
    expected, lower_bound, _ = sklearn_em_step(mixture, rows)
    assert statistics.lower_bound == pytest.approx(lower_bound, rel=1e-10)
    assert_same_mixture(found, expected.weights, expected.means, expected.covariances, deviations(expected), rtol=1e-10)


@needs_longdouble
@pytest.mark.parametrize(
    ("offset", "scale"),
    [
        (1e8, 1.0),
        (0.0, 1e-8),
        (1.0, 1e-8),
        (-1e8, [1.0, 1.0, 1e3, 30.0]),
        ([0.0, 1.0, 1e8, 0.0], [1e-8, 1e-8, 1.0, 1e8]),
    ],
    ids=["offset 1e8", "scale 1e-8", "offset 1, scale 1e-8", "offset -1e8, several scales", "all in one table"],
)
def test_an_em_step_keeps_ten_digits_at_any_offset_and_scale(covariance_type, gate, offset, scale, rng):
    friendly = random_mixture(covariance_type, K, D, rng, spread=1.5)
    scale = np.broadcast_to(scale, D) if covariance_type != "spherical" else np.full(D, np.min(scale))
    offset = np.broadcast_to(offset, D)
    rows = offset[:, None] + scale[:, None] * draw_rows(friendly, M, rng)[0]
    table = ArrayTable(rows)
    unit = {
        "full": np.outer(scale, scale),
        "tied": np.outer(scale, scale),
        "diag": scale**2,
        "spherical": scale[0] ** 2,
    }
    # A start in centred coordinates, exact there: the offset would round it.
    means = (friendly.means - friendly.means.mean(axis=0)) * scale
    start = MixtureParameters(friendly.weights, means, friendly.covariances * unit[covariance_type], covariance_type)
    (statistics,) = table.expect([start])
    found = maximize(statistics, start, NO_FLOOR)
    exact = em_step_longdouble(start, rows, center=table.moments.mean)
    assert statistics.log_likelihood == pytest.approx(float(exact.log_likelihood), rel=1e-10)
    np.testing.assert_allclose(statistics.resp_sum, exact.resp_sum.astype(float), rtol=1e-10)
    assert_same_mixture(found, exact.weights, exact.means, exact.covariances, exact.deviations, rtol=1e-10)


@needs_longdouble
def test_weighted_statistics_are_those_of_the_definition(mixture, rows, gate, rng):
    weight = rng.uniform(0.0, 3.0, M)
    table = ArrayTable(rows, weight)
    found, statistics = em_step(table, mixture)
    exact = em_step_longdouble(mixture, rows, sample_weight=weight)
    assert statistics.rows == M
    assert statistics.weight_sum == pytest.approx(weight.sum(), rel=1e-14)
    assert statistics.log_likelihood == pytest.approx(float(exact.log_likelihood), rel=1e-10)
    np.testing.assert_allclose(statistics.resp_sum, exact.resp_sum.astype(float), rtol=1e-10)
    assert_same_mixture(found, exact.weights, exact.means, exact.covariances, exact.deviations, rtol=1e-10)


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_single_precision_products_lose_digits_but_no_more_than_their_own(mixture, rows, gate, offset):
    rows = rows + offset
    there = mixture.shifted(np.full(D, offset))
    double, single = (em_step(ArrayTable(rows, precision=p), there) for p in ("float64", "float32"))
    # Log-densities good to the gate's 1e-4 make responsibilities, hence all sums, good to about that share.
    assert single[1].lower_bound == pytest.approx(double[1].lower_bound, abs=1e-4)
    assert single[1].log_likelihood != double[1].log_likelihood
    expected = double[0]
    assert_same_mixture(
        single[0], expected.weights, expected.means, expected.covariances, deviations(expected), rtol=2e-4
    )


def test_rows_in_single_precision_are_computed_in_double(mixture, rows, gate):
    single = rows.astype(np.float32)
    found, expected = (expect(ArrayTable(r), mixture) for r in (single, single.astype(float)))
    assert_same_statistics(found, expected, np.ones(D), rtol=1e-13)


def test_rows_computed_in_many_chunks_give_the_sums_of_one(mixture, rows, gate, monkeypatch):
    whole = expect(ArrayTable(rows), mixture)
    monkeypatch.setattr("gmm_spark.core.kernels.log_prob.WORK_BYTES", 1)
    monkeypatch.setattr("gmm_spark.core.kernels.log_prob._MIN_CHUNK", 64)
    monkeypatch.setattr(blas, "SLICE", 32)
    table = ArrayTable(rows)
    kernel = Kernel(plan_pass([mixture], table.moments.mean, table.moments.scale))
    assert len(kernel.chunks(rows)) == 8  # 500 rows in chunks of 64, the last one short
    assert_same_statistics(expect(table, mixture), whole, table.moments.scale, rtol=1e-12)
    assert table.evaluate(centred(table, mixture)).log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-12)


@pytest.mark.parametrize("m", [1, blas.SLICE - 1, blas.SLICE, 3 * blas.SLICE + 5])
@pytest.mark.parametrize(
    ("limit", "turned_from"),
    [(0, 0), (blas.SMALL_PRODUCT, 0), (blas.SMALL_PRODUCT, blas.SMALL_PRODUCT)],
    ids=["whole", "sliced and turned", "sliced"],
)
def test_products_in_slices_and_whole_are_plain_products(m, limit, turned_from, rng, monkeypatch):
    monkeypatch.setattr(blas, "SMALL_PRODUCT", limit)
    monkeypatch.setattr(blas, "WORTH_TRANSPOSING", turned_from)
    coefficients, features, shares = rng.normal(size=(3, 7)), rng.normal(size=(9, m))[:7], rng.normal(size=(3, m))
    log_prob, work = np.full((3, m), np.nan), np.full(4 * m, np.nan)
    sums, expected = np.ones((7, 3)), 1.0 + features @ shares.T
    blas.evaluate(coefficients, features, log_prob)
    blas.accumulate(features, shares, sums, work)
    np.testing.assert_allclose(log_prob, coefficients @ features, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(sums, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 7, 4096, 100_003])
def test_buffers_begin_with_a_cache_line(size, dtype):
    room = blas.allocate(size, dtype)
    assert (room.shape, room.dtype, room.ctypes.data % 64) == ((size,), dtype, 0)
    room[:] = 1.0


@needs_longdouble
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("stored", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 1e3 + 1 / 3, 1e8])
def test_centred_rows_are_good_to_a_rounding(offset, stored, precision, rng):
    rows = (offset + rng.normal(size=(D, 200))).astype(stored)
    exact = rows.astype(np.longdouble)
    table = ArrayTable(rows.astype(float))
    parameters = random_mixture("full", K, D, rng, spread=1.0)
    kernel = Kernel(plan_pass([parameters], table.moments.mean, table.moments.scale, precision))
    z = kernel.expand(rows)[1 : 1 + D]
    expected = (exact - table.moments.mean[:, None]) / table.moments.scale[:, None]
    # Four roundings at most: of the centre's second part, of two differences and of the product with 1 / scale.
    np.testing.assert_allclose(z, expected.astype(float), rtol=5 * float(np.finfo(precision).eps), atol=1e-12)


@needs_longdouble
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("many", [0, 1], ids=["worked as a whole", "picked out"])
def test_rows_whose_terms_all_underflow_count_in_full(mixture, rows, gate, precision, weighted, many, rng, monkeypatch):
    monkeypatch.setattr("gmm_spark.core.kernels.accumulators._MANY_FAR", many)
    rows = np.ascontiguousarray(rows[:, :40])
    away = 4000.0 * deviations(mixture).max() * rng.choice([-1.0, 1.0], (D, 40))
    far = ArrayTable(np.concatenate([rows, rows + away], axis=1), rng.uniform(0.5, 1.5, 80) if weighted else None)
    found = ArrayTable(far.rows, far.sample_weight, ArrayTable(rows).moments, precision).expect(
        [centred(ArrayTable(rows), mixture)]
    )[0]
    weight = np.ones(80) if far.sample_weight is None else far.sample_weight
    expected = np.logaddexp.reduce(weighted_log_prob_longdouble(mixture, far.rows)).astype(float) @ weight
    assert found.resp_sum.sum() == pytest.approx(weight.sum(), rel=1e-6 if precision == "float32" else 1e-12)
    assert found.log_likelihood == pytest.approx(expected, rel=1e-4 if precision == "float32" else 1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@laws
@given(cuts=st.lists(st.integers(0, 60), max_size=5))
def test_statistics_of_parts_add_up_to_those_of_the_whole(covariance_type, gate, weighted, cuts):
    rng = np.random.default_rng(1)
    mixture = random_mixture(covariance_type, K, D, rng, spread=1.5)
    rows = draw_rows(mixture, 60, rng)[0]
    weight = rng.uniform(0.0, 2.0, 60) if weighted else None
    whole = ArrayTable(rows, weight)
    parts = [
        ArrayTable(rows[:, a:b], None if weight is None else weight[a:b], moments=whole.moments)
        for a, b in itertools.pairwise([0, *sorted(cuts), 60])
    ]
    expected = expect(whole, mixture)
    # As Spark does it: the driver adds the tasks' vectors and reads the sum.
    sums = StatisticsSums(plan_pass([centred(whole, mixture)], whole.moments.mean, whole.moments.scale))
    vector = np.zeros(sums.length)
    for part in parts:
        accumulator = sums.accumulator()
        accumulator.add(part.rows, part.sample_weight)
        vector += accumulator.vector()
    (total,) = sums.read(vector)
    assert_same_statistics(total, expected, whole.moments.scale, rtol=1e-12)


def test_no_rows_give_zero(mixture, rows, gate):
    table = ArrayTable(rows[:, :0], moments=ArrayTable(rows).moments)
    found = expect(table, mixture)
    assert (found.rows, found.weight_sum, found.log_likelihood) == (0.0, 0.0, 0.0)
    assert found.second.shape == mixture.covariances.shape
    for sums in (found.resp_sum, found.first, found.second):
        np.testing.assert_array_equal(sums, 0.0)


def test_rows_of_weight_zero_add_nothing(mixture, rows, gate, rng):
    present = rng.random(M) < 0.7
    rows = np.where(present, rows, 50 * rows)  # far out, so that they would tell
    few = ArrayTable(rows[:, present])
    found = expect(ArrayTable(rows, present.astype(float), moments=few.moments), mixture)
    expected = expect(few, mixture)
    assert found.rows == M
    assert_same_statistics(
        SufficientStatistics(**{**vars(found), "rows": expected.rows}), expected, few.moments.scale, rtol=1e-12
    )


def test_weight_two_is_the_row_twice(mixture, rows, gate):
    weight = np.where(np.arange(M) % 3 == 0, 2.0, 1.0)
    twice = ArrayTable(np.repeat(rows, weight.astype(int), axis=1))
    found = expect(ArrayTable(rows, weight, moments=twice.moments), mixture)
    expected = expect(twice, mixture)
    assert_same_statistics(
        SufficientStatistics(**{**vars(found), "rows": expected.rows}), expected, twice.moments.scale, rtol=1e-12
    )


def test_permuting_features_permutes_the_answer(mixture, rows, gate):
    order = np.array([2, 0, 3, 1])
    expected = permuted_features(em_step(ArrayTable(rows), mixture)[0], order)
    found, _ = em_step(ArrayTable(np.ascontiguousarray(rows[order])), permuted_features(mixture, order))
    assert_same_mixture(found, expected.weights, expected.means, expected.covariances, deviations(expected), rtol=1e-12)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_candidates_of_mixed_structures_in_one_pass_give_what_each_gives_alone(rows, gate, precision, rng):
    table = ArrayTable(rows, precision=precision)
    candidates = [
        centred(table, random_mixture(kind, k, D, rng)) for k, kind in enumerate((*COVARIANCE_TYPES, "tied", "full"), 1)
    ]
    rtol = 1e3 * float(np.finfo(precision).eps)  # other shapes of the same products may add in another order
    for found, candidate in zip(table.expect(candidates), candidates, strict=True):
        (alone,) = table.expect([candidate])
        assert_same_statistics(found, alone, table.moments.scale, rtol)


def test_a_pass_may_mix_components_of_both_kernels(rng):
    rows = np.concatenate([blobs(), 1e4 + 1e-3 * rng.standard_normal((3, 50))], axis=1)
    table = ArrayTable(rows, moments=Moments.of(blobs()))  # in whose units the near component is wide
    near, far = np.zeros((1, 3)), np.full((1, 3), 1e4)
    candidates = []
    for kind in COVARIANCE_TYPES:
        covariances = {
            "full": np.stack([np.eye(3), 1e-6 * np.eye(3)]),
            "tied": np.eye(3),
            "diag": np.stack([np.ones(3), np.full(3, 1e-6)]),
            "spherical": np.array([1.0, 1e-6]),
        }
        parameters = MixtureParameters([0.8, 0.2], np.concatenate([near, far]), covariances[kind], kind)
        candidates.append(centred(table, parameters))
    plan = plan_pass(candidates, table.moments.mean, table.moments.scale)
    opened = {s.structure.name: s.accurate.tolist() for s in plan.segments}
    assert opened["full"] == opened["diag"] == opened["spherical"] == [False, True]
    for found, candidate in zip(table.expect(candidates), candidates, strict=True):
        step = maximize(found, candidate, np.zeros(3))
        exact = em_step_longdouble(candidate, rows, center=table.moments.mean)
        # The far mean, 1e7 of its deviations from the table's, is itself stored to 1e7 eps of one.
        rtol = 2e7 * np.finfo(float).eps
        assert_same_mixture(step, exact.weights, exact.means, exact.covariances, exact.deviations, rtol)


def test_rows_that_lie_strided_in_memory_give_the_same_bits(mixture, rows, gate):
    strided = np.repeat(rows, 2, axis=1)[:, ::2]
    assert not strided.flags.c_contiguous
    found, expected = (expect(ArrayTable(r), mixture) for r in (strided, rows))
    np.testing.assert_array_equal(found.second, expected.second)
    assert found.log_likelihood == expected.log_likelihood


def test_the_same_pass_twice_gives_the_same_bits(mixture, rows, gate):
    first, second = (expect(ArrayTable(rows), mixture) for _ in range(2))
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(second, name))


@pytest.mark.parametrize("weighted", [False, True])
def test_an_evaluation_sums_scikit_learns_likelihood_entropy_and_predictions(mixture, rows, gate, weighted, rng):
    weight = rng.uniform(0.0, 2.0, M) if weighted else None
    table = ArrayTable(rows, weight)
    found = table.evaluate(centred(table, mixture))
    oracle = sklearn_mixture(mixture)
    each = np.ones(M) if weight is None else weight
    probability = oracle.predict_proba(rows.T)
    assert found.rows == M
    assert found.weight_sum == pytest.approx(each.sum(), rel=1e-14)
    assert found.log_likelihood == pytest.approx(oracle.score_samples(rows.T) @ each, rel=1e-10)
    assert found.entropy == pytest.approx(entropy(probability, axis=1) @ each, rel=1e-10)
    np.testing.assert_array_equal(found.cluster_sizes, np.bincount(oracle.predict(rows.T), minlength=K))


def test_candidates_evaluated_in_one_pass_get_what_each_gets_alone(rows, gate, rng):
    # Structures in no particular order: each answer has to belong to its candidate.
    kinds = ("tied", "spherical", "full", "diag", "full")
    candidates = [random_mixture(kind, k, D, rng) for k, kind in enumerate(kinds, 1)]
    table = ArrayTable(rows, rng.uniform(0.0, 2.0, M))
    together = table.evaluate_all([centred(table, c) for c in candidates])
    for found, candidate in zip(together, candidates, strict=True):
        log_density, log_resp = sklearn_mixture(candidate)._estimate_log_prob_resp(rows.T)
        assert found.log_likelihood == pytest.approx(log_density @ table.sample_weight, rel=1e-10)
        assert found.entropy == pytest.approx(entropy(np.exp(log_resp), axis=1) @ table.sample_weight, rel=1e-9)
        np.testing.assert_array_equal(
            found.cluster_sizes, np.bincount(log_resp.argmax(axis=1), minlength=candidate.n_components)
        )


@pytest.mark.parametrize("k", [1, 3, 40])
def test_leaders_are_the_first_of_a_rows_largest_terms(k, rng):
    terms = rng.integers(-3, 3, size=(k, 500)).astype(float)  # of few values, so that many are equal
    largest, first = terms.max(axis=0), terms.argmax(axis=0)
    np.testing.assert_array_equal(subtract_largest(terms), largest)
    np.testing.assert_array_equal(find_leaders(terms), first)
    np.testing.assert_array_equal(count_leaders(terms), np.bincount(first, minlength=k))
    unequal = rng.normal(size=(k, 500))
    subtract_largest(unequal)
    np.testing.assert_array_equal(count_leaders(unequal), np.bincount(unequal.argmax(axis=0), minlength=k))


def test_a_row_between_equal_components_is_counted_once(covariance_type, rng):
    """Which of them it counts with may depend on the BLAS kernel, whose rounding differs between rows of a product."""
    single = random_mixture(covariance_type, 1, D, rng)
    shape = single.covariances if single.structure.pooled else np.repeat(single.covariances, 3, axis=0)
    equal = MixtureParameters(np.full(3, 1 / 3), np.repeat(single.means, 3, axis=0), shape, covariance_type)
    table = ArrayTable(draw_rows(single, 50, rng)[0])
    found = table.evaluate(centred(table, equal))
    assert found.cluster_sizes.sum() == 50
    assert found.entropy == pytest.approx(50 * np.log(3), rel=1e-12)


def test_rows_that_no_other_component_could_have_made_have_no_entropy(rng):
    far = MixtureParameters([0.5, 0.5], [[-1e6], [1e6]], [1.0, 1.0], "spherical")
    table = ArrayTable(draw_rows(far, 50, rng)[0])
    found = table.evaluate(centred(table, far))
    assert found.entropy == 0.0
    assert found.cluster_sizes.sum() == 50


@pytest.mark.parametrize(("precision", "rtol"), [("float32", 3e-7), ("float64", 5e-16)])
def test_exponentials_are_exact_down_to_far_rows_and_never_denormal(precision, rtol):
    floats = np.finfo(precision)
    logs = np.concatenate([np.linspace(2 * np.log(float(floats.smallest_subnormal)), 0.0, 5001), [-np.inf]])
    found = logs.astype(precision)[None]
    exact = np.exp(found.astype(np.longdouble))[0]
    exponentiate(found)
    assert not ((found > 0) & (found < floats.tiny)).any()
    assert found[0, -1] == 0.0
    far = FAR[np.dtype(precision)]
    error = np.abs(found[0] - exact).astype(float)
    np.testing.assert_array_less(error, rtol * np.maximum(exact.astype(float), far))


def test_exponentials_near_the_peak_are_numpys_own(rng):
    logs = -50.0 * rng.random((3, 100))
    found = logs.copy()
    exponentiate(found)
    np.testing.assert_array_equal(found, np.exp(logs))


@pytest.mark.parametrize(("precision", "fast", "least"), [("float64", -707.0, -708.0), ("float32", -86.5, -87.0)])
def test_terms_that_become_zero_are_raised_to_where_exp_is_fast(precision, fast, least):
    # numpy's exp() leaves its fast road at about -707.75 (float64); just above its denormals float32 is slower, too.
    terms = np.array([0.0, -1.0, fast, least - 0.5, -1e5, -np.inf]).astype(precision)
    expected = np.exp(np.maximum(terms, terms.dtype.type(least)))
    far = FAR[terms.dtype]
    results = np.empty_like(terms)
    exponentiate(terms, results)
    assert terms.min() >= fast
    np.testing.assert_array_equal(results, (expected + far) - far)
    assert not results[2:].any()
