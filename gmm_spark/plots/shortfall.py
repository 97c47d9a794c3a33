"""How far values fall short of the best of them, and where that puts them: on a plain scale, or a logarithmic one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import altair as alt

from gmm_spark.plots.words import power

# A plain scale serves until the largest is so many times the median; then the others would coincide.
_STRETCHED = 12.0
_TICKS = 5


@dataclass(frozen=True)
class Shortfalls:
    """A scale for shortfalls, 0 for the best.

    Attributes
    ----------
    largest : float
        0 if all are equal.
    unit : float
        Up to this the scale is about linear, and logarithmic from there; 0 for a linear scale.
    """

    largest: float
    unit: float

    @classmethod
    def of(cls, shortfalls: Iterable[float]) -> Shortfalls:
        """Choose the scale for shortfalls; those that are not finite do not count.

        Examples
        --------
        >>> Shortfalls.of([0.0, 3.0, 5.0, float("nan")])
        Shortfalls(largest=5.0, unit=0.0)
        >>> Shortfalls.of([0.0, 3.0, 5.0, 4e6])
        Shortfalls(largest=4000000.0, unit=1.0)
        """
        found = sorted(value for value in shortfalls if math.isfinite(value) and value > 0)
        if not found:
            return cls(0.0, 0.0)
        largest, median, smallest = found[-1], found[(len(found) - 1) // 2], found[0]
        if largest <= _STRETCHED * median:
            return cls(largest, 0.0)
        # What lies ten decades below the largest is rounding.
        return cls(largest, 10.0 ** math.floor(math.log10(max(smallest, largest * 1e-10))))

    @property
    def is_logarithmic(self) -> bool:
        """Whether the scale is logarithmic beyond its unit."""
        return self.unit > 0

    @property
    def top(self) -> float:
        """Where the scale ends."""
        return self.largest * (1.6 if self.is_logarithmic else 1.06) or 1.0

    def place(self, shortfall: float) -> float:
        """Return where a shortfall lies, from 0 for the best to 1 for the end of the scale."""
        if not self.is_logarithmic:
            return shortfall / self.top
        return math.log1p(shortfall / self.unit) / math.log1p(self.top / self.unit)

    @property
    def ticks(self) -> list[float]:
        """Ticks of the logarithmic scale: 0 and powers of ten; of no linear one, which Vega finds."""
        if not self.is_logarithmic:
            return []
        first, last = round(math.log10(self.unit)), math.floor(math.log10(self.largest))
        step = max(1, math.ceil((last - first + 1) / _TICKS))
        return [0.0, *(10.0**power for power in reversed(range(last, first - 1, -step)))]

    def scale(self, best: float, worst: float) -> alt.Scale:
        """Return the scale for Altair, with the heights in pixels from the top of 0 and of the scale's end."""
        heights = {"domain": [0, self.top], "range": [best, worst], "nice": False}
        if self.is_logarithmic:
            return alt.Scale(type="symlog", constant=self.unit, **heights)
        return alt.Scale(type="linear", zero=True, **heights)

    def axis(self, title: str) -> alt.Axis:
        """Return the axis for Altair; its title says if the scale is logarithmic."""
        if self.largest == 0:
            return alt.Axis(title=title, values=[0], format="d")
        if not self.is_logarithmic:
            # 1000 as 1k, but 0.001 as it is: letters for thousandths would puzzle.
            shown = "datum.value == 0 ? '0' : format(datum.value, datum.value < 1 ? '~g' : '~s')"
            return alt.Axis(title=title, tickCount=_TICKS, labelExpr=shown)
        labels = {t: power(t) if t else "0" for t in self.ticks}
        return alt.Axis(title=f"{title}, log scale", values=self.ticks, labelExpr=choose(labels))


def choose(labels: Mapping[float, str]) -> str:
    """Return the expression of Vega that gives each tick its label."""
    # Ticks come back with rounding, so the nearest power is taken.
    cases = [f"abs(datum.value - {t!r}) <= {1e-6 * t!r} ? '{label}' : " for t, label in labels.items()]
    return "".join(cases) + "''"
