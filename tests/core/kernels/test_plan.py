"""The gate between the kernels, and the layout of a plan's candidates and their sums."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.em.m_step import maximize
from gmm_spark.core.kernels import plan as plan_module
from gmm_spark.core.kernels.accumulators import StatisticsSums
from gmm_spark.core.kernels.log_prob import Kernel
from gmm_spark.core.kernels.plan import MAX_EXPANDED_FEATURES, plan_pass
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.errors import ParameterError
from tests.examples import COVARIANCE_TYPES, random_mixture
from tests.oracles import em_step_longdouble, needs_longdouble, weighted_log_prob_longdouble

D = 2
UNITS = np.zeros(D), np.ones(D)  # a table centred at 0 whose features have deviation 1


def kernel_log_prob(parameters: MixtureParameters, rows: np.ndarray, precision: str = "float64") -> np.ndarray:
    plan = plan_pass([parameters], *UNITS, precision)
    kernel = Kernel(plan)
    return kernel.weighted_log_prob(kernel.expand(rows)) + plan.segments[0].peak


def next_parameters(parameters: MixtureParameters, rows: np.ndarray) -> MixtureParameters:
    plan = plan_pass([parameters], *UNITS)
    sums = StatisticsSums(plan)
    accumulator = sums.accumulator()
    accumulator.add(rows, None)
    (statistics,) = sums.read(accumulator.vector())
    return maximize(statistics, parameters, np.zeros(D))


def wide_and_narrow(covariance_type: str, distance: float, deviation: float) -> MixtureParameters:
    """One component as wide as the table at its centre, and a narrow one far away; tied: both narrow."""
    variances = {
        "full": np.stack([np.eye(D), deviation**2 * np.eye(D)]),
        "tied": deviation**2 * np.eye(D),
        "diag": np.stack([np.ones(D), np.full(D, deviation**2)]),
        "spherical": np.array([1.0, deviation**2]),
    }
    means = [np.zeros(D), np.array([distance, -distance])]
    return MixtureParameters([0.5, 0.5], means, variances[covariance_type], covariance_type)


def rows_of(parameters: MixtureParameters, m: int, rng: np.random.Generator) -> np.ndarray:
    """First m rows around the first component, then m around the second."""
    deviations = np.sqrt(np.diagonal(parameters.dense_covariances, axis1=1, axis2=2))
    clouds = [
        mean[:, None] + deviation[:, None] * rng.standard_normal((D, m))
        for mean, deviation in zip(parameters.means, deviations, strict=True)
    ]
    return np.concatenate(clouds, axis=1)


def test_the_gate_stays_shut_for_components_of_the_tables_own_size(covariance_type, rng):
    (segment,) = plan_pass([random_mixture(covariance_type, 4, D, rng, spread=1.0)], *UNITS).segments
    assert not segment.accurate.any()


def test_the_gate_opens_for_the_far_narrow_component_alone(covariance_type):
    (segment,) = plan_pass([wide_and_narrow(covariance_type, 1e3, 1e-3)], *UNITS).segments
    # Tied components share one scatter, so they go through together.
    assert segment.accurate.tolist() == [covariance_type == "tied", True]


def test_the_gate_opens_for_a_nearly_singular_correlation_alone():
    covariances = [np.eye(2), np.array([[1.0, 1 - 1e-9], [1 - 1e-9, 1.0]])]
    parameters = MixtureParameters([0.5, 0.5], np.zeros((2, 2)), covariances, "full")
    (segment,) = plan_pass([parameters], *UNITS).segments
    assert segment.accurate.tolist() == [False, True]


def test_the_gate_does_not_depend_on_units(covariance_type):
    parameters = wide_and_narrow(covariance_type, 1e3, 1e-3)
    flags = []
    for unit in (1.0, 2.0**-30, 2.0**30):
        in_unit = MixtureParameters(
            [0.5, 0.5], unit * parameters.means, unit**2 * parameters.covariances, covariance_type
        )
        (segment,) = plan_pass([in_unit], np.zeros(D), np.full(D, unit)).segments
        flags.append(segment.accurate.tolist())
    assert flags[0] == flags[1] == flags[2]


def test_single_precision_opens_the_gate_earlier(covariance_type):
    # Ten deviations away costs 100 roundings: nothing in double, 1e-5 in single; a hundred cost 1e-3 in single.
    near, far = (wide_and_narrow(covariance_type, distance, 0.1) for distance in (1.0, 10.0))
    opened = {
        (name, precision): bool(plan_pass([p], *UNITS, precision).segments[0].accurate[1])
        for name, p in (("near", near), ("far", far))
        for precision in ("float64", "float32")
    }
    assert opened == {
        ("near", "float64"): False,
        ("near", "float32"): False,
        ("far", "float64"): False,
        ("far", "float32"): True,
    }


@needs_longdouble
def test_far_narrow_components_keep_ten_digits_and_would_lose_them_without_the_gate(covariance_type, rng, monkeypatch):
    parameters = wide_and_narrow(covariance_type, 1e3, 1e-3)
    rows = rows_of(parameters, 40, rng)
    exact = weighted_log_prob_longdouble(parameters, rows).astype(float)
    np.testing.assert_allclose(kernel_log_prob(parameters, rows), exact, rtol=1e-10, atol=1e-10)
    monkeypatch.setitem(plan_module.GATE_TOLERANCE, "float64", np.inf)
    own = np.s_[1, 40:]  # the narrow component at its own rows
    # (mean / deviation)^2 eps = 2e-4 for components all expanded; tied squares no mean but still multiplies 1e12.
    assert np.abs(kernel_log_prob(parameters, rows)[own] - exact[own]).max() > 1e-6


@needs_longdouble
def test_far_narrow_components_are_estimated_right_and_would_not_be_without_the_gate(covariance_type, rng, monkeypatch):
    parameters = wide_and_narrow(covariance_type, 1e3, 1e-3)
    rows = rows_of(parameters, 40, rng)
    exact = em_step_longdouble(parameters, rows).covariances.astype(float)
    narrow = exact if covariance_type == "tied" else exact[1]

    def error() -> float:
        found = next_parameters(parameters, rows).covariances
        return float(np.abs((found if covariance_type == "tied" else found[1]) - narrow).max() / narrow.max())

    assert error() < 1e-10
    monkeypatch.setitem(plan_module.GATE_TOLERANCE, "float64", np.inf)
    assert error() > 1e-6


@needs_longdouble
@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_nearly_singular_components_are_right_to_their_conditioning_and_would_not_be_without_the_gate(
    covariance_type, rng, monkeypatch
):
    correlation, mean = 1 - 1e-9, np.array([100.0, 100.0])
    covariance = np.array([[1.0, correlation], [correlation, 1.0]])
    stored = covariance if covariance_type == "tied" else covariance[None]
    parameters = MixtureParameters([1.0], [mean], stored, covariance_type)
    common, between = rng.standard_normal((2, 40))
    # Exact square roots of the eigenvalues 1 + r and 1 - r.
    along, across = np.sqrt((1 + correlation) / 2) * common, np.sqrt((1 - correlation) / 2) * between
    rows = mean[:, None] + np.stack([along + across, along - across])
    exact = weighted_log_prob_longdouble(parameters, rows).astype(float)
    # No float64 factor of this matrix is better than eps / (1 - r) = 2e-7, times squared distances of up to 20.
    conditioning = 20 * np.finfo(float).eps / (1 - correlation)
    assert np.abs(kernel_log_prob(parameters, rows) - exact).max() < conditioning
    monkeypatch.setitem(plan_module.GATE_TOLERANCE, "float64", np.inf)
    # 1e4 more: the square of the mean's hundred deviations; tied loses one of those hundreds less.
    assert np.abs(kernel_log_prob(parameters, rows) - exact).max() > 5 * conditioning


def test_single_precision_keeps_what_its_tolerance_says_and_would_not_without_the_gate(
    covariance_type, rng, monkeypatch
):
    parameters = wide_and_narrow(covariance_type, 100.0, 0.1)
    rows = rows_of(parameters, 40, rng)
    own = np.s_[1, 40:]
    reference = kernel_log_prob(parameters, rows)[own]
    # A row 1000 deviations from the centre is itself stored to 1e3 * eps of a deviation in single precision; at up to
    # 5 deviations from its mean in each of D features, that moves its log-density by 5 D times as much.
    stored = 5 * D * 1e3 * np.finfo(np.float32).eps
    assert np.abs(kernel_log_prob(parameters, rows, "float32")[own] - reference).max() < stored
    monkeypatch.setitem(plan_module.GATE_TOLERANCE, "float32", np.inf)
    assert np.abs(kernel_log_prob(parameters, rows, "float32")[own] - reference).max() > 10 * stored


@pytest.mark.parametrize("d", [MAX_EXPANDED_FEATURES, MAX_EXPANDED_FEATURES + 1])
def test_only_full_covariances_of_many_features_always_take_the_accurate_kernel(covariance_type, d, rng):
    parameters = random_mixture(covariance_type, 2, d, rng, spread=0.1)
    (segment,) = plan_pass([parameters], np.zeros(d), np.ones(d)).segments
    assert segment.accurate.all() == (covariance_type == "full" and d > MAX_EXPANDED_FEATURES)


def test_each_structure_needs_a_prefix_of_the_features(rng):
    d = 5
    plan = plan_pass([random_mixture(kind, 2, d, rng) for kind in COVARIANCE_TYPES], np.zeros(d), np.ones(d))
    assert [s.coefficients.shape[1] for s in plan.segments] == [1 + d + d * (d + 1) // 2, 1 + d, 1 + 2 * d, 1 + 2 * d]


def test_statistics_come_back_in_the_candidates_own_order(rng):
    candidates = [random_mixture(kind, k, D, rng) for k, kind in ((1, "tied"), (4, "full"), (2, "diag"), (3, "tied"))]
    plan = plan_pass(candidates, *UNITS)
    sums = StatisticsSums(plan)
    accumulator = sums.accumulator()
    accumulator.add(rng.standard_normal((D, 10)), None)
    vector = accumulator.vector()
    assert vector.shape == (sums.length,)
    found = sums.read(vector)
    assert [(s.covariance_type, len(s.resp_sum)) for s in found] == [("tied", 1), ("full", 4), ("diag", 2), ("tied", 3)]


def test_a_component_without_weight_gets_no_responsibility_from_either_kernel(covariance_type, gate, rng):
    parameters = random_mixture(covariance_type, 2, D, rng)
    weightless = MixtureParameters([1.0, 0.0], parameters.means, parameters.covariances, covariance_type)
    for precision in ("float64", "float32"):
        plan = plan_pass([weightless], *UNITS, precision)
        sums = StatisticsSums(plan)
        accumulator = sums.accumulator()
        accumulator.add(np.repeat(parameters.means[1:].T, 3, axis=1), None)
        (statistics,) = sums.read(accumulator.vector())
        np.testing.assert_allclose(statistics.resp_sum, [3.0, 0.0])
        assert np.isfinite(statistics.log_likelihood)


def test_candidates_of_another_width_are_refused(rng):
    with pytest.raises(ParameterError, match=r"\[2, 3\] features; need 2"):
        plan_pass([random_mixture("diag", 2, 2, rng), random_mixture("diag", 2, 3, rng)], *UNITS)


def test_a_pass_without_candidates_is_refused():
    with pytest.raises(ParameterError, match="candidates"):
        plan_pass([], *UNITS)


def test_an_unknown_precision_is_refused_with_those_there_are(rng):
    with pytest.raises(ParameterError, match=r"'float16'.*float64, float32"):
        plan_pass([random_mixture("diag", 2, D, rng)], *UNITS, "float16")
