"""Score a table with a saved model.

``spark-submit jobs/score.py --config conf/score.toml`` or ``python jobs/score.py …``; ``--help`` lists every key.
"""

from gmm_spark.jobs.score import main

if __name__ == "__main__":
    main()
