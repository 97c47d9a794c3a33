"""The distribution of log-densities: exact to the width of a bin, for any table, however it is partitioned."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark.core.kernels.evaluation import EvaluationSums
from gmm_spark.core.kernels.histogram import N_BINS, LogDensityHistogram, bin_weights
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.mixture.density import log_density
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import ParameterError
from tests.examples import COVARIANCE_TYPES, draw_rows, laws, random_mixture

QS = (0.0, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.999, 1.0)
CEILING = 7.25
M = 5000

# Depths below the ceiling, nats, of the rows of some tables.
DEPTHS = {
    "in 1 dimension": lambda rng: rng.chisquare(1, M) / 2,
    "in 16 dimensions": lambda rng: rng.chisquare(16, M) / 2,
    "in 784 dimensions": lambda rng: rng.chisquare(784, M) / 2,
    "beside a narrow component": lambda rng: rng.chisquare(16, M) / 2 + 300.0,
    "heavy tails": lambda rng: np.minimum(rng.standard_cauchy(M) ** 2, 1e9),
    "over all magnitudes": lambda rng: 10.0 ** rng.uniform(-9, 9, M),
    "few distinct rows": lambda rng: rng.choice([0.5, 3.0, 3.0, 3.0, 1e6], M),
    "one value": lambda rng: np.full(M, 12.3),
    "at the ceiling": lambda rng: np.zeros(M),
    "one row": lambda rng: np.array([40.0]),
}


def width(depth: float) -> float:
    """Width of a bin at this depth, by the formula in the class's docstring; a bin's deeper edge is 0.2 % wider."""
    return 1.002 * np.sqrt(16**2 + depth**2) / 512


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", DEPTHS)
def test_quantiles_are_numpys_to_the_width_of_a_bin(kind, weighted, rng):
    depth = DEPTHS[kind](rng)
    weight = rng.integers(1, 5, len(depth)).astype(float) if weighted else np.ones(len(depth))
    histogram = LogDensityHistogram(CEILING, bin_weights(depth, weight))
    rows = np.repeat(CEILING - depth, weight.astype(int))
    for q in QS:
        expected = np.quantile(rows, q, method="inverted_cdf")
        assert abs(histogram.quantile(q) - expected) <= width(CEILING - expected), q


def test_quantiles_rise_with_the_share(rng):
    histogram = LogDensityHistogram(0.0, bin_weights(rng.chisquare(4, 50), rng.uniform(0, 1, 50)))
    found = [histogram.quantile(q) for q in np.linspace(0, 1, 500)]
    assert (np.diff(found) >= 0).all()
    assert found[0] < found[-1] <= 0.0


def test_within_a_bin_the_share_is_interpolated():
    weights = np.zeros(N_BINS)
    weights[0] = 4.0
    low, middle, high = (LogDensityHistogram(CEILING, weights).quantile(q) for q in (0.0, 0.5, 1.0))
    assert high == CEILING
    assert high - low == pytest.approx(1 / 32, rel=1e-4)
    assert middle == pytest.approx((low + high) / 2, rel=1e-12)


def test_rows_that_no_bin_reaches_count_in_the_first_or_the_last():
    depth = np.array([-0.1, 0.0, 1e12, np.inf, np.nan])  # rounding may lift a row above the ceiling
    found = bin_weights(depth, np.array([1.0, 2.0, 4.0, 8.0, 16.0]))
    assert (found[0], found[-1], found.sum()) == (3.0, 28.0, 31.0)


def test_rows_of_weight_zero_add_nothing(rng):
    depth, weight = rng.chisquare(4, 100), rng.uniform(0, 1, 100)
    weight[::3] = 0.0
    np.testing.assert_array_equal(bin_weights(depth, weight), bin_weights(depth[weight > 0], weight[weight > 0]))


@pytest.mark.parametrize("q", [-0.1, 1.1, float("nan")])
def test_a_share_beyond_the_table_is_refused(q):
    with pytest.raises(ParameterError, match="need a share of the rows, from 0 to 1"):
        LogDensityHistogram(0.0, bin_weights(np.ones(1), np.ones(1))).quantile(q)


# Of a table under a mixture


@laws
@given(cuts=st.lists(st.integers(0, 300), max_size=5))
def test_histograms_of_parts_add_up_to_that_of_the_whole_bit_for_bit(covariance_type, cuts):
    rng = np.random.default_rng(1)
    mixture = random_mixture(covariance_type, 3, 4, rng)
    rows, weight = draw_rows(mixture, 300, rng)[0], rng.integers(0, 4, 300).astype(float)
    asked = EvaluationSums(plan_pass([mixture], np.zeros(4), np.ones(4)), log_densities=True)

    def sums(part: slice) -> np.ndarray:
        accumulator = asked.accumulator()
        accumulator.add(rows[:, part], weight[part])
        return accumulator.vector()

    whole = sums(slice(None))
    assert len(whole) == asked.length
    parts = sum((sums(slice(a, b)) for a, b in itertools.pairwise([0, *sorted(cuts), 300])), np.zeros(asked.length))
    (found,), (expected,) = asked.read(parts), asked.read(whole)
    np.testing.assert_array_equal(found.log_densities.weights, expected.log_densities.weights)
    assert found.log_densities.weights.sum() == weight.sum()


def test_each_candidate_of_a_pass_has_its_own(rng):
    # Structures in no particular order: each histogram has to belong to its candidate.
    candidates = [random_mixture(kind, k, 3, rng) for k, kind in enumerate(("tied", "spherical", "full", "diag"), 1)]
    rows = draw_rows(candidates[2], 400, rng)[0]
    table = ArrayTable(rows)
    centred = [c.shifted(-table.moments.mean) for c in candidates]
    for found, candidate in zip(table.evaluate_all(centred, log_densities=True), candidates, strict=True):
        expected = np.quantile(log_density(candidate, rows), 0.1, method="inverted_cdf")
        depth = found.log_densities.ceiling - expected
        assert found.log_densities.quantile(0.1) == pytest.approx(expected, abs=width(depth))
    assert all(found.log_densities is None for found in table.evaluate_all(centred))


def test_equal_components_do_not_exceed_the_ceiling(covariance_type, rng):
    one = random_mixture(covariance_type, 1, 2, rng)
    covariances = one.covariances if covariance_type == "tied" else np.repeat(one.covariances, 8, axis=0)
    mixture = MixtureParameters(np.full(8, 1 / 8), np.repeat(one.means, 8, axis=0), covariances, covariance_type)
    rows = np.repeat(one.means.T, 3, axis=1)  # the densest point: 8 times as dense as one component makes it
    histogram = (
        ArrayTable(rows + 1e-9 * rng.standard_normal((2, 3)))
        .evaluate(mixture.shifted(-rows.mean(axis=1)))
        .log_densities
    )
    densest = log_density(mixture, rows)[0]
    assert histogram.ceiling == pytest.approx(densest, abs=1e-9)
    assert histogram.quantile(0.5) == pytest.approx(densest, abs=width(0.0))


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (1e8, 1.0), (0.0, 1e-8)])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("d", [1, 4, 16])
def test_about_the_share_asked_for_lies_below_its_quantile(d, k, offset, scale, precision, rng):
    for kind in COVARIANCE_TYPES:
        friendly = random_mixture(kind, k, d, rng)
        mixture = MixtureParameters(friendly.weights, friendly.means * scale, friendly.covariances * scale**2, kind)
        rows, weight = draw_rows(friendly, 20_000, rng)[0] * scale + offset, rng.uniform(0.0, 2.0, 20_000)
        table = ArrayTable(rows, weight, precision=precision)
        histogram = table.evaluate(mixture.shifted(offset - table.moments.mean)).log_densities
        found = log_density(mixture, rows - offset)
        for share in (0.001, 0.01, 0.5):
            below = weight[found < histogram.quantile(share)].sum() / weight.sum()
            # A row at the quantile is on either side; bins of 1/16 nat here keep the rest to a few hundredths.
            assert below == pytest.approx(share, rel=0.05, abs=2 * 2.0 / weight.sum()), (kind, share)


# Written out


def test_what_is_written_out_comes_back_bit_for_bit(rng):
    histogram = LogDensityHistogram(np.pi * 100, bin_weights(10.0 ** rng.uniform(-3, 6, 300), rng.uniform(0, 1, 300)))
    written = json.dumps(histogram.to_dict())
    found = LogDensityHistogram.from_dict(json.loads(written))
    assert found.ceiling == histogram.ceiling
    np.testing.assert_array_equal(found.weights, histogram.weights)
    assert len(written) < 300 * 40, "only what has weight is written"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda v: v.pop("ceiling"),
        lambda v: v.pop("bins"),
        lambda v: v.update(ceiling=float("nan")),
        lambda v: v.update(ceiling=None),
        lambda v: v.update(bins=[-1, 2]),
        lambda v: v.update(bins=[1, N_BINS]),
        lambda v: v.update(bins=[1]),
        lambda v: v.update(bins="12"),
        lambda v: v.update(weights=[1.0, -1.0]),
        lambda v: v.update(weights=[0.0, 0.0]),
        lambda v: v.update(weights=[1.0, float("nan")]),
    ],
)
def test_what_is_no_histogram_is_refused(spoil):
    values = {"ceiling": 1.0, "bins": [1, 2], "weights": [0.5, 0.25]}
    assert LogDensityHistogram.from_dict(values).weights.sum() == 0.75
    spoil(values)
    with pytest.raises(ParameterError, match="histogram"):
        LogDensityHistogram.from_dict(values)


def test_the_edge_nearest_to_a_quantile_has_its_share_exactly():
    depth = np.repeat([500.0, 300.0, 100.0, 1.0], [9, 291, 400, 300])
    histogram = LogDensityHistogram(CEILING, bin_weights(depth, np.ones(1000)))
    for q, share in ((0.001, 0.009), (0.01, 0.009), (0.2, 0.3), (0.5, 0.7), (0.9, 1.0)):
        threshold, found = histogram.find_edge(q)
        assert found == pytest.approx(share), q
        assert (CEILING - depth <= threshold).mean() == pytest.approx(share), q
