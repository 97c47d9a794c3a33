"""Check: something that speaks against a fit, under a code that programs can look for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from gmm_spark.core.checks.evidence import Evidence

SEVERITIES = ("serious", "warning", "info")
"""Worst first. Serious: the mixture, or the data it was fitted to, is probably not what was meant. Warning: it may be
worse than it could be. Info: something may improve it."""


@dataclass(frozen=True)
class Check:
    """Something that speaks against a fit.

    Attributes
    ----------
    code : str
        Lower-case words with hyphens, such as ``not-converged``. A code keeps its name and its meaning in all later
        versions, so a scheduler can look for it; new codes may be added.
    severity : {"serious", "warning", "info"}
        Each code has one.
    meaning : str
        One sentence with the figures in it.
    remedy : str
        What to change. Names of parameters are in backticks.
    component : int or None
        Index of the component that the check is about.
    column : str or None
        Name of the feature that the check is about.
    figures : mapping of str to float
        Numbers by name.
    """

    code: str
    severity: str
    meaning: str
    remedy: str
    component: int | None = None
    column: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """Write the check as one line."""
        return f"{self.severity}: {self.code}: {self.meaning} {self.remedy}"


@dataclass(frozen=True)
class Finding:
    """A check without its code and severity; the attributes mean what those of :class:`Check` mean."""

    meaning: str
    remedy: str
    component: int | None = None
    column: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


Finder: TypeAlias = Callable[[Evidence], Iterator[Finding]]
"""Looks for one kind of fault, and yields what it finds, worst first. Its docstring is what users read in the docs."""


@dataclass(frozen=True)
class Rule:
    """A code, its severity, and the function that finds it."""

    code: str
    severity: str
    find: Finder

    def apply(self, evidence: Evidence) -> Iterator[Check]:
        """Find what there is, as checks."""
        for one in self.find(evidence):
            figures = {name: float(value) for name, value in one.figures.items()}
            yield Check(self.code, self.severity, one.meaning, one.remedy, one.component, one.column, figures)
