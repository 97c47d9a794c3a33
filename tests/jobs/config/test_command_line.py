"""Configurations are read from files and flags, and all their faults are reported at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from gmm_spark.errors import ConfigurationError
from gmm_spark.jobs.command import find_script
from gmm_spark.jobs.config import fields
from gmm_spark.jobs.config.command_line import load, name_path
from gmm_spark.jobs.config.jobs import (
    FitConfiguration,
    JobConfiguration,
    SampleConfiguration,
    ScoreConfiguration,
    SelectConfiguration,
)
from gmm_spark.jobs.config.secrets import find_secrets, redact
from gmm_spark.jobs.config.updates import UpdateConfiguration
from gmm_spark.jobs.config.upkeep import PruneConfiguration, RunsConfiguration
from gmm_spark.jobs.exits import ExitCode

ROOT = Path(__file__).parents[3]
JOBS: dict[str, type[JobConfiguration]] = {
    "fit": FitConfiguration,
    "select": SelectConfiguration,
    "update": UpdateConfiguration,
    "score": ScoreConfiguration,
    "sample": SampleConfiguration,
    "runs": RunsConfiguration,
    "prune": PruneConfiguration,
}
ENOUGH = ["--input.path", "in", "--features.columns", "x", "y", "--output.model", "out"]


def toml(directory: Path, text: str, name: str = "job.toml") -> str:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def faults(model: type, *arguments: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(model, arguments)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith(f"{len(lines)} fault"), "the count is that of the lines"
    return [line.strip() for line in lines]


def test_flags_win_over_files_and_later_files_over_earlier_ones(tmp_path: Path) -> None:
    first = toml(tmp_path, '[input]\npath = "in"\n[features]\ncolumns = ["x"]\n[model]\nk = 3\ntol = 0.5\n', "a.toml")
    second = toml(tmp_path, '[model]\nk = 4\nseed = 7\n[output]\nmodel = "out"\n', "b.toml")
    read = load(FitConfiguration, ["--config", first, "--config", second, "--model.seed", "8"])
    assert (read.model.k, read.model.tol, read.model.seed) == (4, 0.5, 8)
    assert read.features.columns == ["x"]


def test_a_list_on_the_command_line_replaces_that_of_the_file_while_options_are_merged(tmp_path: Path) -> None:
    path = toml(tmp_path, '[features]\ncolumns = ["a"]\n[input]\noptions = {sep = ";", header = true}\n')
    read = load(FitConfiguration, ["--config", path, *ENOUGH, "--input.options", "sep=,", "quote='='"])
    assert read.features.columns == ["x", "y"]
    options = {key: value.get_secret_value() for key, value in read.input.options.items()}
    assert options == {"sep": ",", "header": "true", "quote": "'='"}


def test_an_empty_value_removes_what_a_file_has_set(tmp_path: Path) -> None:
    path = toml(tmp_path, '[input]\npath = "in"\n')
    read = load(FitConfiguration, ["--config", path, *ENOUGH[2:], "--input.path", "", "--input.table", "db.flights"])
    assert (read.input.path, read.input.table) == (None, "db.flights")


@pytest.mark.parametrize(
    ("text", "value"), [(["--output.overwrite"], True), (["--output.overwrite", "false"], False), ([], False)]
)
def test_a_bare_flag_means_true(text: list[str], value: bool) -> None:
    assert load(FitConfiguration, [*ENOUGH, *text]).output.overwrite is value


def test_the_id_of_a_run_has_a_second_flag_and_must_be_able_to_name_a_directory() -> None:
    assert load(FitConfiguration, [*ENOUGH, "--run-id", "2026-11-26"]).run.id == "2026-11-26"
    assert load(FitConfiguration, [*ENOUGH, "--run.id", "a", "--run-id", ""]).run.id is None
    (found,) = faults(FitConfiguration, *ENOUGH, "--run-id", "../x")
    assert found.startswith("run.id: got '../x', needs at most 100 letters")


@pytest.mark.parametrize("given", [["models", "--keep", "3"], ["--keep", "3", "--path", "models"]])
def test_the_directory_of_runs_is_the_first_word(given: list[str]) -> None:
    read = load(PruneConfiguration, name_path(given, PruneConfiguration))
    assert (read.path, read.keep) == ("models", 3)


def test_pruning_keeps_at_least_one_run() -> None:
    assert faults(PruneConfiguration, "--path", "a", "--keep", "0") == [
        "keep: got '0', needs to be greater than or equal to 1"
    ]


def test_negative_and_scientific_numbers_and_conditions_are_taken_as_values() -> None:
    read = load(FitConfiguration, [*ENOUGH, "--model.tol", "1e-7", "--input.where", "x > -3 AND y = '--z'"])
    assert read.model.tol == 1e-7
    assert read.input.where == "x > -3 AND y = '--z'"


def test_one_message_reports_every_fault_of_files_and_flags(tmp_path: Path) -> None:
    path = toml(
        tmp_path,
        """
        surplus = 1
        [input]
        path = "in"
        table = "t"
        [features]
        columns = "x"
        wieght = "w"
        [model]
        k = true
        tol = inf
        covariance_type = "ful"
        [run]
        spark = 3
        """,
    )
    found = faults(
        FitConfiguration,
        *("--config", path, "--config", "no-such-file.toml"),
        *("--model.max_iter", "many", "--model.seed", "-1", "--model.n_init", "0"),
        *("--model.kk", "4", "--k=5", "--output.overwrite", "perhaps", "--model.precision"),
    )
    expected = [
        ("surplus: unknown key",),
        ("input.table: got both, needs exactly one of input.path and input.table",),
        ("features.columns: got 'x', needs to be a valid list",),
        ("features.wieght: unknown key; did you mean features.weight?",),
        ("model.k: got True, needs to be a number",),
        ("model.tol: got inf, needs to be a finite number",),
        ("model.covariance_type: got 'ful', needs to be 'full', 'tied', 'diag' or 'spherical'",),
        ("run.spark: got a value that is not shown, needs to be a valid dictionary",),
        ("--config no-such-file.toml: No such file or directory; needs a readable TOML file",),
        ("model.max_iter: got 'many', needs to be a valid integer",),
        ("model.seed: got '-1', needs to be greater than or equal to 0",),
        ("model.n_init: got '0', needs to be greater than or equal to 1",),
        ("--model.kk: unknown flag; did you mean --model.k?",),
        ("--k: unknown flag; did you mean --model.k?",),
        ("output.overwrite: got 'perhaps', needs to be a valid boolean",),
        ("model.precision: got no value, needs one",),
    ]
    unfound = [text for (text,) in expected if not any(line.startswith(text) for line in found)]
    assert unfound == []
    assert len(found) == len(expected)


def test_missing_keys_are_reported_one_by_one() -> None:
    assert [line.partition(":")[0] for line in faults(FitConfiguration)] == [
        "input.table",
        "features.columns",
        "output.model",
    ]


def test_no_key_is_called_missing_if_a_file_that_may_hold_it_cannot_be_read(tmp_path: Path) -> None:
    found = faults(FitConfiguration, "--config", toml(tmp_path, "k = [1\n"), "--model.k", "0")
    assert len(found) == 2
    assert "needs a readable TOML file" in found[0]
    assert found[1].startswith("model.k:")


def test_a_section_must_be_a_section(tmp_path: Path) -> None:
    (found,) = faults(FitConfiguration, "--config", toml(tmp_path, "model = 3\n"), *ENOUGH)
    assert found == "model: got 3, needs a section: [model]"


@pytest.mark.parametrize(
    ("model", "arguments", "fault"),
    [
        (FitConfiguration, ["--input.path", "p", "--input.table", "t", *ENOUGH[2:]], "input.table: got both"),
        (FitConfiguration, [*ENOUGH, "--features.columns", "x", "x"], "features.columns: got ['x', 'x']"),
        (FitConfiguration, [*ENOUGH, "--features.columns"], "features.columns: list should have at least 1 item"),
        (FitConfiguration, [*ENOUGH, "stray"], "'stray': got a word without a flag"),
        (
            FitConfiguration,
            [*ENOUGH, "--model.initial_model", "m", "--model.initial_parameters", "p"],
            "model.initial_parameters: got both, needs at most one of model.initial_model and model.initial_parameters",
        ),
        (SampleConfiguration, ["--n", "1", "--output.path", "o"], "model: got neither, needs exactly one of model"),
        (
            SampleConfiguration,
            ["--n", "1", "--output.path", "o", "--model", "m", "--parameters", "p"],
            "model: got both",
        ),
        (
            SampleConfiguration,
            ["--n", "1", "--output.path", "o", "--model", "m", "--output.columns", "x", "--output.vector", "v"],
            "output.vector: got both",
        ),
        (
            ScoreConfiguration,
            ["--model", "m", "--input.path", "p", "--output.path", "o", "--output.probability", "prediction"],
            "output.probability: got the name of another output column",
        ),
        (
            ScoreConfiguration,
            [
                *("--model", "m", "--input.path", "p", "--output.path", "o"),
                *("--output.prediction", "", "--output.log_density", ""),
            ],
            "output.probability: got no output column",
        ),
        (
            ScoreConfiguration,
            ["--model", "m", "--input.path", "p", "--output.path", "o", "--output.columns", "*", "id"],
            "output.columns: got ['*', 'id'], needs * alone",
        ),
        (
            ScoreConfiguration,
            ["--model", "m", "--input.path", "p", "--output.path", "o", "--output.anomaly", "prediction"],
            "output.probability: got the name of another output column",
        ),
    ],
)
def test_keys_that_exclude_each_other(model: type, arguments: list[str], fault: str) -> None:
    (found,) = faults(model, *arguments)
    assert found.startswith(fault)


def test_an_anomaly_is_output_enough() -> None:
    only = ("--output.prediction", "", "--output.log_density", "", "--output.anomaly", "odd")
    read = load(ScoreConfiguration, ["--model", "m", "--input.path", "p", "--output.path", "o", *only])
    assert (read.output.anomaly, read.output.probability) == ("odd", "")


@pytest.mark.parametrize("fraction", ["0", "1", "nan", "true"])
def test_the_share_of_anomalies_is_a_proper_fraction(fraction: str) -> None:
    arguments = ["--model", "m", "--input.path", "p", "--output.path", "o", "--output.anomaly_fraction", fraction]
    (found,) = faults(ScoreConfiguration, *arguments)
    assert found.startswith(f"output.anomaly_fraction: got '{fraction}'")


def test_a_source_named_by_its_options_alone_needs_neither_path_nor_table() -> None:
    read = load(FitConfiguration, [*ENOUGH[2:], "--input.format", "jdbc", "--input.options", "url=u", "dbtable=t"])
    assert (read.input.path, read.input.table) == (None, None)


def test_secrets_are_neither_dumped_nor_repeated_in_faults() -> None:
    arguments = [*ENOUGH, "--input.options", "password=hunter2", "fetchsize=9", "--run.spark", "my.secret=sesame"]
    read = load(FitConfiguration, arguments)
    written = repr(read) + read.model_dump_json()
    assert "hunter2" not in written
    assert "sesame" not in written
    assert redact("hunter2 sesame 9", find_secrets(read)) == "[redacted] [redacted] 9"

    found = faults(FitConfiguration, *ENOUGH, "--input.options.password", "hunter2", "--input.options", "hunter2")
    assert "hunter2" not in "".join(found)
    assert "write --input.options password=VALUE" in found[0]


@pytest.mark.parametrize("name", ["fit", "select", "score", "sample"])
def test_the_example_configurations_are_sound(name: str) -> None:
    assert load(JOBS[name], ["--config", str(ROOT / "conf" / f"{name}.toml")]).job == name


def camel(key: str) -> str:
    first, *words = key.split("_")
    return first + "".join(map(str.capitalize, words))


def test_defaults_are_those_of_the_estimator() -> None:
    from gmm_spark import GaussianMixture

    estimator = GaussianMixture()
    mixture = FitConfiguration.model_fields["model"].annotation.model_fields
    # Files, which the estimator takes as objects.
    started_from = {"initial_model", "initial_model_optional", "initial_parameters", "previous", "component_names"}
    ours = {camel(key): field.default for key, field in mixture.items() if key not in started_from}
    assert ours == {name: estimator.getOrDefault(name) if estimator.isDefined(name) else None for name in ours}
    assert len(ours) == 14

    features = FitConfiguration.model_fields["features"].annotation.model_fields
    scored = ScoreConfiguration.model_fields["features"].annotation.model_fields
    for section in (features, scored):
        assert section["handle_invalid"].default == estimator.getHandleInvalid()
    assert features["weight_kind"].default == estimator.getWeightKind()
    output = ScoreConfiguration.model_fields["output"].annotation.model_fields
    assert output["anomaly_fraction"].default == estimator.getAnomalyFraction()


def test_choices_are_those_of_the_registries() -> None:
    from gmm_spark.core.kernels.plan import PRECISIONS
    from gmm_spark.core.kernels.weight_kinds import WEIGHT_KINDS
    from gmm_spark.core.mixture.covariance import STRUCTURES
    from gmm_spark.core.search.starts import START_MODES
    from gmm_spark.ml.comparison import SIGNS
    from gmm_spark.spark.decoding import HANDLE_INVALID
    from gmm_spark.spark.packing.parquet_plan import PACKINGS

    for kind, registry in (
        (fields.CovarianceType, STRUCTURES),
        (fields.InitMode, START_MODES),
        (fields.Packing, PACKINGS),
        (fields.Precision, PRECISIONS),
        (fields.WeightKind, WEIGHT_KINDS),
        (fields.Criterion, SIGNS),
        (fields.HandleInvalid, {*HANDLE_INVALID, "quarantine"}),
    ):
        assert set(TypeAdapter(kind).json_schema()["enum"]) == set(registry)


def test_a_selections_defaults_are_those_of_the_selector() -> None:
    from gmm_spark import GaussianMixtureSelector

    selector = GaussianMixtureSelector()
    read = load(SelectConfiguration, [*ENOUGH, "--selection.ks", "2", "3"])
    assert read.selection.ks == [2, 3]
    assert read.selection.covariance_types == selector.getCovarianceTypes()
    assert read.selection.criterion == selector.getCriterion()
    assert read.selection.validation_fraction == selector.getValidationFraction()
    assert set(type(read.model).model_fields) < set(FitConfiguration.model_fields["model"].annotation.model_fields)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "selection.ks: missing, needs numbers of components to try"),
        (["--selection.ks"], "selection.ks: list should have at least 1 item"),
        (["--selection.ks", "2", "0"], "selection.ks.1: got '0', needs to be greater than or equal to 1"),
        (["--selection.ks", "2", "x"], "selection.ks.1: got 'x', needs to be a valid integer"),
        (["--selection.ks", "2", "2"], "selection.ks: got ['2', '2'], needs to be distinct values; 2 given more"),
        (
            ["--selection.ks", "2", "--selection.covariance_types", "ful"],
            "selection.covariance_types.0: got 'ful', needs to be 'full', 'tied', 'diag' or 'spherical'",
        ),
        (
            ["--selection.ks", "2", "--selection.criterion", "heldout"],
            "selection.criterion: got 'heldout', needs selection.validation_fraction above 0",
        ),
        (
            ["--selection.ks", "2", "--selection.validation_fraction", "1"],
            "selection.validation_fraction: got '1', needs to be less than 1",
        ),
        (["--selection.ks", "2", "--output.plot", "a.gif"], "output.plot: got 'a.gif', needs a name that ends in .png"),
        (["--selection.ks", "2", "--model.k", "3"], "--model.k: unknown flag"),
    ],
)
def test_faults_of_a_selection(arguments: list[str], fault: str) -> None:
    (found,) = faults(SelectConfiguration, *ENOUGH, *arguments)
    assert found.startswith(fault)


@pytest.mark.parametrize("name", ["altair", "vl_convert"])
def test_a_picture_without_its_extra_is_refused_before_spark_starts(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    (found,) = faults(SelectConfiguration, *ENOUGH, "--selection.ks", "2", "--output.plot", "a.png")
    assert found.startswith(f"output.plot: got 'a.png', needs {name}, which is not installed: pip install")


@pytest.mark.parametrize("job", JOBS)
def test_no_script_hides_a_module_of_python(job: str) -> None:
    # A script's folder comes first on sys.path, with every other script in it.
    assert {path.stem for path in find_script(job).parent.glob("*.py")}.isdisjoint(sys.stdlib_module_names)


def run_job(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("job", JOBS)
def test_a_faulty_configuration_ends_with_code_2_without_a_jvm(job: str) -> None:
    done = run_job(str(find_script(job)), "--surplus", "1", JAVA_HOME="/nonexistent")
    assert done.returncode == ExitCode.CONFIGURATION
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"{job} failed: ")
    assert "--help lists every key" in lines[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("job", JOBS)
def test_faults_are_reported_before_spark_is_imported(job: str) -> None:
    program = (
        "import sys\n"
        f"from gmm_spark.jobs.{job} import main\n"
        "try: main(['--surplus', '1'])\n"
        "except SystemExit as end: print(int(end.code), 'pyspark' in sys.modules)\n"
    )
    assert run_job("-c", program).stdout.split() == ["2", "False"]


@pytest.mark.parametrize("job", JOBS)
def test_help_lists_every_key_with_its_default(job: str) -> None:
    done = run_job(str(find_script(job)), "--help")
    model = JOBS[job]
    assert done.returncode == ExitCode.DONE

    schema = model.model_json_schema()

    def keys(section: dict, prefix: str = "") -> Iterator[str]:
        for name, field in section["properties"].items():
            if "$ref" in field:
                yield from keys(schema["$defs"][field["$ref"].rpartition("/")[2]], f"{prefix}{name}.")
            else:
                yield prefix + name

    listed = list(keys(schema))
    shown = " ".join(done.stdout.split())
    assert "run.app_name" in listed
    assert [key for key in listed if f"--{key} " not in shown] == []
    assert shown.count("(default: ") + shown.count("(required)") == len(listed)
    assert "exit codes: 0 done, 1 anything else, 2 configuration, 3 data, 4 not converged" in shown
    assert "retry 1, 5, 143;" in shown
    assert "5 held by another run" in shown
