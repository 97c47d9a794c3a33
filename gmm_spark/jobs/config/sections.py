"""What each job can be told: one frozen model per section of its TOML file.

Field descriptions are the reference: ``--help`` prints them, and :mod:`gmm_spark.jobs.config.command_line` makes
one flag of every field. The enumerations and checks of single values are in :mod:`gmm_spark.jobs.config.fields`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import PurePath
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from gmm_spark.jobs.config.fields import (
    Columns,
    Count,
    CountOrZero,
    Counts,
    CovarianceType,
    CovarianceTypes,
    Criterion,
    Fraction,
    HandleInvalid,
    InitMode,
    OptionalText,
    Options,
    Precision,
    ProperFraction,
    Seed,
    Text,
    Tolerance,
    WriteMode,
)

PICTURES = frozenset({".pdf", ".png", ".svg"})
FILE_FORMATS = frozenset({"avro", "binaryfile", "csv", "delta", "json", "orc", "parquet", "text", "xml"})


def _both(first: str, second: str) -> PydanticCustomError:
    return PydanticCustomError(
        "both_given", "got both, needs at most one of {first} and {second}", {"first": first, "second": second}
    )


def _both_or_neither(first: str, second: str, both: bool) -> PydanticCustomError:
    return PydanticCustomError(
        "both_given" if both else "none_given",
        "got {got}, needs exactly one of {first} and {second}",
        {"got": "both" if both else "neither", "first": first, "second": second},
    )


class Section(BaseModel):
    """A part of a configuration: frozen, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSection(Section):
    """The table to read."""

    path: OptionalText = Field(None, description="Path to read, in Spark's notation. Either this or input.table.")
    format: Text = Field("parquet", description="Spark data source of input.path: parquet, orc, csv, json, jdbc, ...")
    options: Options = Field(
        {}, description="Options of the data source, as key=value. Never logged: they may hold passwords."
    )
    where: OptionalText = Field(
        None,
        description="Spark SQL condition; rows for which it does not hold are left out. It is code: Spark SQL can "
        "run any Java method (reflect, java_method). Never take it from someone you would not let run a program.",
    )
    table: OptionalText = Field(
        None, validate_default=True, description="Catalog table to read. Either this or input.path."
    )

    @field_validator("table")
    @classmethod
    def _one_source(cls, table: str | None, info: ValidationInfo) -> str | None:
        # A field's validator, not the section's: those are not run when another field has a fault, and all
        # faults are to be told at once. A source such as jdbc has neither path nor table; its options name it.
        if {"path", "format"} <= info.data.keys():
            path, named_by_options = info.data["path"], info.data["format"].lower() not in FILE_FORMATS
            if (table and path) or not (table or path or named_by_options):
                raise _both_or_neither("input.path", "input.table", both=bool(table))
        return table


class FeaturesSection(Section):
    """The columns that the mixture describes."""

    columns: Columns = Field(description="Numeric columns, or the name of one Vector or array column.")
    weight: OptionalText = Field(None, description="Column of row weights, at least 0. All rows count 1 without it.")
    handle_invalid: HandleInvalid = Field(
        "error",
        description="Rows with a null, NaN or infinite feature: error stops; skip and keep leave them out, counted.",
    )


class ShapeSection(Section):
    """What the mixture is made of."""

    k: Count = Field(2, description="Number of components.")
    covariance_type: CovarianceType = Field(
        "full",
        description="Shape of the components: full (any ellipsoid), tied (the same one for all), diag (axes along "
        "the features), spherical (balls).",
    )


class FittingSection(Section):
    """How a mixture is fitted."""

    max_iter: Count = Field(100, description="Most EM iterations.")
    tol: Tolerance = Field(
        1e-4, description="Converged when the mean log-likelihood per row (nats) changes by less than this."
    )
    seed: Seed = Field(0, description="Seed of everything random. The same seed on the same table: the same model.")
    n_init: Count = Field(10, description="Number of starts, of which the best is kept.")
    init_mode: InitMode = Field(
        "k-means++",
        description="How a start is drawn; k-means|| (to be quoted in a shell) completes the sample by rare rows.",
    )
    reg_covar: Tolerance = Field(
        1e-6, description="Added to the variances, as a fraction of each feature's variance in the table."
    )
    sample_rows: CountOrZero = Field(
        100_000, description="Rows that starts are drawn from and first run on; 0: every start on the full table."
    )
    accelerate: bool = Field(
        True, description="Look ahead on the sample and extrapolate: the same fixed points in far fewer passes."
    )
    precision: Precision = Field("float64", description="Arithmetic of the products over rows.")


