"""A mixture in memory: the field's formulas, rows in any form, and what is done about bad ones."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gmm_spark import Mixture, MixtureParameters
from gmm_spark.core.kernels.histogram import LogDensityHistogram, bin_weights
from gmm_spark.core.mixture import density
from gmm_spark.errors import DataError, ParameterError
from tests.examples import draw_rows, random_mixture

NAMES = ["x", "y.z", "weird `name`"]


def mixture_of(covariance_type: str = "full", k: int = 4, d: int = 3, **options: Any) -> Mixture:
    """A mixture that knows its names, and the densities of rows that it made."""
    rng = np.random.default_rng(5)
    parameters = random_mixture(covariance_type, k, d, rng)
    logs = density.log_density(parameters, draw_rows(parameters, 2000, rng)[0])
    ceiling = float(logs.max()) + 1.0
    histogram = LogDensityHistogram(ceiling, bin_weights(ceiling - logs, np.ones(len(logs))))
    return Mixture(parameters, NAMES if d == 3 else None, histogram, **{"anomaly_fraction": 0.1, **options})


def rows_of(mixture: Mixture, n: int = 50, seed: int = 1) -> np.ndarray:
    """Rows (n, d), some of them far off."""
    rows, _ = draw_rows(mixture.parameters, n, np.random.default_rng(seed))
    return np.ascontiguousarray((rows * np.where(np.arange(n) % 7 == 0, 3.0, 1.0)).T)


def test_scores_are_those_of_the_direct_formulas(covariance_type: str) -> None:
    mixture = mixture_of(covariance_type)
    rows = rows_of(mixture)
    resp = density.responsibilities(mixture.parameters, rows.T).T
    logs = density.log_density(mixture.parameters, rows.T)
    np.testing.assert_allclose(mixture.predict_proba(rows), resp, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mixture.log_density(rows), logs, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(mixture.predict(rows), resp.argmax(axis=1))
    odd = mixture.is_anomaly(rows)
    np.testing.assert_array_equal(odd, logs < mixture.log_densities.quantile(0.1))
    assert odd.any()
    assert not odd.all()


@pytest.mark.parametrize("far", [0.0, 1e5, 1e200])
def test_one_row_scores_as_it_does_among_others(covariance_type: str, far: float) -> None:
    # Means far apart in units of their widths take the accurate formula; 1e200 is beyond any density.
    mixture = mixture_of(covariance_type, k=5)
    parameters = mixture.parameters
    means = parameters.means + (far if far < 1e100 else 0.0) * np.arange(5)[:, None]
    moved = Mixture(MixtureParameters(parameters.weights, means, parameters.covariances, covariance_type))
    rows = means[[0, 2, 4, 1]] + np.random.default_rng(2).normal(size=(4, 3)) + (far if far > 1e100 else 0.0)
    together = moved.predict(rows), moved.log_density(rows), moved.predict_proba(rows)
    for i, row in enumerate(rows.tolist()):
        assert moved.predict(row) == together[0][i]
        np.testing.assert_allclose(moved.log_density(row), together[1][i], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(moved.predict_proba(row), together[2][i], rtol=1e-12, atol=1e-12)


def forms_of(rows: np.ndarray) -> dict[str, Any]:
    """The same rows in all forms that callers have them in, the columns in another order and among others."""
    columns = dict(zip(NAMES, rows.T, strict=True))
    shuffled = {"other": ["text"] * len(rows)} | {name: columns[name] for name in reversed(NAMES)}
    table = pa.table(shuffled)
    return {
        "lists": rows.tolist(),
        "array": rows,
        "fortran": np.asfortranarray(rows),
        "pandas": pd.DataFrame(shuffled),
        "pandas, nullable": pd.DataFrame(shuffled).convert_dtypes(),
        "pandas, decimals": pd.DataFrame(columns).astype(object),
        "arrow": table,
        "arrow, chunks": pa.concat_tables([table.slice(0, 7), table.slice(7, 0), table.slice(7)]),
        "arrow batch": table.to_batches()[0],
        "arrow's interface": Stream(table),
    }


class Stream:
    """A table of a library that speaks Arrow's C interface and is not known otherwise."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def test_rows_of_any_form_score_alike() -> None:
    mixture = mixture_of()
    rows = rows_of(mixture, 20)
    expected = mixture.log_density(rows)
    for form, given in forms_of(rows).items():
        np.testing.assert_array_equal(mixture.log_density(given), expected, err_msg=form)
        np.testing.assert_array_equal(mixture.predict(given), mixture.predict(rows), err_msg=form)
        assert mixture.reasons(given) == mixture.reasons(rows), form


