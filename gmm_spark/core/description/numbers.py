"""Numbers in sentences: as many digits as their spread makes worth reading."""

from __future__ import annotations

import math

# Digits of a spread that are worth reading, and of a number without a spread.
_OF_SPREAD, _OF_NUMBER = 2, 3
# Sizes within which numbers are written out.
_LEAST, _LARGEST = 1e-4, 1e9


def show(value: float, spread: float = 0.0) -> str:
    """Write a number, with the digits that its spread leaves, or with three.

    Examples
    --------
    >>> show(1234.5678, 12.3), show(0.0321, 0.004), show(1234.5678), show(-0.5), show(3e-7), show(float("inf"))
    ('1,235', '0.0321', '1,235', '-0.5', '3e-07', 'inf')
    """
    if not math.isfinite(value):
        return f"{value:g}"
    size = abs(value)
    if size >= _LARGEST or 0 < max(size, spread) < _LEAST:
        return f"{value:.{_OF_NUMBER}g}"
    if spread > 0 and math.isfinite(spread):
        digits = _OF_SPREAD - 1 - math.floor(math.log10(spread))
    else:
        digits = _OF_NUMBER - 1 - math.floor(math.log10(size)) if size else 0
    digits = max(digits, 0)
    text = f"{value:,.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def show_share(share: float) -> str:
    """Write a share in per cent.

    Examples
    --------
    >>> show_share(0.25), show_share(0.0123), show_share(0.00001), show_share(0.0)
    ('25 %', '1.2 %', 'less than 0.1 %', '0 %')
    """
    if 0 < share < 0.001:
        return "less than 0.1 %"
    return f"{100 * share:.{0 if share >= 0.1 else 1}f} %".replace(".0 %", " %")
