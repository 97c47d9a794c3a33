"""Remove old and broken runs from a directory: ``spark-submit jobs/prune.py gmm-spark-demo/model --keep 5``.

``--help`` lists every key. ``gmm-spark prune`` does the same on this machine.
"""

from gmm_spark.jobs.prune import main

if __name__ == "__main__":
    main()
