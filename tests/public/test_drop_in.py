"""Every public name of pyspark.ml's Gaussian mixture, compared with ours on a mixture that both have fitted.

What may differ is listed, with its reason, in docs/drop_in.py, which makes docs/drop-in.md. pyspark.ml's own examples
run here with the import changed.
"""

from __future__ import annotations

import doctest
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from pyspark.ml import clustering
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import drop_in
import gmm_spark


class Case(NamedTuple):
    """What looks are made at: the same for pyspark.ml's object and for ours."""

    table: DataFrame
    folder: Path


Look = Callable[[Any, Case], object]
"""Looks at an object. What it returns must be alike for both; of a set, ours may have more."""

# Far enough apart that both come to rest, at the same parameters, in a few passes.
ROWS = np.random.default_rng(0).normal(size=(120, 2)) + 9.0 * np.array([[0, 0], [1, 0], [0, 1]]).repeat(40, axis=0)
POINTS = [Vectors.dense(row) for row in ROWS[::30]]
# None is either's default.
SETTINGS: dict[str, Any] = {
    "featuresCol": "f",
    "predictionCol": "p",
    "probabilityCol": "q",
    "k": 3,
    "tol": 1e-9,
    "maxIter": 60,
    "seed": 5,
    "aggregationDepth": 3,
    "weightCol": "w",
}


# What is looked at: for every public name of the classes, one look.


def value(name: str) -> Look:
    return lambda it, case: (getattr(it, name).name, it.getOrDefault(name))


def got(name: str) -> Look:
    return lambda it, case: getattr(it, name)()


def attribute(name: str) -> Look:
    return lambda it, case: getattr(it, name)


def setter(name: str, new: object) -> Look:
    """Set a value by a setter, which returns the object itself."""

    def look(it: Any, case: Case) -> object:
        copied = it.copy()
        param = name.removeprefix("set")
        changed = getattr(copied, name)(new)
        return changed is copied, changed.getOrDefault(param[0].lower() + param[1:])

    return look


def columns(name: str) -> Look:
    return lambda it, case: contents(getattr(it, name))


def contents(frame: DataFrame) -> object:
    """Return a table's names and types, and its values as numbers."""
    types = [field.dataType.typeName() for field in frame.schema]
    plain = [[x.toArray().tolist() if hasattr(x, "toArray") else x for x in row] for row in frame.collect()]
    return frame.columns, types, plain


def settings_of(it: Any) -> set[tuple[str, object]]:
    return {
        (param.name, it.getOrDefault(param)) for param in it.params if it.isDefined(param) and param.name in SETTINGS
    }


def saved(it: Any, case: Case) -> str:
    """Return where an object was saved; it is written once."""
    path = case.folder / type(it).__module__ / type(it).__name__
    if not path.exists():
        it.save(str(path))
    return str(path)


def not_replaced(it: Any, case: Case) -> object:
    with pytest.raises(Exception, match=r"(?i)exists"):
        it.save(saved(it, case))
    return identity(type(it).load(saved(it, case)), it)


def replaced(it: Any, case: Case) -> object:
    other = it.copy({it.maxIter: 17})
    path = saved(it, case) + "-replaced"
    for one in (it, other):
        one.write().overwrite().save(path)
    return identity(type(it).load(path), other)


def identity(it: Any, origin: Any) -> object:
    return type(it) is type(origin), it.uid == origin.uid, settings_of(it)


def summary(it: Any, case: Case) -> object:
    with pytest.raises(Exception, match=r"(?i)no (training )?summary"):
        _ = type(it).load(saved(it, case)).summary
    return type(it.summary).__name__, it.summary.k


def transformed(it: Any, case: Case) -> object:
    return contents(it.transform(case.table)), it.transform(case.table, {it.predictionCol: "z"}).columns


def cleared(it: Any, case: Case) -> object:
    copied = it.copy()
    copied.clear(copied.maxIter)
    return copied.isSet("maxIter"), copied.getMaxIter(), it.isSet("maxIter")


def copied(it: Any, case: Case) -> object:
    other = it.copy({it.maxIter: 7})
    return other.uid == it.uid, other.getMaxIter(), it.getMaxIter(), settings_of(it.copy())


