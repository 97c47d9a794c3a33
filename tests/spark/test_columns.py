"""Columns of a table: every form of features gives the same rows, and others are refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import Vector, Vectors
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gmm_spark.errors import DataError, ParameterError
from gmm_spark.spark.columns import resolve_features
from gmm_spark.spark.decoding import NULL, WIDTH
from tests.tables import Rows, found_features, in_order, read_back, three_blobs

ROWS = np.round(three_blobs(60) * 8) / 8  # exact in float32 and in decimal(18, 3)
ROWS[np.abs(ROWS - 20) < 0.5] = 0.0  # something for sparse vectors to leave out
Form = Callable[[SparkSession], DataFrame]


def dense(row: Rows) -> Vector:
    return Vectors.dense(row.tolist())


def sparse(row: Rows) -> Vector:
    at = np.flatnonzero(row)
    return Vectors.sparse(len(row), at.tolist(), row[at].tolist())


FORMS: dict[str, Form] = {
    "dense vectors": lambda s: s.createDataFrame([(dense(r),) for r in ROWS], ["features"]),
    "sparse vectors": lambda s: s.createDataFrame([(sparse(r),) for r in ROWS], ["features"]),
    "dense and sparse vectors": lambda s: s.createDataFrame(
        [((dense, sparse)[i % 2](r),) for i, r in enumerate(ROWS)], ["features"]
    ),
    "array<double>": lambda s: s.createDataFrame(pa.table({"features": pa.array(list(ROWS))})),
    "array<float>": lambda s: s.createDataFrame(
        pa.table({"features": pa.array(list(ROWS.astype(np.float32)), pa.list_(pa.float32()))})
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("partitions", [1, 3])
def test_every_form_of_one_column_gives_the_same_rows(spark: SparkSession, form: str, partitions: int) -> None:
    rows, weight, bad = read_back(FORMS[form](spark).repartition(partitions))
    np.testing.assert_array_equal(in_order(rows), in_order(ROWS))
    assert weight is None
    assert not bad


@pytest.mark.parametrize("form", FORMS)
def test_many_small_arrow_batches_give_the_same_rows(spark: SparkSession, form: str, small_batches: int) -> None:
    rows, _, bad = read_back(FORMS[form](spark).coalesce(1))
    np.testing.assert_array_equal(rows, ROWS)
    assert not bad


@pytest.mark.parametrize("form", FORMS)
def test_null_rows_are_counted_and_the_others_are_untouched(spark: SparkSession, form: str, small_batches: int) -> None:
    whole = FORMS[form](spark).coalesce(1)
    numbered = whole.withColumn("n", F.monotonically_increasing_id())
    holed = numbered.select(F.when(F.col("n") % 4 != 1, F.col("features")).alias("features"))
    rows, _, bad = read_back(holed, strict=False)
    np.testing.assert_array_equal(rows, ROWS[np.arange(60) % 4 != 1])
    assert bad == {NULL: 15}


@pytest.mark.parametrize(
    "kind", ["byte", "short", "int", "long", "float", "double", "decimal(5,0)", "decimal(18,3)", "decimal(38,10)"]
)
def test_numeric_columns_of_every_type_are_read(spark: SparkSession, kind: str) -> None:
    table = spark.range(0, 40, 1, 3).select(
        (F.col("id") - 20).cast(kind).alias("x"), (F.col("id") % 7).cast(kind).alias("y")
    )
    rows, _, _ = read_back(table, input_cols=["x", "y"])
    ids = np.arange(40)
    np.testing.assert_array_equal(in_order(rows), in_order(np.column_stack([ids - 20, ids % 7]).astype(float)))


def test_columns_of_different_types_are_read_together_at_full_precision(spark: SparkSession) -> None:
    table = spark.sql(
        "select cast(id as byte) b, cast(id as short) s, cast(id as int) i, id + 9007199254740000 l, "
        "cast(id / 10 as float) f, id / 10 d, cast(id / 8 as decimal(10,3)) c from range(5)"
    )
    rows, _, _ = read_back(table, input_cols=["b", "s", "i", "l", "f", "d", "c"])
    ids = np.arange(5.0)
    tenths = ids / 10
    expected = [ids, ids, ids, ids + 9007199254740000, tenths.astype(np.float32).astype(float), tenths, ids / 8]
    np.testing.assert_array_equal(in_order(rows), np.column_stack(expected))


ODD_NAMES = ["a.b", "c`d", "with space", "UPPER", "ünï", "sélect *", "1st"]


def test_odd_column_names_are_read(spark: SparkSession) -> None:
    values = np.arange(4.0 * len(ODD_NAMES)).reshape(4, -1)
    table = spark.createDataFrame(values.tolist(), ODD_NAMES)
    rows, _, _ = read_back(table, input_cols=ODD_NAMES)
    np.testing.assert_array_equal(in_order(rows), values)


def test_a_dotted_name_is_a_column_and_not_a_field(spark: SparkSession) -> None:
    table = spark.range(3).select(
        F.struct((F.col("id") * 100).alias("b")).alias("a"), F.col("id").cast("double").alias("a.b")
    )
    rows, _, _ = read_back(table, input_cols=["a.b"])
    np.testing.assert_array_equal(np.sort(rows[:, 0]), [0, 1, 2])


def test_names_are_found_without_regard_to_case_as_spark_does(spark: SparkSession) -> None:
    table = spark.range(3).select(F.col("id").alias("Distance"))
    rows, _, _ = read_back(table, input_cols=["distance"])
    np.testing.assert_array_equal(np.sort(rows[:, 0]), [0, 1, 2])


@pytest.mark.parametrize("kind", ["int", "long", "float", "decimal(10,2)", "double"])
def test_weights_of_any_numeric_type_stay_with_their_rows(spark: SparkSession, kind: str) -> None:
    table = spark.range(0, 30, 1, 3).select(
        F.array(F.col("id").cast("double")).alias("features"), (F.col("id") % 5).cast(kind).alias("w")
    )
    rows, weight, _ = read_back(table, weight_col="w")
    assert weight is not None
    np.testing.assert_array_equal(weight, rows[:, 0] % 5)
    np.testing.assert_array_equal(np.sort(rows[:, 0]), [i for i in range(30) if i % 5])  # without weight, none


def test_rows_beyond_one_block_keep_their_order_and_weights(spark: SparkSession) -> None:
    n = 150_000  # a block holds 65,536 rows at most
    table = spark.range(0, n, 1, 1).select(
        F.col("id").cast("double").alias("x"), (F.col("id") * 3).alias("y"), (F.col("id") % 11 + 1).alias("w")
    )
    rows, weight, _ = read_back(table, input_cols=["x", "y"], weight_col="w")
    ids = np.arange(n)
    np.testing.assert_array_equal(rows, np.column_stack([ids, ids * 3]).astype(float))
    np.testing.assert_array_equal(weight, ids % 11 + 1)


def test_float_columns_stay_float32_and_doubles_do_not(spark: SparkSession) -> None:
    table = spark.range(2).select(F.col("id").cast("float").alias("f"), F.col("id").cast("double").alias("d"))
    only_float = resolve_features(table, "", ["f"], None, None)
    both = resolve_features(table, "", ["f", "d"], None, None)
    assert only_float is not None
    assert both is not None
    assert (only_float.dtype, both.dtype) == (np.float32, np.float64)


# Names and types, checked on the driver before any job.


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"features_col": "nothing"}, DataError, ["featuresCol", "'nothing'", "'v'"]),
        ({"features_col": "text"}, DataError, ["featuresCol='text'", "string", "Vector or array<double>", "inputCols"]),
        ({"features_col": "texts"}, DataError, ["featuresCol='texts'", "array<string>", "Vector or array<double>"]),
        ({"features_col": "x"}, DataError, ["featuresCol='x'", "double", "inputCols"]),
        ({"input_cols": ["x", "nothing"]}, DataError, ["inputCols", "'nothing'"]),
        ({"input_cols": ["x", "text"]}, DataError, ["inputCols", "'text'", "string", "cast"]),
        ({"input_cols": ["x", "flag"]}, DataError, ["inputCols", "'flag'", "boolean"]),
        ({"input_cols": ["x", "v"]}, DataError, ["inputCols", "'v'", "array<double>"]),
        ({"input_cols": []}, ParameterError, ["inputCols", "at least one"]),
        ({"input_cols": ["x", "x"]}, ParameterError, ["inputCols", "'x'", "twice"]),
        ({"input_cols": ["x"], "weight_col": "nothing"}, DataError, ["weightCol", "'nothing'"]),
        ({"input_cols": ["x"], "weight_col": "text"}, DataError, ["weightCol='text'", "string", "numeric"]),
        ({"input_cols": ["x"], "width": 3}, DataError, ["inputCols", "1 columns", "3 features"]),
    ],
)
def test_a_column_that_cannot_be_read_is_refused_by_name(
    spark: SparkSession, arguments: dict[str, object], error: type[Exception], told: list[str]
) -> None:
    table = spark.sql("select array(1.0D) v, 'a' text, array('a') texts, 1.0D x, true flag")
    given = {"features_col": "v", "input_cols": None, "weight_col": None, "width": None} | arguments
    with pytest.raises(error) as raised:
        resolve_features(table, **given)  # type: ignore[arg-type]
    for words in told:
        assert words in str(raised.value)


def test_input_cols_that_differ_in_case_only_name_one_column_twice(spark: SparkSession) -> None:
    with pytest.raises(ParameterError, match="twice"):
        resolve_features(spark.sql("select 1.0D x, 2.0D y"), "", ["x", "X"], None, None)


@pytest.fixture
def case_matters(spark: SparkSession) -> Iterator[None]:
    spark.conf.set("spark.sql.caseSensitive", "true")
    yield
    spark.conf.set("spark.sql.caseSensitive", "false")


def test_columns_that_differ_in_case_are_two_if_case_matters(spark: SparkSession, case_matters: None) -> None:
    table = spark.sql("select double(id) x, double(100 * id) X from range(3)")
    rows, _, _ = read_back(table, input_cols=["X", "x"])
    np.testing.assert_array_equal(in_order(rows), [[0, 0], [100, 1], [200, 2]])
    with pytest.raises(DataError, match="no column 'y'"):
        resolve_features(table.withColumnRenamed("x", "Y"), "", ["y"], None, None)


def test_a_feature_that_may_be_either_of_two_columns_is_refused(spark: SparkSession) -> None:
    left, right = spark.sql("select 1 id, 2 x"), spark.sql("select 1 key, 3 X, array(1.0D) v, array(1.0D) V")
    joined = left.join(right, F.col("id") == F.col("key"))
    for parameter, arguments in {
        "inputCols": ("", ["id", "x"], None),
        "featuresCol": ("v", None, None),
        "weightCol": ("", ["id"], "x"),
    }.items():
        with pytest.raises(DataError, match=rf"{parameter}: the table has 2 columns .*rename or drop"):
            resolve_features(joined, *arguments, None)


@pytest.mark.parametrize(
    ("parameter", "arguments"),
    [("inputCols", ("", ["s.x"], None)), ("featuresCol", ("s.x", None, None)), ("weightCol", ("", ["id"], "S.x"))],
)
def test_a_field_of_a_struct_is_refused_with_the_select_that_makes_it_a_column(
    spark: SparkSession, parameter: str, arguments: tuple[str, list[str] | None, str | None]
) -> None:
    table = spark.sql("select id, struct(double(id) as x) s from range(3)")
    with pytest.raises(DataError, match=rf"""{parameter}: .*(?i:table\.select\("\*", "s\.x"\)) makes it 'x'"""):
        resolve_features(table, *arguments, None)


# The width of a Vector or array column


@pytest.mark.parametrize("vectors", [False, True])
@pytest.mark.parametrize("short", ["array(1.0D)", "cast(array() as array<double>)"])
def test_one_short_row_that_comes_first_does_not_decide_the_width(
    spark: SparkSession, vectors: bool, short: str
) -> None:
    table = spark.range(0, 100, 1, 1).select(
        F.expr(f"if(id = 0, {short}, array(double(id), 1.0D, double(id % 7)))").alias("v")
    )
    if vectors:
        table = table.withColumn("v", array_to_vector(F.col("v")))
    assert found_features(table, "v").width == 3
    rows, _, bad = read_back(table, "v", strict=False)
    assert (len(rows), bad) == (99, {WIDTH: 1})


def test_sparse_vectors_show_their_width(spark: SparkSession) -> None:
    rows = [(Vectors.sparse(2, [0], [1.0]),), (Vectors.sparse(46_342, [3], [1.0]),), (Vectors.sparse(46_342, [], []),)]
    assert found_features(spark.createDataFrame(rows, ["v"]), "v").width == 46_342


def test_metadata_decides_the_width_whatever_the_rows_say(spark: SparkSession) -> None:
    row = array_to_vector(F.array(F.lit(1.0)))
    table = spark.range(5).select(row.alias("v", metadata={"ml_attr": {"num_attrs": 4}}))
    assert found_features(table, "v").width == 4
    assembled = VectorAssembler(inputCols=["id", "id"], outputCol="v").transform(spark.range(5))
    assert found_features(assembled, "v").width == 2


def test_of_two_widths_as_many_the_first_stays_and_the_other_rows_are_bad(spark: SparkSession) -> None:
    table = spark.range(0, 10, 1, 1).select(F.expr("if(id < 5, array(1.0D), array(1.0D, 2.0D))").alias("v"))
    assert found_features(table, "v").width == 1
    with pytest.raises(DataError, match="5 with a wrong width"):
        read_back(table, "v")


def test_features_are_named_for_messages(spark: SparkSession) -> None:
    table = spark.sql("select array(1.0D, 2.0D) v, 1 a, 2 b")
    vector, scalars = (
        resolve_features(table, "v", None, None, None),
        resolve_features(table, "", ["b", "a"], None, None),
    )
    assert vector is not None
    assert scalars is not None
    assert vector.names == ("v[0]", "v[1]")
    assert scalars.names == ("b", "a")
