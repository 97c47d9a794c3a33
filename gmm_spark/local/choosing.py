"""Features that callers choose, by name or by index, and values that they give of some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.errors import ParameterError
from gmm_spark.storage.documents import shorten


def find_features(parameter: str, chosen: Iterable[Any], names: Sequence[str] | None, d: int) -> list[int]:
    """Return the indices of features that are given by name or index, in the order given.

    Parameters
    ----------
    parameter : str
        What errors call them.
    chosen : iterable of str or int
    names : sequence of str or None
        Of the d features; None if they have none.
    d : int

    Raises
    ------
    ParameterError
        If there is no such feature, several have the name, one is chosen twice, or none is.

    Examples
    --------
    >>> find_features("columns", ["y", 0], ["x", "y"], 2)
    [1, 0]
    """
    if isinstance(chosen, str | bytes) or not isinstance(chosen, Iterable):
        raise ParameterError(f"{parameter}={shorten(repr(chosen), 300)}; need a list of names or indices of features")
    found = [_find(parameter, one, names, d) for one in chosen]
    if not found:
        raise ParameterError(f"{parameter} names no feature; need at least one")
    if len(set(found)) < len(found):
        twice = next(one for one in found if found.count(one) > 1)
        name = twice if names is None else names[twice]
        raise ParameterError(f"{parameter} has the feature {name!r} twice; name each once")
    return found


def _find(parameter: str, one: Any, names: Sequence[str] | None, d: int) -> int:
    if isinstance(one, str) and names is not None and names.count(one) == 1:
        return list(names).index(one)
    if isinstance(one, int | np.integer) and not isinstance(one, bool) and 0 <= one < d:
        return int(one)
    if isinstance(one, str) and names is not None and one in names:
        raise ParameterError(f"{parameter}: several features are called {one!r}; give their indices, from 0 to {d - 1}")
    there = f"an index from 0 to {d - 1}"
    if names is not None:
        there = f"one of {shorten(', '.join(map(repr, names)), 600)}, or {there}"
    raise ParameterError(f"{parameter}: got feature {shorten(repr(one), 300)}; need {there}")


def read_given(given: Any, names: Sequence[str] | None, d: int) -> tuple[list[int], Array]:
    """Return the indices of the features whose values are given, and the values.

    Parameters
    ----------
    given : mapping
        From names or indices to numbers.
    names : sequence of str or None
        Of the d features.
    d : int

    Raises
    ------
    ParameterError
        If it is no mapping, a feature is not there, all are given or none is, or a value is no finite number.
    """
    if not isinstance(given, Mapping):
        raise ParameterError(f"given is {shorten(repr(given), 300)}; need a mapping from features to their values")
    indices = find_features("given", list(given), names, d)
    require_rest("given", indices, d)
    values = np.array([_to_float(value) for value in given.values()])
    for feature, value, read in zip(given, given.values(), values, strict=True):
        if not np.isfinite(read):
            raise ParameterError(
                f"given: the value of {feature!r} is {shorten(repr(value), 300)}; need a finite number, or leave the "
                "feature out if its value is not known"
            )
    return indices, values


def _to_float(value: Any) -> float:
    """Return a number as a float; NaN for anything else, also for a text that float would read."""
    if isinstance(value, str | bytes | bool):
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def choose_targets(
    given: Sequence[int], targets: Iterable[Any] | None, names: Sequence[str] | None, d: int
) -> list[int]:
    """Return the indices of the features to predict: those that are named, or all that are not given.

    Raises
    ------
    ParameterError
        If a target is not a feature, or is given; or if all features are given.
    """
    require_rest("given", given, d)
    if targets is None:
        return [i for i in range(d) if i not in given]
    found = find_features("targets", targets, names, d)
    both = [i if names is None else names[i] for i in found if i in given]
    if both:
        raise ParameterError(f"targets has {', '.join(map(repr, both))}, which is given; name features that are not")
    return found


def require_rest(parameter: str, indices: Sequence[int], d: int) -> None:
    """Raise ParameterError if all of the d features are chosen."""
    if len(indices) == d:
        raise ParameterError(f"{parameter} names all {d} feature(s); leave at least one out, to say something of")
