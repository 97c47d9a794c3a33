"""Days whose processes are killed by SIGKILL at any moment, and run again, come to what days never killed come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.jobs.conftest import Outcome
from tests.jobs.daily_stream import MOMENTS, Stream, compare, draw_day, fit_whole, name, write_table

KIND = "missing"


@pytest.mark.slow
def test_a_stream_of_days_killed_at_any_moment_is_the_stream_never_killed(
    spark: Any, run_job: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Of rows with missing values, so that these go through the job update once."""
    rng, last, rows = np.random.default_rng(0), len(MOMENTS) + 1, 1000
    days = [draw_day(rng, rows, KIND) for _ in range(last)]
    table = write_table(tmp_path / "table.parquet", [*days, draw_day(rng, rows, KIND, new=0.1)])
    whole = fit_whole(spark, write_table(tmp_path / "whole.parquet", days), KIND)
    plain, killed = (
        Stream(lambda *arguments: astuple(run_job(*arguments)), table, tmp_path / output, KIND)
        for output in ("plain", "killed")
    )
    for stream in (plain, killed):
        stream.fit()
    for day, moment in enumerate(MOMENTS, start=1):
        plain.update(day)
        state = killed.kill(day, moment)
        told = killed.update(day)
        if state == "complete":  # the last moment may come too late
            assert moment == "while the run is published"
            assert f"run {name(day)} in {killed.output} is complete" in told
        else:
            resumed = killed.read_report(day)["resume"]
            assert resumed["attempt"] == 2
            assert "judged by 4" in told  # complete rows are two in five
            assert (resumed["answers_recalled"] == 0) == (moment == "before the first pass"), moment
        verdicts = [stream.read_report(day)["update"]["verdict"]["word"] for stream in (plain, killed)]
        assert verdicts == ["updated", "updated"]
    one, other = plain.load(), killed.load()
    assert one.parameters.to_dict() == other.parameters.to_dict()
    assert one.componentIds == other.componentIds == [0, 1, 2]
    assert one.memory is not None
    assert one.memory.days == tuple(name(day) for day in range(last))
    assert compare(one, whole, np.concatenate(days)) < 0.01

    plain.update(last)
    assert plain.read_report(last)["update"]["verdict"]["word"] == "refit"
