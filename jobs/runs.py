"""List the runs in a directory: ``spark-submit jobs/runs.py gmm-spark-demo/model``.

``--help`` lists every key. ``gmm-spark runs`` does the same on this machine.
"""

from gmm_spark.jobs.runs import main

if __name__ == "__main__":
    main()
