"""Packages that extras bring: imported by what needs them, when it is called."""

from __future__ import annotations

from importlib import import_module

from gmm_spark.errors import MissingExtraError


def require_extra(extra: str, module: str, user: str) -> None:
    """Check that the package of an extra can be imported.

    Parameters
    ----------
    extra : str
        As it stands in pyproject.toml.
    module : str
        What has to be importable.
    user : str
        What needs them, as the caller knows it.

    Raises
    ------
    MissingExtraError
        If it cannot be imported; it says why, and how to install the extra.
    """
    try:
        import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{user} needs {module}, which cannot be imported ({error}): run pip install 'gmm-spark[{extra}]'"
        ) from error
