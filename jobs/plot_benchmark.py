"""Plot results of ``jobs/benchmark.py``: time per row against rows n, features d and components k.

``python jobs/plot_benchmark.py build/benchmark/results.jsonl build/benchmark/cost.png``
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from gmm_spark.errors import ParameterError
from gmm_spark.plots import draw_benchmark


def main() -> None:
    """Read the results, and draw a panel for each setting that varies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="JSON lines written by jobs/benchmark.py")
    parser.add_argument("picture", type=Path, help="PNG, SVG or PDF to write")
    options = parser.parse_args()
    try:
        figure = draw_benchmark(map(json.loads, options.results.read_text(encoding="utf-8").splitlines()))
        figure.save(options.picture)
    except ParameterError as error:
        parser.error(f"{options.results}: {error}")
    print(options.picture)
    print(figure.reading)


if __name__ == "__main__":
    main()
