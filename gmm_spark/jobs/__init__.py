"""What the jobs share: configuration, session, tables in and out, progress, run report, exit codes.

This is the only room that needs the ``jobs`` extra (pydantic, tqdm), and the only one that uses the session's
JVM: it runs on the driver. Executors never import it. Nothing here imports pyspark until a configuration has
been read and found free of faults.
"""
