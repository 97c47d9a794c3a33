"""Draw rows from a saved model or from given parameters.

``spark-submit jobs/sample.py --config conf/sample.toml`` or ``python jobs/sample.py …``; ``--help`` lists every key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from gmm_spark.jobs.config.sections import SampleConfiguration
from gmm_spark.jobs.io.parameter_files import read_parameters
from gmm_spark.jobs.io.publishing import require_publishable
from gmm_spark.jobs.io.tables import write_table
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.jobs.run.running import run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from gmm_spark import GaussianMixtureModel


def sample(spark: SparkSession, configuration: SampleConfiguration) -> None:
    """Load the mixture, draw from it, publish the rows and the report."""
    output = configuration.output
    report = RunReport(configuration)
    if output.mode != "append":
        overwrite = output.mode == "overwrite"
        require_publishable(spark, "output.path", output.path, overwrite, 'output.mode = "overwrite"')
    model = mixture(spark, configuration)
    columns = output.columns or (None if output.vector else model.featureNames)
    rows = model.sample(
        spark,
        configuration.n,
        configuration.seed,
        outputCols=columns,
        featuresCol=output.vector or "features",
        componentCol=output.component,
        numPartitions=output.partitions,
        precision=output.precision,
    )
    with report.timed("sample"):
        write_table(rows, output.path, output.mode)
    report.add("rows", written=configuration.n)
    report.add("mixture", **model.parameters.to_dict())
    report.write(spark, output.report)
    print(f"sample: {configuration.n:,} rows drawn from {len(model.weights)} components; table in {output.path}")


def mixture(spark: SparkSession, configuration: SampleConfiguration) -> GaussianMixtureModel:
    """Return the model that the configuration names, saved or written down as JSON."""
    # Here, not above: faults in a configuration are told before Spark is loaded.
    from gmm_spark import GaussianMixtureModel

    if configuration.model is not None:
        return GaussianMixtureModel.load(configuration.model)
    return GaussianMixtureModel(read_parameters(spark, "parameters", str(configuration.parameters)))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the job with a command line, by default the process's own, and end the process with its exit code."""
    run(sample, SampleConfiguration, arguments)
