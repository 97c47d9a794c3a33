"""The saved model that a key of a job names: found, or refused in words that name the key."""

from __future__ import annotations

from gmm_spark.errors import ConfigurationError, ModelFileError
from gmm_spark.storage.documents import shorten
from gmm_spark.storage.files import Files
from gmm_spark.storage.runs import Located, find_model

_NEEDED = "name a directory of runs of fit or select, one run in it, or the folder of a saved model"


def locate_model(files: Files, key: str, path: str) -> Located:
    """Return the saved model that a path stands for, checked against the manifest of its run.

    Parameters
    ----------
    files : Files
    key : str
        What the configuration calls the path.
    path : str
        A directory of runs, of which the newest complete one is taken, a run's own directory, or a saved model's.

    Raises
    ------
    ModelFileError
        If there is no model, or its run is damaged or not complete.
    """
    found = find_model(files, path)
    if found.run_id is not None:
        return found
    try:
        if files.exists(f"{found.path}/metadata"):
            return found
        names = [one.name for one in files.list_folder(found.path)]
    except FileNotFoundError as error:
        raise _refuse(f"{key}: got {path!r}, where there is nothing") from error
    except NotADirectoryError as error:
        raise _refuse(f"{key}: got {path!r}, which is a file") from error
    except (OSError, ConfigurationError):  # the latter if it is a URL, and the session one of Spark Connect
        return found  # whoever reads it says what is wrong
    holds = shorten(", ".join(names), 100) if names else "nothing"
    raise _refuse(f"{key}: got {path!r}, which holds no run and no saved model, but {holds}")


def _refuse(what: str) -> ModelFileError:
    error = ModelFileError(f"{what}; {_NEEDED}")
    error.remedy = "Correct the path, then run it again."
    return error