class MixtureSection(FittingSection, ShapeSection):  # pydantic takes the fields of the last base first
    """The mixture and how it is fitted."""

    initial_model: OptionalText = Field(None, description="Saved model to start from, instead of model.init_mode.")
    initial_parameters: OptionalText = Field(
        None,
        description="JSON file with covariance_type, weights, means and covariances to start from. Not with "
        "model.initial_model.",
    )

    @field_validator("initial_parameters")
    @classmethod
    def _one_start(cls, parameters: str | None, info: ValidationInfo) -> str | None:
        if parameters and info.data.get("initial_model"):
            raise _both("model.initial_model", "model.initial_parameters")
        return parameters


class ModelOutputSection(Section):
    """Where the fitted model goes."""

    model: Text = Field(description="Directory to write the model to.")
    report: OptionalText = Field(None, description="JSON file to write the run report to.")
    overwrite: bool = Field(False, description="Replace a model that is there. The old one stays if the run fails.")


class GridSection(Section):
    """The mixtures to choose from."""

    ks: Counts = Field(description="Numbers of components to try.")
    covariance_types: CovarianceTypes = Field(
        ["full"], description="Shapes to try, each with every k: full, tied, diag, spherical."
    )
    validation_fraction: Fraction = Field(
        0.0,
        description="Share of the rows that no mixture is fitted to, below 1; which ones follows from their features "
        "and model.seed.",
    )
    criterion: Criterion = Field(
        "bic",
        description="What decides: the smallest bic, aic or icl on the fitted rows, or the largest mean "
        "log-likelihood of the rows held out (heldout).",
    )

    @field_validator("criterion")
    @classmethod
    def _rows_to_judge_by(cls, criterion: str, info: ValidationInfo) -> str:
        if criterion == "heldout" and info.data.get("validation_fraction") == 0:
            raise PydanticCustomError(
                "nothing_held_out", "got 'heldout', needs selection.validation_fraction above 0, 0.2 say"
            )
        return criterion


class SelectOutputSection(ModelOutputSection):
    """Where the chosen model goes, and what it was chosen from."""

    results: OptionalText = Field(None, description="Directory to write the table of all mixtures to, in Parquet.")
    plot: OptionalText = Field(
        None, description="PNG, SVG or PDF file to draw the criterion to, by k for each shape; needs matplotlib."
    )

    @field_validator("plot")
    @classmethod
    def _drawable(cls, plot: str | None) -> str | None:
        # Here, not where it is drawn: that is after the fits.
        if plot is not None and PurePath(plot).suffix.lower() not in PICTURES:
            raise PydanticCustomError(
                "no_picture", "got {got}, needs a name that ends in .png, .svg or .pdf", {"got": repr(plot)}
            )
        if plot is not None and find_spec("matplotlib") is None:
            raise PydanticCustomError(
                "no_matplotlib",
                "got {got}, needs matplotlib, which is not installed: pip install 'gmm-spark[plot]', or leave it out",
                {"got": repr(plot)},
            )
        return plot


class RunSection(Section):
    """The run itself."""

    app_name: OptionalText = Field(None, description="Name of the Spark application.")
    spark: Options = Field({}, description="Spark settings, as key=value; they win over spark-submit's. Never logged.")


class FitRunSection(RunSection):
    """The run itself."""

    require_convergence: bool = Field(
        False, description="Exit with code 4, and write no model, when EM stops at model.max_iter."
    )


class ScoreFeaturesSection(Section):
    """The columns that the model scores."""

    columns: Columns | None = Field(None, description="As in fit; by default those that the model was fitted on.")
    handle_invalid: HandleInvalid = Field(
        "error",
        description="Rows with a null, NaN or infinite feature: error stops, skip drops them, keep writes them with "
        "null outputs.",
    )


