"""Rows in any form that callers pass, read to a block of the usable ones; and results of those spread over all rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block
from gmm_spark.errors import DataError
from gmm_spark.local.rows import describe_bad_value, describe_type, to_array
from gmm_spark.local.tables import Columns, is_table, read_mapping, read_table
from gmm_spark.spark.decoding import MARGINAL, Mask, describe_bad, find_bad_rows


class Read(NamedTuple):
    """Rows as they were passed."""

    rows: Block
    """The usable ones, (d, m); a missing value is NaN."""
    good: Mask | None
    """Which those are; None for all."""
    single: bool
    """True if one row was passed, not a table of one."""

    def spread(self, values: NDArray[Any], fill: Any) -> NDArray[Any]:
        """Return the results of all rows, given those of the usable ones (m, ...)."""
        if self.good is None:
            return values
        found = np.full((len(self.good), *values.shape[1:]), fill, values.dtype)
        found[self.good] = values
        return found


def read_rows(rows: Any, columns: Columns, handle_invalid: str, missing: bool | None = None) -> Read:
    """Read rows in any form that callers pass.

    ``missing`` says whether null and NaN are missing values; by default ``handle_invalid`` does.

    Raises
    ------
    DataError
        If they are of another width, lack a column, or are no numbers; or if one is bad and ``handle_invalid`` is
        "error".
    """
    missing = handle_invalid == MARGINAL if missing is None else missing
    if isinstance(rows, Mapping):
        return _check_row(read_mapping(rows, columns), columns, handle_invalid, missing)
    if is_table(rows):
        decoded = read_table(rows, columns, missing)
    else:
        found = to_array(rows)
        d = columns.width
        if found is None or found.ndim not in (1, 2) or found.shape[-1] != d:
            raise DataError(
                f"rows are {describe_type(rows)}; need numbers of shape (n, {d}), or ({d},) for one row, with the "
                "features in the model's order"
            )
        if found.ndim == 1:
            return _check_row(found[:, None], columns, handle_invalid, missing)
        decoded = find_bad_rows(found.T, None, {}, None, columns.name_feature, missing)
    if decoded.good is not None and handle_invalid == "error":
        raise DataError(
            f"bad rows: {describe_bad(decoded.bad)} (d={columns.width}); clean the rows, or set "
            "handle_invalid to 'keep'"
        )
    return Read(decoded.usable()[0], decoded.good, False)


def _check_row(row: Array, columns: Columns, handle_invalid: str, missing: bool) -> Read:
    """Read one row (d, 1)."""
    finite = np.isfinite(row)
    if finite.all() or (missing and finite.any() and not np.isinf(row).any()):
        return Read(row, None, True)
    if handle_invalid == "error":
        bad = describe_bad_value(row, columns.names)
        raise DataError(f"{bad}; need finite values, or set handle_invalid to 'keep'")
    return Read(row[:, :0], np.zeros(1, bool), True)
