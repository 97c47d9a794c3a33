"""The task that chooses the starts of a grid's members, and how its answer is read."""

from __future__ import annotations

import pickle

import numpy as np

from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.search.drawing import draw_starts
from gmm_spark.core.search.single import choose_finalists
from gmm_spark.core.search.start_task import StartTask, read_starts
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable
from gmm_spark.errors import DataError
from tests.examples import COVARIANCE_TYPES, blobs


def test_a_task_sent_elsewhere_chooses_for_each_member_the_start_that_it_would_choose_alone():
    table = ArrayTable(blobs())
    sample = (table.rows, None)
    members = tuple(Settings(k=3, covariance_type=kind, n_init=4, seed=2) for kind in COVARIANCE_TYPES)
    task = pickle.loads(pickle.dumps(StartTask(table.moments, ColumnProfile.of(table.rows), members)))
    starts = read_starts(task(sample), len(members))
    assert isinstance(starts, list)
    for member, chosen in zip(members, starts, strict=True):
        (drawn,) = draw_starts(table, sample, ColumnProfile.of(sample[0]), member, [member.covariance_type])
        (expected,) = choose_finalists(table, sample, ColumnProfile.of(sample[0]), member, drawn, most=1)
        (start,) = chosen
        assert start.covariance_type == member.covariance_type
        for name in ("weights", "means", "covariances"):
            np.testing.assert_array_equal(getattr(start, name), getattr(expected, name))


def test_without_runs_on_the_sample_a_member_keeps_all_of_its_starts():
    table = ArrayTable(blobs())
    task = StartTask(table.moments, ColumnProfile.of(table.rows), (Settings(k=2, n_init=3, sample_rows=0),))
    starts = read_starts(task((table.rows, None)), 1)
    assert isinstance(starts, list)
    ((first, *others),) = starts
    assert len(others) == 2
    assert not np.array_equal(first.means, others[0].means)


def test_starts_that_cannot_be_drawn_are_answered_by_the_reason():
    table = ArrayTable(np.repeat([[0.0, 1.0]], 5, axis=1))
    answer = StartTask(table.moments, ColumnProfile.of(table.rows), (Settings(k=3),))((table.rows, None))
    failure = read_starts(answer, 1)
    assert isinstance(failure, DataError)
    assert "k=3" in str(failure)
