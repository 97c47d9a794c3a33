"""Write a page about a fitted mixture: ``spark-submit jobs/report.py --path models/flights --output report.html``.

``--help`` lists every key. ``gmm-spark report`` does the same on this machine.
"""

from gmm_spark.jobs.report import main

if __name__ == "__main__":
    main()
