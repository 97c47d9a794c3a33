"""Arrow columns to blocks of floats, and which rows are bad and why.

Tasks decode batches here. Rows are checked one by one, without a Python loop over them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gmm_spark.core.arrays import Array, Block

# Reasons why a row cannot be used; a row counts under the first that applies. If null and NaN are missing values, they
# are no reason, but having no other is.
NULL, WIDTH, NOT_A_NUMBER, INFINITE, ALL_MISSING, BAD_WEIGHT, NEGATIVE_WEIGHT = REASONS = (
    "null feature",
    "wrong width",
    "NaN feature",
    "infinite feature",
    "missing value for every feature",
    "null, NaN or infinite weight",
    "negative weight",
)

# What is done about bad rows: stop, leave them out, or keep them without results. "marginal" takes null and NaN for
# missing values; of rows that are bad all the same, a fit leaves them out, and a model keeps them without results.
MARGINAL = "marginal"
HANDLE_INVALID = ("error", "skip", "keep", MARGINAL)
# Reasons that a message lists, each with its column.
_TOLD = 8

# Bad rows are counted by feature up to so many features: each task hands the driver a count for each.
COUNTED_FEATURES = 256

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Verdicts:
    """Why rows are bad: each for the first reason that applies, and the first feature that gives it.

    Attributes
    ----------
    reason : array (m,) of int8
        Index into :data:`REASONS`; -1 of a good row.
    feature : array (m,) of int32
        -1 if the row is good, or the reason is about no single feature: the whole row is null or of another width, or
        the weight is at fault.
    """

    reason: NDArray[np.int8]
    feature: NDArray[np.int32]

    def count(self, name: Callable[[int], str] | None) -> Counter[str]:
        """Count the rows by reason, and by feature if there are names for features."""
        bad = np.flatnonzero(self.reason >= 0)
        pairs = np.stack([self.reason[bad], self.feature[bad] if name else np.full(len(bad), -1)])
        (found, counts) = np.unique(pairs, axis=1, return_counts=True)
        return Counter(
            {
                describe_reason(REASONS[reason], name(feature) if name and feature >= 0 else None): int(count)
                for (reason, feature), count in zip(found.T.tolist(), counts, strict=True)
            }
        )


def describe_reason(reason: str, feature: str | None) -> str:
    """Return the words that a reason is counted under: "null feature in x", say."""
    return reason if feature is None else f"{reason} in {feature}"


def describe_bad(bad: Mapping[str, int]) -> str:
    """Describe counts of bad rows in words, the most frequent first; of very many reasons the rest together."""
    ordered = sorted(bad.items(), key=lambda one: (-one[1], one[0]))
    told = [f"{count} with a {reason}" for reason, count in ordered[:_TOLD]]
    if rest := sum(count for _, count in ordered[_TOLD:]):
        told.append(f"{rest} for other reasons")
    return ", ".join(told)


@dataclass(frozen=True)
class Decoded:
    """One Arrow batch as floats.

    Attributes
    ----------
    rows : array (d, m)
        All rows of the batch, bad ones included. If null and NaN are missing values, a missing value is NaN.
    sample_weight : array (m,) or None
    good : array (m,) of bool, or None
        None if every row is good.
    bad : Counter
        Bad rows by reason and feature, see :func:`describe_reason`.
    verdicts : Verdicts or None
        None if every row is good.
    """

    rows: Block
    sample_weight: Array | None
    good: Mask | None
    bad: Counter[str]
    verdicts: Verdicts | None = None

    def usable(self) -> tuple[Block, Array | None]:
        """Rows (d, m') and weights (m',) of the good rows; if there are weights, of those above 0.

        Rows of weight 0 are left out because their features may overflow, and 0 times infinity is not 0.
        """
        wanted, weight = self.good, self.sample_weight
        if weight is not None and not weight.all():
            wanted = weight > 0 if wanted is None else wanted & (weight > 0)
        if wanted is None:
            return self.rows, weight
        return self.rows[:, wanted], None if weight is None else weight[wanted]


def find_bad_rows(
    rows: Block,
    weight: Array | None,
    reasons: Mapping[str, Mask],
    holes: Mask | None = None,
    name: Callable[[int], str] | None = None,
    missing: bool = False,
) -> Decoded:
    """Find NaN, infinities and bad weights; if all rows are good that costs one sum.

    Parameters
    ----------
    rows : array (d, m)
    weight : array (m,) or None
        With null as NaN.
    reasons : mapping
        Rows that are bad already, (m,) of bool, by reason.
    holes : array (d, m) of bool, optional
        Which values are null, and stand in the rows as NaN.
    name : callable, optional
        Names a feature by its number; without it, rows are counted by reason alone.
    missing : bool
        Whether null and NaN are missing values. A row is then good if it has a value, and no infinite one.
    """
    found = dict(reasons)
    with np.errstate(invalid="ignore", over="ignore"):
        finite = bool(np.isfinite(rows.sum()))  # finite rows whose sum overflows are only looked at again
    if not finite:
        absent = np.isnan(rows)
        found[INFINITE] = np.asarray(np.isinf(rows).any(axis=0))
        if missing:
            found.pop(NULL, None)
            found[ALL_MISSING] = np.asarray(absent.all(axis=0))
        else:
            found[NOT_A_NUMBER] = np.asarray(absent.any(axis=0))
    if weight is not None and not (np.isfinite(weight) & (weight >= 0)).all():
        found[BAD_WEIGHT] = ~np.isfinite(weight)
        found[NEGATIVE_WEIGHT] = weight < 0
    good = np.ones(rows.shape[1], bool)
    for mask in found.values():
        good &= ~mask
    if good.all():
        return Decoded(rows, weight, None, Counter())
    verdicts = _judge(rows, found, holes)
    return Decoded(rows, weight, good, verdicts.count(name), verdicts)


def _judge(rows: Block, found: Mapping[str, Mask], holes: Mask | None) -> Verdicts:
    """Find the first reason why each row is bad, and the first feature that gives it."""
    m = rows.shape[1]
    verdicts = Verdicts(np.full(m, -1, np.int8), np.full(m, -1, np.int32))
    for number, reason in enumerate(REASONS):
        if reason not in found:
            continue
        own = np.flatnonzero(found[reason] & (verdicts.reason < 0))
        verdicts.reason[own] = number
        faulty: Mask | None = None  # (d, own)
        if reason == NULL and holes is not None:
            faulty = holes[:, own]
        elif reason == NOT_A_NUMBER:
            faulty = np.asarray(np.isnan(rows[:, own]))
        elif reason == INFINITE:
            faulty = np.asarray(np.isinf(rows[:, own]))
        if faulty is not None:
            verdicts.feature[own] = np.where(faulty.any(axis=0), faulty.argmax(axis=0), -1)
    return verdicts


def decode_floats(column: pa.Array, dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """Values of a numeric column, (m,), with null as NaN; a view if no value is null."""
    values = column.to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=dtype)


def decode_lists(
    column: pa.Array, width: int, dtype: type[np.floating[Any]]
) -> tuple[Block, dict[str, Mask], Mask | None]:
    """Rows (width, m) of a list column, the bad ones by reason, and which elements are null if any are.

    Rows that are null or of another width are NaN; so is a null element.
    """
    m, nulls = len(column), _nulls(column)
    offsets = column.offsets.to_numpy().astype(np.int64)
    lengths = np.diff(offsets)
    values = decode_floats(column.values, dtype)
    if nulls is None and column.values.null_count == 0 and np.all(lengths == width):
        return values[offsets[0] : offsets[-1]].reshape(m, width).T, {}, None
    missing = np.zeros(m, bool) if nulls is None else nulls.copy()
    fits = ~missing & (lengths == width)
    rows = np.full((width, m), np.nan, dtype)
    elements = offsets[:-1][fits][None, :] + np.arange(width)[:, None]  # (width, rows that fit)
    rows[:, fits] = values[elements]
    wrong = ~missing & ~fits
    element_nulls = _nulls(column.values)
    if element_nulls is None:
        return rows, {NULL: missing, WIDTH: wrong}, None
    holes = np.zeros((width, m), bool)
    holes[:, fits] = element_nulls[elements]
    return rows, {NULL: missing | holes.any(axis=0), WIDTH: wrong}, holes


def decode_vectors(column: pa.StructArray, width: int) -> tuple[Block, dict[str, Mask]]:
    """Rows (width, m) of a Vector column, and the bad ones by reason: dense and sparse values, mixed."""
    # Arrow holds children without the parent's offset and nulls: flatten() applies both.
    kinds, sizes, indices, values = column.flatten()
    if column.null_count == 0 and kinds.null_count == 0 and np.all(kinds.to_numpy() == 1):
        return decode_lists(values, width, np.float64)[:2]
    missing = np.zeros(len(column), bool) if column.null_count == 0 else _nulls(column).copy()  # type: ignore[union-attr]
    kind = np.asarray(kinds.fill_null(1).to_numpy(zero_copy_only=False))
    sparse = ~missing & (kind == 0)
    dense_rows, reasons, _ = decode_lists(values, width, np.float64)
    rows = np.require(dense_rows, requirements="W")  # a copy if it is a view of Spark's memory
    size = np.asarray(sizes.fill_null(-1).to_numpy(zero_copy_only=False))
    wrong = reasons.get(WIDTH, np.zeros(len(column), bool)) & ~sparse | sparse & (size != width)
    fits = np.flatnonzero(sparse & (size == width))
    rows[:, fits] = 0.0
    starts, ends = indices.offsets.to_numpy()[:-1], indices.offsets.to_numpy()[1:]
    counts = (ends - starts)[fits]
    where = np.repeat(fits, counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    at = np.repeat(starts[fits], counts) + within
    value_at = np.repeat(values.offsets.to_numpy()[:-1][fits], counts) + within
    rows[indices.values.to_numpy()[at], where] = values.values.to_numpy()[value_at]
    return rows, {NULL: missing, WIDTH: wrong}


def _nulls(column: pa.Array) -> Mask | None:
    return column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
