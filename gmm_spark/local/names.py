"""Names of features: a list of as many texts as there are features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gmm_spark.errors import ParameterError
from gmm_spark.storage.documents import shorten


def require_names(parameter: str, names: Any, width: int) -> list[str] | None:
    """Return names as a list, or None if there are none.

    Raises
    ------
    ParameterError
        If they are anything but d texts; it names the parameter.
    """
    if names is None:
        return None
    listed = hasattr(names, "tolist") or (isinstance(names, Sequence) and not isinstance(names, str | bytes))
    if not listed or len(names) != width or not all(isinstance(name, str) for name in names):
        raise ParameterError(
            f"{parameter}={shorten(repr(names), 300)}; need a list of {width} names, one for each feature"
        )
    return [str(name) for name in names]
