"""Small JSON files, read with suspicion: anybody may have written, cut or edited them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from gmm_spark.errors import ModelFileError
from gmm_spark.storage.files import Files

LARGEST = 16 * 2**20  # bytes; a manifest of 100,000 files has about as many
SHOWN = 80  # characters of a foreign value that a message repeats


def read_document(files: Files, path: str, limit: int = LARGEST) -> dict[str, Any]:
    """Read a JSON object of at most ``limit`` bytes.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ModelFileError
        If the file does not hold one JSON object.
    """
    try:
        data = files.read_bytes(path, limit)
    except IsADirectoryError as error:
        raise ModelFileError(f"{path} is damaged: it is a directory") from error
    if len(data) > limit:
        raise ModelFileError(f"{path} has more than {limit:,} bytes; it is not one of ours")
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # the former also if the text is not UTF-8 or a number is endless
        raise ModelFileError(f"{path} is damaged: it is not JSON ({shorten(str(error))})") from error
    if not isinstance(value, dict):
        raise ModelFileError(f"{path} is damaged: it holds {show(value)}, not a JSON object")
    return value


def write_document(value: Mapping[str, Any], indent: int | None = 2) -> bytes:
    """Return a mapping as the bytes of a JSON file, on one line without ``indent``. NaN and infinity become null."""
    separators = (",", ":") if indent is None else None
    text = json.dumps(simplify(value), indent=indent, separators=separators, allow_nan=False, ensure_ascii=False)
    return (text + "\n").encode("utf-8")


def simplify(value: Any) -> Any:
    """Convert numpy's values, tuples and numbers that JSON lacks to what the json module can write."""
    if isinstance(value, Mapping):
        return {str(key): simplify(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [simplify(part) for part in value]
    if isinstance(value, np.ndarray):
        return simplify(value.tolist())
    if isinstance(value, np.generic):
        return simplify(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def show(value: Any) -> str:
    """Return a foreign value as a message may repeat it: in short, and by its kind alone if it has parts."""
    return f"a {type(value).__name__}" if isinstance(value, (dict, list)) else shorten(repr(value))


def shorten(text: str, limit: int = SHOWN) -> str:
    """Return a foreign text as a message may repeat it: one line, and not a long one."""
    line = " ".join(text[: 4 * limit].split())
    line = "".join(sign if sign.isprintable() else "?" for sign in line)
    return line if len(line) <= limit else line[:limit] + "..."


def describe_os_error(error: OSError) -> str:
    """Return why a path could not be used, in one line."""
    return shorten(error.strerror or str(error) or type(error).__name__)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def describe_error(error: BaseException) -> str:
    """Return any error in one line."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    try:
        return shorten(f"{type(error).__name__}: {error}", 4 * SHOWN)
    except Exception:  # py4j asks the JVM for the text, which may have died
        return type(error).__name__
