"""Subject: all that a page may tell of one fitted mixture, read beforehand. Nothing here reads a file or a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from gmm_spark.core.description.densities import DensityComparison, compare_densities
from gmm_spark.core.description.fit import FeatureFit, judge_features
from gmm_spark.core.description.merging import MergeTree
from gmm_spark.core.drift.reference import TrainingProfile
from gmm_spark.core.formatting import show_name
from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.core.mixture.identities import Identities
from gmm_spark.core.mixture.overreach import tell_overreach
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.report.facts import Facts


class Setting(NamedTuple):
    """A key of a job whose value is not the default: its name, its value, the default, and what the key means."""

    key: str
    value: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Command:
    """A command that would do what was done again, or something like it.

    Attributes
    ----------
    line : str
        For a shell.
    notes : sequence of str
        What must be filled in, or cannot be a flag.
    """

    line: str
    notes: Sequence[str] = ()


class UnlikelyRow(NamedTuple):
    """One of the least likely rows of a table.

    Attributes
    ----------
    log_density : float
        Nats.
    component : int
        The most probable one.
    values : tuple of float, (d,)
        Its features.
    reasons : tuple of (int, float)
        Features that contribute most to how odd it is, the largest first: number, and standard deviations above what
        the other features let expect.
    """

    log_density: float
    component: int
    values: tuple[float, ...]
    reasons: tuple[tuple[int, float], ...]


@dataclass(frozen=True, eq=False)
class Subject:
    """A fitted mixture, and what is known of its fit.

    Attributes
    ----------
    path : str
        Path that was asked for, as it may be shown; what the model is called if it is in memory.
    model_path : str
        Directory of the saved model; empty if it is in memory.
    parameters : MixtureParameters
    names : tuple of str
        A name for each feature, as users wrote it.
    run_id : str or None
        None for a model that ``save`` wrote.
    log_densities : LogDensityHistogram or None
        Of the training rows; of the complete ones if values are missing.
    log_densities_by_pattern : mapping of bytes to LogDensityHistogram
        Of training rows with missing values, by pattern.
    training : TrainingProfile or None
    facts : Facts
        The report of the run; empty if there is none.
    finished : str
        When the run ended, for people; empty if it is no run.
    settings : sequence of Setting
    command : Command or None
        It fits the mixture again.
    selection_command : Command or None
        It fits mixtures of other sizes too, and compares them.
    scores : Facts
        The report of a job that scored a table with the model; empty if none was given.
    report_command : str
        The command that makes this page, for a shell.
    portrait : Portrait or None
        Of the rows beside the mixture.
    merge_tree : MergeTree or None
        Of the fit's sample.
    unlikely : sequence of UnlikelyRow
        The least likely rows of a table, if they were asked for.
    identities : Identities or None
        Ids and names of the components; None for the components' numbers.
    """

    path: str
    model_path: str
    parameters: MixtureParameters
    names: tuple[str, ...]
    run_id: str | None = None
    log_densities: LogDensityHistogram | None = None
    training: TrainingProfile | None = None
    facts: Facts = field(default_factory=Facts)
    finished: str = ""
    settings: Sequence[Setting] = ()
    command: Command | None = None
    selection_command: Command | None = None
    scores: Facts = field(default_factory=Facts)
    report_command: str = "gmm-spark report"
    portrait: Portrait | None = None
    merge_tree: MergeTree | None = None
    unlikely: Sequence[UnlikelyRow] = ()
    identities: Identities | None = None
    log_densities_by_pattern: Mapping[bytes, LogDensityHistogram] = field(default_factory=dict)

    @property
    def shown_names(self) -> list[str]:
        """The features' names as the page shows them: whole, and without signs that hide."""
        return [show_name(name) for name in self.names]

    @property
    def known(self) -> Identities:
        """Ids and names of the components; names as the page shows them."""
        found = self.identities or Identities.fresh(self.parameters.n_classes, recorded=False)
        names = [None if name is None else show_name(name) for name in found.names]
        # What only hidden signs tell apart is left to the ids.
        return replace(found, names=tuple(name if names.count(name) == 1 else None for name in names))

    @property
    def shown_portrait(self) -> Portrait | None:
        """The portrait, with the names as the page shows them."""
        return None if self.portrait is None else replace(self.portrait, feature_names=tuple(self.shown_names))

    @cached_property
    def densities(self) -> DensityComparison | None:
        """How likely the rows are, and how likely rows drawn from the mixture are; None if the former is not known."""
        if self.portrait is None:
            return None if self.log_densities is None else compare_densities(self.parameters, self.log_densities)
        return compare_densities(self.parameters, self.portrait.log_densities, observed=self.portrait.observed)

    @cached_property
    def feature_fits(self) -> tuple[FeatureFit, ...]:
        """How well the mixture describes each feature, the worst first; empty without a portrait."""
        portrait = self.shown_portrait
        if portrait is None:
            return ()
        found = judge_features(self.parameters, portrait, self.facts["rows"].number("effective"))
        return tuple(sorted(found, key=lambda one: -(one.misplaced - one.by_chance)))

    @cached_property
    def overreach(self) -> str:
        """How much of the mixture lies where no training row is; empty if it is little, or if that is not known."""
        if self.training is not None:
            return tell_overreach(self.training.find_overreach(self.parameters), self.shown_names)
        found = [one.text("meaning") or "" for one in self.facts["checks"] if one.text("code") == "mass-out-of-range"]
        return show_name(found[0].partition(": ")[2].rstrip(".")) if found else ""

    @property
    def rows(self) -> float | None:
        """Rows that the mixture was fitted to, if that is known."""
        used = self.facts["rows"].number("used")
        return used if used is not None or self.training is None else self.training.rows

    @property
    def portrait_command(self) -> str:
        """The command that makes this page with a pass over a table."""
        if not self.model_path:
            return 'write_report(model, "page.html", table)'
        return f"{self.report_command} --input.path TABLE"

    def anomalies_command(self, n: int) -> str:
        """Return the command that makes this page with the n least likely rows of a table."""
        if not self.model_path:
            return f'write_report(model, "page.html", table, anomalies={n})'
        return f"{self.report_command} --input.path TABLE --anomalies {n}"

    def name_key(self, parameter: str, key: str) -> str:
        """Name a parameter of the fit as its user gave it: the key of a job, or the parameter of an estimator."""
        return parameter if self.facts and self.facts.text("job") is None else key

    @property
    def title(self) -> str:
        """What the mixture is called: the run, or the path."""
        return f"run {self.run_id}" if self.run_id else show_name(self.path)
