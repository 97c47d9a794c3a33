"""A structure is one class and its entry in the registry: with these alone a fifth one does all that the four do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from gmm_spark.core.em.reseeding import reseed
from gmm_spark.core.kernels import plan
from gmm_spark.core.mixture.covariance import STRUCTURES
from gmm_spark.core.mixture.density import log_density
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.mixture.sampling import component_counts, draw_chunk
from gmm_spark.core.mixture.structures.general import General
from gmm_spark.core.mixture.structures.tied import Tied
from gmm_spark.core.search.grid import sweep
from gmm_spark.core.search.single import search
from gmm_spark.core.search.starts import START_MODES
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DegenerateComponentError, ParameterError
from tests.examples import draw_rows, matched, result_of, run_em
from tests.fifth_structure import TiedDiag

WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[0.0, 0.0], [4.0, 1.0], [-3.0, 5.0]])
VARIANCES = np.array([1.0, 0.25])


@pytest.fixture
def tied_diag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the structure into the registry while a test runs."""
    monkeypatch.setitem(STRUCTURES, TiedDiag.name, TiedDiag())


def truth() -> MixtureParameters:
    return MixtureParameters(WEIGHTS, MEANS, VARIANCES, "tied_diag")


def rough(rows: np.ndarray) -> MixtureParameters:
    """Three rows as means, under twice the variances."""
    return MixtureParameters(np.full(3, 1 / 3), rows[:, [0, 1, 2]].T, 2 * VARIANCES, "tied_diag")


def textbook_em(
    start: MixtureParameters, rows: np.ndarray, weight: np.ndarray, steps: int
) -> tuple[MixtureParameters, float]:
    """Plain EM by scipy's densities and the M step's definition; the likelihood is the last step's start's."""
    weights, means, variances = start.weights, start.means, start.covariances
    for _ in range(steps):
        joint = np.stack(
            [w * multivariate_normal(m, np.diag(variances)).pdf(rows.T) for w, m in zip(weights, means, strict=True)]
        )
        lower_bound = float(weight @ np.log(joint.sum(axis=0)) / weight.sum())
        resp = weight * joint / joint.sum(axis=0)
        weights = resp.sum(axis=1) / weight.sum()
        means = (resp @ rows.T) / resp.sum(axis=1)[:, None]
        squares = (rows[None] - means[:, :, None]) ** 2  # (k, d, m)
        variances = np.einsum("kdm,km->d", squares, resp) / weight.sum()
    return MixtureParameters(weights, means, variances, "tied_diag"), lower_bound


def drawn(n: int, seed: int = 0) -> np.ndarray:
    return draw_rows(truth(), n, np.random.default_rng(seed))[0]


def assert_close(found: MixtureParameters, expected: MixtureParameters, tolerance: float) -> None:
    order = matched(found, expected.means)
    np.testing.assert_allclose(found.weights[order], expected.weights, atol=tolerance)
    np.testing.assert_allclose(found.means[order], expected.means, atol=tolerance)
    np.testing.assert_allclose(found.covariances, expected.covariances, atol=tolerance)


@pytest.fixture
def table(tied_diag: None) -> ArrayTable:
    return ArrayTable(drawn(3000))


@pytest.mark.parametrize("gate", [1e-11, 0.0], ids=["expanded", "accurate"])
def test_em_goes_the_way_of_the_textbook_by_either_kernel(tied_diag, gate, monkeypatch):
    monkeypatch.setitem(plan.GATE_TOLERANCE, "float64", gate)
    rows, weight = drawn(500), np.random.default_rng(1).uniform(0.5, 2.0, 500)
    table = ArrayTable(rows, weight)
    start = rough(rows)
    expected, lower_bound = textbook_em(start, rows, weight, 13)
    result = run_em(table, start.shifted(-table.moments.mean), 13)
    found = result.parameters.shifted(table.moments.mean)
    np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-8)
    np.testing.assert_allclose(found.means, expected.means, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.covariances, expected.covariances, rtol=1e-8)
    assert result.lower_bound == pytest.approx(lower_bound, abs=1e-8)


@pytest.mark.parametrize("mode", START_MODES)
def test_every_kind_of_start_leads_to_the_known_parameters(table, mode):
    settings = Settings(3, "tied_diag", n_init=5, init_mode=mode, tol=1e-9)
    result = search(table, (table.rows, None), settings)
    found = result.parameters.shifted(table.moments.mean)
    assert_close(found, truth(), 0.1)
    # The end is a fixed point of the textbook's EM: a step leaves it where it is.
    again, lower_bound = textbook_em(found, table.rows, np.ones(3000), 1)
    assert_close(again, found, 1e-4)
    assert result.lower_bound == pytest.approx(lower_bound, abs=1e-8)


