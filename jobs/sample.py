"""Draw rows from a saved model or from given parameters.

``spark-submit jobs/sample.py --config conf/sample.toml`` or ``python jobs/sample.py …``; ``--help`` lists every key.
"""

from gmm_spark.jobs.sample import main

if __name__ == "__main__":
    main()
