"""Print what Airflow makes of a folder of DAGs, as JSON. Run by the Python of Airflow's environment."""

import json
import sys
from pathlib import Path

from airflow.dag_processing.dagbag import BundleDagBag

folder = Path(sys.argv[1])
bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
print(
    json.dumps(
        {
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