def test_accelerated_steps_on_a_sample_reach_the_same_end_in_fewer_passes(tied_diag):
    rows = draw_rows(MixtureParameters(WEIGHTS, 0.45 * MEANS, VARIANCES, "tied_diag"), 8000, np.random.default_rng(2))[
        0
    ]
    table = ArrayTable(rows)
    start = rough(rows).shifted(-table.moments.mean)
    trial = table.part(2000, np.random.default_rng(0))
    plain = run_em(table, start, 3000, 1e-11)
    fast = run_em(table, start, 3000, 1e-11, accelerate=True, sample=trial, lookahead=trial)
    assert plain.converged
    assert fast.converged
    assert len(fast.history) < len(plain.history) / 3
    assert any(record.step == "extrapolated" for record in fast.history)
    assert_close(fast.parameters, plain.parameters, 1e-3)


def test_a_starved_component_is_put_at_the_cluster_that_nobody_explains(table):
    blind = MixtureParameters([0.7, 0.3, 0.0], MEANS, VARIANCES, "tied_diag").shifted(-table.moments.mean)
    placed = reseed(blind, [2], table, np.random.default_rng(0))
    assert placed is not None
    found = placed.shifted(table.moments.mean)
    np.testing.assert_allclose(found.means[2], MEANS[2], atol=3.0)
    np.testing.assert_array_equal(found.means[:2], MEANS[:2])
    np.testing.assert_array_equal(found.covariances, VARIANCES)


def test_a_sweep_fits_it_beside_the_others_in_the_same_passes(table):
    members = [Settings(3, kind, n_init=3) for kind in ("tied_diag", "diag", "tied")]
    results = [result_of(one) for one in sweep(table, lambda n, seed: (table.rows, None), members)]
    alone = search(table, (table.rows, None), members[0])
    assert_close(results[0].parameters, alone.parameters, 1e-2)
    # It is nested in the others: they fit the rows at least as well.
    assert results[0].lower_bound <= min(results[1].lower_bound, results[2].lower_bound) + 1e-6


class TiedBySums(Tied):
    """Tied, but from each component's own sums over cross products in place of the scatter of all rows."""

    name = "tied_by_sums"
    shares_scatter = False
    quadratic_form = General.quadratic_form
    second_moments = General.second_moments


@pytest.mark.parametrize("tolerance", [1e-11, 5e-15, 0.0], ids=["expanded", "some accurate", "accurate"])
def test_one_general_covariance_may_come_from_each_components_sums(tied_diag, tolerance, monkeypatch):
    monkeypatch.setitem(STRUCTURES, TiedBySums.name, TiedBySums())
    monkeypatch.setitem(plan.GATE_TOLERANCE, "float64", tolerance)
    rows = drawn(500, seed=4)
    table = ArrayTable(rows)
    starts = [
        MixtureParameters(np.full(3, 1 / 3), rows[:, :3].T, np.eye(2), kind).shifted(-table.moments.mean)
        for kind in ("tied", TiedBySums.name)
    ]
    tied, by_sums = (run_em(table, start, 8) for start in starts)
    np.testing.assert_allclose(by_sums.parameters.means, tied.parameters.means, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(by_sums.parameters.covariances, tied.parameters.covariances, rtol=1e-9, atol=1e-10)
    assert by_sums.lower_bound == pytest.approx(tied.lower_bound, abs=1e-10)


def test_parameters_are_counted_stored_and_checked(tied_diag):
    mixture = truth()
    assert mixture.n_parameters == 2 + 6 + 2
    again = MixtureParameters.from_dict(mixture.to_dict())
    np.testing.assert_array_equal(again.covariances, mixture.covariances)
    inverted = MixtureParameters.from_precisions(WEIGHTS, MEANS, 1 / VARIANCES, "tied_diag")
    np.testing.assert_allclose(inverted.covariances, VARIANCES)
    with pytest.raises(ParameterError, match=r"tied_diag covariances have shape \(3, 2\)|3 dimension|need 1 dimension"):
        MixtureParameters(WEIGHTS, MEANS, np.ones((3, 2)), "tied_diag")
    with pytest.raises(DegenerateComponentError, match=r"the shared covariance collapsed.*raise regCovar"):
        TiedDiag().precisions_cholesky(np.array([1.0, 0.0]))


def test_density_is_scipys(tied_diag):
    rows = drawn(50)
    expected = sum(
        w * multivariate_normal(m, np.diag(VARIANCES)).pdf(rows.T) for w, m in zip(WEIGHTS, MEANS, strict=True)
    )
    np.testing.assert_allclose(log_density(truth(), rows), np.log(expected), rtol=1e-12)


def test_sampled_rows_have_the_mixtures_moments(tied_diag):
    counts = component_counts(truth(), 60_000, seed=3)
    rows, components = draw_chunk(truth(), counts, seed=3, chunk=0)
    for j in range(3):
        mine = rows[:, components == j]
        # Five standard errors of a mean and of a variance.
        np.testing.assert_allclose(mine.mean(axis=1), MEANS[j], atol=5 / np.sqrt(counts[j]))
        np.testing.assert_allclose(mine.var(axis=1), VARIANCES, rtol=5 * np.sqrt(2 / counts[j]))


def test_without_its_entry_in_the_registry_it_is_unknown():
    with pytest.raises(ParameterError, match="'tied_diag'; use one of full, tied, diag, spherical"):
        truth()
