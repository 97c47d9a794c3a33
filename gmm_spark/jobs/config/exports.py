"""The configuration of the job export."""

from __future__ import annotations

from importlib.util import find_spec
from typing import ClassVar

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from gmm_spark.jobs.config.fields import Text
from gmm_spark.jobs.config.jobs import JobConfiguration


class ExportConfiguration(JobConfiguration):
    """Write a fitted mixture as an ONNX graph: gmm-spark export PATH --onnx FILE.

    The graph is in float64. If onnxruntime is installed, the file is read back and run. Nothing is pickled.
    """

    job: ClassVar[str] = "export"
    leading: ClassVar[tuple[str, ...]] = ("path",)
    path: Text = Field(
        description="Directory of runs, of which the newest complete one is written; a run's own directory; or a saved "
        "model. May be given without its flag."
    )
    onnx: Text = Field(description="File to write. Needs the extra onnx.")
    columns: bool = Field(
        False,
        description="Whether each feature is an input of its own, (n, 1), under its name, in place of one input "
        "features (n, d).",
    )
    overwrite: bool = Field(False, description="Whether a file that is there already is replaced.")

    @field_validator("onnx")
    @classmethod
    def _require_onnx(cls, onnx: str) -> str:
        # Checked now: starting Spark takes seconds.
        if find_spec("onnx") is None:
            raise PydanticCustomError(
                "no_extra",
                "got {got}, needs onnx, which is not installed: pip install 'gmm-spark[onnx]'",
                {"got": repr(onnx)},
            )
        return onnx
