"""Compare two fitted mixtures: ``spark-submit jobs/compare.py --before models/a --after models/b --output page.html``.

``--help`` lists every key. ``gmm-spark compare`` does the same on this machine.
"""

from gmm_spark.jobs.compare import main

if __name__ == "__main__":
    main()
