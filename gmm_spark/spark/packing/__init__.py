"""A Spark table packed into blocks, and passes over them."""
