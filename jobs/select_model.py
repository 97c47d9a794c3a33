"""Fit mixtures of several k and covariance structures to a table in shared passes, and save the best.

``spark-submit jobs/select_model.py --config conf/select_model.toml`` or ``python jobs/select_model.py …``;
``--help`` lists every key.
"""

from gmm_spark.jobs.select import main

if __name__ == "__main__":
    main()
