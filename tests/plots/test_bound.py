"""The picture of the bound, pass by pass."""

from __future__ import annotations

import math

import pytest

from gmm_spark.core.em.ascent import PassRecord
from gmm_spark.errors import ParameterError
from gmm_spark.plots import draw_bound
from tests.plots.conftest import marks, parse, texts


def climb(passes: int, top: float = -3.0) -> list[PassRecord]:
    return [PassRecord(i, top - 2 * math.exp(-i / 4), math.nan, 1.0) for i in range(1, passes + 1)]


@pytest.mark.parametrize("passes", [1, 2, 5, 120])
def test_each_pass_is_a_point(passes: int) -> None:
    figure = draw_bound(climb(passes))
    assert len(marks(parse(figure), "symbol")) == passes
    bounds = figure.table["lower_bound"]
    assert (figure.table["below_best"] == bounds.max() - bounds).all()
    assert ("One pass was made" if passes == 1 else f"in {passes} passes") in figure.reading


def test_steps_that_were_refused_or_lost_are_told_apart() -> None:
    steps = ["plain", "extrapolated", "refused", "lost", "extrapolated"]
    history = [PassRecord(i, -5.0 + i, 1.0, 1.0, step, remaining=0.25) for i, step in enumerate(steps, 1)]
    figure = draw_bound(history)
    assert "rose by 4 nats per row in 5 passes, to 0" in figure.reading
    assert "Of the steps, 2 were extrapolated, 1 was refused and 1 was lost." in figure.reading
    assert "About 0.25 is left to gain" in figure.reading
    assert set(steps) <= set(texts(parse(figure)))


def test_components_that_were_reseeded_are_named() -> None:
    history = climb(3)
    history[1] = PassRecord(2, -4.0, 0.1, 1.0, reseeded=(0, 3))
    figure = draw_bound(history)
    assert "reseeded once" in figure.reading
    assert "reseeded 0, 3" in texts(parse(figure))


def test_several_starts_are_compared() -> None:
    figure = draw_bound({"a": climb(9, -3.5), "b": climb(6, -3.0)})
    assert "Start b ended highest of 2" in figure.reading
    assert {"start a", "start b"} <= set(texts(parse(figure)))
    assert figure.table.groupby("start").size().to_dict() == {"a": 9, "b": 6}


def test_bounds_that_are_all_alike_or_unknown_are_drawn() -> None:
    parse(draw_bound([PassRecord(i, -3.0, 0.0, 1.0) for i in (1, 2, 3)]))
    parse(draw_bound([PassRecord(1, -3.0, math.nan, 1.0), PassRecord(2, math.nan, math.nan, 1.0)]))
    with pytest.raises(ParameterError, match="at least one"):
        draw_bound([])
