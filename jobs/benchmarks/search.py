"""The suite ``search``: how many passes a fit takes, how likely its result is, and what many starts and models cost.

Passes are counted, so cases ``passes``, ``fixed-points`` and ``choice`` are repeatable on any machine. "Best" is
the best of ten plain fits of ``--plain`` iterations on all rows, from the same kinds of starts.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.ml.clustering import GaussianMixture as PysparkMixture
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import DataFrame, SparkSession

from benchmarks.competing import Contenders, timed
from benchmarks.tables import columns, mixture, sampled_table
from gmm_spark import GaussianMixture, GaussianMixtureSelector, MixtureParameters
from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.em.loop import best, fit
from gmm_spark.core.em.run import Run
from gmm_spark.core.mixture.covariance import STRUCTURES
from gmm_spark.core.profile import ColumnProfile
from gmm_spark.core.search.drawing import draw_starts, make_sample_table
from gmm_spark.core.search.single import choose_finalists, search
from gmm_spark.core.settings import Rule, Settings
from gmm_spark.core.table import ArrayTable
from gmm_spark.jobs.demo import write_flights
from gmm_spark.spark.columns import resolve_features
from gmm_spark.spark.packing.table import PackedTable

_FLIGHT_FEATURES = ["dep_delay", "arr_delay", "air_time", "distance"]
# Rows of a table that fits of one start are compared on.
_IN_MEMORY_ROWS = 40_000
_BEST = Settings(n_init=10, sample_rows=0, tol=0.0, accelerate=False)


@dataclass(frozen=True)
class Problem:
    """A table to fit, and the k to fit it with."""

    name: str
    k: int
    source: MixtureParameters | None
    """The mixture that rows are sampled from; None for the flights."""


def problems() -> list[Problem]:
    """List the tables of the suite."""
    rare = mixture(4, 8, "full", spread=3.0)
    weights = np.geomspace(1e-3, 1.0, 8)
    unbalanced = MixtureParameters(weights / weights.sum(), rare.means, rare.covariances)
    return [
        Problem("separated", 8, mixture(4, 8, "full", spread=6.0)),
        Problem("overlapping", 16, mixture(16, 16, "full", spread=0.6)),
        Problem("unbalanced", 8, unbalanced),
        Problem("flights", 6, None),
    ]


class SearchBench:
    """The cases; each returns its figures as a plain dict."""

    def __init__(
        self, spark: SparkSession, data: Path, rows: int, seeds: int, n_inits: Sequence[int], plain: int
    ) -> None:
        self.spark, self.data, self.rows = spark, data, rows
        self.seeds, self.n_inits, self.plain = seeds, n_inits, plain

    def table(self, problem: Problem) -> tuple[DataFrame, list[str]]:
        """Rows of a problem and their columns."""
        if problem.source is None:
            path = self.data / "flights.parquet"
            if not path.exists():
                write_flights(path)
            return self.spark.read.parquet(str(path)), _FLIGHT_FEATURES
        source = problem.source
        return (
            sampled_table(self.spark, self.data, source, self.rows, "float64", problem.name),
            columns(source.n_features),
        )

    @contextmanager
    def packed(self, problem: Problem) -> Iterator[PackedTable]:
        """The same rows packed, as a fit packs them."""
        table, names = self.table(problem)
        features = resolve_features(table, "", names, None, None)
        if features is None:
            raise RuntimeError("the benchmark's own table has no features")
        with PackedTable(table, features, strict=False) as packed:
            yield packed

    def passes(self, problem: Problem) -> dict[str, Any]:
        """Passes of a fit until it is within 1e-4 nats per row of the best of ten plain ones, seed by seed."""
        found: dict[str, Any] = {}
        with self.packed(problem) as table:
            plainly = replace(_BEST, k=problem.k, max_iter=self.plain)
            best = self._search(table, plainly).lower_bound
            for n_init in self.n_inits:
                asked = Settings(k=problem.k, n_init=n_init, max_iter=40, tol=1e-7)
                results = [self._search(table, replace(asked, seed=seed)) for seed in range(self.seeds)]
                counts = [passes_to(result, best - 1e-4) for result in results]
                there = [count for count in counts if count is not None]
                found |= {
                    f"nInit={n_init}: passes": counts,
                    f"nInit={n_init}: median": statistics.median(there) if there else None,
                    f"nInit={n_init}: there": f"{len(there)} of {len(counts)}",
                    f"nInit={n_init}: short of best": [round(best - result.lower_bound, 7) for result in results],
                }
        return {"best": best} | found

    def _search(self, table: PackedTable, settings: Settings) -> EMResult:
        return search(table, table.sample(settings.rows_to_draw, settings.seed), settings)

    def one_start(self, problem: Problem) -> dict[str, Any]:
        """Mean log-likelihood of fits of one start, ours and scikit-learn's, in memory; the mean over the seeds."""
        from sklearn.mixture import GaussianMixture as SklearnMixture

        with self.packed(problem) as packed:
            rows, _ = packed.sample(_IN_MEMORY_ROWS, 0)
        table = ArrayTable(rows)
        settings = [Settings(k=problem.k, n_init=1, seed=seed) for seed in range(self.seeds)]
        found = [search(table, (rows, None), one).parameters for one in settings]
        ours = [one.log_likelihood / one.weight_sum for one in table.evaluate_all(found)]
        theirs = [
            SklearnMixture(one.k, tol=one.tol, max_iter=one.max_iter, random_state=one.seed).fit(rows.T).score(rows.T)
            for one in settings
        ]
        return {"ours": statistics.mean(ours), "scikit-learn": statistics.mean(theirs)}

    def fixed_points(self, problem: Problem, most: int = 1500) -> dict[str, Any]:
        """Passes to within 1e-6 nats per row of the fixed points of plain and accelerated EM, from one start.

        From starts as they are drawn, and from where EM on the sample led, where fits begin on the table. There is no
        regularisation: with it, EM passes the likelihood's maximum on the way to its fixed point.
        """
        found: dict[str, Any] = {}
        with self.packed(problem) as table:
            for seed in range(self.seeds):
                settings = Settings(k=problem.k, seed=seed, n_init=1)
                sample = table.sample(settings.rows_to_draw, seed)
                (drawn,) = draw_starts(table, sample, ColumnProfile.of(sample[0]), settings, [settings.covariance_type])
                whole = make_sample_table(table, sample)
                begun = {
                    "as drawn": drawn,
                    "from the sample": choose_finalists(table, sample, ColumnProfile.of(sample[0]), settings, drawn),
                }
                for where, (start,) in begun.items():
                    runs = [Run(start, Rule(most, 1e-10, accelerate=accelerate)) for accelerate in (False, True)]
                    plain, fast = (best(fit(table, [run], sample=whole, lookahead=whole)) for run in runs)
                    for how, result in {"plain": plain, "accelerated": fast}.items():
                        needed = passes_to(result, result.lower_bound - 1e-6)
                        found.setdefault(f"{where}: {how}", []).append(needed)
                    gained = fast.lower_bound - plain.lower_bound
                    found.setdefault(f"{where}: accelerated less plain, nats a row", []).append(gained)
        return found

    def choice(self, k: int = 4, d: int = 3) -> dict[str, Any]:
        """The k and structure that BIC picks on tables sampled with k well-separated components of each structure."""
        picked = {}
        for seed, kind in enumerate(STRUCTURES):
            source = mixture(d, k, kind, seed, spread=4.0)
            table = sampled_table(self.spark, self.data, source, self.rows, "float64", f"choice-{kind}")
            model = GaussianMixtureSelector(
                inputCols=columns(d), ks=range(1, 9), covarianceTypes=[*STRUCTURES], nInit=max(self.n_inits)
            ).fit(table)
            picked[f"{kind}, k={k}"] = f"{model.getCovarianceType()}, k={model.getK()}"
        return {"truth and choice": picked, "right": f"{sum(a == b for a, b in picked.items())} of {len(picked)}"}

    def starts(self, problem: Problem) -> Contenders:
        """Wall time of a whole fit with ten starts against one."""
        table, names = self.table(problem)
        one = GaussianMixture(inputCols=names, k=problem.k, handleInvalid="skip")

        def fit_with(n_init: int) -> float:
            return timed(lambda: one.copy().setNInit(n_init).fit(table))

        return {"nInit=1": lambda: fit_with(1), "nInit=10": lambda: fit_with(10)}

    def sweep(self, problem: Problem) -> Contenders:
        """Wall time of choosing among k = 1 to 12 and all structures against one fit of the largest."""
        table, names = self.table(problem)
        selector = GaussianMixtureSelector(
            inputCols=names, ks=range(1, 13), covarianceTypes=[*STRUCTURES], handleInvalid="skip"
        )
        largest = GaussianMixture(inputCols=names, k=12, handleInvalid="skip")
        return {
            "one fit of k=12 full": lambda: timed(lambda: largest.fit(table)),
            "k=1..12, four structures": lambda: timed(lambda: selector.fit(table)),
        }

    def end_to_end(self, problem: Problem) -> dict[str, Any]:
        """Our fit with its defaults against pyspark.ml's with its own, once each: seconds and mean log-likelihood.

        Both likelihoods are evaluated here: pyspark.ml adds 2.2e-16 to every component's density of a row, so the
        likelihood it reports is too high if densities are small.
        """
        table, names = self.table(problem)
        kept: dict[str, Any] = {}
        ours = timed(lambda: kept.update(ours=GaussianMixture(inputCols=names, k=problem.k).fit(table)))
        vectors = VectorAssembler(inputCols=names, outputCol="features").transform(table).select("features")
        theirs = timed(lambda: kept.update(theirs=PysparkMixture(k=problem.k, seed=1).fit(vectors.persist())))
        found = kept["theirs"]
        gaussians = found.gaussiansDF.collect()
        with self.packed(problem) as packed:
            ended = MixtureParameters(
                np.array(found.weights),
                np.stack([g["mean"].toArray() for g in gaussians]) - packed.moments.mean,
                np.stack([g["cov"].toArray() for g in gaussians]),
                "full",
            )
            likelihood = packed.evaluate(ended).log_likelihood / packed.rows
        rows = kept["ours"].summary.numRows
        return {
            "seconds": {"ours": ours, "pyspark.ml": theirs},
            "ratio": theirs / ours,
            "log-likelihood a row": {
                "ours": kept["ours"].summary.logLikelihood / rows,
                "pyspark.ml": likelihood,
                "pyspark.ml, as it says": found.summary.logLikelihood / rows,
            },
            "passes": {"ours": kept["ours"].summary.numIter, "pyspark.ml": found.summary.numIter},
        }


def passes_to(result: EMResult, bound: float) -> int | None:
    """Number of the first pass whose lower bound was at least that; None if there was none."""
    return next((record.iteration for record in result.history if record.lower_bound >= bound), None)


COUNTED: dict[str, Callable[..., dict[str, Any]]] = {
    "passes": SearchBench.passes,
    "one-start": SearchBench.one_start,
    "fixed-points": SearchBench.fixed_points,
    "end-to-end": SearchBench.end_to_end,
}
TIMED: dict[str, Callable[[SearchBench, Problem], Contenders]] = {
    "starts": SearchBench.starts,
    "sweep": SearchBench.sweep,
}
