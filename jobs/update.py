"""Update a saved model by a day's rows: ``spark-submit jobs/update.py --config conf/update.toml``.

``--help`` lists every key. ``gmm-spark update`` does the same on this machine.
"""

from gmm_spark.jobs.update import main

if __name__ == "__main__":
    main()
