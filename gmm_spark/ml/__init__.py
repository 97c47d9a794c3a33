"""The pyspark.ml face: estimators, the model, its summary, their parameters and files."""
