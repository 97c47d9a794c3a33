"""Names in sentences and labels; what numbers look like is in :mod:`gmm_spark.core.formatting`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gmm_spark.core.formatting import show_power, show_short
from gmm_spark.local.choosing import find_features

_LONGEST = 22  # letters of a name in a chart; the table has the whole


def power(value: float) -> str:
    """Write a power of ten as the label of a tick.

    Examples
    --------
    >>> [power(10.0**i) for i in (-6, -2, 0, 3, 4, 9, 12)]
    ['10⁻⁶', '0.01', '1', '1k', '10k', '1G', '10¹²']
    """
    exponent = round(math.log10(value))
    if -3 <= exponent <= 0:
        return f"{value:g}"
    if 0 < exponent < 12:
        return show_short(10.0**exponent)
    return show_power(exponent)


def shorten(name: str, longest: int = _LONGEST) -> str:
    """Cut a long name in its middle: names often differ at their ends.

    Examples
    --------
    >>> shorten("departure_delay_minutes_of_the_first_leg")
    'departure_d…_first_leg'
    """
    if len(name) <= longest:
        return name
    tail = (longest - 1) // 2
    return f"{name[: longest - 1 - tail]}…{name[-tail:]}"


def listing(items: Sequence[str]) -> str:
    """Write items with commas and a last "and".

    Examples
    --------
    >>> listing(["a", "b", "c"])
    'a, b and c'
    """
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def feature_names(names: Sequence[str] | None, d: int) -> list[str]:
    """Return the names of d features; those of a vector column have none of their own, and are numbered."""
    return [f"feature {j}" for j in range(d)] if names is None else list(names)


def find_feature(names: Sequence[str], feature: str | int) -> int:
    """Return the index of a feature that is given by name or index.

    Raises
    ------
    ParameterError
        If there is no such feature.
    """
    return find_features("the picture", [feature], names, len(names))[0]
