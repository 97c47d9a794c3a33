"""Mixtures from other libraries and for them: scikit-learn, pyspark.ml, ONNX. Each is needed only by what it is for."""
