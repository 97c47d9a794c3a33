"""The configuration of each job, and the sections that only one job reads."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import PurePath
from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from gmm_spark.core.settings import Settings
from gmm_spark.jobs.config.fields import (
    Columns,
    Count,
    Counts,
    CovarianceType,
    CovarianceTypes,
    Criterion,
    Flags,
    Fraction,
    HandleInvalid,
    Limit,
    Moment,
    OptionalText,
    Precision,
    ProperFraction,
    RatioLimit,
    Seed,
    Share,
    Text,
)
from gmm_spark.jobs.config.sections import (
    FeaturesSection,
    FitRunSection,
    FittingSection,
    InputSection,
    ModelOutputSection,
    RunSection,
    Section,
    TableOutputSection,
    TableRunSection,
    both_or_neither,
)
from gmm_spark.ml.defaults import Defaults

PICTURES = frozenset({".pdf", ".png", ".svg"})


class JobConfiguration(Section):
    """What every job's configuration has, the job's own name, and the keys whose values may lead the command line."""

    job: ClassVar[str]
    leading: ClassVar[tuple[str, ...]] = ()
    run: RunSection = RunSection()


# fit


class ShapeSection(Section):
    """What the mixture is made of."""

    k: Count = Field(Settings.k, description="Number of components.")
    covariance_type: CovarianceType = Field(
        Settings.covariance_type,
        description="Shape of the components: full (any ellipsoid), tied (the same ellipsoid for all), diag (axes "
        "along the features), spherical (balls).",
    )
    noise: bool = Field(
        Settings.noise,
        description="Add a component of constant density over the table's box, for rows that belong to no other, such "
        "as outliers. Its number is k, the last.",
    )


class MixtureSection(FittingSection, ShapeSection):  # pydantic lists the fields of the last base first
    """The mixture and how it is fitted."""

    initial_model: OptionalText = Field(
        None,
        description="Saved model to start from, instead of model.init_mode. Of a directory of runs, such as "
        "output.model itself, the newest complete one. k, covariance_type and noise stay as they are in it; "
        "model.noise adds noise to one without.",
    )
    initial_model_optional: bool = Field(
        False,
        description="Draw starts if there is no model at model.initial_model yet, as on the first day of a schedule. A "
        "damaged one ends the job all the same.",
    )
    initial_parameters: OptionalText = Field(
        None,
        description="JSON file with covariance_type, weights, means, covariances and perhaps noise to start from. Not "
        "with model.initial_model.",
    )

    @field_validator("initial_parameters")
    @classmethod
    def _refuse_two_starts(cls, parameters: str | None, info: ValidationInfo) -> str | None:
        if parameters and info.data.get("initial_model"):
            raise PydanticCustomError(
                "both_given", "got both, needs at most one of model.initial_model and model.initial_parameters"
            )
        return parameters


class FitConfiguration(JobConfiguration):
    """Fit a Gaussian mixture to a table and save the model."""

    job: ClassVar[str] = "fit"
    input: InputSection
    features: FeaturesSection
    model: MixtureSection = MixtureSection()
    output: ModelOutputSection
    run: FitRunSection = FitRunSection()


# select


class GridSection(Section):
    """The mixtures to choose from."""

    ks: Counts = Field(description="Numbers of components to try.")
    covariance_types: CovarianceTypes = Field(
        [Settings.covariance_type], description="Shapes to try, each with every k: full, tied, diag, spherical."
    )
    noises: Flags = Field(
        [Settings.noise],
        description="Try mixtures without noise (false), with noise (true; see model.noise of fit), or both, each with "
        "every k and shape.",
    )
    validation_fraction: Fraction = Field(
        Defaults.validationFraction,
        description="Fraction of the rows to hold out from every fit, below 1. Which rows depends on their features "
        "and on model.seed.",
    )
    criterion: Criterion = Field(
        Defaults.criterion,
        description="What decides: the smallest bic, aic or icl on the fitted rows, or the largest mean "
        "log-likelihood of the held-out rows (heldout).",
    )

    @field_validator("criterion")
    @classmethod
    def _require_held_out_rows(cls, criterion: str, info: ValidationInfo) -> str:
        if criterion == "heldout" and info.data.get("validation_fraction") == 0:
            raise PydanticCustomError(
                "nothing_held_out", "got 'heldout', needs selection.validation_fraction above 0, 0.2 say"
            )
        return criterion


class SelectOutputSection(ModelOutputSection):
    """Where the best model and the comparison go."""

    results: OptionalText = Field(
        None, description="Has gone: the table of all mixtures is in the run, in the folder mixtures. Take it out."
    )
    plot: OptionalText = Field(
        None,
        description="PNG, SVG or PDF file to plot the criterion in, against k for each shape; needs the extra plot. "
        "The run keeps its own.",
    )

    @field_validator("results")
    @classmethod
    def _refuse_results(cls, results: str | None) -> str | None:
        # Refused, not passed over: whoever reads that directory would read old results from now on.
        if results is not None:
            raise PydanticCustomError(
                "gone",
                "got {got}, which is no longer written: each run keeps the table of its mixtures, in "
                "<output.model>/run_id=.../attempt-.../mixtures; take the key out, and let readers look there",
                {"got": repr(results)},
            )
        return results

    @field_validator("plot")
    @classmethod
    def _require_plotting(cls, plot: str | None) -> str | None:
        # Checked now: the plot is drawn after the fits, and a fault found then would waste them.
        if plot is not None and PurePath(plot).suffix.lower() not in PICTURES:
            raise PydanticCustomError(
                "no_picture", "got {got}, needs a name that ends in .png, .svg or .pdf", {"got": repr(plot)}
            )
        missing = [name for name in ("altair", "vl_convert") if find_spec(name) is None] if plot is not None else []
        if missing:
            raise PydanticCustomError(
                "no_extra",
                "got {got}, needs {missing}, which is not installed: pip install 'gmm-spark[plot]', or leave it out",
                {"got": repr(plot), "missing": missing[0]},
            )
        return plot


class SelectConfiguration(JobConfiguration):
    """Fit mixtures of several k and shapes in shared passes over a table, and save the best."""

    job: ClassVar[str] = "select"
    input: InputSection
    features: FeaturesSection
    selection: GridSection
    model: FittingSection = FittingSection()
    output: SelectOutputSection
    run: FitRunSection = FitRunSection()


# score


class ScoreFeaturesSection(Section):
    """The columns that the model scores."""

    columns: Columns | None = Field(None, description="As in fit. By default the columns that the model was fitted on.")
    handle_invalid: HandleInvalid = Field(
        Defaults.handleInvalid,
        description="What to do with rows that have a null, NaN or infinite feature: error stops, skip drops them, "
        "keep writes them with null outputs, quarantine drops them and writes them to output.quarantine. marginal "
        "takes null and NaN for missing values, and scores rows by their other features; rows without any, or with an "
        "infinite one, are written with null outputs.",
    )
    max_bad_fraction: Share = Field(
        1.0,
        description="Share of the rows that may be bad, unless features.handle_invalid is error. If more are, the "
        "job ends with code 3, and the old table stays.",
    )


class ScoreOutputSection(TableOutputSection):
    """The scored table, in Parquet."""

    partition_by: list[Text] = Field([], description="Columns to partition the files by.")
    quarantine: OptionalText = Field(
        None,
        description="Directory for rows that are left out, with features.handle_invalid = quarantine: Parquet, a "
        "directory run_id=... for each run, all columns of the input, and _reason and _column.",
    )
    columns: Columns = Field(["*"], description="Columns of the input to keep; * is all of them.")
    impute: str = Field(
        "",
        description="Suffix of columns with missing values filled in by what the mixture expects given the row's other "
        "features, _imputed say: one for each feature, beside the features' own. Needs features.handle_invalid = "
        "marginal. Empty: not written.",
    )
    prediction: str = Field("prediction", description="Column of the likeliest component; empty: not written.")
    component_id: str = Field(
        "",
        description="Column of the id of the likeliest component, which, unlike its number, stays the same after "
        "refits; empty: not written.",
    )
    log_density: str = Field("log_density", description="Column of log p(row) in nats; empty: not written.")
    anomaly: str = Field(
        "", description="Column that flags rows less likely than nearly all training rows; empty: not written."
    )
    anomaly_fraction: ProperFraction = Field(
        Defaults.anomalyFraction,
        description="Fraction of the training rows, the least likely ones, that output.anomaly would flag.",
    )
    reasons: str = Field(
        "",
        description="Column that says why such rows are anomalies: the three features that contribute most, with how "
        "many standard deviations each is off, given the others; null for other rows. Empty: not written.",
    )
    probability: str = Field(
        "", validate_default=True, description="Column of the k responsibilities; empty: not written."
    )

    @field_validator("columns")
    @classmethod
    def _refuse_star_and_names(cls, columns: list[str]) -> list[str]:
        if "*" in columns and len(columns) > 1:
            raise PydanticCustomError(
                "star_and_names", "got {got}, needs * alone, which keeps all columns, or names", {"got": repr(columns)}
            )
        return columns

    @field_validator("probability")
    @classmethod
    def _require_distinct_outputs(cls, probability: str, info: ValidationInfo) -> str:
        others = ("prediction", "component_id", "log_density", "anomaly")
        names = [name for name in (probability, *map(info.data.get, others)) if name]
        if not names and {*others} <= info.data.keys():  # reasons are null for most rows, and tell of no others
            raise PydanticCustomError(
                "no_output",
                "got no output column, needs one of output.prediction, .component_id, .log_density, .anomaly and "
                ".probability",
            )
        names += [reasons] if (reasons := info.data.get("reasons")) else []
        if len(set(names)) < len(names):
            raise PydanticCustomError("same_output", "got the name of another output column, needs its own")
        return probability


class DriftSection(Section):
    """Comparison of the table's rows with the model's training rows, and limits that end the job with code 6."""

    compare: bool | None = Field(
        None,
        description="Compare the rows with the model's training rows while they are scored, for the report. It takes "
        "about a fifth of the time of a job that does little else. By default only if there is a limit.",
    )
    stop: Moment = Field(
        "after",
        description="When to end with code 6 if a limit is exceeded: after the table is published, or before, so that "
        "the old one stays.",
    )
    max_psi: Limit = Field(
        None,
        description="Limit on the population stability index of the components' shares. By custom 0.1 is worth a look "
        "and 0.25 a change.",
    )
    max_mean_shift: Limit = Field(
        None, description="Limit on the shift of a feature's mean, in standard deviations of training; 0.5, say."
    )
    max_spread_ratio: RatioLimit = Field(
        None,
        description="Limit on a feature's standard deviation over that in training, or the other way round; 1.5, say.",
    )
    max_log_density_drop: Limit = Field(
        None, description="Limit on how much lower than in training the mean log-density is, in nats; 0.5, say."
    )
    max_below_ratio: RatioLimit = Field(
        None,
        description="Limit on the share of rows that are less likely than the training quantiles 0.001, 0.01, 0.1, 0.5 "
        "and 0.9, as a multiple of the share in training; 3, say.",
    )
    max_missing_change: Limit = Field(
        None,
        validate_default=True,
        description="Limit on how much more often, or less often, than in training a feature is missing, as a share of "
        "the rows; 0.1, say. Only with features.handle_invalid = marginal.",
    )

    @field_validator("max_missing_change")
    @classmethod
    def _require_comparison(cls, change: float | None, info: ValidationInfo) -> float | None:
        others = ("max_psi", "max_mean_shift", "max_spread_ratio", "max_log_density_drop", "max_below_ratio")
        if info.data.get("compare") is False and any((change, *map(info.data.get, others))):
            raise PydanticCustomError("not_compared", "got limits with drift.compare = false; needs it to be true")
        return change


class ScoreConfiguration(JobConfiguration):
    """Score a table with a saved model: component, log-density and, if asked, responsibilities of every row."""

    job: ClassVar[str] = "score"
    model: Text = Field(description="Directory of the saved model.")
    input: InputSection
    features: ScoreFeaturesSection = ScoreFeaturesSection()
    output: ScoreOutputSection
    drift: DriftSection = DriftSection()
    run: TableRunSection = TableRunSection()

    @field_validator("output")
    @classmethod
    def _require_missing_values(cls, output: ScoreOutputSection, info: ValidationInfo) -> ScoreOutputSection:
        features = info.data.get("features")
        if output.impute and features is not None and features.handle_invalid != "marginal":
            raise PydanticCustomError(
                "not_marginal",
                "output.impute: got {got}, needs features.handle_invalid = marginal, not {handling}",
                {"got": repr(output.impute), "handling": features.handle_invalid},
            )
        return output


# sample


class SampleOutputSection(TableOutputSection):
    """The sampled table, in Parquet."""

    columns: Columns | None = Field(
        None,
        description="One numeric column per feature. By default the names that the model was fitted on, if it has any.",
    )
    vector: OptionalText = Field(
        None, validate_default=True, description="Name of one array column instead. Not with output.columns."
    )
    component: Text = Field("component", description="Column of the component that a row was drawn from.")
    partitions: Count | None = Field(None, description="Number of Spark tasks. The rows do not depend on it.")
    precision: Precision = Field("float64", description="Type of the features: float64 (double) or float32 (float).")

    @field_validator("vector")
    @classmethod
    def _refuse_columns_and_vector(cls, vector: str | None, info: ValidationInfo) -> str | None:
        if vector and info.data.get("columns"):
            raise PydanticCustomError("not_both", "got both, needs output.columns or output.vector, or neither")
        return vector


class SampleConfiguration(JobConfiguration):
    """Draw rows from a saved model, or from parameters in a JSON file, ordered by component."""

    job: ClassVar[str] = "sample"
    parameters: OptionalText = Field(
        None,
        description="JSON file with covariance_type, weights, means, covariances and perhaps noise. Either this or "
        "model.",
    )
    model: OptionalText = Field(
        None, validate_default=True, description="Directory of a saved model. Either this or parameters."
    )
    n: Count = Field(description="Number of rows to draw.")
    seed: Seed = Field(0, description="Seed. The same seed gives the same rows, in any number of partitions.")
    output: SampleOutputSection
    run: TableRunSection = TableRunSection()

    @field_validator("model")
    @classmethod
    def _require_one_source(cls, model: str | None, info: ValidationInfo) -> str | None:
        if "parameters" in info.data and bool(model) == bool(info.data["parameters"]):
            raise both_or_neither("model", "parameters", both=bool(model))
        return model
