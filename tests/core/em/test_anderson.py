"""Extrapolated EM steps: any free coordinates are a mixture, fewer passes are needed, fixed points stay."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.em.anderson import Anderson, from_free, metric, to_free
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import ParameterError
from tests.examples import CountingTable, draw_rows, random_mixture, run_em

K, D = 3, 4


@pytest.fixture
def mixture(covariance_type, rng):
    return random_mixture(covariance_type, K, D, rng, spread=1.5)


def overlapping(covariance_type: str, rng: np.random.Generator) -> tuple[ArrayTable, MixtureParameters]:
    """A table that plain EM is slow on, and a start."""
    mixture = random_mixture(covariance_type, K, D, rng, spread=1.2)
    table = ArrayTable(draw_rows(mixture, 3000, rng)[0])
    return table, random_mixture(covariance_type, K, D, rng, spread=1.0).shifted(-table.moments.mean)


def test_free_coordinates_read_back_as_the_same_mixture(mixture):
    back = from_free(to_free(mixture), mixture)
    np.testing.assert_allclose(back.weights, mixture.weights, rtol=1e-13)
    np.testing.assert_allclose(back.means, mixture.means, rtol=1e-13)
    np.testing.assert_allclose(back.covariances, mixture.covariances, rtol=1e-12, atol=1e-14)


def test_a_covariance_that_is_barely_definite_has_free_coordinates():
    """Which of these can be factored depends on the BLAS kernel; some that scipy factors numpy finds indefinite."""
    accepted = 0
    for seed in range(2_000):
        rng = np.random.default_rng(seed)
        flat = rng.normal(size=(8, 7))
        covariance = flat @ flat.T
        covariance += np.trace(covariance) * 10.0 ** -rng.uniform(15, 17) * np.eye(8)
        try:
            mixture = MixtureParameters([1.0], np.zeros((1, 8)), [covariance])
        except ParameterError:
            continue
        accepted += 1
        assert np.isfinite(to_free(mixture)).all()
    assert accepted > 100


def test_any_point_in_free_coordinates_is_a_mixture(mixture, rng):
    anywhere = to_free(mixture) + rng.normal(size=to_free(mixture).shape)
    found = from_free(anywhere, mixture)
    assert found.weights.sum() == pytest.approx(1.0)
    assert (np.linalg.eigvalsh(found.dense_covariances) > 0).all()


def test_the_metric_does_not_depend_on_units(mixture):
    units = np.array([1e-6, 1.0, 1e3, 1e6])
    if mixture.covariance_type == "spherical":
        units = np.full(D, 1e3)
    square = np.outer(units, units)
    shape: dict[str, np.ndarray | float] = {"full": square, "tied": square, "diag": units**2, "spherical": 1e6}
    scaled = MixtureParameters(
        mixture.weights,
        mixture.means * units,
        mixture.covariances * shape[mixture.covariance_type],
        mixture.covariance_type,
    )
    step = to_free(from_free(to_free(mixture) + 0.1, mixture)) - to_free(mixture)
    moved = from_free(to_free(mixture) + step, mixture)
    scaled_moved = MixtureParameters(
        moved.weights, moved.means * units, moved.covariances * shape[mixture.covariance_type], mixture.covariance_type
    )
    np.testing.assert_allclose(
        (to_free(scaled_moved) - to_free(scaled)) * metric(scaled),
        (to_free(moved) - to_free(mixture)) * metric(mixture),
        rtol=1e-7,
        atol=1e-9,
    )


def test_a_linear_map_is_solved_as_soon_as_its_directions_are_known(rng):
    start = random_mixture("spherical", 2, 1, rng, spread=3.0)
    target = to_free(start) + 0.1 * rng.normal(size=6)
    target[:2] -= np.logaddexp.reduce(target[:2])  # so that the weights sum to 1
    memory, here = Anderson(), start
    rates = np.array([0.5, 0.5, 0.9, 0.7, 0.8, 0.6])

    def image(point: MixtureParameters) -> MixtureParameters:
        free = to_free(point)
        return from_free(target + rates * (free - target), point)

    for _ in range(12):
        memory.add(here, image(here))
        here = memory.propose(image(here)) or image(here)
    np.testing.assert_allclose(to_free(here), target, atol=1e-7)


@pytest.mark.parametrize("growth", [0.5, 1.5])
def test_growing_steps_are_not_extrapolated_back_to_where_they_came_from(growth, rng):
    """Steps away from a saddle, which is a fixed point of the same linear map, behind them."""
    start = random_mixture("spherical", 2, 1, rng)
    along = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    here = to_free(start)
    memory, step = Anderson(), 0.1
    for _ in range(2):
        there = here + step * along
        memory.add(from_free(here, start), from_free(there, start))
        here, step = there, growth * step
    proposed = memory.propose(from_free(here, start))
    if growth > 1:
        assert proposed is None
    else:
        assert proposed is not None
        assert proposed.means[0, 0] == pytest.approx(start.means[0, 0] + 0.1 / (1 - growth))


def test_acceleration_ends_where_plain_em_does_in_fewer_passes(covariance_type, rng):
    table, start = overlapping(covariance_type, rng)
    plain = run_em(table, start, 5000, 1e-13)
    fast = run_em(table, start, 5000, 1e-13, accelerate=True)
    if fast.lower_bound == pytest.approx(plain.lower_bound, abs=1e-8):  # else it found another maximum, which it may
        assert len(fast.history) < len(plain.history)
    else:
        assert fast.lower_bound > plain.lower_bound
    again = run_em(table, fast.parameters, 50)
    assert again.lower_bound == pytest.approx(fast.lower_bound, abs=1e-8)


def test_no_accelerated_pass_lowers_the_likelihood(covariance_type, rng):
    table, start = overlapping(covariance_type, rng)
    result = run_em(table, start, 200, 1e-12, accelerate=True)
    changes = np.array([record.change for record in result.history[1:]])
    assert np.nanmin(changes) > -1e-12
    assert {"plain", "extrapolated"} <= {record.step for record in result.history}


class Fooled(Anderson):
    """Always proposes the start of the fit: a step back."""

    start: MixtureParameters

    def propose(self, image: MixtureParameters) -> MixtureParameters | None:
        return self.start


def test_a_proposal_that_lowers_the_likelihood_is_refused_and_costs_no_pass(monkeypatch, rng):
    table, start = overlapping("full", rng)
    Fooled.start = start
    monkeypatch.setattr("gmm_spark.core.em.ascent.Anderson", Fooled)
    plain = run_em(table, start, 8)
    fooled = run_em(table, start, 8, accelerate=True)
    np.testing.assert_allclose(fooled.parameters.means, plain.parameters.means, rtol=1e-12)
    assert [record.step for record in fooled.history] == ["plain"] + ["refused"] * 7


class Misleading(Anderson):
    """Proposes good steps at first, and then the start of the fit."""

    start: MixtureParameters

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def propose(self, image: MixtureParameters) -> MixtureParameters | None:
        self.asked += 1
        return super().propose(image) if self.asked <= 2 else self.start


def test_a_trusted_proposal_that_lowers_the_likelihood_is_lost_and_the_plain_step_comes_next(monkeypatch, rng):
    table, start = overlapping("full", rng)
    Misleading.start = start
    monkeypatch.setattr("gmm_spark.core.em.ascent.Anderson", Misleading)
    counted = CountingTable(table.rows)
    result = run_em(counted, start, 6, accelerate=True)
    assert [record.step for record in result.history[:5]] == ["plain", "plain", "extrapolated", "lost", "plain"]
    assert counted.candidates[:5] == [1, 1, 2, 1, 1]
    stood, lost, after = result.history[2:5]
    assert lost.lower_bound == stood.lower_bound
    assert np.isnan(lost.change)
    assert after.change == after.lower_bound - stood.lower_bound > 0


def test_a_starved_component_is_not_extrapolated(rng):
    table, start = overlapping("diag", rng)
    starved = MixtureParameters([0.6, 0.4, 0.0], start.means, start.covariances, "diag")
    result = run_em(table, starved, 5, accelerate=True)
    assert result.parameters.weights[2] == 0.0
    assert {record.step for record in result.history} == {"plain"}
