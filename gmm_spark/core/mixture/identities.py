"""Identities: which component is which, from one model of a table to the next.

The number of a component is its place in one model, and a refit may deal the places anew. Its id is given once. A
component of a new model that shares its rows with one of the model before (:mod:`.matching`) keeps its id, and the name
that somebody gave it. Any other gets the next id that was never given. An id that has gone does not come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gmm_spark.core.mixture.matching import Matching
from gmm_spark.errors import ParameterError

# Characters of a name at most.
_LONGEST = 200
# Above this an id would not fit the column that scores write it to.
_LARGEST = (1 << 31) - 1


@dataclass(frozen=True)
class Identities:
    """Ids and names of the components of a mixture.

    Parameters
    ----------
    ids : tuple of int
        Of each component, in the mixture's order, noise last if there is noise; all different, from 0.
    names : tuple of str or None
        What a user calls each component; None if nothing. No name comes twice.
    next_id : int
        The least id that was never given: all from it on are free.
    recorded : bool
        False if a saved model had no ids, so that they are only taken to be 0 to k - 1.

    Raises
    ------
    ParameterError
        If they cannot be that.
    """

    ids: tuple[int, ...]
    names: tuple[str | None, ...]
    next_id: int
    recorded: bool = True

    def __post_init__(self) -> None:
        sound = all(type(one) is int and one >= 0 for one in (*self.ids, self.next_id))
        if not sound or not self.ids or len(set(self.ids)) < len(self.ids):
            raise ParameterError(f"component ids are {_shorten(self.ids)}; need different integers >= 0")
        if self.next_id <= max(self.ids) or self.next_id > _LARGEST:
            raise ParameterError(f"the next component id is {self.next_id}; need one above {max(self.ids)}, a free one")
        if len(self.names) != len(self.ids):
            raise ParameterError(f"{len(self.names)} component names and {len(self.ids)} ids; need one for each")
        given = [name for name in self.names if name is not None]
        wrong = [name for name in given if type(name) is not str or not name.strip() or len(name) > _LONGEST]
        if wrong or len(set(given)) < len(given):
            raise ParameterError(
                f"component names are {_shorten(given)}; need different texts of 1 to {_LONGEST} characters, or None"
            )

    @classmethod
    def fresh(cls, k: int, first: int = 0, recorded: bool = True) -> Identities:
        """Give ids to the k components of a mixture without an earlier one that it could be matched with."""
        return cls(tuple(range(first, first + k)), (None,) * k, first + k, recorded)

    @property
    def is_plain(self) -> bool:
        """True if ids say no more than the components' numbers do, and no component has a name."""
        return self.ids == tuple(range(len(self.ids))) and not any(self.names)

    def carry(self, matching: Matching) -> Identities:
        """Return the identities of a later mixture, which was matched with the one that these are of."""
        kept, ids, next_id = matching.kept, [], self.next_id
        for j in range(matching.n_after):
            ids.append(self.ids[kept[j]] if j in kept else next_id)
            next_id += j not in kept
        return Identities(
            tuple(ids), tuple(self.names[kept[j]] if j in kept else None for j in range(len(ids))), next_id
        )

    def rename(self, names: Mapping[int, str | None]) -> Identities:
        """Return the identities with other names for some ids; None takes a name away.

        Raises
        ------
        ParameterError
            If an id is none of these, or a name is empty or another component's.
        """
        if unknown := [one for one in names if one not in self.ids]:
            raise ParameterError(
                f"no component has the id {', '.join(map(repr, unknown[:5]))}; the ids are {_shorten(self.ids)}"
            )
        pairs = zip(self.ids, self.names, strict=True)
        return replace(self, names=tuple(names.get(one, name) for one, name in pairs), recorded=True)

    def label(self, j: int) -> str:
        """Return what to call component j: its id, and its name if it has one."""
        name = self.names[j]
        return f"{self.ids[j]}" if name is None else f"{self.ids[j]} ({name})"

    def to_dict(self) -> dict[str, Any]:
        """Write as plain lists, ready for JSON."""
        return {"ids": list(self.ids), "names": list(self.names), "nextId": self.next_id}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], k: int) -> Identities:
        """Read what :meth:`to_dict` wrote, for k components; keys that are not known are passed over.

        Raises
        ------
        ParameterError
            If it is not that.
        """
        try:
            found = cls(tuple(values["ids"]), tuple(values["names"]), values["nextId"])
        except (KeyError, TypeError) as error:
            raise ParameterError(f"not the identities of components: {error!r}") from error
        if len(found.ids) != k:
            raise ParameterError(f"{len(found.ids)} component ids for {k} components")
        return found


def _shorten(values: Sequence[object]) -> str:
    shown = ", ".join(map(repr, values[:20]))
    return f"{shown}, ..." if len(values) > 20 else shown or "none"
