"""Draw the pictures of docs/tutorial-flights.md: ``make pictures``, or ``python docs/draw_pictures.py gmm-spark-demo``.

They show what ``gmm-spark demo`` and the job select have left in the demo's folder; no Spark is started. The tutorial
repeats the reading of each, and a test holds the two together.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from gmm_spark import Mixture
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.plots import Figure, draw_histogram, draw_log_densities, draw_means, draw_pair, draw_selection
from gmm_spark.report.drawing import read_selection
from gmm_spark.report.facts import Facts
from gmm_spark.storage.files import LocalFiles
from gmm_spark.storage.manifest import read_manifest
from gmm_spark.storage.portraits import read_portrait
from gmm_spark.storage.runs import find_model, name_directory

PICTURES = Path(__file__).parent / "pictures"


def draw_flights(demo: Path) -> Iterator[Figure]:
    """Draw what the demo found, in the tutorial's order."""
    mixture, portrait = Mixture.load(demo / "model"), load_portrait(demo / "model")
    assert mixture.log_densities is not None
    yield draw_means(mixture.parameters, mixture.feature_names)
    yield draw_pair(mixture.parameters, portrait, "distance", "arr_delay")
    yield draw_log_densities(mixture.log_densities, mixture.threshold())
    yield draw_histogram(mixture.parameters, portrait, "dep_delay")
    selection = read_selection(Facts(json.loads((demo / "select.json").read_text(encoding="utf-8"))))
    assert selection is not None
    yield draw_selection(selection)


def load_portrait(model: Path) -> Portrait:
    """Read the portrait of the newest run in a directory of runs."""
    files = LocalFiles()
    run_id = find_model(files, str(model)).run_id
    assert run_id is not None
    run = name_directory(str(model), run_id)
    portrait = read_portrait(files, run, read_manifest(files, run))
    assert portrait is not None
    return portrait


def main() -> None:
    """Write a picture for each figure, and print its reading."""
    PICTURES.mkdir(exist_ok=True)
    for figure in draw_flights(Path(sys.argv[1])):
        path = PICTURES / f"flights-{figure.name}.svg"
        path.write_text(figure.svg() + "\n", encoding="utf-8")
        print(f"![{figure.reading}](pictures/{path.name})  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
