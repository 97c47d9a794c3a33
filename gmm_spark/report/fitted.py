"""Pages about models in memory: what the fit in this process, or a table, tells of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmm_spark.core.mixture.sampling import to_int
from gmm_spark.core.versions import list_versions
from gmm_spark.errors import ParameterError
from gmm_spark.extras import require_extra
from gmm_spark.ml.facts import list_facts
from gmm_spark.report.comparing import render_comparison
from gmm_spark.report.facts import Facts
from gmm_spark.report.rows import look_at_table
from gmm_spark.report.single import render_report
from gmm_spark.report.subject import Setting, Subject

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gmm_spark.ml.model import GaussianMixtureModel

# Rows that a page lists at most.
_MOST = 100


def write_report(
    model: GaussianMixtureModel, path: str | Path, dataset: DataFrame | None = None, anomalies: int = 0
) -> None:
    """Write a page about a mixture, for a browser; needs the extra ``report``.

    It says whether to trust the fit and why, what the components are, what to change, and how to use the model. The
    page is one HTML file that needs no network. What was there is replaced.

    Parameters
    ----------
    model : GaussianMixtureModel
        If it was fitted in this process, the page tells of the fit. With ``portrait=True`` a fit compares its rows with
        the mixture.
    path : str or Path
        File of the driver's machine, such as ``"page.html"``.
    dataset : DataFrame, optional
        A table to compare with the mixture, by one read, unless the fit has compared its own rows.
    anomalies : int
        Of that table, the least likely rows to list, with the reasons, by another read; at most 100. They are data:
        whoever gets the page sees them.

    Raises
    ------
    MissingExtraError
        If Jinja2 is not installed.
    ParameterError
        If ``anomalies`` is given without a table, or ``path`` is no file to write.
    """
    require_extra("report", "jinja2", "a report")
    if not 0 <= to_int("anomalies", anomalies) <= _MOST:
        raise ParameterError(f"anomalies={anomalies}; need a number of rows from 0 to {_MOST}")
    if anomalies and dataset is None:
        raise ParameterError(f"anomalies={anomalies} needs a table to find them in; pass dataset")
    target = _require_place(path)
    subject = describe_model(model)
    if dataset is not None:
        subject = look_at_table(subject, model, dataset, anomalies)
    target.write_text(render_report(subject), encoding="utf-8")


def write_comparison(before: GaussianMixtureModel, after: GaussianMixtureModel, path: str | Path) -> None:
    """Write a page that compares two mixtures of the same features; needs the extra ``report``.

    Raises
    ------
    DataError
        If their features are not the same; their order does not matter.
    MissingExtraError
        If Jinja2 is not installed.
    ParameterError
        If ``path`` is no file to write.
    """
    require_extra("report", "jinja2", "a comparison")
    target = _require_place(path)
    target.write_text(render_comparison(describe_model(before), describe_model(after)), encoding="utf-8")


def _require_place(path: str | Path) -> Path:
    """Check, before any pass over a table, that a file can be where a path points; raises ParameterError if not."""
    target = Path(path)
    if target.is_dir():
        raise ParameterError(f"path={str(path)!r} is a folder; name a file in it, such as page.html")
    if not target.absolute().parent.is_dir():
        raise ParameterError(f"path={str(path)!r} lies in a folder that is not there; make it first")
    return target


def describe_model(model: GaussianMixtureModel) -> Subject:
    """Collect what is known of a model in memory: of its fit only if that was in this process."""
    names = model.featureNames or [f"feature {i}" for i in range(model.numFeatures)]
    summary = model.summary if model.hasSummary else None
    return Subject(
        path=model.uid,
        model_path="",
        parameters=model.parameters,
        names=tuple(names),
        log_densities=model.logDensities,
        log_densities_by_pattern=model.logDensitiesByPattern,
        training=model.trainingProfile,
        facts=Facts() if summary is None else _list_facts(model),
        settings=_list_settings(model),
        report_command="gmm-spark report MODEL",
        portrait=None if summary is None else summary.portrait,
        merge_tree=None if summary is None else summary.mergeTree,
        identities=model.identities,
    )


def _list_facts(model: GaussianMixtureModel) -> Facts:
    """List the facts of a fit, with the estimator's own names for its parameters."""
    facts = list_facts(model)
    checks = [one | {"remedy": one["remedy"].replace("`", "")} for one in facts["checks"]]
    settings = {"seed": model.getSeed(), "tol": model.getTol(), "n_init": model.getNInit()}
    weights = {"weight": model.weight_column, "weight_kind": model.getWeightKind()}
    configuration = {"model": settings, "features": weights}
    return Facts(facts | {"checks": checks, "configuration": configuration, "versions": list_versions()})


def _list_settings(model: GaussianMixtureModel) -> list[Setting]:
    """List the parameters that differ from their defaults."""
    found = []
    for param in model.params:
        default = model._defaultParamMap.get(param)
        if model.isSet(param) and model.getOrDefault(param) != default:
            meaning = param.doc.partition(". ")[0].rstrip(".")
            unset = "none" if default is None else _show(default)
            found.append(Setting(param.name, _show(model.getOrDefault(param)), unset, meaning))
    return found


def _show(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "none" if value == "" else str(value)
