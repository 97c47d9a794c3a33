"""Measure this project on your own machines: ``spark-submit jobs/benchmark.py --cases pass,kernel --rows 1000000``.

Every case of the suite ``speed`` times its contenders in turn, round by round, and reports medians and the ratio of
each contender to the first, round by round: absolute times drift on shared machines, ratios of neighbours hardly do.
The suite ``search`` counts passes over the table and compares what starts find. Results go to the screen and, as JSON
lines, to ``--out``. Data is sampled by the project's own sampler and kept below ``--data``; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from itertools import product
from pathlib import Path

from benchmarks.competing import Setting, compete
from benchmarks.speed import CASES, Bench
from pyspark.sql import SparkSession


def main() -> None:
    """Parse, run the cases, print and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="pass", help=f"comma-separated, of {', '.join(CASES)}")
    parser.add_argument("--rows", default="1e6", help="comma-separated")
    parser.add_argument("--shape", default="16x16", help="d x k, comma-separated, such as 4x8,16x16")
    parser.add_argument("--structure", default="full", choices=("full", "tied", "diag", "spherical"))
    parser.add_argument("--precision", default="float64", choices=("float64", "float32"))
    parser.add_argument("--against", default="pyspark,sklearn", help="contenders of the case pass, comma-separated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="cores that the session's tasks share")
    parser.add_argument("--data", default="build/benchmark", help="folder for the tables made")
    parser.add_argument("--out", default="build/benchmark/results.jsonl", help="file that results are appended to")
    options = parser.parse_args()
    cases = options.cases.split(",")
    unknown = set(cases) - set(CASES)
    if unknown:
        parser.error(f"--cases: {', '.join(sorted(unknown))} not known; use {', '.join(CASES)}")
    shapes = [tuple(int(n) for n in shape.split("x")) for shape in options.shape.split(",")]
    settings = [
        Setting(int(float(rows)), d, k, options.structure, options.precision)
        for rows in options.rows.split(",")
        for d, k in shapes
    ]
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = SparkSession.builder.appName("gmm-spark benchmark").getOrCreate()
    bench = Bench(spark, Path(options.data), options.cores, options.against.split(","))
    try:
        Path(options.out).parent.mkdir(parents=True, exist_ok=True)
        with open(options.out, "a", encoding="utf-8") as out:
            for name, setting in product(cases, settings):
                with CASES[name](bench, setting) as contenders:
                    result = compete(name, setting, contenders, options.rounds)
                out.write(json.dumps(asdict(result) | {"ratios": result.ratios()}) + "\n")
                out.flush()
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
