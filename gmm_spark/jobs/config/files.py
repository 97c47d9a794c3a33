"""TOML files, read with suspicion: a file may be of any size and depth, or no TOML at all."""

from __future__ import annotations

import sys
from typing import Any

from gmm_spark.storage.documents import describe_os_error, shorten

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

LARGEST = 2**20  # bytes; the longest configurations are lists of some thousand columns
DEEPEST = 8  # levels; input.options.key is at the third


def read_file(path: str) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    ValueError
        If the file cannot be read, is no TOML, or is larger or deeper than any configuration. The message says why,
        in one line.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        contents = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise ValueError(describe_os_error(error)) from error
    except RecursionError as error:
        raise ValueError("it nests too deeply") from error
    except ValueError as error:  # TOML's own, and those of text that is not UTF-8 and of endless numbers
        raise ValueError(shorten(str(error), 200)) from error
    _require_shallow(contents)
    return contents


def _require_shallow(contents: dict[str, Any]) -> None:
    """Refuse what nests deeply, so that whoever reads the contents may recurse."""
    level: list[Any] = [contents]
    for _ in range(DEEPEST):
        level = [
            part
            for whole in level
            for part in (whole.values() if isinstance(whole, dict) else whole)
            if isinstance(part, (dict, list))
        ]
    if level:
        raise ValueError(f"it nests deeper than {DEEPEST} levels")
