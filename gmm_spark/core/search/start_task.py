"""Starts of a grid's members, drawn and run on the sample by a task that may run in another process.

Members that differ in their structure alone share a task: to draw a start is most of the work for small k.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.kernels.moments import Moments
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.search.drawing import draw_starts
from gmm_spark.core.search.single import choose_finalists
from gmm_spark.core.settings import Settings
from gmm_spark.core.table import ArrayTable, Sample
from gmm_spark.errors import DataError, DegenerateComponentError

Failure: TypeAlias = DataError | DegenerateComponentError
"""Why a member has no start, or no result."""

# The arrays that a start is sent as.
_PARTS, _NOISE = ("weights", "means", "covariances"), "noise"


@dataclass(frozen=True, eq=False)
class StartTask:
    """Task on a sample: choose the best starts of each of several members, which differ in their structures alone.

    Attributes
    ----------
    moments : Moments
        Of the table that the sample was drawn from.
    profile : ColumnProfile
        Of the table's columns.
    members : tuple of Settings
    most : int
        Starts to choose for each member.
    """

    moments: Moments
    profile: ColumnProfile
    members: tuple[Settings, ...]
    most: int = 1

    def __call__(self, sample: Sample) -> bytes:
        """Return starts in the table's centred coordinates, or the error met in drawing them, as an npz file."""
        table = ArrayTable(*sample, moments=self.moments)
        try:
            kinds = [member.covariance_type for member in self.members]
            drawn = draw_starts(table, sample, self.profile, self.members[0], kinds)
        except (DataError, DegenerateComponentError) as error:
            return _to_npz({type(error).__name__: np.array(str(error))})
        return _to_npz(
            {
                f"{i} {j} {start.covariance_type} {part}": array
                for i, (member, own) in enumerate(zip(self.members, drawn, strict=True))
                for j, start in enumerate(choose_finalists(table, sample, self.profile, member, own, self.most))
                for part, array in _to_arrays(start).items()
            }
        )


def read_starts(answer: bytes, n_members: int) -> list[list[MixtureParameters]] | Failure:
    """Read the answer of a :class:`StartTask`: the starts of each member, or why there are none."""
    with np.load(io.BytesIO(answer), allow_pickle=False) as found:
        for failure in (DataError, DegenerateComponentError):
            if failure.__name__ in found:
                return failure(str(found[failure.__name__]))
        starts: list[list[MixtureParameters]] = [[] for _ in range(n_members)]
        for key in dict.fromkeys(name.rpartition(" ")[0] for name in found):
            i, _, kind = key.split()
            weights, means, covariances = (found[f"{key} {part}"] for part in _PARTS)
            noise = _read_noise(found[f"{key} {_NOISE}"]) if f"{key} {_NOISE}" in found else None
            starts[int(i)].append(MixtureParameters(weights, means, covariances, kind, noise))
        return starts


def _to_arrays(start: MixtureParameters) -> dict[str, NDArray[Any]]:
    """Write a start as named arrays; noise is its weight and its bounds, one after another."""
    found: dict[str, NDArray[Any]] = {part: getattr(start, part) for part in _PARTS}
    if start.noise is not None:
        found[_NOISE] = np.concatenate([[start.noise.weight], start.noise.low, start.noise.high])
    return found


def _read_noise(values: NDArray[Any]) -> Noise:
    low, high = np.split(values[1:], 2)
    return Noise(float(values[0]), low, high)


def _to_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()
