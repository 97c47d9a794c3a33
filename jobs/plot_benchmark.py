"""Plot results of ``jobs/benchmark.py``: time per row against rows n, features d and components k.

``python jobs/plot_benchmark.py build/benchmark/results.jsonl build/benchmark/cost.png``
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # draw to a file only: clusters have no screen
from matplotlib import pyplot as plt

# Settings on the x axis of a panel, with their labels.
AXES = {"rows": "rows, n", "d": "features, d", "k": "components, k"}


def collect_series(results: list[dict[str, Any]], along: str) -> dict[str, list[tuple[int, float]]]:
    """Return the points (setting, ns per row) of every contender that was measured at two values of a setting or more.

    All other settings of a series are equal.
    """
    found: dict[str, dict[int, float]] = {}
    for result in results:
        setting = result["setting"]
        others = ", ".join(f"{key}={value}" for key, value in setting.items() if key != along)
        for contender, seconds in result["seconds"].items():
            label = f"{result['case']}: {contender} ({others})"
            found.setdefault(label, {})[setting[along]] = 1e9 * statistics.median(seconds) / setting["rows"]
    return {label: sorted(points.items()) for label, points in found.items() if len(points) > 1}


def main() -> None:
    """Read the results, and draw a panel for each setting that varies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="JSON lines written by jobs/benchmark.py")
    parser.add_argument("picture", type=Path, help="PNG, SVG or PDF to write")
    options = parser.parse_args()
    found = [json.loads(line) for line in options.results.read_text(encoding="utf-8").splitlines()]
    results = [result for result in found if AXES.keys() <= result.get("setting", {}).keys()]  # of the suite speed
    panels = {along: lines for along in AXES if (lines := collect_series(results, along))}
    if not panels:
        parser.error(f"{options.results} has nothing measured at two values of rows, d or k")
    figure, axes = plt.subplots(1, len(panels), figsize=(6 * len(panels), 5), squeeze=False)
    for panel, (along, lines) in zip(axes[0], panels.items(), strict=True):
        for label, points in lines.items():
            panel.loglog(*zip(*points, strict=True), marker="o", label=label)
        panel.set_xlabel(AXES[along])
        panel.set_ylabel("ns per row, wall time")
        panel.legend(fontsize="xx-small")
        panel.grid(True, which="both", alpha=0.3)
    figure.tight_layout()
    figure.savefig(options.picture)
    print(options.picture)


if __name__ == "__main__":
    main()
