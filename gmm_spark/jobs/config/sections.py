"""Sections of a TOML file that several jobs read, one frozen model each.

``--help`` prints the descriptions of the fields, and :mod:`gmm_spark.jobs.config.command_line` turns every field
into a flag. The types of the values are in :mod:`gmm_spark.jobs.config.fields`, the sections that one job alone
reads in :mod:`gmm_spark.jobs.config.jobs`. Defaults are those of :class:`gmm_spark.core.settings.Settings` and
:class:`gmm_spark.ml.defaults.Defaults`.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from gmm_spark.core.settings import Settings
from gmm_spark.jobs.config.fields import (
    Columns,
    ComponentNames,
    Count,
    CountOrZero,
    HandleInvalid,
    InitMode,
    Lineage,
    LogFormat,
    LogLevel,
    OptionalText,
    Options,
    Packing,
    Precision,
    RunId,
    Seconds,
    Seed,
    Share,
    Text,
    Tolerance,
    Umask,
    VarianceFloor,
    WeightKind,
    WriteMode,
)
from gmm_spark.ml.defaults import Defaults

# Spark's sources of files. Any other source, such as jdbc, can be named by its options alone.
FILE_FORMATS = frozenset({"avro", "binaryfile", "csv", "delta", "json", "orc", "parquet", "text", "xml"})


def both_or_neither(first: str, second: str, both: bool) -> PydanticCustomError:
    """Return the error for two keys of which exactly one is needed."""
    return PydanticCustomError(
        "both_given" if both else "none_given",
        "got {got}, needs exactly one of {first} and {second}",
        {"got": "both" if both else "neither", "first": first, "second": second},
    )


class Section(BaseModel):
    """A part of a configuration: frozen, and without unknown keys.

    Checks that involve several fields are validators of the last of them, not of the section: pydantic skips a
    section's validators if any field has a fault, and all faults are to be reported at once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSection(Section):
    """The table to read."""

    path: OptionalText = Field(None, description="Path to read, in Spark's notation. Either this or input.table.")
    format: Text = Field("parquet", description="Spark data source of input.path: parquet, orc, csv, json, jdbc, ...")
    options: Options = Field(
        {}, description="Options of the data source, as key=value. Never logged: they may hold passwords."
    )
    columns: OptionalText = Field(
        None,
        description="Columns and types of the files, as in SQL: 'id bigint, x double'. Of csv and json, whose columns "
        "are text, or guessed, without it. Not with input.table.",
    )
    allow_empty: bool = Field(
        False,
        description="Whether score may read a table without rows, and write one. Otherwise it ends with code 3. A fit "
        "needs rows in any case.",
    )
    where: OptionalText = Field(
        None,
        description="Condition in Spark SQL; only rows that meet it are read. It is code: Spark SQL can run any Java "
        "method (reflect, java_method). Never take it from someone you would not let run a program.",
    )
    table: OptionalText = Field(
        None, validate_default=True, description="Catalog table to read. Either this or input.path."
    )

    @field_validator("table")
    @classmethod
    def _require_one_source(cls, table: str | None, info: ValidationInfo) -> str | None:
        if {"path", "format"} <= info.data.keys():
            path, named_by_options = info.data["path"], info.data["format"].lower() not in FILE_FORMATS
            if (table and path) or not (table or path or named_by_options):
                raise both_or_neither("input.path", "input.table", both=bool(table))
        if table and info.data.get("columns"):
            raise both_or_neither("input.columns", "input.table", both=True)
        return table


