"""How to use the model: in Python, in SQL, and by the jobs."""

from __future__ import annotations

from gmm_spark.core.formatting import quote_word
from gmm_spark.report.blocks import Block, Code, Section, Text
from gmm_spark.report.subject import Subject

# Where a model in memory may be saved.
_SAVED = "models/mine"


def describe_usage(subject: Subject) -> Section:
    """Say how to use the model. What is copied from here names the model by its path, quoted for where it goes."""
    path, plain = repr(subject.model_path or _SAVED), quote_word(subject.model_path or _SAVED)
    incomplete = subject.facts["configuration"]["features"].text("handle_invalid") == "marginal"
    handled = " --features.handle_invalid marginal" if incomplete else ""
    # Rows that belong nowhere are noise's own, and most of them are alike in density: no threshold parts them.
    noisy = subject.parameters.noise is not None
    by_column = "" if noisy else '.setAnomalyCol("is_anomaly").setAnomalyFraction(0.001)'
    by_key = "" if noisy else " --output.anomaly is_anomaly"
    by_method = "" if noisy else ", mixture.is_anomaly(rows)"
    appended = (
        "probability, prediction and log_density" if noisy else "probability, prediction, log_density and is_anomaly"
    )
    # ONNX files know neither missing values nor noise.
    as_onnx = Code(
        "As ONNX, for other languages (pip install 'gmm-spark[onnx]')",
        f"gmm-spark export {plain} --onnx mixture.onnx",
    )
    first = [] if subject.model_path else [Code("Save it first", f"model.save({path})")]
    blocks: list[Block] = [
        *first,
        Text(
            "The model reads the columns that it was fitted on, by name. The path is that of this run alone; of the "
            "directory of runs above it, the newest complete run is read."
        )
        if subject.run_id is not None
        else Text("The model reads the columns that it was fitted on, by name."),
        Code(
            "In Python, on a DataFrame of Spark",
            "from gmm_spark import GaussianMixtureModel\n\n"
            f"model = GaussianMixtureModel.load({path})\n"
            f'model.setLogDensityCol("log_density"){by_column}\n'
            f"scored = model.transform(table)  # appends {appended}",
        ),
        Code(
            "In SQL, once the table is scored",
            'scored.createOrReplaceTempView("scored")\n'
            'spark.sql("SELECT prediction, count(*) AS n, avg(log_density) FROM scored GROUP BY prediction").show()',
        ),
        Code(
            "By the job, for a scheduler",
            f"gmm-spark score --model {plain} --input.path TABLE --output.path SCORED{by_key}{handled}",
        ),
        Code(
            "Without Spark, in a service",
            "from gmm_spark import Mixture\n\n"
            f"mixture = Mixture.load({path})  # a path of this machine\n"
            f"mixture.predict(rows), mixture.log_density(rows){by_method}  # numpy, pandas or Arrow",
        ),
        *([] if incomplete or noisy else [as_onnx]),
        Code("Rows that look like the table", f"gmm-spark sample --model {plain} --n 100000 --output.path SAMPLED"),
        *_warn_of_drawn_rows(subject),
    ]
    return Section("use", "How to use it", blocks)


def _warn_of_drawn_rows(subject: Subject) -> list[Block]:
    """Say which drawn rows no table would have."""
    if not subject.overreach:
        return []
    text = f"Some drawn rows have values that no row has: {subject.overreach}. Drop those that are impossible."
    return [Text(text, "look")]
