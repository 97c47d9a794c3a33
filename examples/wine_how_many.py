"""How many kinds there are, and of which shape: a grid of mixtures, chosen by BIC, held against the truth.

Data: 178 Italian wines of 3 cultivars, 13 chemical measurements each (Forina et al., UCI repository), as scikit-learn
ships them. The units differ by a factor of a thousand, which a mixture does not mind. Run it by
``python examples/wine_how_many.py``; it needs ``gmm-spark[sklearn]``.
"""

from __future__ import annotations

import pandas as pd
from pyspark.sql import SparkSession
from sklearn.cluster import KMeans
from sklearn.datasets import load_wine
from sklearn.metrics import adjusted_rand_score

from gmm_spark import GaussianMixture, GaussianMixtureSelector


def main() -> None:
    """Choose a mixture, say by how much it is better, and compare its components with the cultivars."""
    wines = load_wine(as_frame=True)
    cultivar = wines.target.rename("cultivar")

    spark = SparkSession.builder.appName("wine").getOrCreate()
    table = spark.createDataFrame(wines.data)
    features = list(wines.data)
    selector = GaussianMixtureSelector(
        inputCols=features, ks=[1, 2, 3, 4, 5, 6], covarianceTypes=["full", "tied", "diag", "spherical"]
    )
    best = selector.fit(table)
    selection = best.summary.selection

    assert selection is not None
    print("the five best of 24 mixtures: BIC above the best, and free parameters")
    for row in sorted(selection.rows, key=lambda row: row.bic)[:5]:
        print(f"  k={row.k} {row.covarianceType:<5} {row.bic - best.summary.bic:>7.1f} {row.nParameters:>5}")

    components = pd.Series(best.local().predict(wines.data), name="component")
    print("\nwines by cultivar and component of the best")
    print(pd.crosstab(cultivar, components).to_string())

    structure = best.getCovarianceType()
    three = GaussianMixture(inputCols=features, k=3, covarianceType=structure).fit(table).local()
    plain = KMeans(3, n_init=10, random_state=0).fit_predict(wines.data)
    print("\nagreement with the cultivars (adjusted Rand index; 1 is full, 0 is chance)")
    print(f"  the best, k={best.getK()}                  {adjusted_rand_score(cultivar, components):.2f}")
    print(f"  {structure}, k=3                      {adjusted_rand_score(cultivar, three.predict(wines.data)):.2f}")
    print(f"  k-means in the table's units   {adjusted_rand_score(cultivar, plain):.2f}")
    spark.stop()


if __name__ == "__main__":
    main()