@pytest.mark.parametrize("as_type", [pa.float32(), pa.int64(), pa.int8(), pa.decimal128(30, 2)])
def test_columns_of_any_numeric_type_are_read(as_type: pa.DataType) -> None:
    mixture = mixture_of()
    numbers = np.array([[1, 2, 3], [-4, 5, 0]])
    table = pa.table({name: pa.array(column).cast(as_type) for name, column in zip(NAMES, numbers.T, strict=True)})
    np.testing.assert_array_equal(mixture.log_density(table), mixture.log_density(numbers))
    np.testing.assert_array_equal(mixture.log_density(table.to_pandas()), mixture.log_density(numbers))


def test_a_column_of_arrays_is_read_if_there_is_none_for_each_feature() -> None:
    named = mixture_of()
    mixture = Mixture(named.parameters, ["f[0]", "f[1]", "f[2]"], named.log_densities, features_col="f")
    rows = rows_of(mixture, 9)
    expected = mixture.log_density(rows)
    values = pa.array(rows.ravel())
    vectors = [{"type": 1, "size": None, "indices": None, "values": row} for row in rows.tolist()]
    sparse = [{"type": 0, "size": 3, "indices": [0, 1, 2], "values": row} for row in rows.tolist()]
    vector = pa.struct(
        [
            ("type", pa.int8()),
            ("size", pa.int32()),
            ("indices", pa.list_(pa.int32())),
            ("values", pa.list_(pa.float64())),
        ]
    )
    for column in (
        pa.array(rows.tolist()),
        pa.array(rows.tolist(), pa.large_list(pa.float64())),
        pa.FixedSizeListArray.from_arrays(values, 3),
        pa.array(vectors, vector),
        pa.array(vectors[:4] + sparse[4:], vector),
    ):
        np.testing.assert_array_equal(mixture.log_density(pa.table({"f": column})), expected)
    np.testing.assert_array_equal(mixture.log_density(pd.DataFrame({"f": list(rows)})), expected)
    assert mixture.log_density({"f": rows[0]}) == pytest.approx(expected[0], rel=1e-13)


