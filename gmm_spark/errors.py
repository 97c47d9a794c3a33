"""Every error the project raises on purpose, in one hierarchy.

Each message says which parameter or column is meant, what it got, what is needed and what to do.
Errors about values also derive from :class:`ValueError`, so that code written for scikit-learn or
pyspark.ml catches them without knowing this module.
"""

from __future__ import annotations


class GmmSparkError(Exception):
    """Base of all errors raised by gmm_spark."""


class ParameterError(GmmSparkError, ValueError):
    """A parameter of an estimator, a model or a function has a value it cannot take."""


class ConfigurationError(GmmSparkError, ValueError):
    """A job's configuration is wrong; the message lists every fault found."""


class DataError(GmmSparkError, ValueError):
    """The table cannot be used as it is: bad rows, missing columns, wrong types, too few rows."""


class DegenerateComponentError(GmmSparkError, ArithmeticError):
    """A component starved or collapsed and could not be kept numerically sound."""


class ResourceError(GmmSparkError, RuntimeError):
    """A driver or an executor lacks the memory or disk that the work needs."""


class ModelFileError(GmmSparkError, ValueError):
    """A saved model cannot be read: not a model, damaged, or of an unknown format version."""


class NotConvergedError(GmmSparkError, RuntimeError):
    """EM stopped at its iteration limit where the caller asked for that to be an error."""
