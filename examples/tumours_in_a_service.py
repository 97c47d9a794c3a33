"""Fit on Spark, score in a service without it: which tumours are unlike benign ones, and why.

Data: 569 breast tumours, of which the means of ten measurements of the cells' nuclei are used here (Wolberg, Street and
Mangasarian 1993, UCI repository), as scikit-learn ships them. The mixture sees benign ones alone, as anomaly detection
does; the diagnosis then tells how good it is. An example, and no medical advice. Run it by
``python examples/tumours_in_a_service.py``; it needs ``gmm-spark[sklearn]``.
"""

from __future__ import annotations

import json
import tempfile
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from gmm_spark import GaussianMixture, Mixture


class Service(BaseHTTPRequestHandler):
    """Answers a row in JSON with its log-density, whether that is an anomaly's, and why."""

    mixture: Mixture  # threads share it

    def do_POST(self) -> None:
        """Score one row."""
        row = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reasons = self.mixture.reasons(row)
        answer = {
            "log_density": self.mixture.log_density(row),
            "is_anomaly": reasons is not None,
            "reasons": [{"feature": one.feature, "z": one.z} for one in reasons or []],
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def fit(benign: pd.DataFrame, path: str) -> None:
    """Fit a mixture to benign tumours, and save it; 5 % of them are to count as odd."""
    spark = SparkSession.builder.appName("tumours").getOrCreate()
    mixture = GaussianMixture(inputCols=list(benign.columns), k=1, anomalyFraction=0.05)
    mixture.fit(spark.createDataFrame(benign)).save(path)
    spark.stop()


def ask(url: str, row: dict[str, float]) -> dict[str, Any]:
    """Have the service score a row."""
    with urllib.request.urlopen(url, json.dumps(row).encode()) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def main() -> None:
    """Fit to a part of the benign tumours, and ask the service about all others."""
    tumours = load_breast_cancer(as_frame=True)
    cells = tumours.data.filter(like="mean ").rename(columns=lambda name: name.removeprefix("mean ").replace(" ", "_"))
    benign = np.flatnonzero(tumours.target == 1)
    seen = np.random.default_rng(0).permutation(benign)[:250]
    new, malignant = cells.drop(index=seen), tumours.target.drop(index=seen) == 0

    with tempfile.TemporaryDirectory() as folder:
        fit(cells.loc[seen], str(Path(folder) / "model"))
        Service.mixture = Mixture.load(Path(folder) / "model")  # numpy, scipy and pyarrow; no JVM
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    answers = pd.DataFrame(
        [ask(url, {str(name): value for name, value in row.items()}) for row in new.to_dict("records")], index=new.index
    )
    server.shutdown()

    flagged = answers["is_anomaly"].astype(bool)
    print(f"benign tumours seen by the fit: {len(seen)}; scored by the service: {len(new)}")
    print(f"  flagged of {(~malignant).sum()} new benign ones    {flagged[~malignant].mean():.0%}")
    print(f"  flagged of {malignant.sum()} malignant ones     {flagged[malignant].mean():.0%}")
    print(f"  area under the ROC curve        {roc_auc_score(malignant, -answers['log_density']):.2f}")
    first = answers.loc[flagged & malignant, "reasons"].map(lambda reasons: reasons[0]["feature"])
    print("\nthe first reason of the malignant ones that were flagged")
    for feature, count in first.value_counts().head(4).items():
        print(f"  {feature:<18}{count:>4}")


if __name__ == "__main__":
    main()
