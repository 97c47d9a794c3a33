"""Random streams keyed by (seed, purpose, index): the same numbers on every machine and in every task."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Purpose(IntEnum):
    """What a random stream is for. It is part of the key, so that no two purposes share numbers."""

    START = 0
    TABLE_SAMPLE = 1
    COMPONENT_COUNTS = 2
    ROWS = 3
    OVERSAMPLING = 4
    RESEEDING = 5
    RANKING = 6
    LOOKING_AHEAD = 7
    RELOCATION = 8
    DENSE_ROWS = 9


def random_stream(seed: int, purpose: Purpose, index: int = 0, *more: int) -> np.random.Generator:
    """Make a generator keyed by (seed, purpose, index, ...); equal keys give equal numbers on every machine."""
    # SeedSequence takes non-negative words; a Spark seed is a signed 64-bit integer.
    key = np.random.SeedSequence((seed % (1 << 64), int(purpose), index, *more))
    return np.random.Generator(np.random.PCG64DXSM(key))


def draw_quotas(sizes: Sequence[int], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw how many of n rows, taken without replacement from all pieces together, come from each piece.

    If there are at most n rows, every piece gives all of its own. Counts come from drawn positions, since numpy's
    multivariate hypergeometric stops at 10^9 rows.
    """
    ends = np.cumsum(sizes, dtype=np.int64)
    if ends[-1] <= n:
        return np.array(sizes, dtype=np.int64)
    drawn = rng.choice(int(ends[-1]), n, replace=False, shuffle=False)
    return np.bincount(np.searchsorted(ends, drawn, side="right"), minlength=len(ends))
