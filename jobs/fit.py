"""Fit a Gaussian mixture to a table and save the model: ``spark-submit jobs/fit.py --config conf/fit.toml``.

``--help`` lists every key. ``gmm-spark fit`` does the same on this machine.
"""

from gmm_spark.jobs.fit import main

if __name__ == "__main__":
    main()
