"""Write a fitted mixture as an ONNX graph, check the file, and say what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import gmm_spark
from gmm_spark.core.formatting import show_bytes, show_name, show_number
from gmm_spark.errors import ConfigurationError
from gmm_spark.extras import require_extra
from gmm_spark.jobs.config.command_line import name_path
from gmm_spark.jobs.config.exports import ExportConfiguration
from gmm_spark.jobs.run.running import run
from gmm_spark.jobs.saved import locate_model
from gmm_spark.jobs.subjects import require_outside, write_file
from gmm_spark.storage.hadoop import files_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default that of the process, and end the process with its exit code."""
    run(export, ExportConfiguration, name_path(arguments, ExportConfiguration))


def export(spark: SparkSession, configuration: ExportConfiguration) -> None:
    """Read the model, write the graph, read it back and run it, and print what it takes and gives."""
    require_extra("onnx", "onnx", "export")
    from gmm_spark.interop.onnx_files import compare_scores, describe_graph

    files, target = files_of(spark), configuration.onnx
    found = locate_model(files, "path", configuration.path)
    model = gmm_spark.GaussianMixtureModel.load(found.path)
    title = show_name(found.path if found.run_id is None else f"run {found.run_id}")
    require_outside(files, "onnx", target, found)
    if files.exists(target) and not configuration.overwrite:
        raise ConfigurationError(
            f"onnx: got {target!r}, which is there already; name another file, or set overwrite to replace it"
        )
    graph = model.to_onnx(columns=configuration.columns).SerializeToString()
    if configuration.run.dry_run:
        print(f"export: would write {title} to {target}, {show_bytes(len(graph))}")
        return
    write_file(files, "onnx", target, graph)
    written = files.read_bytes(target, len(graph) + 1)
    difference = compare_scores(written, model.parameters, configuration.columns)
    print(f"export: {title}, written to {target}, {show_bytes(len(graph))}")
    if difference is None:
        print("not checked: onnxruntime is not installed (pip install onnxruntime)")
    else:
        near = f"within {show_number(difference, 1)} nats" if difference else "to the bit"
        print(f"checked with onnxruntime: the scores are the model's, log-densities {near}")
    print(describe_graph(written))
