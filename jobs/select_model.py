"""Fit several mixtures and save the best: ``spark-submit jobs/select_model.py --config conf/select.toml``.

``--help`` lists every key. ``gmm-spark select`` does the same on this machine. This file is not called select.py: its
folder comes first on ``sys.path``, and select.py there would hide Python's own module ``select``.
"""

from gmm_spark.jobs.select import main

if __name__ == "__main__":
    main()
