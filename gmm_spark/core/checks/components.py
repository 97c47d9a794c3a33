"""Checks of components: without weight, with too few rows, at the floor, or almost the same as another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.core.checks.check import Finding
from gmm_spark.core.checks.evidence import Evidence
from gmm_spark.core.em.reseeding import degenerate_components
from gmm_spark.core.mixture.floor import features_at_floor
from gmm_spark.core.mixture.parameters import MixtureParameters

# Bhattacharyya coefficient from which on two components are almost the same. If it is c, the best rule that tells rows
# of the two apart, equally many of each, errs in at least (1 - sqrt(1 - c^2)) / 2 of them (Kailath 1967): in 34 %.
SAME = 0.95
# Pairs named at most: with many components at one place, each pair is one.
_PAIRS = 10
# Weight of noise from which on it is more than what belongs nowhere.
_HEAVY = 0.25


def find_weightless(evidence: Evidence) -> Iterator[Finding]:
    """A component has no weight: it starved or collapsed, and putting it elsewhere did not help.

    The mixture is one of fewer components than `k`.
    """
    components, k = degenerate_components(evidence.parameters), evidence.parameters.n_components
    if components:
        listed = ", ".join(map(str, components))
        yield Finding(
            f"component(s) {listed} of k={k} have no weight: they starved or collapsed.",
            f"To change that, {evidence.fewer_components}, or raise `regCovar` or `nInit`.",
            component=components[0],
            figures={"components": len(components), "k": k},
        )


def find_starved(evidence: Evidence) -> Iterator[Finding]:
    """A component holds fewer rows than its covariance needs.

    A general covariance of d features needs d + 1 rows, one along the axes, or shared by all components, 2. With fewer
    rows the covariance is that of the floor in some direction, and the component describes single rows, often outliers.
    Rows held are the summed responsibilities; if rows have weights, the rows of which the component is the most
    probable.
    """
    structure, d = evidence.parameters.structure, evidence.parameters.n_features
    needed = 2 if structure.axis_aligned or structure.pooled else d + 1
    held = evidence.rows_held
    few = np.flatnonzero((evidence.parameters.weights > 0) & (np.round(held, 1) < needed))
    for j in few[np.argsort(held[few], kind="stable")].tolist():
        yield Finding(
            f"component {j} holds {held[j]:.3g} row(s); its covariance needs {needed}.",
            f"To change that, {evidence.fewer_components}, {evidence.fewer_parameters}, or filter out the rows if they "
            "are errors.",
            component=j,
            figures={"rows": held[j], "needed": needed},
        )


def find_at_floor(evidence: Evidence) -> Iterator[Finding]:
    """A component is as narrow along a column as the floor lets it be; or all are, if they share one covariance.

    Without a floor it would get narrower for ever, often on rows that share a value. Its likelihood says more of the
    floor than of the rows, and so do criteria such as BIC.
    """
    weights, pooled = evidence.parameters.weights, evidence.parameters.structure.pooled
    at_floor = features_at_floor(evidence.parameters, evidence.floor) & (weights > 0)[:, None]
    owners = sorted(np.flatnonzero(at_floor.any(axis=1)).tolist(), key=lambda j: -weights[j])
    for j in owners[:1] if pooled else owners:
        shared = {i: _count_shared(evidence, j, i) for i in np.flatnonzero(at_floor[j]).tolist()}
        i = max(shared, key=lambda one: shared[one][1])
        value, rows = shared[i]
        m = evidence.columns.shape[1]
        alike = f"; {rows:,} of {m:,} sample rows are exactly {value:.15g}" if rows > 1 else ""
        more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
        owner = "the shared covariance" if pooled else f"component {j}"
        yield Finding(
            f"{owner} is at the floor along {evidence.names[i]!r}{more}: its standard deviation is "
            f"{np.sqrt(evidence.floor[i]):.3g}{alike}.",
            f"To change that, {evidence.fewer_components}, raise `regCovar`, or fit without the rows that share that "
            "value.",
            component=None if pooled else j,
            column=evidence.names[i],
            figures={
                "weight": weights[j],
                "deviation": np.sqrt(evidence.floor[i]),
                "value": value,
                "rows": rows,
                "sample": m,
                "columns": len(shared),
            },
        )


def find_noise_heavy(evidence: Evidence) -> Iterator[Finding]:
    """Noise has more than a quarter of the weight.

    Noise is for what belongs nowhere. If it holds so much, there are clusters too sparse for the components that there
    are, or of shapes that they do not have.
    """
    noise = evidence.parameters.noise
    if noise is not None and noise.weight > _HEAVY:
        yield Finding(
            f"noise has {noise.weight:.0%} of the weight.",
            f"Look at the rows that are predicted to be noise; then {evidence.more_components}, or choose another "
            "structure.",
            figures={"weight": noise.weight},
        )


def _count_shared(evidence: Evidence, j: int, i: int) -> tuple[float, int]:
    """Find the most common value of feature i within 3 deviations of component j, and its rows in the sample."""
    values, center = evidence.columns[i], evidence.parameters.means[j, i] + evidence.moments.mean[i]
    near = values[np.abs(values - center) <= 3 * np.sqrt(evidence.floor[i])]
    if not len(near):
        return float(center), 0
    distinct, counts = np.unique(near, return_counts=True)
    most = int(np.argmax(counts))
    return float(distinct[most]), int(counts[most])


def find_overlapping(evidence: Evidence) -> Iterator[Finding]:
    """Two components are almost the same: their Bhattacharyya coefficient is 0.95 or more.

    The coefficient is the integral of sqrt(p q), 1 for equal densities (Bhattacharyya 1943). Two normal densities of
    one deviation have 0.95 if their means are 0.64 deviations apart. At 0.95, no rule tells rows of the two apart, if
    there are equally many of each, with fewer than 34 % errors (Kailath 1967). The two are then one cluster, as
    clusters, though together they may describe a shape that is not Gaussian; Hennig (2010) discusses when to merge.
    """
    pairs = find_same_pairs(evidence.parameters)
    for coefficient, i, j in pairs[:_PAIRS]:
        more = f" ({len(pairs)} such pairs, the {_PAIRS} closest are listed)" if len(pairs) > _PAIRS else ""
        weights = evidence.parameters.weights
        yield Finding(
            f"components {i} and {j} are almost the same: Bhattacharyya coefficient {coefficient:.3f}, of 1 for equal "
            f"ones{more}.",
            f"To change that, {evidence.fewer_components}; or count the two as one cluster.",
            component=i,
            figures={"other": j, "coefficient": coefficient, "weight": weights[i], "other_weight": weights[j]},
        )


def find_same_pairs(parameters: MixtureParameters) -> list[tuple[float, int, int]]:
    """Find the pairs of components with weight that are almost the same: coefficient, first, second; closest first.

    Along any axis two densities are no less alike than as a whole, so pairs that differ along one are out at once.
    """
    present = parameters.weights > 0
    alike = np.triu(np.outer(present, present), k=1)
    for means, deviations in zip(parameters.means.T, parameters.deviations.T, strict=True):
        variances = deviations**2
        total = variances[:, None] + variances
        distance = 0.25 * (means[:, None] - means) ** 2 / total
        distance += 0.5 * np.log(total / (2.0 * deviations[:, None] * deviations))
        alike &= np.exp(-distance) >= SAME
    pairs = np.argwhere(alike)
    found = [(bhattacharyya(parameters, int(i), int(j)), int(i), int(j)) for i, j in pairs]
    return sorted((one for one in found if one[0] >= SAME), key=lambda one: -one[0])


def bhattacharyya(parameters: MixtureParameters, i: int, j: int) -> float:
    """Bhattacharyya coefficient of two components, whatever their weights, in (0, 1].

    Examples
    --------
    >>> p = MixtureParameters([0.5, 0.5], [[0.0], [2.0]], [1.0, 1.0], "spherical")
    >>> round(bhattacharyya(p, 0, 1), 6), round(float(np.exp(-0.5)), 6)
    (0.606531, 0.606531)
    """
    factors = parameters.component_cholesky[[i, j]]
    if parameters.structure.axis_aligned:
        logs = -np.log(factors).sum(axis=1)  # half the log-determinants
        average = (factors**-2.0).mean(axis=0)
        half = 0.5 * np.log(average).sum()
        offset = (parameters.means[j] - parameters.means[i]) / np.sqrt(average)
    else:
        logs = -np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
        lower = np.linalg.cholesky(_dense(parameters, i, j).mean(axis=0))
        half = np.log(np.diagonal(lower)).sum()
        offset = np.linalg.solve(lower, parameters.means[j] - parameters.means[i])
    distance = offset @ offset / 8 + half - logs.mean()
    return float(np.exp(-max(distance, 0.0)))


def _dense(parameters: MixtureParameters, i: int, j: int) -> Array:
    """Covariances of two components, (2, d, d)."""
    if parameters.structure.pooled:
        return parameters.dense_covariances[[i, j]]
    return parameters.structure.dense(parameters.covariances[[i, j]], 2, parameters.n_features)
