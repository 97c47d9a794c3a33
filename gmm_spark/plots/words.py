"""Numbers and names in sentences and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gmm_spark.errors import ParameterError

_LONGEST = 22  # letters of a name in a chart; the table has the whole


def number(value: float, digits: int = 3) -> str:
    """Write a number to some digits, and large ones with commas.

    Examples
    --------
    >>> [number(value) for value in (0.00012345, 2.0, 12.345, 12345.6, 1.5e9, -0.5)]
    ['0.000123', '2', '12.3', '12,346', '1,500,000,000', '−0.5']
    """
    if math.isnan(value):
        return "unknown"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"
    return text.replace("-", "−")


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
        return f"{10 ** (exponent % 3)}{('', 'k', 'M', 'G')[exponent // 3]}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def share(value: float) -> str:
    """Write a share of the rows as a percentage that is neither 0 nor 100 unless the share is 0 or 1.

    Examples
    --------
    >>> [share(value) for value in (0.0, 0.00001, 0.0123, 0.25, 0.9999, 1.0)]
    ['0 %', 'under 0.01 %', '1.2 %', '25 %', '99.99 %', '100 %']
    """
    if 0 < value < 0.0001:
        return "under 0.01 %"
    if 0.99 < value < 1:
        return f"{min(100 * value, 99.99):.4g} %"
    return "100 %" if value >= 1 else f"{100 * value:.2g} %"


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
    if isinstance(feature, str) and feature in names:
        return list(names).index(feature)
    if not isinstance(feature, str) and 0 <= feature < len(names):
        return int(feature)
    raise ParameterError(
        f"got feature {feature!r}; need one of {', '.join(names)}, or an index from 0 to {len(names) - 1}"
    )