def set_by_param(it: Any, case: Case) -> object:
    other = it.copy()
    other.set(other.maxIter, 9)
    return other.getMaxIter()


def several_fits(it: Any, case: Case) -> object:
    maps = [{it.k: k, it.maxIter: 1} for k in (3, 2)]
    return sorted((index, type(model).__name__, model.getK()) for index, model in it.fitMultiple(case.table, maps))


def fits(it: Any, case: Case) -> object:
    one = it.fit(case.table, {it.k: 2, it.maxIter: 1})
    return type(one).__name__, one.getK(), one.getMaxIter(), one.uid == it.uid


PARAMS: dict[str, Look] = {
    **{name: value(name) for name in SETTINGS},
    **{name: got(name) for name in map("get{}".format, ("AggregationDepth", "FeaturesCol", "K", "MaxIter"))},
    **{
        name: got(name) for name in map("get{}".format, ("PredictionCol", "ProbabilityCol", "Seed", "Tol", "WeightCol"))
    },
    "clear": cleared,
    "copy": copied,
    "explainParam": lambda it, case: it.explainParam("maxIter").split(":")[0] + it.explainParam(it.k)[-25:],
    "explainParams": lambda it, case: {line.split(":")[0] for line in it.explainParams().splitlines()},
    "extractParamMap": lambda it, case: {(p.name, v) for p, v in it.extractParamMap({it.maxIter: 3}).items()},
    "getOrDefault": lambda it, case: (it.getOrDefault("k"), it.getOrDefault(it.tol)),
    "getParam": lambda it, case: it.getParam("tol").name,
    "hasDefault": lambda it, case: [it.hasDefault(name) for name in SETTINGS],
    "hasParam": lambda it, case: [it.hasParam(name) for name in ("k", "weightCol", "nothing")],
    "isDefined": lambda it, case: [it.isDefined(name) for name in SETTINGS],
    "isSet": lambda it, case: [it.isSet(name) for name in SETTINGS],
    "params": lambda it, case: {param.name for param in it.params},
    "set": set_by_param,
    "save": not_replaced,
    "write": replaced,
    "load": lambda it, case: identity(type(it).load(saved(it, case)), it),
    "read": lambda it, case: identity(type(it).read().load(saved(it, case)), it),
    **{name: setter(name, "new") for name in ("setFeaturesCol", "setPredictionCol", "setProbabilityCol")},
}
ESTIMATOR: dict[str, Look] = {
    **PARAMS,
    "fit": fits,
    "fitMultiple": several_fits,
    "setParams": lambda it, case: settings_of(it.copy().setParams(**{**SETTINGS, "k": 8})),
    "setWeightCol": setter("setWeightCol", "new"),
    "setTol": setter("setTol", 0.5),
    **{name: setter(name, 11) for name in ("setK", "setMaxIter", "setSeed", "setAggregationDepth")},
}
MODEL: dict[str, Look] = {
    **PARAMS,
    "gaussians": lambda it, case: [(one.mean.toArray().tolist(), one.cov.toArray().tolist()) for one in it.gaussians],
    "gaussiansDF": columns("gaussiansDF"),
    "hasSummary": lambda it, case: (it.hasSummary, type(it).load(saved(it, case)).hasSummary),
    "numFeatures": attribute("numFeatures"),
    "predict": lambda it, case: [it.predict(point) for point in POINTS],
    "predictProbability": lambda it, case: [it.predictProbability(point).toArray().tolist() for point in POINTS],
    "summary": summary,
    "transform": transformed,
    "weights": lambda it, case: list(it.weights),
}
SUMMARY: dict[str, Look] = {
    **{name: attribute(name) for name in ("clusterSizes", "k", "logLikelihood")},
    **{name: attribute(name) for name in ("featuresCol", "predictionCol", "probabilityCol")},
    **{name: columns(name) for name in ("cluster", "predictions", "probability")},
    "numIter": lambda it, case: 1 <= it.numIter <= SETTINGS["maxIter"],
}
LOOKS = {"GaussianMixture": ESTIMATOR, "GaussianMixtureModel": MODEL, "GaussianMixtureSummary": SUMMARY}


