"""The E step of rows with missing values is the textbook's, row by row, in every structure and by every kernel."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from gmm_spark.core.em.m_step import maximize
from gmm_spark.core.kernels import plan
from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.missing import by_pattern
from gmm_spark.core.missing.expectation import IncompleteStatisticsSums
from gmm_spark.core.missing.patterns import find_runs, order_by_pattern
from gmm_spark.core.mixture.covariance import STRUCTURES
from gmm_spark.core.mixture.parameters import MixtureParameters
from tests.core.missing import textbook
from tests.examples import COVARIANCE_TYPES, draw_rows, random_mixture
from tests.fifth_structure import TiedDiag

pytestmark = pytest.mark.filterwarnings("error")


def count_patterns(rows: np.ndarray) -> dict[bytes, int]:
    return {run.pattern: run.rows.stop - run.rows.start for run in find_runs(order_by_pattern(rows)[0])}


def expect(
    candidates: list[MixtureParameters],
    rows: np.ndarray,
    weight: np.ndarray | None = None,
    precision: str = "float64",
    blocks: int = 1,
) -> list[SufficientStatistics]:
    """Make a pass over rows in some blocks, as tasks do, by sums that have travelled."""
    d = len(rows)
    complete = np.where(np.isnan(rows), 0.0, rows)
    scale = Moments.of(complete).scale
    sums = IncompleteStatisticsSums.of(
        plan_pass(candidates, np.zeros(d), scale, precision), candidates, count_patterns(rows)
    )
    sums = pickle.loads(pickle.dumps(sums))
    accumulator = sums.accumulator()
    for part in np.array_split(np.arange(rows.shape[1]), blocks):
        accumulator.add(*order_by_pattern(rows[:, part], None if weight is None else weight[part]))
    return sums.read(accumulator.vector())


def assert_textbook(
    found: SufficientStatistics, candidate: MixtureParameters, rows: np.ndarray, weight: np.ndarray | None, rtol: float
) -> None:
    expected = textbook.expect(candidate, rows, weight)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=rtol)
    assert found.weight_sum == pytest.approx(expected.weight_sum)
    assert found.rows == rows.shape[1]
    np.testing.assert_allclose(found.resp_sum, expected.resp_sum, rtol=rtol)
    after = maximize(found, candidate, np.zeros(len(rows)))
    by_hand = textbook.maximize(expected, candidate.covariance_type)
    np.testing.assert_allclose(after.means, by_hand.means, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(after.covariances, by_hand.covariances, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("gate", [1e-11, 0.0], ids=["expanded", "accurate"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [*COVARIANCE_TYPES, "tied_diag"])
def test_the_e_step_is_the_textbooks(kind, weighted, gate, monkeypatch):
    monkeypatch.setitem(plan.GATE_TOLERANCE, "float64", gate)
    monkeypatch.setitem(STRUCTURES, "tied_diag", TiedDiag())
    rng = np.random.default_rng(3)
    candidate = random_mixture("full" if kind == "tied_diag" else kind, 3, 5, rng, spread=1.5)
    if kind == "tied_diag":
        candidate = MixtureParameters(candidate.weights, candidate.means, rng.uniform(0.5, 2.0, 5), kind)
    rows = textbook.with_holes(draw_rows(candidate, 200, rng)[0], 0.5, rng)
    observed = (~np.isnan(rows)).sum(axis=0)
    assert set(observed) == {1, 2, 3, 4, 5}
    weight = rng.uniform(0.2, 3.0, 200) if weighted else None
    (found,) = expect([candidate], rows, weight, blocks=3)
    assert_textbook(found, candidate, rows, weight, 1e-10)


def test_candidates_of_several_structures_share_a_pass():
    rng = np.random.default_rng(4)
    candidates = [random_mixture(kind, 2 + i, 4, rng, spread=1.0) for i, kind in enumerate(COVARIANCE_TYPES)]
    rows = textbook.with_holes(draw_rows(candidates[0], 150, rng)[0], 0.3, rng)
    for candidate, found in zip(candidates, expect(candidates, rows), strict=True):
        assert_textbook(found, candidate, rows, None, 1e-10)


def test_patterns_that_are_not_kept_are_summed_alike(monkeypatch, covariance_type):
    rng = np.random.default_rng(5)
    candidate = random_mixture(covariance_type, 3, 6, rng)
    rows = textbook.with_holes(draw_rows(candidate, 300, rng)[0], 0.2, rng)
    (kept,) = expect([candidate], rows, blocks=4)
    monkeypatch.setattr(by_pattern, "KEPT_BYTES", 1)
    (made_anew,) = expect([candidate], rows, blocks=4)
    for name in ("log_likelihood", "resp_sum", "first", "second"):
        np.testing.assert_allclose(getattr(made_anew, name), getattr(kept, name), rtol=1e-10, atol=1e-9)


def test_more_than_64_features_have_patterns_too(covariance_type):
    rng = np.random.default_rng(6)
    candidate = random_mixture(covariance_type, 2, 70, rng, spread=0.5)
    rows = textbook.with_holes(draw_rows(candidate, 60, rng)[0], 0.2, rng, patterns=12)
    (found,) = expect([candidate], rows)
    assert_textbook(found, candidate, rows, None, 1e-9)


def test_float32_products_are_near_the_textbooks(covariance_type):
    rng = np.random.default_rng(7)
    candidate = random_mixture(covariance_type, 3, 5, rng)
    rows = textbook.with_holes(draw_rows(candidate, 200, rng)[0], 0.3, rng)
    (found,) = expect([candidate], rows, precision="float32")
    assert_textbook(found, candidate, rows, None, 1e-3)


def test_large_mixtures_leave_negligible_responsibilities_out_and_lose_nothing(monkeypatch):
    rng = np.random.default_rng(8)
    candidate = random_mixture("full", 120, 16, rng, spread=6.0)
    rows = textbook.with_holes(draw_rows(candidate, 400, rng)[0], 0.2, rng, patterns=3)
    assert plan_pass([candidate], np.zeros(16), np.ones(16)).segments[0].worth_sifting
    (sifted,) = expect([candidate], rows, blocks=5)
    monkeypatch.setattr(plan, "WORTH_SIFTING", 10**9)
    (whole,) = expect([candidate], rows, blocks=5)
    assert sifted.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(sifted.second, whole.second, rtol=1e-9, atol=1e-7)


def test_a_cleared_accumulator_begins_again():
    rng = np.random.default_rng(9)
    candidate = random_mixture("full", 2, 3, rng)
    rows, _ = order_by_pattern(textbook.with_holes(draw_rows(candidate, 50, rng)[0], 0.4, rng))
    sums = IncompleteStatisticsSums.of(plan_pass([candidate], np.zeros(3), np.ones(3)), [candidate], {b"\x20": 9})
    accumulator = sums.accumulator()
    accumulator.add(rows, None)
    once = accumulator.vector()
    accumulator.clear()
    accumulator.add(rows[:, :20], None)
    accumulator.clear()
    accumulator.add(rows, None)
    assert np.array_equal(accumulator.vector(), once)
