"""Contenders timed in turn, and what came of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Contender: TypeAlias = Callable[[], float]
"""Runs once and returns the seconds that count."""
Contenders: TypeAlias = dict[str, Contender]


@dataclass
class Result:
    """What one case gave: seconds of each contender, round by round."""

    case: str
    setting: dict[str, Any]
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def ratios(self) -> dict[str, float]:
        """Median over rounds of each contender's seconds over the first contender's."""
        base = next(iter(self.seconds.values()))
        return {n: statistics.median(a / b for a, b in zip(s, base, strict=True)) for n, s in self.seconds.items()}

    def show(self) -> None:
        """Print a table of medians and ratios."""
        print(f"\n{self.case}  " + "  ".join(f"{k}={v}" for k, v in self.setting.items()))
        rows = self.setting["rows"]
        for name, ratio in self.ratios().items():
            median = statistics.median(self.seconds[name])
            print(f"  {name:<42} {median:10.3f} s  {1e9 * median / rows:10.0f} ns/row  {ratio:8.2f} x", flush=True)


def timed(work: Callable[[], Any]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def second(work: Callable[[], Any]) -> float:
    """Seconds of the second of two calls: passes follow one another, while other contenders let files go cold."""
    work()
    return timed(work)


@dataclass(frozen=True)
class Setting:
    """One combination that a case is run at."""

    rows: int
    d: int
    k: int
    structure: str
    precision: str

    @property
    def single(self) -> bool:
        """Whether tables hold float32 and kernels multiply it."""
        return self.precision == "float32"


def compete(case: str, setting: dict[str, Any], contenders: Contenders, rounds: int) -> Result:
    """Run the contenders in turn, once to warm up and then ``rounds`` times; the setting says the number of rows."""
    result = Result(case, setting, {name: [] for name in contenders})
    for number in range(rounds + 1):
        for name, run in contenders.items():
            seconds = run()
            if number:
                result.seconds[name].append(seconds)
    result.show()
    return result
