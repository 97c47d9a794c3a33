"""One round: components are placed elsewhere, and the better result is kept."""

from __future__ import annotations

import numpy as np
import pytest

from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.em.rounds import Round
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.table import ArrayTable
from tests.examples import blobs, random_mixture


def result(parameters: MixtureParameters, lower_bound: float) -> EMResult:
    return EMResult(parameters, lower_bound, True, ())


@pytest.fixture
def before(covariance_type) -> EMResult:
    return result(random_mixture(covariance_type, 4, 3, np.random.default_rng(0)), -2.0)


@pytest.mark.parametrize(("gain", "kept"), [(-0.1, False), (0.0, True), (0.6, True)])
def test_the_result_from_before_is_kept_if_it_is_likelier(before, gain, kept):
    begun = Round(before, [before.parameters])
    after = result(before.parameters, before.lower_bound + gain)
    assert (begun.keep_better(after) is after) == kept


def test_each_candidate_moves_the_components_that_were_taken_away_and_no_other(before):
    sample = ArrayTable(blobs())
    begun = Round.place(before, [[1], [0, 3]], sample, np.random.default_rng(0))
    for candidate, moved in zip(begun.candidates, ([1], [0, 3]), strict=True):
        changed = np.flatnonzero((candidate.means != before.parameters.means).any(axis=1))
        assert changed.tolist() == moved
        rows = sample.rows - sample.moments.mean[:, None]
        assert all((rows == candidate.means[j][:, None]).all(axis=0).any() for j in moved)


def test_a_sample_without_weight_has_no_place(before):
    sample = ArrayTable(blobs(), np.zeros(400), moments=ArrayTable(blobs()).moments)
    assert Round.place(before, [[1]], sample, np.random.default_rng(0)) is None
