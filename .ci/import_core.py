"""Import every module of the core, and fit a mixture to rows in memory: numpy and scipy must be enough for that."""

import importlib
import pkgutil
import sys

import numpy as np

import gmm_spark.core

for module in pkgutil.walk_packages(gmm_spark.core.__path__, "gmm_spark.core."):
    importlib.import_module(module.name)

from gmm_spark.core.search.single import search  # noqa: E402
from gmm_spark.core.settings import Settings  # noqa: E402
from gmm_spark.core.table import ArrayTable  # noqa: E402

rows = np.concatenate([np.random.default_rng(0).normal(centre, 1.0, (200, 2)) for centre in (0.0, 8.0)]).T  # (d, n)
settings = Settings(k=2)
found = search(ArrayTable(rows), (rows, None), settings).parameters
assert np.allclose(found.weights, 0.5), found.weights
unwanted = {"pyspark", "pandas", "pyarrow", "pydantic", "threadpoolctl"} & sys.modules.keys()
assert not unwanted, unwanted
print("the core fits a mixture with numpy and scipy alone")
