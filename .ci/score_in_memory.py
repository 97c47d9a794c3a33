"""Save a mixture, load it and score a row: numpy, scipy and pyarrow must be enough for that."""

import importlib.util
import sys
import tempfile

from gmm_spark import Mixture, MixtureParameters

assert importlib.util.find_spec("pyspark") is None, "the environment has pyspark, so that this shows nothing"
mixture = Mixture(MixtureParameters([0.5, 0.5], [[-9.0], [9.0]], [1.0, 1.0], "spherical"), ["x"])
with tempfile.TemporaryDirectory() as folder:
    mixture.save(f"{folder}/model")
    assert Mixture.load(f"{folder}/model").predict({"x": 8.0}) == 1
assert not {"pyspark", "pandas"} & sys.modules.keys()
print("a mixture scores rows in memory with numpy, scipy and pyarrow alone")
