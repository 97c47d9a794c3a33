"""Selection: what it says about the mixtures that were compared. No Spark session is needed."""

from __future__ import annotations

import pytest

from gmm_spark.ml.comparison import Selection, SelectionRow


def select(*bics: tuple[int, str, float | None]) -> Selection:
    rows = [
        SelectionRow(k, kind, k, failure="collapsed") if bic is None else SelectionRow(k, kind, k, bic=bic)
        for k, kind, bic in bics
    ]
    return Selection("bic", tuple(rows))


@pytest.mark.parametrize(
    ("bics", "edge"),
    [
        ([(2, "full", 5.0), (3, "full", 4.0), (4, "full", 6.0)], None),
        ([(2, "full", 5.0), (3, "full", 4.0)], "highest"),
        ([(4, "full", 4.0), (2, "full", 5.0)], "highest"),
        ([(2, "full", 3.0), (3, "full", 4.0)], "lowest"),
        ([(1, "full", 3.0), (2, "full", 4.0)], None),  # no k is lower than 1
        ([(3, "full", 3.0)], None),  # one k is no grid
        ([(3, "full", 3.0), (4, "diag", 5.0), (9, "diag", 9.0)], None),  # of another structure
        ([(3, "full", 3.0), (4, "full", 4.0), (2, "diag", 9.0)], "lowest"),
        ([(2, "full", 5.0), (3, "full", 4.0), (4, "full", None)], "highest"),  # one more could not be fitted
        ([(2, "full", None), (3, "full", None)], None),
    ],
)
def test_a_choice_at_the_edge_of_the_grid_is_known(bics, edge):
    assert select(*bics).at_edge == edge
