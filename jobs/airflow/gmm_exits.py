"""How a job ended, read from what Airflow's Spark provider says of it, and which exit codes a retry cannot mend.

This file is copied into Airflow's folder of DAGs. It needs neither Airflow nor gmm_spark.
"""

from __future__ import annotations

import re
from typing import NamedTuple

DRIFT = 6
"""Exit code of score if the day's rows are not like the training rows."""

FINAL = frozenset({2, 3, 4, DRIFT})
"""Configuration, data, not converged, drift: these come back until somebody changes the configuration or the data.

All others are retried: 1 (anything else), 5 (another process holds the run), signals (143, 137, -9).
"""

_OUTPUT = "\nLast spark-submit output:\n"
# The texts of the Spark provider, by master and deploy mode. Spark-submit ends with 1 if a driver on YARN fails.
_ERROR_CODE = re.compile(r"Error code is: (-?\d+)")
_CODE_ON_KUBERNETES = re.compile(r"(?:Kubernetes spark exit code is: |phase=Failed exit_code=)(\d+)")
_CODE_ON_YARN = re.compile(r"User application exited with status (\d+)")
_LAST_LINE = re.compile(r"(?P<job>\w+) ended with exit code \d+\. .*")


class Ending(NamedTuple):
    """How a job ended.

    Attributes
    ----------
    code : int or None
        Its exit code; None if the text does not have it.
    message : str
        The job's last lines, which say why it failed and what to do; empty if the text does not have them.
    """

    code: int | None
    message: str


def read_ending(text: str) -> Ending:
    """Read how a job ended from the text of the Spark provider's exception."""
    about, _, output = text.partition(_OUTPUT)
    return Ending(_read_code(about, output), _read_message(output))


def _read_code(about: str, output: str) -> int | None:
    # The command line comes first in the text, and may have anything in it: the last match counts.
    found = _CODE_ON_KUBERNETES.findall(about)[-1:] + _ERROR_CODE.findall(about)[-1:]
    code = next((int(one) for one in found if one != "0"), None)
    if code in (None, 1) and (on_yarn := _CODE_ON_YARN.findall(f"{about}\n{output}")):
        return int(on_yarn[-1])
    return code


def _read_message(output: str) -> str:
    lines = output.splitlines()
    for last in reversed(range(len(lines))):
        if ended := _LAST_LINE.fullmatch(lines[last]):
            starts = (i for i in reversed(range(last)) if lines[i].startswith(f"{ended['job']} failed: "))
            return "\n".join(lines[next(starts, max(last - 1, 0)) : last + 1])
    return ""
