"""How many rows a table has of each pattern of missingness, and what follows: missing values by column, and a limit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.missing.patterns import read_pattern
from gmm_spark.errors import DataError

# Patterns of a table at most. Each costs a task some factorisations of every component on every pass, about what a
# thousand rows cost; far more of them are the mark of values that are missing at random in many columns.
MAX_PATTERNS = 1_000
# Patterns that are looked at to find columns to drop, and columns that are considered at a time.
_LOOKED_AT, _CONSIDERED = 4_000, 8


def write_counts(counts: Mapping[bytes, int]) -> str:
    """Write counts as one line of JSON."""
    return json.dumps({pattern.hex(): rows for pattern, rows in counts.items()})


def read_counts(text: str) -> Counter[bytes]:
    """Read what :func:`write_counts` wrote."""
    return Counter({bytes.fromhex(pattern): int(rows) for pattern, rows in json.loads(text).items()})


def is_complete(pattern: bytes) -> bool:
    """Tell whether nothing is missing under a pattern."""
    return not any(pattern)


def count_incomplete(counts: Mapping[bytes, int]) -> int:
    """Count the rows with missing values."""
    return sum(rows for pattern, rows in counts.items() if not is_complete(pattern))


def count_missing(counts: Mapping[bytes, int], d: int) -> NDArray[np.int64]:
    r"""Count the rows in which each of d features is missing, (d,).

    Examples
    --------
    >>> count_missing({b"@": 5, b"\xc0": 1}, 2).tolist()
    [1, 6]
    """
    found = np.zeros(d, np.int64)
    for pattern, rows in counts.items():
        found[read_pattern(pattern, d)] += rows
    return found


@dataclass(frozen=True)
class Missing:
    """What is missing in a table.

    Attributes
    ----------
    rows : int
        Rows with missing values.
    columns : dict of str to int
        Rows in which each column is missing, of those that have missing values; most first.
    patterns : int
        Different patterns of missing columns among these rows.
    """

    rows: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    patterns: int = 0

    @classmethod
    def of(cls, counts: Mapping[bytes, int], names: Sequence[str]) -> Missing:
        """Read the numbers of rows of each pattern, in a table of features of these names."""
        by_column = zip(names, count_missing(counts, len(names)).tolist(), strict=True)
        columns = {name: rows for name, rows in sorted(by_column, key=lambda one: -one[1]) if rows}
        return cls(count_incomplete(counts), columns, sum(not is_complete(pattern) for pattern in counts))


def require_few_patterns(counts: Mapping[bytes, int], names: Sequence[str], most: int = MAX_PATTERNS) -> None:
    """Refuse a table of too many patterns, and name the columns without which they are few.

    Raises
    ------
    DataError
        If there are more than ``most``.
    """
    if len(counts) <= most:
        return
    missing = count_missing(counts, len(names))
    dropped = find_columns_to_drop(counts, len(names), most)
    named = ", ".join(f"{names[i]!r} (missing in {missing[i]:,} rows)" for i in dropped[:10])
    more = f", and {len(dropped) - 10} more" if len(dropped) > 10 else ""
    raise DataError(
        f"the rows with missing values have at least {len(counts):,} different patterns of missing columns, and "
        f"handleInvalid='marginal' takes {most:,}; drop {named}{more}, or fill values in, or set handleInvalid "
        "to 'skip'"
    )


def find_columns_to_drop(counts: Mapping[bytes, int], d: int, most: int) -> list[int]:
    """Find columns without which there are no more than so many patterns, one after another the one that helps most."""
    patterns = sorted(counts, key=lambda pattern: (-counts[pattern], pattern))[: max(_LOOKED_AT, most + 1)]
    missing = np.stack([read_pattern(pattern, d) for pattern in patterns])
    dropped: list[int] = []
    while _count_distinct(missing) > most:
        # The columns that vary most tell most patterns apart.
        considered = np.argsort(np.abs(missing.mean(axis=0) - 0.5), kind="stable")[:_CONSIDERED].tolist()
        left = [_count_distinct(np.delete(missing, [i], axis=1)) for i in considered]
        dropped.append(considered[int(np.argmin(left))])
        missing[:, dropped[-1]] = False
    return dropped


def _count_distinct(missing: NDArray[np.bool_]) -> int:
    """Count the different rows of a matrix (patterns, d)."""
    return len({row.tobytes() for row in np.packbits(missing, axis=1)})
