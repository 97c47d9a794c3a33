"""Facts: a run's report, read with suspicion. Anybody may have written it, and older versions wrote less."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any


class Facts:
    """A part of a JSON document, of which any part may be missing or of another kind than expected.

    Parameters
    ----------
    value : object
        What the json module has read.

    Examples
    --------
    >>> facts = Facts({"fit": {"bic": 12.5, "converged": True}, "checks": [{"code": "k-at-edge"}]})
    >>> facts["fit"].number("bic"), facts["fit"].number("aic"), facts["rows"].number("read")
    (12.5, None, None)
    >>> [check.text("code") for check in facts["checks"]]
    ['k-at-edge']
    """

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __getitem__(self, key: str) -> Facts:
        """Return a part, which is empty if it is not there."""
        return Facts(self.value.get(key)) if isinstance(self.value, Mapping) else Facts()

    def __iter__(self) -> Iterator[Facts]:
        """Yield the items of a list; nothing if it is none."""
        return (Facts(one) for one in self.value) if isinstance(self.value, list) else iter(())

    def __bool__(self) -> bool:
        """Return whether there is anything."""
        return bool(self.value)

    def items(self) -> Iterator[tuple[str, Facts]]:
        """Yield the keys and values of an object; nothing if it is none."""
        if isinstance(self.value, Mapping):
            yield from ((str(key), Facts(one)) for key, one in self.value.items())

    def number(self, key: str | None = None) -> float | None:
        """Return a finite number, of a key if one is given; None if it is none."""
        found = self.value if key is None else self[key].value
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            return None
        try:
            number = float(found)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None

    def text(self, key: str | None = None) -> str | None:
        """Return a text, of a key if one is given; None if it is none."""
        found = self.value if key is None else self[key].value
        return found if isinstance(found, str) else None

    def flag(self, key: str) -> bool | None:
        """Return a truth value; None if it is none."""
        found = self[key].value
        return found if isinstance(found, bool) else None
