"""A job's configuration as its run has written it out: which keys differ from the defaults, and the command again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gmm_spark.core.formatting import quote_word
from gmm_spark.jobs.config.command_line import SECRET_KEYS, Key, list_keys
from gmm_spark.jobs.config.jobs import FitConfiguration, JobConfiguration, SelectConfiguration
from gmm_spark.jobs.config.secrets import redact_values
from gmm_spark.jobs.config.updates import UpdateConfiguration

JOBS: dict[str, type[JobConfiguration]] = {
    one.job: one for one in (FitConfiguration, SelectConfiguration, UpdateConfiguration)
}
# Keys that belong to one run, not to what it fits.
_OF_ONE_RUN = ("run.id", "run.dry_run")


class Given(NamedTuple):
    """A key whose value is not the default."""

    key: Key
    value: Any


class Line(NamedTuple):
    """A command for a shell, and what cannot be written in it."""

    text: str
    notes: list[str]


def list_given(job: str, configuration: Mapping[str, Any]) -> list[Given]:
    """List the keys whose values are not the defaults, in the order of the configuration.

    Secrets are struck out once more: somebody may have edited what a run has written.

    Parameters
    ----------
    job : str
        Of others than fit and select nothing is listed.
    configuration : mapping
        As a run's report has it. Keys that this version does not know are left out.
    """
    model = JOBS.get(job)
    return [] if model is None else list(_compare(model, redact_values(dict(configuration))))


def spell_command(job: str, configuration: Mapping[str, Any]) -> Line | None:
    """Return the command that does a job again, quoted for a shell; None if it is neither fit nor select.

    Values of ``input.options`` and ``run.spark`` are not known, since they may be secret: their names are written.
    """
    if job not in JOBS:
        return None
    words, notes = ["gmm-spark", job], []
    for key, value in list_given(job, configuration):
        flag = f"--{key.name}"
        if key.name in _OF_ONE_RUN:
            continue
        if key.name in SECRET_KEYS:
            words += [flag, *(f"{name}=..." for name in value)]
            notes.append(f"Values of {key.name} may be secret, and are not kept: fill them in.")
        elif isinstance(value, list):
            if any(str(item).startswith("-") for item in value):
                section, _, name = key.name.rpartition(".")
                notes.append(
                    f"A flag cannot take words that begin with a hyphen: put {name} = "
                    f"{json.dumps(value, ensure_ascii=False)} into a TOML file, in the section [{section}], and "
                    "give it with --config."
                )
            else:
                words += [flag, *map(_spell, value)]
        elif _spell(value).startswith("-"):
            words.append(f"{flag}={_spell(value)}")
        else:
            words += [flag, _spell(value)]
    return Line(" ".join(map(quote_word, words)), notes)


def spell_selection(configuration: Mapping[str, Any], ks: Sequence[int]) -> Line | None:
    """Return the command that compares a fit with mixtures of other sizes: the same table, features and rules.

    The runs of select get a directory of their own: whoever reads the newest run of the fit's still finds a fit.

    Parameters
    ----------
    configuration : mapping
        Of a job fit, as a run's report has it.
    ks : sequence of int
    """
    sections = {key: dict(value) for key, value in configuration.items() if isinstance(value, Mapping)}
    shape, output = sections.get("model", {}), sections.get("output", {})
    if not isinstance(output.get("model"), str):
        return None
    kind = shape.get("covariance_type", "full")
    # Select has no start of its own: unknown keys are left out.
    sections["selection"] = {"ks": list(ks), "covariance_types": [kind, "full" if kind == "diag" else "diag"]}
    sections["output"] = {"model": f"{output['model'].rstrip('/')}-selected"}
    return spell_command(SelectConfiguration.job, sections)


def show_value(value: Any) -> str:
    """Return a value as a table shows it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}=..." for key in value)
    if isinstance(value, list):
        return ", ".join(map(_spell, value))
    return "none" if value in (None, "") else _spell(value)


def _compare(model: type[JobConfiguration], configuration: Mapping[str, Any]) -> Iterator[Given]:
    for key in list_keys(model):
        value: Any = configuration
        for part in key.name.split("."):
            value = value.get(part, key) if isinstance(value, Mapping) else key  # which stands for "not there"
        if value is key:
            continue
        if key.field.is_required() or value != key.field.get_default(call_default_factory=True):
            yield Given(key, value)


def _spell(value: Any) -> str:
    """Return a value as the command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)
