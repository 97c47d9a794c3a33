"""Fit a Gaussian mixture to a table and save the model.

``spark-submit jobs/fit.py --config conf/fit.toml`` or ``python jobs/fit.py …``; ``--help`` lists every key.
"""

from gmm_spark.jobs.fit import main

if __name__ == "__main__":
    main()
