"""A crew works in other processes, and changes no bit of what a search finds."""

from __future__ import annotations

import pickle
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest

from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.search.crew import share_out, share_saved
from gmm_spark.core.search.drawing import draw_starts
from gmm_spark.core.search.single import search
from gmm_spark.core.search.transport import from_bytes, to_bytes
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DataError
from tests.examples import COVARIANCE_TYPES, random_mixture


class OtherProcesses:
    """Crew whose tasks receive copies of all that they need, as in other processes."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.worked: list[tuple[str, int]] = []

    def run(self, sample, tasks, saves, n_bytes):
        assert saves > 0
        self.worked.append((type(tasks[0]).__name__, len(tasks)))
        rows, weight = sample
        copied = np.ascontiguousarray(rows, np.float64), None if weight is None else weight.copy()
        answers = [pickle.loads(pickle.dumps(task))(copied) for task in tasks]
        assert sum(map(len, answers)) < 2 * n_bytes + 20_000
        return answers


class Declines:
    """Crew that does nothing."""

    cores = 2

    def run(self, sample, tasks, saves, n_bytes):
        return None


def sampled(n: int, spread: float = 2.0, d: int = 3, k: int = 4) -> np.ndarray:
    rng = np.random.default_rng(1)
    means, factors = spread * rng.normal(size=(k, d)), rng.normal(size=(k, d, d)) / np.sqrt(d)
    label = rng.choice(k, n)
    return (means[label] + np.einsum("nij,nj->ni", factors[label], rng.normal(size=(n, d)))).T.copy()


def with_gaps(rows: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(2)
    rows[:-1][rng.random(rows[:-1].shape) < 0.2] = np.nan
    return rows


def facts(result: EMResult) -> list[object]:
    """All of a result but seconds, to the bit."""
    found = result.parameters
    passes = [astuple(replace(one, seconds=0.0)) for one in result.history]
    return [
        *(array.tobytes() for array in (found.weights, found.means, found.covariances)),
        repr((passes, result.start_records, result.converged)),
    ]


CASES: dict[str, tuple[np.ndarray, np.ndarray | None, dict[str, Any]]] = {
    **{kind: (sampled(3000), None, {"covariance_type": kind}) for kind in COVARIANCE_TYPES},
    "narrow clusters, which take another kernel": (sampled(2000, spread=300.0), None, {}),
    "ranked": (sampled(22_000), None, {"n_init": 4}),
    "weights": (sampled(2000), np.random.default_rng(0).exponential(size=2000), {}),
    "missing values": (with_gaps(sampled(600)), None, {"n_init": 3}),
    "noise": (sampled(2000), None, {"noise": True}),
    "components without rows": (sampled(60), None, {"k": 20, "n_init": 3}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_search_ends_in_the_same_bits_with_a_crew_and_without(case):
    cores = 3 if case == "full" else 2
    rows, weight, more = CASES[case]
    table, settings = ArrayTable(rows, weight), Settings(**{"k": 4, "n_init": 5, "tol": 1e-3} | more)
    crew = OtherProcesses(cores)
    with_crew = search(table, (rows, weight), settings, crew=crew)
    assert crew.worked[:2] == [("DrawTask", cores), ("ClimbTask", cores)]
    assert facts(with_crew) == facts(search(table, (rows, weight), settings))


def test_a_crew_runs_the_candidates_of_relocation():
    rows = sampled(2000)
    crew = OtherProcesses(2)
    search(ArrayTable(rows), (rows, None), Settings(k=4, n_init=1), crew=crew)
    assert crew.worked == [("ClimbTask", 2)]  # one start has no company but in relocation


def test_what_a_crew_declines_is_done_here():
    rows = sampled(1000)
    table, settings = ArrayTable(rows), Settings(k=3, n_init=4)
    expected = facts(search(table, (rows, None), settings))
    assert facts(search(table, (rows, None), settings, crew=Declines())) == expected


def test_an_error_of_drawing_is_the_same_from_a_crew():
    rows = np.repeat([[0.0, 1.0, 5.0]], 40, axis=1)
    profile, settings = ColumnProfile.of(rows), Settings(k=7, n_init=3)
    told = []
    for crew in (None, OtherProcesses(2)):
        with pytest.raises(DataError) as caught:
            draw_starts(ArrayTable(rows), (rows, None), profile, settings, ["full"], crew)
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_work_is_shared_out_evenly():
    crew = OtherProcesses(3)
    assert share_out(range(7), crew) == [[0, 3, 6], [1, 4], [2, 5]]
    assert share_out(range(2), crew) == [[0], [1]]
    assert share_out(range(2), None) == share_out(range(2), OtherProcesses(1)) == [[0, 1]]
    assert share_out([], crew) == [[]]
    assert share_saved([[0, 1], [2, 3]]) == 0.5


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 2, 1), (2, 1, 0), (1, 2, 0)])
def test_arrays_arrive_with_their_axes_in_the_same_order_in_memory(axes):
    array = np.random.default_rng(0).normal(size=(3, 4, 5)).transpose(axes)
    arrived = from_bytes(to_bytes(array))
    assert arrived.strides == array.strides
    assert np.array_equal(arrived, array)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_mixtures_arrive_as_they_were(kind):
    mixture = random_mixture(kind, 3, 2, np.random.default_rng(0))
    turned = MixtureParameters(mixture.weights, np.asfortranarray(mixture.means), mixture.covariances, kind)
    _ = turned.component_cholesky
    arrived = from_bytes(to_bytes(turned))
    assert arrived.means.strides == turned.means.strides
    assert "component_cholesky" not in vars(arrived)
    for name in ("weights", "means", "covariances"):
        assert np.array_equal(getattr(arrived, name), getattr(turned, name))


def test_a_table_in_memory_does_not_travel():
    table = ArrayTable(sampled(1000))
    content = to_bytes({"table": table})
    assert len(content) < 200
    assert from_bytes(content, table)["table"] is table
    with pytest.raises(pickle.UnpicklingError, match="table in memory"):
        from_bytes(content)
