"""Everything that touches Spark. DataFrame API only, so that classic Spark and Spark Connect run the same code."""
