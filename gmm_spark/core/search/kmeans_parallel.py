"""Complete a sample by the rare rows of its table: k-means|| (Bahmani et al. 2012) over the full table.

A bounded sample has almost no rows of a component that is rare enough. k-means|| draws from the table instead: each of
a few passes draws rows far from the rows drawn before, a group of rows with a probability proportional to its weight
and to the square of its distance. The drawn rows and the table's mean divide the table into cells. One more pass
weighs the cells; if the sample has few rows of a cell, a last pass draws them.

Bahmani et al. continue with the drawn rows alone, each with the weight of its cell. Here a start needs covariances too,
and is first run on the sample, where a component without rows would starve. So the sample is completed: it gets the
missing rows, and in each cell the weight that the table has there. Starts are drawn from it and run on it as from any
other sample.
"""

from __future__ import annotations

import numpy as np

from gmm_spark.core.arrays import Array, Block
from gmm_spark.core.kernels.distance_draw import DrawRequest, Nearest
from gmm_spark.core.table import Table

# Passes that draw, and rows that each draws on average for every component: Bahmani et al. recommend five and 2 k.
# For small k more, since a group that makes up a share s of the cost is met with a probability of s times these rows.
_ROUNDS = 5
_DRAWN_PER_COMPONENT, _LEAST_DRAWN = 2, 20
# Rows that a cell should have in the sample: the sample's rows divided by the cells, but between these.
_FEW_ROWS, _ENOUGH_ROWS = 16, 100


def complete_sample(
    table: Table, sample: tuple[Block, Array | None], variance: Array, k: int, seed: int
) -> tuple[Array, Array]:
    """Complete a sample by the rare rows of its table.

    Parameters
    ----------
    table : Table
        Read in five passes that draw, one that weighs, and one more unless the sample has enough rows of each cell.
    sample : rows (d, m) and weights (m,) or None
        Drawn from the table, in its own coordinates.
    variance : array (d,)
        The squared units that distances are measured in; 0 if a feature is constant.
    k : int
        Components of the mixture to start; of the largest if there are several.
    seed : int

    Returns
    -------
    rows : array (d, n)
        In the table's own coordinates; not many times as many as the sample has.
    weight : array (n,)
        The weight of the table that each row stands for.
    """
    mean = table.moments.mean
    deviation = np.where(variance > 0, np.sqrt(variance), 1.0)
    sites = np.zeros((len(mean), 1))
    expected = float(max(_DRAWN_PER_COMPONENT * k, _LEAST_DRAWN))
    for number in range(_ROUNDS):
        drawn = table.draw(DrawRequest(mean, deviation, sites, seed, number, expected))
        if not drawn.cost > 0:
            break
        scaled = np.nan_to_num((drawn.rows - mean[:, None]) / deviation[:, None])  # a missing value is at the mean
        sites = np.unique(np.concatenate([sites, scaled], axis=1), axis=1)  # rows may repeat
    whole = DrawRequest(mean, deviation, sites, seed, _ROUNDS)
    cell_rows, cell_weight = table.draw(whole).cells

    rows, weight = sample[0].astype(np.float64), sample[1]
    weight = np.ones(rows.shape[1]) if weight is None else weight
    nearest = Nearest(whole)
    cells, n_cells = nearest.of_all(rows), sites.shape[1]
    wanted = np.clip(rows.shape[1] // n_cells, _FEW_ROWS, _ENOUGH_ROWS)
    lacking = np.bincount(cells, weight > 0, n_cells) < np.minimum(wanted, cell_rows)
    if lacking.any():
        shares = np.where(lacking, np.minimum(wanted / np.maximum(cell_rows, 1.0), 1.0), 0.0)
        by_weight = None
        if sample[1] is not None:
            # Half in proportion to the weight: else a cell would lose the rows that have most of it.
            shares, by_weight = 0.5 * shares, 0.5 * np.where(lacking, wanted / np.where(lacking, cell_weight, 1.0), 0.0)
        request = DrawRequest(mean, deviation, sites, seed, _ROUNDS + 1, shares=shares, weight_shares=by_weight)
        more = table.draw(request)
        more_cells, more_weight = nearest.of_all(more.rows), more.weight
        if by_weight is not None:
            more_weight = more_weight / np.minimum(request.probabilities(more_cells, more_weight), 1.0)
        # These replace the sample's own rows of the cells, which were drawn with another probability.
        replaced = lacking & (np.bincount(more_cells, minlength=n_cells) > 0)
        old, new = ~replaced[cells], replaced[more_cells]
        rows = np.concatenate([rows[:, old], more.rows[:, new]], axis=1)
        weight = np.concatenate([weight[old], more_weight[new]])
        cells = np.concatenate([cells[old], more_cells[new]])
    held = np.bincount(cells, weight, n_cells)
    return rows, weight * (cell_weight / np.where(held > 0, held, 1.0))[cells]
