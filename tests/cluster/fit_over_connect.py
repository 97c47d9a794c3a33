"""Fit, score, sample, save and load over Spark Connect; print the outcome as JSON. Run by ``test_connect.py``."""

from __future__ import annotations

import json
import sys

import pandas as pd
from pyspark.ml import Pipeline
from pyspark.sql import SparkSession
from sklearn.datasets import load_iris

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSelector


def main(path: str) -> None:
    """Do everything once."""
    spark = SparkSession.builder.remote("local[2]").getOrCreate()
    names = list("abcd")
    rows = spark.createDataFrame(pd.DataFrame(load_iris().data, columns=names)).repartition(3)
    estimator = GaussianMixture(inputCols=names, k=3, tol=1e-9, maxIter=500, nInit=20, regCovar=0.0)
    model = estimator.fit(rows).setLogDensityCol("density").setAnomalyCol("odd").setAnomalyFraction(0.1)
    model.save(path)
    model.write().overwrite().save(path)
    read = GaussianMixtureModel.load(path)
    scored = model.transform(rows)
    # Two values of k, so that tasks find their starts.
    chosen = GaussianMixtureSelector(inputCols=names, ks=[2, 3], covarianceTypes=["full", "tied"]).fit(rows)
    print(
        json.dumps(
            {
                "session": type(spark).__module__,
                "log_likelihood": model.summary.logLikelihood,
                "read_back": bool((read.means == model.means).all() and (read.covariances == model.covariances).all()),
                "chosen": [chosen.getK(), chosen.getCovarianceType()],
                "scored": scored.columns,
                "scored_rows": scored.count(),
                "anomalies": scored.where("odd").count(),
                "anomalies_read_back": read.transform(rows).where("odd").count(),
                "sampled_rows": model.sample(spark, 1000, 1, outputCols=names).count(),
                "pipeline_rows": Pipeline(stages=[GaussianMixture(inputCols=names)]).fit(rows).transform(rows).count(),
            }
        )
    )
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1])
