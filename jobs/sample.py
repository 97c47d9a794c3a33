"""Draw rows from a saved model or from given parameters: ``spark-submit jobs/sample.py --config conf/sample.toml``.

``--help`` lists every key. ``gmm-spark sample`` does the same on this machine.
"""

from gmm_spark.jobs.sample import main

if __name__ == "__main__":
    main()