class FeaturesSection(Section):
    """The columns that the mixture describes."""

    columns: Columns = Field(description="Numeric columns, or the name of one Vector or array column.")
    weight: OptionalText = Field(None, description="Column of row weights, at least 0. Without it every row counts 1.")
    weight_kind: WeightKind = Field(
        Settings.weight_kind,
        description="What weights mean: frequency (weight 2 is the row twice) or importance (only ratios count, and "
        "criteria take the effective number of rows).",
    )
    handle_invalid: HandleInvalid = Field(
        Defaults.handleInvalid,
        description="What to do with rows that have a null, NaN or infinite feature: error stops; skip and keep leave "
        "them out and count them; quarantine also writes them to output.quarantine. marginal takes null and NaN for "
        "missing values, and fits to what was observed; rows of which nothing was, or with an infinite value, are left "
        "out and counted.",
    )
    max_bad_fraction: Share = Field(
        1.0,
        description="Share of the rows that may be bad, if features.handle_invalid leaves them out. If more are, the "
        "job ends with code 3 before EM begins.",
    )


class FittingSection(Section):
    """How a mixture is fitted."""

    max_iter: Count = Field(Settings.max_iter, description="Maximum number of EM iterations.")
    tol: Tolerance = Field(
        Settings.tol,
        description="EM has converged if the mean log-likelihood per row (nats) changes by less than this.",
    )
    seed: Seed = Field(
        Settings.seed, description="Seed of everything random. The same seed on the same table gives the same model."
    )
    n_init: Count = Field(Settings.n_init, description="Number of starts; the best is kept.")
    init_mode: InitMode = Field(
        Settings.init_mode,
        description="How a start is drawn. k-means|| (quote it in a shell) adds rare rows of the table to the sample.",
    )
    reg_covar: Tolerance = Field(
        Settings.reg_covar,
        description="Least variance of a component along each feature, as a share of the feature's variance in the "
        "table. Rounded values raise it. 0 for none.",
    )
    variance_floor: VarianceFloor = Field(
        None,
        description="Least variance of a component along each feature, one number above 0 for each, in place of what "
        "model.reg_covar and the rounding of the values give.",
    )
    sample_rows: CountOrZero = Field(
        Settings.sample_rows,
        description="Size of the sample that starts are drawn from and first run on; 0 runs every start on the full "
        "table. The driver holds a table of no more rows, and makes short passes over it without Spark.",
    )
    accelerate: bool = Field(
        Settings.accelerate,
        description="Extrapolate EM's steps, and look ahead on the sample: the same fixed points in far fewer passes.",
    )
    precision: Precision = Field(
        Defaults.precision, description="Floating-point type of the matrix products over rows."
    )
    previous: OptionalText = Field(
        None,
        description="Saved model, or directory of runs, whose components keep their ids and names in the new model. By "
        "default the newest complete run of output.model; if there is none, model.initial_model. none begins anew.",
    )
    component_names: ComponentNames = Field(
        {}, description="Names of components, as id=name; later models keep them. Ids are in the run report."
    )
    packing: Packing = Field(
        Defaults.packing,
        description="What reads the rows. auto: the executors themselves if the input is plain Parquet files on disks "
        "that they share, without input.filter, and Spark otherwise; spark: always Spark; parquet: an error if Spark "
        "would have to. The model is the same to the bit; the run report tells what read the rows, and why.",
    )


class ModelOutputSection(Section):
    """Where the fitted model goes."""

    model: Text = Field(
        description="Directory of runs. Each run writes the model and its report to a directory of its own in it, "
        "run_id=...; readers take the newest that is complete."
    )
    report: OptionalText = Field(
        None, description="JSON file to copy the run report to, once the run is complete. The run keeps its own."
    )
    quarantine: OptionalText = Field(
        None,
        description="Directory for rows that are left out, with features.handle_invalid = quarantine: Parquet, a "
        "directory run_id=... for each run, all columns of the input, and _reason and _column.",
    )
    day: OptionalText = Field(
        None,
        description="Day of the latest rows, 2026-11-26 say. The model remembers it: the job update adds no day twice, "
        "and finds out how much time has passed since.",
    )
    portrait: bool = Field(
        True,
        description="End the fit with one more pass over the table, which takes a portrait of its rows beside the "
        "mixture: what the pictures of a report are drawn from. The run keeps it, as portrait.json.",
    )
    overwrite: bool = Field(False, description="Has no effect any more: a run replaces nothing. Take it out.")


