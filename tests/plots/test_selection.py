"""The picture of a selection."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from gmm_spark.errors import ParameterError
from gmm_spark.ml.comparison import Selection, SelectionRow
from gmm_spark.plots import draw_selection
from gmm_spark.plots.shortfall import Shortfalls
from tests.plots.conftest import marks, parse, texts


def row(k: int, kind: str, bic: float, **more: Any) -> SelectionRow:
    return SelectionRow(k, kind, 10 * k, bic=bic, heldout=-bic, converged=True, **more)


def tried(*rows: SelectionRow, criterion: str = "bic") -> Selection:
    return Selection(criterion, rows)


def test_the_table_has_each_mixtures_distance_from_the_chosen_one() -> None:
    figure = draw_selection(tried(row(1, "full", 130.0), row(2, "full", 100.0), row(1, "diag", 104.0)))
    assert figure.table["worse_by"].tolist() == [30.0, 0.0, 4.0]
    assert figure.table["chosen"].tolist() == [False, True, False]
    assert len(marks(parse(figure), "symbol")) == 4  # and the ring


@pytest.mark.parametrize(
    ("other", "distance"),
    [(150.0, "higher by 50 (a clear difference)"), (105.0, "5 (not by much)"), (101.0, "1 (hardly a difference)")],
)
def test_the_reading_says_what_was_chosen_and_how_clearly(other: float, distance: str) -> None:
    figure = draw_selection(
        tried(row(1, "full", 900.0), row(2, "full", 100.0), row(3, "full", 2000), row(2, "diag", other))
    )
    assert figure.reading.startswith("BIC chooses k = 2 with full covariances; next is k = 2, diag, ")
    assert distance in figure.reading
    assert "edge" not in " ".join(texts(parse(figure)))


@pytest.mark.parametrize(("bics", "end"), [((3.0, 2.0, 1.0), "largest"), ((1.0, 2.0, 3.0), "smallest")])
def test_a_choice_at_the_edge_of_the_grid_is_marked_and_said(bics: tuple[float, ...], end: str) -> None:
    figure = draw_selection(tried(*(row(k, "full", bic) for k, bic in zip((2, 3, 4), bics, strict=True))))
    assert f"It is the {end} k that was tried" in figure.reading
    root = parse(figure)
    assert "chosen, at the edge of the grid" in texts(root)
    assert marks(root, "rule")


def test_a_larger_held_out_likelihood_is_better() -> None:
    figure = draw_selection(tried(row(1, "full", 3.5), row(2, "full", 3.25), criterion="heldout"))
    assert figure.table["worse_by"].tolist() == [0.25, 0.0]
    assert "k = 2" in figure.reading
    assert "lower by 0.25 nats per row" in figure.reading


def test_k_has_ticks_where_something_was_tried_and_nowhere_else() -> None:
    ks = (2, 3, 5, 9)
    written = texts(parse(draw_selection(tried(*(row(k, "full", 1e6 + 10 * k) for k in ks)))))
    assert {int(text) for text in written if text.isdigit()} - {0} - {10 * i for i in range(1, 9)} == set(ks)


def test_mixtures_that_failed_are_drawn_said_and_stretch_no_scale() -> None:
    failed = row(9, "diag", math.nan, failure="collapsed")
    figure = draw_selection(tried(row(2, "full", 5.0), row(3, "full", 1.0), failed))
    assert "1 of 3 could not be fitted" in figure.reading
    root = parse(figure)
    assert "× could not be fitted" in texts(root)
    assert len(marks(root, "symbol")) == 2 + 1 + 1


def test_one_bad_mixture_does_not_make_the_others_coincide() -> None:
    falls = Shortfalls.of([0.0, 300.0, 800.0, 1500.0, 9e7])
    places = [falls.place(value) for value in (0.0, 300.0, 800.0, 1500.0, 9e7)]
    assert min(b - a for a, b in itertools.pairwise(places)) > 0.03
    assert places[-1] <= 1
    plain = Shortfalls.of([0.0, 300.0, 800.0, 1500.0])
    assert not plain.is_logarithmic
    figure = draw_selection(tried(*(row(k, "full", b) for k, b in enumerate((9e7, 800.0, 0.0, 300.0, 1500.0), 1))))
    assert "ΔBIC, log scale" in texts(parse(figure))


@pytest.mark.parametrize("criterion", ["bic", "heldout"])
def test_one_mixture_and_no_mixture_that_could_be_fitted_are_drawn(criterion: str) -> None:
    parse(draw_selection(tried(row(3, "full", 1.0), criterion=criterion)))
    failed = [row(k, "full", math.nan, failure="collapsed") for k in (2, 3)]
    figure = draw_selection(tried(*failed, criterion=criterion))
    assert figure.reading == "None of 2 mixtures could be fitted."
    assert not {"0", "1"} & set(texts(parse(figure)))
    with pytest.raises(ParameterError, match="at least one"):
        draw_selection(tried(criterion=criterion))


def test_criteria_that_are_nan_without_a_failure_are_left_out() -> None:
    figure = draw_selection(tried(row(2, "full", 5.0), row(3, "full", math.nan)))
    assert "BIC chooses k = 2" in figure.reading
    parse(figure)
