"""The picture of where the starts ended, and of those that were given up on the table."""

from __future__ import annotations

import math

import pytest

from gmm_spark.core.em.ascent import RELOCATED, PassRecord, StartRecord
from gmm_spark.errors import ParameterError
from gmm_spark.plots import draw_bound, draw_starts
from tests.plots.conftest import marks, parse, texts

RECORDS = [
    StartRecord("random rows", -3.5, 40),
    StartRecord("k-means", -3.0, 31, alike=True, table_bounds=(-3.2, -3.1)),
    StartRecord("k-means", math.nan),
    StartRecord("far seeds", -3.001, 40, alike=True),
    StartRecord(RELOCATED, math.nan, table_bounds=(-3.1, -2.9, -2.8), won=True),
]


def test_each_start_has_a_line_and_the_best_come_first() -> None:
    figure = draw_starts(RECORDS)
    assert figure.table["start"].tolist() == [4, 1, 3, 0, 2]
    assert figure.table["below_best"].tolist()[1:4] == pytest.approx([0.0, 0.001, 0.5])
    ends = ["won", "given up on the table", "given up: as good as the best", "given up: lower", "degenerated"]
    assert figure.table["end"].tolist() == ends
    root = parse(figure)
    assert len(marks(root, "symbol")) == 3  # of the others is no bound
    assert {"relocated", "1: k-means", "2: k-means", "degenerated", "made from the best; won"} <= set(texts(root))


def test_the_reading_counts_the_starts_that_were_drawn() -> None:
    reading = draw_starts(RECORDS).reading
    assert "2 of 4 starts ended where the best did; the other is 0.5 nats per row below." in reading
    assert "1 degenerated." in reading
    assert reading.endswith("The fit goes back to the best start after some of its components were put elsewhere.")


def test_of_many_starts_the_best_are_drawn_and_the_others_counted() -> None:
    many = [StartRecord("random rows", -3.0 - i, 40, table_bounds=(-1.0,), won=i == 0) for i in range(60)]
    root = parse(draw_starts(many))
    assert len(marks(root, "symbol")) == 25
    assert "35 more are further below" in texts(root)
    assert len(draw_starts(many).table) == 60


def test_a_fit_of_one_start_and_starts_that_all_degenerated() -> None:
    assert draw_starts([StartRecord("k-means", -3.0, 9, True, (-3.0,), True)]).reading == "There was one start."
    with pytest.raises(ParameterError, match="need one at least"):
        draw_starts([StartRecord("k-means", math.nan)])


def test_starts_that_were_given_up_on_the_table_are_drawn_beside_the_fit() -> None:
    history = [PassRecord(i, bound, 0.1, 1.0) for i, bound in enumerate((-3.1, -2.9, -2.8), 1)]
    figure = draw_bound(history, RECORDS)
    assert figure.reading.endswith("On the table, start 1 was given up after 2 passes, 0.2 nats per row below.")
    assert figure.table.groupby("start").size().to_dict() == {"1": 2, "the fit": 3}
    root = parse(figure)
    assert {"the fit", "start 1"} <= set(texts(root))
    assert len(marks(root, "symbol")) == 3  # of the other's steps nothing is known
    assert draw_bound(history).reading in figure.reading