@pytest.fixture(scope="module")
def case(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Case:
    rows = pd.DataFrame({"f": ROWS.tolist(), "w": np.tile([1.0, 2.0], len(ROWS) // 2)})
    table = spark.createDataFrame(rows).select(array_to_vector(F.col("f")).alias("f"), "w").coalesce(2).cache()
    return Case(table, tmp_path_factory.mktemp("drop_in"))


@pytest.fixture(scope="module")
def both(case: Case) -> dict[str, tuple[Any, Any]]:
    """pyspark.ml's object and ours, by the name of the class. Ours starts from theirs: components keep their order."""
    their_estimator, our_estimator = clustering.GaussianMixture(**SETTINGS), gmm_spark.GaussianMixture(**SETTINGS)
    theirs = their_estimator.fit(case.table)
    ours = our_estimator.copy().setInitialModel(theirs).fit(case.table)
    return {
        "GaussianMixture": (their_estimator, our_estimator),
        "GaussianMixtureModel": (theirs, ours),
        "GaussianMixtureSummary": (theirs.summary, ours.summary),
    }


@pytest.mark.parametrize(("theirs", "ours"), drop_in.PAIRS, ids=lambda kind: kind.__name__)
def test_every_public_name_is_here_and_what_differs_has_a_reason(theirs, ours):
    found = drop_in.compare(theirs, ours)
    assert {one.name for one in found} == LOOKS[theirs.__name__].keys(), "each name needs a look"


def names() -> list[object]:
    """List every name of every class; pyspark.ml's own ``clear`` does nothing over Spark Connect."""
    classic = pytest.mark.classic("pyspark.ml's `clear` has no effect there")
    return [
        pytest.param(kind, name, marks=[classic] if name == "clear" else [])
        for kind, looks in LOOKS.items()
        for name in looks
    ]


@pytest.mark.parametrize(("kind", "name"), names())
def test_a_public_name_means_what_it_means_there(both, case, kind, name):
    theirs, ours = (LOOKS[kind][name](it, case) for it in both[kind])
    assert_alike(theirs, ours)


def assert_alike(theirs: object, ours: object) -> None:
    """Compare numbers to rounding, sequences item by item; a set of ours may have more."""
    if isinstance(theirs, set):
        assert isinstance(ours, set)
        assert theirs <= ours
    elif isinstance(theirs, list | tuple):
        assert isinstance(ours, list | tuple)
        assert len(theirs) == len(ours)
        for one, other in zip(theirs, ours, strict=True):
            assert_alike(one, other)
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-7)
    else:
        assert theirs == ours


def test_a_name_that_is_lacking_or_differs_needs_a_reason():
    class Lacking(gmm_spark.GaussianMixtureSummary):
        """Without attributes."""

    with pytest.raises(ValueError, match=r"GaussianMixtureSummary.clusterSizes: there is no such name here"):
        drop_in.compare(clustering.GaussianMixtureSummary, Lacking)

    class Other(gmm_spark.GaussianMixture):
        def setK(self):  # type: ignore[override]
            """Take no value."""

    with pytest.raises(ValueError, match=r"GaussianMixture.setK: no argument value here"):
        drop_in.compare(clustering.GaussianMixture, Other)


# Examples of pyspark.ml's whose answer is another here, and the answer.
ANSWERS = {"model2.weights == model.weights\n": "array([ True,  True,  True])\n"}


def test_pyspark_mls_own_examples_give_the_same_answers(spark, tmp_path):
    names = {**vars(gmm_spark), "GaussianMixture": gmm_spark.GaussianMixture}
    names |= {"GaussianMixtureModel": gmm_spark.GaussianMixtureModel, "spark": spark, "temp_path": str(tmp_path)}
    text = clustering.GaussianMixture.__doc__
    examples = doctest.DocTestParser().get_doctest(text, names, "GaussianMixture", None, 0)
    assert len(examples.examples) > 45
    for example in examples.examples:
        example.want = ANSWERS.get(example.source, example.want)
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(examples, out=told.append)
    assert not runner.failures, "".join(told)
