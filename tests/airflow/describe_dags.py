"""Print what Airflow makes of a folder of DAGs, and what its operator refuses, as JSON.

Run by the Python of Airflow's environment.
"""

import json
import sys
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import BundleDagBag


def refuses(**options: Any) -> bool:
    """Return whether the operator refuses what its command line would have."""
    from gmm_operator import GmmSparkSubmitOperator  # in the folder of DAGs, which the bag has put on the path

    try:
        GmmSparkSubmitOperator(task_id="refused", **options)
    except ValueError as error:
        return "on the command line" in str(error)
    return False


folder = Path(sys.argv[1])
bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
print(
    json.dumps(
        {
            "refuses": [
                refuses(application_args=["--input.options", "password=x"]),
                refuses(application_args=["--run.spark=spark.authenticate.secret=x"]),
                refuses(conf={"spark.hadoop.fs.s3a.secret.key": "x"}),
                refuses(conf={"spark.ssl.keyPassword": "x"}),
            ],
            "accepts": not refuses(application_args=["--run.log", "text"], conf={"spark.executor.memory": "1g"}),
            "errors": bag.import_errors,
            "warnings": [str(warning) for warnings in bag.captured_warnings.values() for warning in warnings],
            "dags": {
                name: {
                    task.task_id: {
                        "after": sorted(task.upstream_task_ids),
                        "retries": task.retries,
                        "retry_seconds": task.retry_delay.total_seconds(),
                    }
                    for task in dag.tasks
                }
                for name, dag in bag.dags.items()
            },
        }
    )
)