class TableOutputSection(Section):
    """A table to write, in Parquet."""

    path: OptionalText = Field(
        None, description="Directory to write to; not that of the input. Either this or output.table."
    )
    mode: WriteMode = Field(
        "error",
        description="What to do if the table exists: error stops; overwrite replaces the partitions that are "
        "written, and no others, or all rows if there are no partitions; append adds rows.",
    )
    report: OptionalText = Field(None, description="JSON file to write the run report to.")
    table: OptionalText = Field(
        None, validate_default=True, description="Catalog table to write, as schema.table. Either this or output.path."
    )

    @field_validator("table")
    @classmethod
    def _require_one_target(cls, table: str | None, info: ValidationInfo) -> str | None:
        if "path" in info.data and bool(table) == bool(info.data["path"]):
            raise both_or_neither("output.path", "output.table", both=bool(table))
        return table


class RunSection(Section):
    """The run itself."""

    dry_run: bool = Field(
        False,
        description="Check everything that can be known before the work, print what the job would do, and write "
        "nothing. Also --dry-run.",
    )
    app_name: OptionalText = Field(None, description="Name of the Spark application.")
    spark: Options = Field(
        {}, description="Spark settings, as key=value; they override those of spark-submit. Never logged."
    )
    log: LogFormat | None = Field(
        None,
        description="Write a log to stderr, in place of the progress bar: text, or json, one object a line. By default "
        "only warnings are written, as text.",
    )
    log_level: LogLevel | None = Field(
        None, description="Least level that is written: debug, info, warning or error. By default info with run.log."
    )
    log_file: OptionalText = Field(
        None,
        description="File on the driver's disk for Spark's log and all stack traces, for its owner alone; appended to. "
        "By default a temporary file, which stays if the job fails; the last lines name it.",
    )
    verbose: bool = Field(
        False,
        description="Leave Spark's log and stack traces on stderr instead. Also --verbose. What the parameter verbose "
        "of the Python classes shows, run.log writes.",
    )
    umask: Umask = Field(
        "077",
        description='Permissions that new files and directories do not get, in octal digits, quoted: "077" keeps all '
        'outputs for their owner, Spark\'s too; "027" lets the group read them, "022" everybody. Empty: as the process '
        "and Hadoop have it. A spark.hadoop.fs.permissions.umask-mode of yours stands before the default. Object "
        "stores ignore it.",
    )
    lineage: Lineage = Field(
        False,
        description="Send OpenLineage events of the run, as OpenLineage's own configuration says (OPENLINEAGE_URL, "
        "openlineage.yml); needs the extra lineage. run.app_name names the job there.",
    )
    lineage_namespace: OptionalText = Field(
        None, description="Namespace of the job in OpenLineage. By default that of OPENLINEAGE_NAMESPACE, or default."
    )


class TableRunSection(RunSection):
    """The run itself."""

    id: RunId = Field(
        None,
        description="Name of the run, in the report, the log and the names of the files; a scheduler passes its date. "
        "With output.mode append, the rows of an earlier run of that name are replaced. By default the time and six "
        "random digits. Also --run-id.",
    )


class FitRunSection(RunSection):
    """The run itself."""

    id: RunId = Field(
        None,
        description="Name of the run; a scheduler passes its date. A complete run is not done again; one whose process "
        "has ended before goes on. By default the time and six random digits. Also --run-id.",
    )
    checkpoint_seconds: Seconds = Field(
        30.0,
        description="Seconds between notes of the passes made so far, beside the run. If its process dies, the next of "
        "the same run.id goes on from there. 0 makes a note after every pass.",
    )
    require_convergence: bool = Field(
        False, description="Exit with code 4, and write no model, if EM stops at model.max_iter."
    )
