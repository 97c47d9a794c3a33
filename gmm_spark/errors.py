"""Every error that gmm_spark raises on purpose, in one hierarchy.

Each message names the parameter or column, says what it got and what it needs, and what to do. Errors about values also
derive from :class:`ValueError`, so code written for scikit-learn or pyspark.ml catches them without this module.
"""

from __future__ import annotations


class GmmSparkError(Exception):
    """Base of all errors of gmm_spark.

    Attributes
    ----------
    remedy : str
        What to do, if that is known better than from the class. The jobs print it last.
    """

    remedy: str = ""


class ParameterError(GmmSparkError, ValueError):
    """A parameter of an estimator, a model or a function has a value that it cannot take.

    Raised before the table is read: by ``fit`` and ``transform`` for the parameters, at once for arrays such as means,
    and by ``save`` if its path exists.
    """


class ConfigurationError(GmmSparkError, ValueError):
    """The configuration of a job is wrong; the message lists every fault.

    Raised by a job before Spark starts if a key is missing, unknown or wrong, and later if an output exists already or
    a file that a key names cannot be used. The exit code is 2.
    """


class DataError(GmmSparkError, ValueError):
    """The table cannot be used as it is.

    Raised if a column is missing or has the wrong type, rows are bad and ``handleInvalid`` is "error", a weight is
    negative, no row is left, there are fewer (distinct) rows than components, or a feature is constant.
    """


class DegenerateComponentError(GmmSparkError, ArithmeticError):
    """A component starved (no weight) or collapsed (no variance), and the fit could not go on.

    Raised if every start ends so, or if a covariance is not positive definite. A larger ``regCovar`` or fewer
    components help. A component that is only left without weight is a warning, not this error.
    """


class ResourceError(GmmSparkError, RuntimeError):
    """A driver or an executor lacks the memory or the disk that the work needs.

    Raised if a local disk is full, or, before the pass, if the sums of a pass are too large for one vector.
    """


class ClusterError(GmmSparkError, RuntimeError):
    """Spark, or what it works with, went away: the JVM, executors, a connection, a job that somebody cancelled.

    Raised by the jobs; the exit code is 1. Running it again may help.
    """


class ModelFileError(GmmSparkError, ValueError):
    """A saved model cannot be read.

    Raised by ``load`` if the path holds no model, the model is damaged, or its format version is unknown.
    """


class NotConvergedError(GmmSparkError, RuntimeError):
    """EM stopped at its iteration limit although convergence was required.

    Raised by the jobs if ``run.require_convergence`` is set; the estimators report it in ``summary.converged`` instead.
    """


class DriftError(GmmSparkError, RuntimeError):
    """The rows of a table differ from the model's training rows by more than a limit allows.

    Raised by the job score if a limit is set, and by update if it is to stop at the verdict refit; the exit code is 6.
    The message says what was published.
    """


class RunHeldError(GmmSparkError, RuntimeError):
    """Another process works on the run that a job was to do, or has taken it over.

    Raised by the jobs; the exit code is 5.
    """


class CompletedRunError(GmmSparkError, RuntimeError):
    """A job's output is published in part: it stands, and what was to follow failed or was interrupted.

    A run is complete, and its report or picture could not be copied; or the new files of a table are written, and were
    not all put in place.

    Raised by the jobs; the exit code is 1.
    """


class MissingExtraError(GmmSparkError, ImportError):
    """A package that only an extra of gmm-spark brings is not installed.

    Raised by what needs it, when it is called; the message names the extra to install.
    """


class UnexplainedError(GmmSparkError, RuntimeError):
    """Something failed in Spark or in this package for a reason that is not known.

    Raised by the jobs; the exit code is 1. The message is what the innermost error says.
    """