def test_one_row_gives_one_result() -> None:
    mixture = mixture_of()
    row = dict(zip(NAMES, [1.0, -2.0, 0.5], strict=True))
    assert isinstance(mixture.predict(row), int)
    assert isinstance(mixture.log_density([1.0, -2.0, 0.5]), float)
    assert mixture.log_density(row | {"other": "text"}) == mixture.log_density([1.0, -2.0, 0.5])
    assert mixture.predict_proba(row).shape == (4,)
    assert mixture.is_anomaly(dict.fromkeys(NAMES, 99)) is True
    assert len(mixture.reasons(dict.fromkeys(NAMES, 99))) == 3
    assert mixture.reasons(mixture.means[0]) is None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (pa.table({"x": [1.0], "y.z": [1.0]}), r"lack 'weird `name`'; they have 'x', 'y.z'"),
        (pd.DataFrame([[1.0, 2.0, 3.0]]), "lack 'x', 'y.z', 'weird `name`'; they have 0, 1, 2"),
        (pd.DataFrame([[1.0] * 4], columns=["x", *NAMES]), "several columns 'x'"),
        (pa.table([[1.0]] * 4, names=["x", *NAMES]), "several columns 'x'"),
        (pa.table([["1"], [1.0], [1.0]], names=NAMES), "column 'x' is string; need numbers"),
        (pa.table([[True], [1.0], [1.0]], names=NAMES), "column 'x' is bool; need numbers"),
        (pd.DataFrame({"x": [True], "y.z": [1.0], "weird `name`": [1.0]}), "column 'x' is bool; need numbers"),
        (pd.DataFrame({"x": ["1"], "y.z": [1.0], "weird `name`": [1.0]}), "column 'x' is object; need numbers"),
        (pd.DataFrame({"x": pd.array([True]), "y.z": [1.0], "weird `name`": [1.0]}), "'x' is boolean; need numbers"),
        (pd.DataFrame({"x": pd.to_datetime([0]), "y.z": [1.0], "weird `name`": [1.0]}), "'x' is datetime64.*numbers"),
        ({"x": 1.0, "y.z": 1.0}, "lack 'weird `name`'; they have 'x', 'y.z'"),
        ({"x": "1", "y.z": 1.0, "weird `name`": 2.0}, r"need 3 number\(s\)"),
        ({name: [1.0, 2.0] for name in NAMES}, "a dict is one row"),
        ([[1.0, 2.0]], r"need numbers of shape \(n, 3\)"),
        ([1.0, 2.0], r"or \(3,\) for one row"),
        (np.zeros((2, 2, 3)), "of shape"),
        ([["1", "2", "3"]], "need numbers"),
        (np.array([["1", None, 2.0]], object), "need numbers"),
        ([[1j, 0, 0]], "need numbers"),
        (None, "need numbers"),
        ("abc", "need numbers"),
    ],
)
def test_rows_that_are_none_are_refused(rows: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        mixture_of().predict(rows)


def test_a_table_is_refused_if_the_features_have_no_names() -> None:
    mixture = Mixture(mixture_of().parameters)
    with pytest.raises(DataError, match=r"does not know the names .* pass an array \(n, 3\)"):
        mixture.predict(pa.table([[1.0]] * 3, names=NAMES))
    with pytest.raises(DataError, match="does not know the names"):
        mixture.predict(dict.fromkeys(NAMES, 1.0))


NULLS = pd.DataFrame([[0, 0, 0], [0, None, 0], [None, 0, 0], [1, 1, 1]], columns=NAMES)
BAD = [
    ("array", np.array([[0, 0, 0], [0, np.nan, 0], [np.inf, 0, 0], [1, 1, 1]]), "1 with a NaN feature in y.z"),
    (
        "masked",
        np.ma.masked_array(np.zeros((4, 3)), np.diag([0, 1, 1, 0])[:, [0, 1, 2]].astype(bool)),
        "1 with a NaN feature",
    ),
    ("pandas", NULLS.astype(float), "1 with a NaN feature in x"),
    ("nullable", NULLS.convert_dtypes(), "1 with a null feature in x"),
    ("arrow", pa.Table.from_pandas(NULLS), "1 with a null feature in y.z"),
    ("all null", pa.table([pa.nulls(4), [1.0] * 4, [1.0] * 4], names=NAMES), "4 with a null feature in x"),
]


@pytest.mark.parametrize(("form", "rows", "said"), BAD, ids=[form for form, _, _ in BAD])
def test_bad_rows_are_refused_in_the_words_that_a_fit_has_for_them(form: str, rows: Any, said: str) -> None:
    with pytest.raises(DataError, match=rf"bad rows: .*({said}).*\(d=3\); clean the rows, or set handle_invalid"):
        mixture_of().predict(rows)


@pytest.mark.parametrize("handle_invalid", ["keep", "skip"])
@pytest.mark.parametrize(("form", "rows", "said"), BAD, ids=[form for form, _, _ in BAD])
def test_a_bad_row_that_is_kept_has_results_that_say_so(form: str, rows: Any, said: str, handle_invalid: str) -> None:
    mixture = mixture_of(handle_invalid=handle_invalid)
    good = [] if form == "all null" else [0, 3]
    bad = sorted({0, 1, 2, 3} - set(good))
    whole = np.array([[0.0] * 3, [1.0] * 3]) if form != "masked" else np.zeros((2, 3))
    assert mixture.predict(rows)[bad].tolist() == [-1] * len(bad)
    assert np.isnan(mixture.log_density(rows)[bad]).all()
    assert np.isnan(mixture.predict_proba(rows)[bad]).all()
    assert not mixture.is_anomaly(rows)[bad].any()
    assert [mixture.reasons(rows)[i] for i in bad] == [None] * len(bad)
    if good:
        np.testing.assert_array_equal(mixture.log_density(rows)[good], mixture.log_density(whole))
        np.testing.assert_array_equal(mixture.predict(rows)[good], mixture.predict(whole))


def test_all_scores_at_once_are_those_one_by_one(covariance_type: str) -> None:
    mixture = mixture_of(covariance_type, handle_invalid="keep")
    rows = rows_of(mixture)
    rows[1, 0] = np.nan
    for table in (rows, rows[:1], pd.DataFrame(rows, columns=NAMES), rows[:0]):
        prediction, log_density, probability, anomaly = mixture.scores(table)
        np.testing.assert_array_equal(prediction, mixture.predict(table))
        np.testing.assert_array_equal(log_density, mixture.log_density(table))
        np.testing.assert_array_equal(probability, mixture.predict_proba(table))
        np.testing.assert_array_equal(anomaly, mixture.is_anomaly(table))
    assert mixture.scores(rows[0]).probability.shape == (1, 4)


def test_a_single_bad_row_is_refused_or_has_no_result() -> None:
    with pytest.raises(DataError, match=r"value\[1\], feature 'y.z', is nan; need finite values"):
        mixture_of().predict([0.0, None, 1.0])
    mixture = mixture_of(handle_invalid="keep")
    assert mixture.predict([0.0, None, 1.0]) is None
    assert mixture.is_anomaly({"x": 0.0, "y.z": float("inf"), "weird `name`": 1.0}) is False
    assert np.isnan(mixture.log_density([0.0, None, 1.0]))
    assert np.isnan(mixture.predict_proba([0.0, None, 1.0])).all()
    assert mixture.reasons([0.0, None, 1.0]) is None


def test_arrays_of_another_width_are_bad_rows() -> None:
    mixture = Mixture(mixture_of().parameters, features_col="f", handle_invalid="keep")
    lists = [[0.0, 0.0, 0.0], [1.0], None, [0.0, None, 0.0]]
    for table in (pa.table({"f": lists}), pd.DataFrame({"f": lists})):
        assert (mixture.predict(table) >= 0).tolist() == [True, False, False, False]
    strict = Mixture(mixture_of().parameters, features_col="f")
    with pytest.raises(DataError, match=r"1 with a null feature, 1 with a null feature in f.1., 1 with a wrong width"):
        strict.predict(pa.table({"f": lists}))


@pytest.mark.parametrize("rows", [np.empty((0, 3)), pa.table([pa.array([], pa.float64())] * 3, names=NAMES)])
def test_no_rows_give_no_results(rows: Any) -> None:
    mixture = mixture_of()
    assert mixture.predict(rows).shape == mixture.log_density(rows).shape == mixture.is_anomaly(rows).shape == (0,)
    assert mixture.predict_proba(rows).shape == (0, 4)
    assert mixture.reasons(rows) == []


def test_a_mixture_without_log_densities_says_what_to_do() -> None:
    mixture = Mixture(mixture_of().parameters)
    for ask in (mixture.is_anomaly, mixture.reasons):
        with pytest.raises(ParameterError, match=r"does not know how likely .* fit it again, or compare log_density"):
            ask([[0.0, 0.0, 0.0]])


def test_parameters_that_cannot_be_are_refused() -> None:
    parameters = mixture_of().parameters
    for options, said in (
        ({"feature_names": ["a"]}, "feature_names=.*need a list of 3 names"),
        ({"feature_names": "abc"}, "need a list of 3 names"),
        ({"handle_invalid": "drop"}, "use one of error, skip, keep"),
        ({"anomaly_fraction": 1.0}, "need a number > 0 and < 1"),
    ):
        with pytest.raises(ParameterError, match=said):
            Mixture(parameters, **options)
    with pytest.raises(ParameterError, match="fraction=0; need a number > 0"):
        mixture_of().is_anomaly([[0.0, 0.0, 0.0]], fraction=0)
    with pytest.raises(ParameterError, match="at least 1 row"):
        mixture_of().sample(0)


def test_a_fraction_of_its_own_moves_the_threshold() -> None:
    mixture = mixture_of()
    rows = rows_of(mixture, 200)
    few, many = mixture.is_anomaly(rows, fraction=0.01), mixture.is_anomaly(rows, fraction=0.5)
    assert few.sum() < many.sum()
    assert (many | ~few).all()
    assert [found is not None for found in mixture.reasons(rows, fraction=0.5)] == many.tolist()


def test_samples_have_the_moments_of_the_mixture_and_follow_the_seed() -> None:
    mixture = mixture_of()
    rows, components = mixture.sample(100_000, seed=4)
    mean, variance = mixture.parameters.moments()
    np.testing.assert_allclose(rows.mean(axis=0), mean, atol=5 * np.sqrt(variance.max() / 1e5))
    np.testing.assert_allclose(rows.var(axis=0), variance, rtol=0.05)
    np.testing.assert_allclose(np.bincount(components) / 1e5, mixture.weights, atol=0.01)
    np.testing.assert_array_equal(mixture.sample(7, seed=4)[0], mixture.sample(7, seed=4)[0])
    assert not np.array_equal(mixture.sample(7, seed=4)[0], mixture.sample(7, seed=5)[0])


def test_a_description_has_each_component_in_the_features_own_units(covariance_type: str) -> None:
    mixture = mixture_of(covariance_type)
    table = mixture.describe()
    assert table.index.name == "component"
    assert table["weight"].tolist() == mixture.weights.tolist()
    for i, name in enumerate(NAMES):
        np.testing.assert_array_equal(table[f"mean of {name}"], mixture.means[:, i])
        spread = np.sqrt(mixture.parameters.dense_covariances[:, i, i])
        np.testing.assert_allclose(table[f"sd of {name}"], spread)


def test_a_notebook_shows_the_components_as_a_table() -> None:
    page = mixture_of()._repr_html_()
    assert page.startswith("<p>Mixture(k=4,")
    assert all(f">{name}<" in page for name in NAMES)


def test_threads_share_a_mixture() -> None:
    mixture = mixture_of(k=16)
    tables = [rows_of(mixture, 3000, seed) for seed in range(8)]
    expected = [mixture_of(k=16).log_density(rows) for rows in tables]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            for found, right in zip(threads.map(mixture.log_density, tables), expected, strict=True):
                np.testing.assert_array_equal(found, right)


def test_a_mixture_is_copied_and_pickled_without_its_buffers() -> None:
    mixture = mixture_of()
    rows = rows_of(mixture)
    expected = mixture.log_density(rows)
    assert len(pickle.dumps(mixture)) < 200_000
    for other in (pickle.loads(pickle.dumps(mixture)), copy.deepcopy(mixture), copy.copy(mixture)):
        np.testing.assert_array_equal(other.log_density(rows), expected)
        assert other.feature_names == NAMES
    assert repr(mixture) == "Mixture(k=4, d=3, covariance_type='full')"


def test_all_scores_at_once_know_the_anomalies_among_rows_with_missing_values() -> None:
    mixture = mixture_of(handle_invalid="marginal")
    rows = rows_of(mixture)
    rows[::3, 1] = np.nan
    found = mixture.scores(rows)
    assert found.anomaly is not None
    np.testing.assert_array_equal(found.anomaly, mixture.is_anomaly(rows))
    assert found.anomaly[::3].any()
    assert Mixture(mixture.parameters, handle_invalid="marginal").scores(rows).anomaly is None
