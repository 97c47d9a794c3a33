"""Limits of drift: which figures are beyond them, and which change is the largest, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, isinf, log

import numpy as np

from gmm_spark.core.drift.comparison import Drift, Figure
from gmm_spark.core.drift.reference import TrainingProfile


@dataclass(frozen=True)
class Limits:
    """The largest changes that are allowed; None for any.

    Attributes
    ----------
    psi : float
        Population stability index of the components' shares.
    mean_shift : float
        Shift of a feature's mean, up or down, in training standard deviations.
    spread_ratio : float
        A feature's standard deviation over the training rows', or the other way round.
    log_density_drop : float
        By how much the mean log-density may be lower than the training rows', nats.
    below_ratio : float
        Share of rows that are less likely than a training quantile, over that of the training rows.
    missing_change : float
        Share of the rows in which a feature is missing, less that of the training rows, or the other way round.
    """

    psi: float | None = None
    mean_shift: float | None = None
    spread_ratio: float | None = None
    log_density_drop: float | None = None
    below_ratio: float | None = None
    missing_change: float | None = None


# Sizes that are worth a look, by which changes of different kinds are compared: 0.25 for psi is the custom of credit
# scoring, half a standard deviation a medium effect (Cohen 1988); the others are like these for Gaussians. If a tenth
# of the rows lack a value that they had, whoever writes the table has changed something.
NOTABLE = Limits(psi=0.25, mean_shift=0.5, spread_ratio=1.5, log_density_drop=0.5, below_ratio=3.0, missing_change=0.1)


@dataclass(frozen=True)
class Change:
    """One change of the rows.

    Attributes
    ----------
    kind : str
        Name of the limit that it is held against.
    size : float
        In the limit's units, 0 or more; of a ratio, the larger of it and its inverse.
    beyond_chance : bool
    meaning : str
        In words.
    """

    kind: str
    size: float
    beyond_chance: bool
    meaning: str

    @property
    def weight(self) -> float:
        """Size in terms of what is worth a look."""
        level = getattr(NOTABLE, self.kind)
        return log(self.size) / log(level) if self.kind.endswith("_ratio") else self.size / level


def list_changes(drift: Drift, profile: TrainingProfile, names: Sequence[str], noise: bool = False) -> list[Change]:
    """List all changes that limits know, the largest first.

    Parameters
    ----------
    drift : Drift
    profile : TrainingProfile
    names : sequence of str
        Of the d features.
    noise : bool
        Whether the last component is noise.
    """
    return sorted(_find_changes(drift, profile, names, noise), key=lambda change: -change.weight)


def find_breaches(changes: Sequence[Change], limits: Limits) -> list[Change]:
    """Return the changes that are beyond a limit and beyond chance, in their order."""
    known = {kind: inf if limit is None else limit for kind, limit in vars(limits).items()}
    return [change for change in changes if change.beyond_chance and change.size > known[change.kind]]


def describe_largest(changes: Sequence[Change]) -> str:
    """Describe the largest change that chance does not explain."""
    return next((change.meaning for change in changes if change.beyond_chance), "no change beyond chance")


def _find_changes(drift: Drift, profile: TrainingProfile, names: Sequence[str], noise: bool) -> Iterator[Change]:
    terms = (drift.shares - profile.shares) * np.log((drift.shares + 1e-9) / (profile.shares + 1e-9))
    most = int(np.argmax(terms))
    which = "noise" if noise and most == len(terms) - 1 else f"component {most}"
    told = f"{which} has {drift.shares[most]:.1%} of the rows, {profile.shares[most]:.1%} in training"
    yield _change("psi", drift.psi, f"{told} (psi {drift.psi.value:.3g})")
    if drift.compared > 0:
        yield from _find_changes_of_likelihood(drift)
    for name, shift, mean, before in zip(names, drift.mean_shifts, drift.means, profile.means, strict=True):
        way = "up" if shift.value > 0 else "down"
        far = "from one value" if isinf(shift.value) else f"by {abs(shift.value):.3g} standard deviations"
        told = f"the mean of {name!r} is {way} {far}, from {before:.4g} to {mean:.4g}"
        yield _change("mean_shift", Figure(abs(shift.value), shift.beyond_chance), told)
    if drift.missing is not None and drift.missing_changes:
        for name, now, moved in zip(names, drift.missing, drift.missing_changes, strict=True):
            told = f"{name!r} is missing in {now:.1%} of the rows, in {max(now - moved.value, 0.0):.1%} in training"
            yield _change("missing_change", Figure(abs(moved.value), moved.beyond_chance), told)
    for name, ratio in zip(names, drift.spread_ratios, strict=True):
        size = max(ratio.value, 1 / ratio.value) if ratio.value else inf
        far = "0, it is constant" if not ratio.value else f"{ratio.value:.3g} times that in training"
        told = f"{name!r} was constant and varies" if isinf(ratio.value) else f"the spread of {name!r} is {far}"
        yield _change("spread_ratio", Figure(size, ratio.beyond_chance), told)


def _find_changes_of_likelihood(drift: Drift) -> Iterator[Change]:
    change = drift.log_density_change
    word = "lower" if change.value < 0 else "higher"
    told = f"the mean log-density is {abs(change.value):.3g} nats {word} than in training"
    yield Change("log_density_drop", max(-change.value, 0.0), change.beyond_chance and change.value < 0, told)
    for ratio, now, before in zip(drift.below_ratios, drift.shares_below, drift.expected_below, strict=True):
        told = f"{now:.3%} of the rows are as unlikely as {before:.3%} of the training rows"
        yield Change("below_ratio", max(ratio.value, 1.0), ratio.beyond_chance and ratio.value > 1, told)


def _change(kind: str, figure: Figure, meaning: str) -> Change:
    return Change(kind, figure.value, figure.beyond_chance, meaning)
