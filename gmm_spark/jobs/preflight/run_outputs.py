"""Where fit, select and update write: their runs, and the copies of files that follow a complete run."""

from __future__ import annotations

from typing import TypeAlias

from gmm_spark.errors import RunHeldError
from gmm_spark.jobs.config.jobs import FitConfiguration, SelectConfiguration
from gmm_spark.jobs.config.updates import UpdateConfiguration
from gmm_spark.jobs.io.outputs import require_apart, require_writable_file, require_writable_folder
from gmm_spark.jobs.preflight.faults import Faults
from gmm_spark.jobs.preflight.plan import Plan
from gmm_spark.storage.files import Files
from gmm_spark.storage.runs import PREFIX, State, look_at_run, name_directory, require_output

Configuration: TypeAlias = FitConfiguration | SelectConfiguration | UpdateConfiguration


def check_outputs(faults: Faults, files: Files, configuration: Configuration) -> None:
    """Find outputs that could not be written later, or that would lie in each other or in the input."""
    output, source = configuration.output, configuration.input.path
    faults.passes(require_apart, files, "output.model", output.model, "input.path", source)
    if faults.passes(require_output, files, "output.model", output.model):
        faults.passes(require_writable_folder, files, "output.model", output.model)
    for key, path in _list_copies(configuration).items():
        faults.passes(require_apart, files, key, path, "input.path", source)
        faults.passes(require_apart, files, key, path, "output.model", output.model)
        faults.passes(require_writable_file, files, key, path)


def plan_outputs(plan: Plan, files: Files, configuration: Configuration, run_id: str) -> None:
    """Add to a plan what is written where.

    Raises
    ------
    RunHeldError
        If another process works on the run of that id.
    """
    output = configuration.output
    found = look_at_run(files, output.model, PREFIX + run_id)
    if found is not None and found.state is State.RUNNING:
        raise RunHeldError(f"run {run_id} in {output.model} is held by another process: {found.about}")
    told = "a new run" if found is None else f"begun before, and {found.state.value} ({found.about}): goes on"
    plan.add("output", f"{name_directory(output.model, run_id)}: {told}")
    if configuration.run.id is None:
        plan.add("output", "the job itself has another id, of its own time; --run-id names it")
    for key, path in _list_copies(configuration).items():
        plan.add("output", f"{path} ({key}): {'replaced' if files.exists(path) else 'a new file'}, once it is complete")


def _list_copies(configuration: Configuration) -> dict[str, str]:
    """Return the files that are copied once the run is complete, by their keys."""
    output = configuration.output
    found = {"output.report": output.report, "output.plot": getattr(output, "plot", None)}
    return {key: path for key, path in found.items() if path is not None}
