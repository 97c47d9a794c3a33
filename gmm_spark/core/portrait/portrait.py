"""Portrait: a table's rows beside a mixture, as histograms and sums; and the direct way to make one from an array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from gmm_spark.core.arrays import Array, Block, has_missing
from gmm_spark.core.kernels.histogram import LogDensityHistogram, bin_weights
from gmm_spark.core.missing import density
from gmm_spark.core.missing.patterns import find_runs
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.frame import N_BINS, N_PAIR_BINS, Frame
from gmm_spark.core.portrait.observed import Observed, find_ceiling
from gmm_spark.errors import ParameterError

FORMAT = 1
FORMAT_MISSING = 2
"""Of a table with missing values: older versions would take its counts for those of all rows."""
CERTAINTY_EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)
"""Edges of the bins of a row's largest responsibility. A bin holds its lower edge; the last holds 1 too."""


@dataclass(frozen=True, eq=False)
class Portrait:
    """What the rows of a table look like beside a mixture of k components in d features.

    All but ``rows`` counts rows by their weight, and by 1 if they have none. Only ratios to ``weight_sum`` mean
    anything: importance weights may have been divided by a constant.

    If values are missing, a row counts in the histograms, means and deviations of the features that it has, and its
    responsibilities and its log-density are those of what was observed of it.

    Attributes
    ----------
    feature_names : tuple of str, (d,)
    frame : Frame
        The bins: ``frame.edges`` (d, 65), ``frame.pair_edges`` (d, 33); and the features that are shown,
        ``frame.shown`` (s,) and ``frame.pairs`` (p, 2), p = s (s - 1) / 2, as indices of features.
    rows : float
        Number of rows.
    weight_sum : float
        Sum of their weights.
    histograms : array (d, 66)
        Rows by bin of each feature. The first bin is all below ``frame.edges[:, 0]``, the last all from
        ``frame.edges[:, -1]`` on.
    component_histograms : array (s, k, 66)
        The same of each shown feature, by the row's most probable component.
    pair_histograms : array (p, 34, 34)
        Rows by bins of two features; the first and last bins are open, as in ``histograms``.
    confusion : array (k, k)
        Sums of r_i r_j, with r the responsibilities of a row. Row i sums to the weight of component i.
    certainty : array (k, 13)
        Rows by most probable component and by its responsibility, binned at :data:`CERTAINTY_EDGES`.
    means, spreads : array (d,)
        Mean and standard deviation of each feature over all rows.
    least_likely : float
        Weight of the rows that are less likely than ``frame.threshold``. Densities of rows that lack different
        features do not compare: these rows, and the others, are complete ones.
    least_likely_means, least_likely_spreads : array (d,)
        Of these rows; NaN if there are none.
    other_means, other_spreads : array (d,)
        Of the other rows; NaN if there are none.
    log_densities : LogDensityHistogram
        Distribution of log p(row). If values are missing it compares with that of rows that lack the same.
    observed : Observed or None
        Rows by what is missing of them; None if nothing is.

    Raises
    ------
    ParameterError
        If the shapes do not fit together.
    """

    feature_names: tuple[str, ...]
    frame: Frame
    rows: float
    weight_sum: float
    histograms: Array
    component_histograms: Array
    pair_histograms: Array
    confusion: Array
    certainty: Array
    means: Array
    spreads: Array
    least_likely: float
    least_likely_means: Array
    least_likely_spreads: Array
    other_means: Array
    other_spreads: Array
    log_densities: LogDensityHistogram
    observed: Observed | None = None

    def __post_init__(self) -> None:
        d, k = len(self.feature_names), len(self.confusion)
        shapes = list_shapes(d, k, self.frame)
        faults = [name for name, shape in shapes.items() if getattr(self, name).shape != shape]
        faults += [name for name in ("low", "width") if getattr(self.frame, name).shape != (d,)]
        if faults or not all(0 <= one < d for one in self.frame.shown):
            raise ParameterError(f"not a portrait of {d} feature(s) and {k} component(s): check {', '.join(faults)}")
        if self.observed is not None and (self.observed.width, self.observed.shares.shape[1]) != (d, k):
            raise ParameterError(f"not a portrait of {d} feature(s) and {k} component(s): check observed")

    @classmethod
    def of(
        cls,
        parameters: MixtureParameters,
        rows: Block,
        sample_weight: Array | None = None,
        frame: Frame | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> Portrait:
        """Make the portrait of rows in memory, by the definitions: accurate and slow.

        Parameters
        ----------
        parameters : MixtureParameters
            In the rows' own coordinates.
        rows : array (d, m)
            NaN if missing, none infinite; each row has a value.
        sample_weight : array (m,), optional
            Non-negative.
        frame : Frame, optional
            By default the one that follows from the mixture alone.
        feature_names : sequence of str, (d,), optional
            By default x0, x1, ...

        Raises
        ------
        ParameterError
            If no row has weight.

        Examples
        --------
        >>> mixture = MixtureParameters([0.5, 0.5], [[-9.0], [9.0]], [1.0, 1.0], "spherical")
        >>> portrait = Portrait.of(mixture, np.array([[-9.5, -8.5, 9.0]]))
        >>> portrait.sizes.tolist(), portrait.confusion.round(6).tolist()
        ([2.0, 1.0], [[2.0, 0.0], [0.0, 1.0]])
        """
        frame = Frame.of(parameters) if frame is None else frame
        (d, m), k = rows.shape, parameters.n_classes
        rows = np.asarray(rows, dtype=np.float64)
        weight = np.ones(m) if sample_weight is None else sample_weight
        edges, pair_edges = (
            np.pad(one, ((0, 0), (1, 1)), constant_values=[(-np.inf, np.inf)])
            for one in (frame.edges, frame.pair_edges)
        )
        shares = density.responsibilities(parameters, rows)
        log_density = density.log_density(parameters, rows)
        leaders, largest = shares.argmax(axis=0), np.minimum(shares.max(axis=0), 1.0)
        of_component = [weight * (leaders == j) for j in range(k)]
        has = ~np.isnan(rows)
        complete = has.all(axis=0)
        unlikely = complete & (log_density < frame.threshold)
        patterns = sorted({run.pattern for run in find_runs(rows)})
        ceiling = find_ceiling(parameters, patterns or [bytes(-(-d // 8))])

        def count(i: int, weights: Array) -> Array:
            return np.histogram(rows[i, has[i]], edges[i], weights=weights[has[i]])[0].astype(np.float64)

        def count_pair(i: int, j: int) -> Array:
            both, bins = has[i] & has[j], [pair_edges[i], pair_edges[j]]
            return np.asarray(np.histogram2d(rows[i, both], rows[j, both], bins, weights=weight[both])[0])

        means, spreads = _describe(rows, weight)
        rare_means, rare_spreads = _describe(rows, weight * unlikely)
        other_means, other_spreads = _describe(rows, weight * (complete & ~unlikely))
        observed = None
        if has_missing(rows):
            by_pattern = np.zeros((len(patterns), k))
            for run in find_runs(rows):
                by_pattern[patterns.index(run.pattern)] += shares[:, run.rows] @ weight[run.rows]
            observed = Observed(tuple(patterns), by_pattern, d)
        by_component = [count(i, one) for i in frame.shown for one in of_component]
        pairs = [count_pair(i, j) for i, j in frame.pairs]
        return cls(
            feature_names=tuple(f"x{i}" for i in range(d)) if feature_names is None else tuple(feature_names),
            frame=frame,
            rows=float(m),
            weight_sum=float(weight.sum()),
            histograms=np.array([count(i, weight) for i in range(d)]),
            component_histograms=np.array(by_component).reshape(len(frame.shown), k, N_BINS),
            pair_histograms=np.array(pairs).reshape(-1, N_PAIR_BINS, N_PAIR_BINS),
            confusion=(shares * weight) @ shares.T,
            certainty=np.array([np.histogram(largest, CERTAINTY_EDGES, weights=one)[0] for one in of_component]),
            means=means,
            spreads=spreads,
            least_likely=float(weight @ unlikely),
            least_likely_means=rare_means,
            least_likely_spreads=rare_spreads,
            other_means=other_means,
            other_spreads=other_spreads,
            log_densities=LogDensityHistogram(ceiling, bin_weights(ceiling - log_density, weight)),
            observed=observed,
        )

    @property
    def sizes(self) -> Array:
        """Rows by most probable component, by weight, (k,); if there is noise, (k + 1,), and its rows are last."""
        return np.asarray(self.certainty.sum(axis=1))

    @property
    def component_weights(self) -> Array:
        """Sums of the responsibilities of each component, by weight, (k,)."""
        return np.asarray(self.confusion.sum(axis=1))

    @property
    def overlap(self) -> Array:
        """Share of the weight of component i that is as well component j's, (k, k); rows sum to 1.

        It is the confusion divided by its rows' sums: on the diagonal, what a component shares with none.
        """
        total = self.component_weights[:, None]
        return np.asarray(np.divide(self.confusion, total, out=np.zeros_like(self.confusion), where=total > 0))

    def to_dict(self) -> dict[str, Any]:
        """Write as plain lists, numbers and texts, ready for JSON; floats survive the round trip exactly.

        NaN, for means of no rows, becomes None. Of the confusion, which is symmetric, the lower triangle is written.
        """
        found: dict[str, Any] = {"format": FORMAT if self.observed is None else FORMAT_MISSING}
        for one in fields(self):
            value = getattr(self, one.name)
            if value is None:
                continue
            if one.name == "confusion":
                value = value[np.tril_indices(len(value))]
            found[one.name] = value.to_dict() if hasattr(value, "to_dict") else _write(value)
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Portrait:
        """Read what :meth:`to_dict` wrote; keys that are not known are passed over.

        Raises
        ------
        ParameterError
            If it is not that, or its format is not known.
        """
        known = {FORMAT: False, FORMAT_MISSING: True}
        if values.get("format") not in known:
            raise ParameterError(
                f"a portrait has format {values.get('format')!r}; this gmm_spark reads {FORMAT} and {FORMAT_MISSING}"
            )
        try:
            found: dict[str, Any] = {one.name: values[one.name] for one in fields(cls) if one.name != "observed"}
            frame = Frame.from_dict(found["frame"])
            arrays = {one.name for one in fields(cls) if one.type == "Array"}
            read: dict[str, Any] = {name: np.array(found[name], np.float64) for name in arrays}
            names = tuple(str(one) for one in found["feature_names"])
            triangle = read["confusion"]
            k = int(np.sqrt(2 * len(triangle)))
            read["confusion"] = np.zeros((k, k))
            read["confusion"][np.tril_indices(k)] = triangle
            read["confusion"] = np.maximum(read["confusion"], read["confusion"].T)
            shapes = list_shapes(len(names), k, frame)
            read |= {name: one.reshape(shapes[name]) for name, one in read.items() if one.size == 0}
            log_densities = LogDensityHistogram.from_dict(found["log_densities"])
            scalars = {name: float(found[name]) for name in ("rows", "weight_sum", "least_likely")}
            observed = Observed.from_dict(values["observed"], len(names)) if known[values["format"]] else None
        except (KeyError, TypeError, ValueError) as error:
            raise ParameterError(f"not a portrait: {error!r}") from error
        others = {"feature_names": names, "frame": frame, "log_densities": log_densities, "observed": observed}
        return cls(**{**read, **scalars, **others})


def list_shapes(d: int, k: int, frame: Frame) -> dict[str, tuple[int, ...]]:
    """List the shapes of a portrait's arrays of d features and k components, by name."""
    s, p = len(frame.shown), len(frame.pairs)
    features = [one.name for one in fields(Portrait) if one.name.endswith(("means", "spreads"))]
    return {
        "histograms": (d, N_BINS),
        "component_histograms": (s, k, N_BINS),
        "pair_histograms": (p, N_PAIR_BINS, N_PAIR_BINS),
        "confusion": (k, k),
        "certainty": (k, len(CERTAINTY_EDGES) - 1),
        **dict.fromkeys(features, (d,)),
    }


def _describe(rows: Block, weight: Array) -> tuple[Array, Array]:
    """Compute weighted means and standard deviations, (d,) each; NaN if there is no weight."""
    if has_missing(rows):
        observed = [~np.isnan(one) for one in rows]
        each = [_describe(one[None, own], weight[own]) for one, own in zip(rows, observed, strict=True)]
        return np.concatenate([means for means, _ in each]), np.concatenate([spreads for _, spreads in each])
    total = weight.sum()
    if not total > 0:
        return np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    means = rows @ weight / total
    return means, np.sqrt((rows - means[:, None]) ** 2 @ weight / total)


def _write(value: Any) -> Any:
    """Write a value as JSON has it. Whole numbers are written as such: most are counts, and they are shorter."""
    if not isinstance(value, np.ndarray):
        return list(value) if isinstance(value, tuple) else value
    if (np.abs(value) < 2**53).all() and (value == np.floor(value)).all():
        return value.astype(np.int64).tolist()
    if np.isfinite(value).all():
        return value.tolist()
    return [None if not np.isfinite(one) else float(one) for one in value]  # of one dimension: means of no rows
