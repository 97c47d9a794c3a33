"""Measure this package on your own machines: ``spark-submit jobs/benchmark.py --cases pass,kernel --rows 1000000``.

Each case of the suite ``speed`` times its contenders in turn, for several rounds. It reports medians, and the ratio of
each contender to the first within a round: on shared machines absolute times drift, and such ratios hardly do. The
suite ``search`` counts passes over the table and compares what different starts find. Results go to the screen and, as
JSON lines, to the file ``--out``. The tables are drawn by the package's own sampler and kept in the folder ``--data``;
nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import search, speed
from benchmarks.competing import Setting, compete
from pyspark.sql import SparkSession

CASES = {"speed": [*speed.CASES], "search": [*search.COUNTED, *search.TIMED, "choice"]}


def main() -> None:
    """Run the cases that the command line asks for, print and save the results."""
    options = read_options()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = SparkSession.builder.appName("gmm-spark benchmark").getOrCreate()
    try:
        Path(options.out).parent.mkdir(parents=True, exist_ok=True)
        with open(options.out, "a", encoding="utf-8") as out:
            for found in (run_speed if options.suite == "speed" else run_search)(spark, options):
                out.write(json.dumps(found) + "\n")
                out.flush()
    finally:
        spark.stop()


def read_options() -> argparse.Namespace:
    """Read and check the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="speed", choices=tuple(CASES))
    parser.add_argument("--cases", help="; ".join(f"{suite}: {', '.join(names)}" for suite, names in CASES.items()))
    parser.add_argument("--rows", help="comma-separated; 1e6 for speed, one number, 2e6, for search")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", default="build/benchmark", help="folder that tables are kept in")
    parser.add_argument("--out", default="build/benchmark/results.jsonl", help="file that results are appended to")
    of_speed = parser.add_argument_group("suite speed")
    of_speed.add_argument("--shape", default="16x16", help="d x k, comma-separated, such as 4x8,16x16")
    of_speed.add_argument("--structure", default="full", choices=("full", "tied", "diag", "spherical"))
    of_speed.add_argument("--precision", default="float64", choices=("float64", "float32"))
    of_speed.add_argument("--against", default="pyspark,sklearn", help="contenders of the case pass, comma-separated")
    of_speed.add_argument("--cores", type=int, default=os.cpu_count(), help="cores that the session's tasks share")
    of_search = parser.add_argument_group("suite search")
    names = [problem.name for problem in search.problems()]
    of_search.add_argument("--problems", default=",".join(names), help="comma-separated")
    of_search.add_argument("--seeds", type=int, default=10)
    of_search.add_argument("--plain", type=int, default=300, help="iterations of the ten plain fits that define 'best'")
    of_search.add_argument("--n-init", default="1,10", help="comma-separated, for the case passes; the last for choice")
    options = parser.parse_args()
    options.cases = (options.cases or CASES[options.suite][0]).split(",")
    options.problems = options.problems.split(",")
    for flag, given, known in (("cases", options.cases, CASES[options.suite]), ("problems", options.problems, names)):
        if not set(given) <= set(known):
            parser.error(f"--{flag}: {', '.join(sorted(set(given) - set(known)))} not known; use {', '.join(known)}")
    return options


def run_speed(spark: SparkSession, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Time the cases for every combination of rows and shape."""
    shapes = [tuple(int(n) for n in shape.split("x")) for shape in options.shape.split(",")]
    settings = [
        Setting(int(float(rows)), d, k, options.structure, options.precision)
        for rows in (options.rows or "1e6").split(",")
        for d, k in shapes
    ]
    bench = speed.Bench(spark, Path(options.data), options.cores, options.against.split(","))
    for case, setting in product(options.cases, settings):
        with speed.CASES[case](bench, setting) as contenders:
            result = compete(case, asdict(setting), contenders, options.rounds)
        yield asdict(result) | {"ratios": result.ratios()}


def run_search(spark: SparkSession, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Run the cases on every problem."""
    rows = int(float(options.rows or "2e6"))
    n_inits = [int(n) for n in options.n_init.split(",")]
    bench = search.SearchBench(spark, Path(options.data), rows, options.seeds, n_inits, options.plain)
    known = {problem.name: problem for problem in search.problems()}
    chosen = [known[name] for name in options.problems]
    for case, problem in product(options.cases, chosen):
        if case == "choice":
            continue  # it has tables of its own, and runs once
        if case in search.TIMED:
            setting = {"problem": problem.name, "rows": rows}
            result = compete(case, setting, search.TIMED[case](bench, problem), options.rounds)
            yield asdict(result) | {"ratios": result.ratios()}
        else:
            counted = search.COUNTED[case](bench, problem)
            yield print_result({"case": case, "problem": problem.name, "rows": rows} | counted)
    if "choice" in options.cases:
        yield print_result({"case": "choice", "rows": rows} | bench.choice())


def print_result(found: dict[str, Any]) -> dict[str, Any]:
    """Print the result of a case, and return it."""
    print("\n" + "\n".join(f"{name:<36}{value}" for name, value in found.items()), flush=True)
    return found


if __name__ == "__main__":
    main()
