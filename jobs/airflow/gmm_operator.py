"""A SparkSubmitOperator for the jobs of gmm-spark: it knows which exit codes a retry cannot mend.

This file is copied into Airflow's folder of DAGs, beside ``gmm_exits.py``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from gmm_exits import FINAL, read_ending

WHY_SKIPPED = "why_skipped"
"""XCom key of the job's last lines, if its exit code was to skip the task."""

_FLAGS_WITH_SECRETS = ("--input.options", "--run.spark")
_SECRET_SETTING = re.compile(r"(password|secret|token|secret\.key)$", re.IGNORECASE)


class GmmSparkSubmitOperator(SparkSubmitOperator):
    """Run a job of gmm-spark by spark-submit.

    A task whose job ends with exit code 2, 3, 4 or 6 fails and is not retried: configuration, data, a search that does
    not converge and drift stay what they are. Any other failure is retried as often as ``retries`` says. The error has
    the job's last lines, which say why it failed and what to do.

    Parameters
    ----------
    bin_folder : str, optional
        Folder that comes first on spark-submit's PATH: ``bin`` of the jobs' own Python environment. It has spark-submit
        and the driver's Python. (templated)
    skip_on_exit_code : collection of int, optional
        Exit codes that skip the task instead of failing it. The XCom ``why_skipped`` then has the job's last lines.
    **kwargs
        As of SparkSubmitOperator.

    Raises
    ------
    ValueError
        If a value on the command line would be a secret: Airflow writes command lines to its log, and other users of
        the machine can read them.
    """

    template_fields: Sequence[str] = (*SparkSubmitOperator.template_fields, "bin_folder")

    def __init__(
        self, *, bin_folder: str | None = None, skip_on_exit_code: Collection[int] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.bin_folder = bin_folder
        self.skip_on_exit_code = skip_on_exit_code
        require_no_secrets(kwargs.get("application_args") or (), kwargs.get("conf") or {})

    def execute(self, context: Mapping[str, Any]) -> None:
        """Run the job, and decide by its exit code what becomes of the task."""
        try:
            with first_on_path(self.bin_folder):
                super().execute(context)
        except Exception as error:
            ending = read_ending(str(error))
            message = ending.message or f"The job ended with exit code {ending.code}; the log above has its output."
            if ending.code in self.skip_on_exit_code:
                context["ti"].xcom_push(key=WHY_SKIPPED, value=message)
                raise AirflowSkipException(message) from None
            if ending.code in FINAL:
                raise AirflowFailException(message) from None
            raise


def require_no_secrets(arguments: Collection[Any], settings: Mapping[Any, Any]) -> None:
    """Refuse flags and Spark settings whose values may be secrets.

    Raises
    ------
    ValueError
        If there are any.
    """
    flags = [str(one).partition("=")[0] for one in arguments if str(one).startswith(_FLAGS_WITH_SECRETS)]
    if found := flags + [str(key) for key in settings if _SECRET_SETTING.search(str(key))]:
        raise ValueError(
            f"got {', '.join(found)} on the command line, which Airflow logs and other users can read; put such values "
            "into a file that only Airflow's user can read: a job's TOML file or properties_file"
        )


@contextmanager
def first_on_path(folder: str | None) -> Iterator[None]:
    """Put a folder first on PATH. Not by ``env_vars``: on YARN and Kubernetes these become the remote driver's."""
    before = os.environ.get("PATH", os.defpath)
    if folder:
        os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before
