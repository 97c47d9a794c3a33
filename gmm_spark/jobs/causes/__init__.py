"""What Spark, its workers and the JVM say when something fails, and what that means for whoever runs a job."""
