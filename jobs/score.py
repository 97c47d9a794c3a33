"""Score a table with a saved model: ``spark-submit jobs/score.py --config conf/score.toml``.

``--help`` lists every key. ``gmm-spark score`` does the same on this machine.
"""

from gmm_spark.jobs.score import main

if __name__ == "__main__":
    main()
