"""The change log of two mixtures: what became of each component, by its id and name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gmm_spark.core.mixture.identities import Identities
from gmm_spark.core.mixture.matching import ALIKE, Match, Matching

KEPT, MOVED, SPLIT, NEW, MERGED, GONE = "kept", "moved", "split", "new", "merged", "gone"


@dataclass(frozen=True)
class Change:
    """What became of a component.

    Attributes
    ----------
    kind : {"kept", "moved", "split", "new", "merged", "gone"}
        kept: its distribution is alike; moved: it is the same component, and has moved or changed its shape; split: a
        new one, whose rows another had; new: one whose rows no component had; merged: it has gone, and another has its
        rows; gone: its rows are gone too.
    id : int
    name : str or None
    before, after : int or None
        Number of the component in each mixture.
    weight_before, weight : float or None
    other : int or None
        Id of the component that it was split off from, or merged into, or that was the nearest to a new one.
    shared : float or None
        Share of its rows that it kept, both ways: see :class:`.Match`.
    hellinger : float or None
        How far it has changed, from 0 (not at all) to 1.
    distance : float or None
        How far its mean has moved, in standard deviations.
    """

    kind: str
    id: int
    name: str | None
    before: int | None
    after: int | None
    weight_before: float | None
    weight: float | None
    other: int | None = None
    shared: float | None = None
    hellinger: float | None = None
    distance: float | None = None

    @property
    def label(self) -> str:
        """What to call the component: its id, and its name if it has one."""
        return str(self.id) if self.name is None else f"{self.id} ({self.name})"


def list_changes(
    matching: Matching,
    before: Identities,
    after: Identities,
    weights_before: Sequence[float],
    weights: Sequence[float],
) -> list[Change]:
    """List what became of each component: first those that stay, in the order before, then the new, then the gone.

    Parameters
    ----------
    matching : Matching
        Of the two mixtures.
    before, after : Identities
    weights_before, weights : sequence of float
        Of the components of each, noise last if there is noise.
    """
    found = [_tell_match(one, before, after) for one in matching.matches]
    for j in matching.new:
        kind, origin = (SPLIT, matching.split[j]) if j in matching.split else (NEW, matching.nearest[j])
        found.append(
            Change(kind, after.ids[j], after.names[j], None, j, None, float(weights[j]), other=before.ids[origin])
        )
    for i in matching.gone:
        heir = after.ids[matching.merged[i]] if i in matching.merged else None
        kind = GONE if heir is None else MERGED
        found.append(Change(kind, before.ids[i], before.names[i], i, None, float(weights_before[i]), None, other=heir))
    return found + _tell_noise(matching, before, after, weights_before, weights)


def _tell_noise(
    matching: Matching,
    before: Identities,
    after: Identities,
    weights_before: Sequence[float],
    weights: Sequence[float],
) -> list[Change]:
    """Tell what became of noise, which is the last component of its mixture; nothing if neither has any."""
    i, j = (size if there else None for size, there in zip(matching.sizes, matching.noise, strict=True))
    if j is None and i is None:
        return []
    own, number = (after, j) if j is not None else (before, i)
    assert number is not None  # one of the two is a number
    return [
        Change(
            kind=GONE if j is None else NEW if i is None else KEPT,
            id=own.ids[number],
            name=own.names[number],
            before=i,
            after=j,
            weight_before=None if i is None else float(weights_before[i]),
            weight=None if j is None else float(weights[j]),
        )
    ]


def _tell_match(match: Match, before: Identities, after: Identities) -> Change:
    return Change(
        kind=MOVED if match.hellinger > ALIKE else KEPT,
        id=after.ids[match.after],
        name=after.names[match.after] or before.names[match.before],
        before=match.before,
        after=match.after,
        weight_before=float(match.weights[0]),
        weight=float(match.weights[1]),
        shared=match.shared,
        hellinger=match.hellinger,
        distance=match.distance,
    )


def describe_changes(changes: Sequence[Change]) -> str:
    """Describe a change log in a line: how many components stay, and which are new, or gone.

    Examples
    --------
    >>> kept = Change("kept", 0, None, 0, 1, 0.4, 0.4)
    >>> describe_changes([kept, Change("split", 7, None, None, 0, None, 0.6, other=3)])
    '1 component keeps its id; 7 was split off from 3'
    """
    kinds = Counter(one.kind for one in changes)
    stay = kinds[KEPT] + kinds[MOVED]
    told = [f"{stay} component{'s keep their ids' if stay != 1 else ' keeps its id'}"]
    if kinds[MOVED]:
        told[0] += f", {kinds[MOVED]} of which moved"
    for one in changes:
        text = {
            SPLIT: f"{one.label} was split off from {one.other}",
            NEW: f"{one.label} is new",
            MERGED: f"{one.label} was merged into {one.other}",
            GONE: f"{one.label} has gone",
        }.get(one.kind)
        told += [text] if text else []
    return "; ".join(told)
