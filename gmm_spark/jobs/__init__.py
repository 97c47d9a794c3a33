"""What ``gmm-spark``, spark-submit and schedulers run: the jobs fit, select, score, sample, runs and prune.

- :mod:`~gmm_spark.jobs.command` is the console command.
- :mod:`~gmm_spark.jobs.fit`, :mod:`~gmm_spark.jobs.select`, :mod:`~gmm_spark.jobs.score` and
  :mod:`~gmm_spark.jobs.sample` are the jobs. Each has a ``main``.
- :mod:`~gmm_spark.jobs.runs` and :mod:`~gmm_spark.jobs.prune` list and remove what fit and select have written.
- :mod:`~gmm_spark.jobs.demo` runs the jobs on a real table, and prints what they found.
- :mod:`~gmm_spark.jobs.fitting` holds the steps that fit and select share.
- :mod:`~gmm_spark.jobs.run` surrounds the work of a job: session, progress bar, run report, exit code.
- :mod:`~gmm_spark.jobs.io` reads and writes tables and files.
- :mod:`~gmm_spark.jobs.config` reads TOML files and flags, and checks them.
- :mod:`~gmm_spark.jobs.exits` lists the exit codes.

Jobs run on the driver, and executors never import this package. It alone needs the ``jobs`` extra (pydantic, tqdm).
Only functions that run after the configuration has been checked import pyspark: importing it takes seconds, and
faults in a configuration are reported before that.
"""