class ScoreOutputSection(Section):
    """The scored table, in Parquet."""

    path: Text = Field(description="Directory to write to. It may be the input's own when mode is overwrite.")
    mode: WriteMode = Field("error", description="What to do when output.path is there.")
    partition_by: list[Text] = Field([], description="Columns to partition the files by.")
    columns: Columns = Field(["*"], description="Columns of the input to keep; * is all of them.")
    prediction: str = Field("prediction", description="Column of the likeliest component; empty: not written.")
    log_density: str = Field("log_density", description="Column of log p(row) in nats; empty: not written.")
    anomaly: str = Field(
        "", description="Column of whether the row is less likely than nearly all training rows; empty: not written."
    )
    anomaly_fraction: ProperFraction = Field(
        0.001, description="Share of the training rows, the least likely ones, that output.anomaly is set for."
    )
    probability: str = Field(
        "",
        validate_default=True,
        description="Column of the k responsibilities; empty: not written.",
    )
    report: OptionalText = Field(None, description="JSON file to write the run report to.")

    @field_validator("probability")
    @classmethod
    def _some_distinct_outputs(cls, probability: str, info: ValidationInfo) -> str:
        others = ("prediction", "log_density", "anomaly")
        names = [name for name in (probability, *map(info.data.get, others)) if name]
        if not names and {*others} <= info.data.keys():
            raise PydanticCustomError(
                "no_output",
                "got no output column, needs one of output.prediction, .log_density, .anomaly and .probability",
            )
        if len(set(names)) < len(names):
            raise PydanticCustomError("same_output", "got the name of another output column, needs its own")
        return probability


class SampleOutputSection(Section):
    """The sampled table, in Parquet."""

    path: Text = Field(description="Directory to write to.")
    mode: WriteMode = Field("error", description="What to do when output.path is there.")
    columns: Columns | None = Field(
        None, description="One numeric column per feature. By default the names the model was fitted on, if it has any."
    )
    vector: OptionalText = Field(
        None, validate_default=True, description="One array column instead, of this name. Not with output.columns."
    )
    component: Text = Field("component", description="Column of the component that a row was drawn from.")
    partitions: Count | None = Field(None, description="Number of Spark tasks. The rows do not depend on it.")
    precision: Precision = Field("float64", description="Type of the features: float64 (double) or float32 (float).")
    report: OptionalText = Field(None, description="JSON file to write the run report to.")

    @field_validator("vector")
    @classmethod
    def _columns_or_vector(cls, vector: str | None, info: ValidationInfo) -> str | None:
        if vector and info.data.get("columns"):
            raise PydanticCustomError("not_both", "got both, needs output.columns or output.vector, or neither")
        return vector


class JobConfiguration(Section):
    """What every job's configuration has, and the job's own name."""

    job: ClassVar[str]
    run: RunSection = RunSection()


class FitConfiguration(JobConfiguration):
    """Fit a Gaussian mixture to a table and save the model."""

    job: ClassVar[str] = "fit"
    input: InputSection
    features: FeaturesSection
    model: MixtureSection = MixtureSection()
    output: ModelOutputSection
    run: FitRunSection = FitRunSection()


class SelectConfiguration(JobConfiguration):
    """Fit mixtures of several k and shapes in shared passes over a table, and save the best."""

    job: ClassVar[str] = "select_model"  # jobs/select.py would hide Python's own module select
    input: InputSection
    features: FeaturesSection
    selection: GridSection
    model: FittingSection = FittingSection()
    output: SelectOutputSection
    run: FitRunSection = FitRunSection()


class ScoreConfiguration(JobConfiguration):
    """Score a table with a saved model: component, log-density and, if asked, responsibilities of every row."""

    job: ClassVar[str] = "score"
    model: Text = Field(description="Directory of the saved model.")
    input: InputSection
    features: ScoreFeaturesSection = ScoreFeaturesSection()
    output: ScoreOutputSection


class SampleConfiguration(JobConfiguration):
    """Draw rows from a saved model, or from parameters in a JSON file, ordered by component."""

    job: ClassVar[str] = "sample"
    parameters: OptionalText = Field(
        None,
        description="JSON file with covariance_type, weights, means and covariances. Either this or model.",
    )
    model: OptionalText = Field(
        None, validate_default=True, description="Directory of a saved model. Either this or parameters."
    )
    n: Count = Field(description="Number of rows to draw.")
    seed: Seed = Field(0, description="Seed. The same seed: the same rows, in any number of partitions.")
    output: SampleOutputSection

    @field_validator("model")
    @classmethod
    def _one_source(cls, model: str | None, info: ValidationInfo) -> str | None:
        if "parameters" in info.data and bool(model) == bool(info.data["parameters"]):
            raise _both_or_neither("model", "parameters", both=bool(model))
        return model
