"""Soft clusters against k-means: what the shapes of clusters are worth, and which rows are in doubt.

Data: Fisher's iris (1936), 150 flowers of 3 species, 4 lengths in cm each, as scikit-learn ships it. The species are
known, and neither method is told them. Run it by ``python examples/iris_soft_clusters.py``; it needs
``gmm-spark[sklearn]``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score

from gmm_spark import GaussianMixture


def main() -> None:
    """Fit, compare with k-means, and list the flowers in doubt."""
    iris = load_iris(as_frame=True)
    flowers = iris.data.set_axis(["sepal_length", "sepal_width", "petal_length", "petal_width"], axis=1)
    species = pd.Series(iris.target_names[iris.target], name="species")

    spark = SparkSession.builder.appName("iris").getOrCreate()
    model = GaussianMixture(inputCols=list(flowers), k=3).fit(spark.createDataFrame(flowers))
    mixture = model.local()  # 150 rows need no cluster to be scored
    clusters = mixture.predict(flowers)

    scaled = (flowers - flowers.mean()) / flowers.std()
    print("agreement with the species (adjusted Rand index; 1 is full, 0 is chance)")
    print(f"  mixture              {adjusted_rand_score(species, clusters):.2f}")
    for name, rows in (("k-means", flowers), ("k-means, rows scaled", scaled)):
        labels = KMeans(3, n_init=10, random_state=0).fit_predict(rows)
        print(f"  {name:<20} {adjusted_rand_score(species, labels):.2f}")

    print("\nflowers by species and component")
    print(pd.crosstab(species, pd.Series(clusters, name="component")).to_string())

    sure = mixture.predict_proba(flowers).max(axis=1)
    print(f"\n{(sure > 0.99).sum()} of {len(flowers)} flowers are in one component with more than 99 %; most doubtful:")
    for i in np.argsort(sure)[:5]:
        print(f"  flower {i}, {species[i]}: component {clusters[i]} with {sure[i]:.0%}")
    spark.stop()


if __name__ == "__main__":
    main()
