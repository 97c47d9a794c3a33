"""The package uses neither RDDs nor the JVM on the driver, and no optional packages on executors."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import gmm_spark

PACKAGE = Path(gmm_spark.__file__).parent
# Descriptions of jobs, the search for plain Parquet files and the count of cores do without what Spark Connect lacks.
SPARED = {
    PACKAGE / "spark" / "descriptions.py",
    PACKAGE / "spark" / "packing" / "cluster.py",
    PACKAGE / "spark" / "packing" / "parquet_plan.py",
}
SOURCES = [
    file
    for file in sorted(PACKAGE.rglob("*.py"))
    if not {"jobs", "storage"} & {*file.relative_to(PACKAGE).parts} and file not in SPARED
]
CLASSIC_ONLY = {"rdd", "sparkContext", "SparkContext", "_jvm", "_jdf", "_jsc", "_sc", "_jsparkSession", "_java_obj"}


def classic_only(source: str) -> set[str]:
    """Names in code (not in comments or strings) that Spark Connect does not have."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.ImportFrom):
            found.update(alias.name for alias in node.names)
    return found & CLASSIC_ONLY


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_the_package_uses_nothing_that_spark_connect_lacks(file: Path) -> None:
    assert not classic_only(file.read_text(encoding="utf-8"))


def test_the_scan_sees_what_it_looks_for() -> None:
    assert len(SOURCES) > 20
    assert classic_only("df.rdd.map(f)") == {"rdd"}
    assert classic_only("from pyspark import SparkContext as S") == {"SparkContext"}
    assert classic_only("x = spark.sparkContext._jvm") == {"sparkContext", "_jvm"}
    assert not classic_only("'''never .rdd'''  # nor sparkContext")


# Every Python worker starts with this: imports that tasks must not make fail there.
WORKER_RULES = """
import os, sys

if os.environ.get("GMM_TEST_WORKER"):
    class Refuse:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in {forbidden} or name in {forbidden}:
                raise ImportError("a task imported " + name)
    sys.meta_path.insert(0, Refuse())
"""

FORBIDDEN = {"pandas", "sklearn", "pydantic", "pydantic_settings", "tqdm", "threadpoolctl", "pyspark.ml", "tomli"}

WHOLE_RUN = """
import pyarrow as pa
from pyspark.sql import SparkSession
from gmm_spark import GaussianMixture

spark = SparkSession.builder.getOrCreate()
spark.sparkContext.setLogLevel("OFF")

def modules(stream):
    import sys
    for batch in stream:
        try:
            import pandas
            refused = False
        except ImportError:
            refused = True
        yield pa.RecordBatch.from_pydict({{"refused": [refused], "loaded": [",".join(sys.modules)]}})

table = spark.range(0, 400, 1, 2).selectExpr(
    "id", "double(id % 7) x", "double(id % 2) * 30 + double(id % 5) y", "1 + id % 3 w")
model = GaussianMixture(inputCols=["x", "y"], weightCol="w", maxIter=3, logDensityCol="l").fit(table)
scored = model.transform(table)
assert scored.count() == 400 and scored.where("l is not null").count() == 400
assert abs(model.logLikelihood(table) - model.summary.logLikelihood) < 1e-6
assert model.sample(spark, 50, 1).count() == 50
for row in spark.range(0, 4, 1, 2).mapInArrow(modules, "refused boolean, loaded string").collect():
    assert row["refused"], "the hook is not at work: this test proves nothing"
    loaded = set(row["loaded"].split(","))
    print("LOADED", sorted(loaded & {forbidden}))
print("ALL DONE")
"""


def test_tasks_run_without_the_packages_that_only_drivers_have(tmp_path: Path) -> None:
    """A session of its own, whose workers refuse pandas, pyspark.ml, scikit-learn and the jobs' packages."""
    (tmp_path / "sitecustomize.py").write_text(WORKER_RULES.format(forbidden=FORBIDDEN))
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(WHOLE_RUN.format(forbidden=FORBIDDEN)))
    options = {
        "spark.master": "local[2]",
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.local.dir": str(tmp_path / "local"),
        "spark.sql.warehouse.dir": str(tmp_path / "warehouse"),
        "spark.executorEnv.GMM_TEST_WORKER": "1",
    }
    submit = " ".join(f"--conf {key}={value}" for key, value in options.items()) + " pyspark-shell"
    root = str(PACKAGE.parent)
    environment = os.environ | {
        "PYSPARK_SUBMIT_ARGS": submit,
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), root]),
    }
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "ALL DONE" in done.stdout
    assert "LOADED []" in done.stdout, done.stdout
