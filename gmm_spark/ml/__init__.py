"""What users of pyspark.ml hold: estimators, models, summaries."""
