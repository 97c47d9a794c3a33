"""Write a fitted mixture as an ONNX graph: ``spark-submit jobs/export.py --path models/a --onnx mixture.onnx``.

``--help`` lists every key. ``gmm-spark export`` does the same on this machine.
"""

from gmm_spark.jobs.export import main

if __name__ == "__main__":
    main()
