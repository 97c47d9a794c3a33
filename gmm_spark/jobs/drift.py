"""The comparison that score makes: the rows of a table with the model's training rows, held against limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gmm_spark.core.drift.comparison import Drift
from gmm_spark.core.drift.limits import Change, Limits, describe_largest, find_breaches, list_changes
from gmm_spark.core.drift.reference import QUANTILES, TrainingProfile
from gmm_spark.errors import ConfigurationError, DriftError
from gmm_spark.jobs.config.jobs import DriftSection
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.storage.hadoop import is_remote

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gmm_spark import GaussianMixtureModel
    from gmm_spark.ml.drift import DriftObservation

_NO_PROFILE = (
    "the model has no profile of its training rows: it was built from parameters, saved by an older gmm-spark, or "
    "fitted to rows of which no 500 lack the same values; fit it again (model.initial_model starts from it)"
)
_NOT_MARGINAL = (
    "the training rows had missing values, and complete rows alone do not compare with them; set "
    "features.handle_invalid to marginal"
)
_LEFT_OUT = "how often each feature was missing; fit with features.handle_invalid = marginal"
# Changes that a message tells of.
_TOLD = 3


class DriftGate:
    """Compares rows while they are scored, and tells whether a limit is exceeded.

    Parameters
    ----------
    section : DriftSection

    Attributes
    ----------
    breaches : list of Change
        What is beyond a limit, the largest first; known once :meth:`judge` was called.
    message : str
        The largest change in a few words, for the job's last line; empty if nothing was compared.
    """

    def __init__(self, section: DriftSection) -> None:
        self._section = section
        self._limits = Limits(**{kind: getattr(section, f"max_{kind}") for kind in vars(Limits())})
        self._observation: DriftObservation | None = None
        self._model: GaussianMixtureModel | None = None
        limited = self._limits != Limits()
        self._compares = limited if section.compare is None else section.compare
        self._reason = "drift.compare is off"
        self.breaches: list[Change] = []
        self.message = ""

    @property
    def stops_before(self) -> bool:
        """Whether a table beyond a limit is not to be published."""
        return self._section.stop == "before"

    def describe(self) -> str:
        """Return what the rows will be held against, for a plan; once :meth:`transform` was called."""
        if self._observation is None:
            return f"not compared: {self._reason}"
        limits = ", ".join(f"{kind} {limit:g}" for kind, limit in asdict(self._limits).items() if limit is not None)
        if not limits:
            return "rows are compared with the training rows; no limit"
        when = "before" if self.stops_before else "after"
        return f"exit code 6, {when} the table is published, beyond {limits}"

    def transform(self, model: GaussianMixtureModel, rows: DataFrame, imputed: str | None = None) -> DataFrame:
        """Append the model's columns, and have the rows compared when the result is written.

        ``imputed`` is the suffix of columns with missing values filled in, if there are to be such.

        Raises
        ------
        ConfigurationError
            If there are limits, and the model, the session or ``features.handle_invalid`` does not allow to hold rows
            against them.
        """
        from gmm_spark.ml.drift import observe_drift

        limited = self._limits != Limits()
        if limited and is_remote(rows.sparkSession):
            raise ConfigurationError(
                "drift: got limits over Spark Connect, which does not always say what was observed; run the job by "
                "spark-submit, or take the limits out"
            )
        if not self._compares:
            return model._append(rows, None, imputed)
        profile, handling = model.trainingProfile, model.getHandleInvalid()
        if self._limits.missing_change is not None and handling != "marginal":
            raise ConfigurationError(
                f"drift.max_missing_change: got {self._limits.missing_change:g}, but features.handle_invalid is "
                f"{handling}: a row that lacks a value is then a bad row, which no limit counts; set it to marginal"
            )
        reason = _NO_PROFILE if profile is None else ""
        if profile is not None and profile.missing is not None and handling != "marginal":
            reason = _NOT_MARGINAL
        elif profile is not None and self._limits.missing_change is not None and not profile.knows_missing:
            reason = f"the fit has left {profile.bad_rows:,.0f} rows out and does not know {_LEFT_OUT}"
        if reason:
            if limited:
                raise ConfigurationError(f"drift: got limits, but {reason}; or take the limits out")
            self._reason = reason
            return model._append(rows, None, imputed)
        self._model = model
        scored, self._observation = observe_drift(model, rows, imputed)
        return scored

    def judge(self, report: RunReport, bad_rows: int = 0) -> None:
        """Compare what was observed, hold it against the limits, and add the section ``drift`` to the report.

        Raises
        ------
        DriftError
            If there are limits, and all rows are bad; or limits on log-densities, and no row has training rows of its
            own pattern of missing values.
        """
        observation, model = self._observation, self._model
        drift = None if observation is None else observation.get()
        if observation is None or model is None or drift is None:
            reason = self._reason if observation is None else "no row was scored"
            if observation is not None and self._limits != Limits() and bad_rows:
                raise DriftError(f"{reason}, so the limits of drift cannot be judged: {bad_rows:,} rows are bad")
            report.add("drift", compared=False, reason=reason, verdict="not compared")
            self.message = f"drift not judged: {reason}" if self._compares else ""
            return
        on_likelihood = (self._limits.log_density_drop, self._limits.below_ratio) != (None, None)
        if on_likelihood and not drift.compared > 0:
            raise DriftError(
                f"drift.max_log_density_drop and drift.max_below_ratio cannot be judged: none of the {drift.rows:,.0f} "
                "scored rows lacks the same features as enough training rows, and others do not compare"
            )
        profile = observation.watch.profile
        names = model.featureNames or [f"feature {i}" for i in range(model.numFeatures)]
        changes = list_changes(drift, profile, names, noise=model.parameters.noise is not None)
        self.breaches = find_breaches(changes, self._limits)
        largest = describe_largest(changes)
        self.message = f"largest change: {largest}"
        report.add(
            "drift",
            compared=True,
            **describe_figures(drift, profile, names),
            limits=asdict(self._limits),
            verdict="beyond limits" if self.breaches else "within limits" if self._limits != Limits() else "no limits",
            exceeded=[self._describe(one) for one in self.breaches],
            largest_change=largest,
        )

    def explain(self, outcome: str) -> DriftError:
        """Return the error that says what is beyond which limit, and what became of the table."""
        told = "; ".join(map(self._describe, self.breaches[:_TOLD]))
        more = f"; and {len(self.breaches) - _TOLD} more" if len(self.breaches) > _TOLD else ""
        return DriftError(f"{told}{more}; {outcome}")

    def _describe(self, change: Change) -> str:
        return f"{change.meaning} (drift.max_{change.kind} is {getattr(self._limits, change.kind):g})"


def describe_figures(drift: Drift, profile: TrainingProfile, names: Sequence[str]) -> dict[str, Any]:
    """Return the figures of a comparison for the report: in general, by component, by quantile and by feature."""
    features = (drift.means, drift.spreads, drift.mean_shifts, drift.mean_errors, drift.spread_ratios)
    quantiles = zip(
        QUANTILES, profile.thresholds, drift.shares_below, drift.expected_below, drift.below_ratios, strict=True
    )
    shares = zip(drift.shares, profile.shares, strict=True)
    return {
        "rows": {"scored": drift.rows, "training": profile.rows, "effective_training": profile.effective_rows},
        "bad_rows": {
            "share": drift.bad_rows / (drift.rows + drift.bad_rows),
            "training_share": profile.bad_rows / (profile.rows + profile.bad_rows),
        },
        "psi": drift.psi._asdict(),
        "components": [
            {"component": j, "share": now, "training_share": before, "change": now - before}
            for j, (now, before) in enumerate(shares)
        ],
        "log_density": {
            "mean": drift.mean_log_density,
            "training_mean": drift.expected_mean,
            "training_spread": profile.log_density_spread,
            "standard_error": drift.log_density_error,
            "change": drift.log_density_change.value,
            "beyond_chance": drift.log_density_change.beyond_chance,
        },
        "below": [
            {
                "quantile": q,
                "log_density": at,
                "share": now,
                "training_share": before,
                "ratio": ratio.value,
                "beyond_chance": ratio.beyond_chance,
            }
            for q, at, now, before, ratio in quantiles
        ],
        "features": [
            {
                "feature": name,
                "mean": mean,
                "training_mean": profile.means[i],
                "shift": shift.value,
                "standard_error": error,
                "shift_beyond_chance": shift.beyond_chance,
                "spread": spread,
                "training_spread": profile.spreads[i],
                "training_quartiles": profile.quartiles[:, i],
                "spread_ratio": ratio.value,
                "ratio_beyond_chance": ratio.beyond_chance,
            }
            for i, (name, mean, spread, shift, error, ratio) in enumerate(zip(names, *features, strict=True))
        ],
        **_describe_missing(drift, names),
    }


def _describe_missing(drift: Drift, names: Sequence[str]) -> dict[str, Any]:
    """Return the figures of missing values, if values may be missing."""
    if drift.missing is None:
        return {}
    features: list[dict[str, Any]] = [
        {"feature": name, "share": share} for name, share in zip(names, drift.missing, strict=True)
    ]
    if drift.missing_changes:
        for one, moved in zip(features, drift.missing_changes, strict=True):
            one["training_share"] = one["share"] - moved.value
            one |= {"change": moved.value, "beyond_chance": moved.beyond_chance}
    return {"missing": {"compared_rows": drift.compared if drift.compared > 0 else 0, "features": features}}
