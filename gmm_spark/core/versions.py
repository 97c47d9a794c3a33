"""Versions of everything that can change the numbers of a fit."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from gmm_spark._version import __version__

PACKAGES = ("pyspark", "numpy", "scipy", "pyarrow", "pandas")


def list_versions() -> dict[str, str]:
    """List the versions by name: Python's, this package's, and those of the packages that it computes with."""
    found = {"python": platform.python_version(), "gmm-spark": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # shipped as a zip, without metadata
            found[package] = "unknown"
    return found
