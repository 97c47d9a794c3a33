"""What a job leaves behind, Spark's event log included, holds no password of its configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.jobs.conftest import ROOT
from tests.jobs.test_spark_submit import PYTHON, SPARK_SUBMIT, environment

SECRETS = {"option": "hunter2-option", "key": "hunter3/account==", "setting": "hunter4-setting", "url": "hunter5/@url"}


def configure(folder: Path, source: str) -> Path:
    path = folder / "fit.toml"
    path.write_text(f"""
[input]
{source}
[input.options]
password = "{SECRETS["option"]}"
url = "jdbc:mysql://me:{SECRETS["url"]}@nowhere.invalid/db"
dbtable = "t"
[features]
columns = ["x", "y"]
handle_invalid = "skip"
[output]
model = "{folder / "model"}"
report = "{folder / "report.json"}"
[run]
log = "json"
log_level = "debug"
log_file = "{folder / "details.log"}"
[run.spark]
"spark.eventLog.enabled" = true
"spark.eventLog.dir" = "{folder}"
"spark.eventLog.compress" = false
"spark.ui.enabled" = false
"spark.hadoop.fs.azure.account.key.x" = "{SECRETS["key"]}"
"spark.my.secret" = "{SECRETS["setting"]}"
""")
    path.chmod(0o600)
    return path


def leaks(folder: Path, configuration: Path) -> list[tuple[str, str]]:
    files = [path for path in folder.rglob("*") if path.is_file() and path != configuration]
    return [
        (path.name, line[max(0, at - 200) : at + 100])
        for path in files
        for line in path.read_text(errors="replace").splitlines()
        for secret in SECRETS.values()
        if (at := line.find(secret)) >= 0
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("program", "fails"), [(PYTHON, True), (SPARK_SUBMIT, False)], ids=["python", "spark-submit"])
def test_no_secret_is_left_anywhere(table: Path, tmp_path: Path, program: str, fails: bool) -> None:
    source = 'format = "jdbc"' if fails else f'path = "{table}"'
    configuration = configure(tmp_path, source)
    command = [program, str(ROOT / "jobs" / "fit.py"), "--config", str(configuration)]
    with (tmp_path / "stdout").open("wb") as out, (tmp_path / "stderr").open("wb") as err:
        done = subprocess.run(command, stdout=out, stderr=err, env=environment(), timeout=300, check=False)
    assert (done.returncode != 0) == fails, (tmp_path / "stderr").read_text()[-2000:]
    (events,) = [p for p in tmp_path.rglob("*") if p.is_file() and p.name.startswith(("local-", "events_"))]
    assert "spark.my.secret" in events.read_text(), "the event log has the settings, so their values could be there"
    outputs = [tmp_path / "model", *(tmp_path / "model").rglob("*"), *tmp_path.glob("report.json")]
    shared = [path for path in outputs if path.exists() and path.stat().st_mode & 0o077]
    assert shared == [], "models, manifests, claims and reports are for their owner"
    assert leaks(tmp_path, configuration) == []
