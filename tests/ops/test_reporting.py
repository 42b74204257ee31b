"""What a job says of a step stands there once, however often it was killed and took the step again."""

import json
from pathlib import Path
from typing import Any

import pytest

from lang1_assets.ops.reporting import METRICS_FILE, Reporter


def rows(work: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (work / METRICS_FILE).read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "time"} for row in found]


def test_a_step_that_is_taken_again_is_not_said_again(tmp_path: Path) -> None:
    with Reporter(tmp_path, rank=0) as reporter:
        for step in (4, 8, 12):
            reporter.metrics(step, {"loss": step / 2})
        reporter.metrics(8, {"auroc": 0.7})
        reporter.metrics(8, {"loss": 1.0}, group="trial-0")
    before = rows(tmp_path)
    with Reporter(tmp_path, rank=0) as reporter:
        for step in (8, 12, 16):
            reporter.metrics(step, {"loss": step / 2, "seconds": 3.0} if step == 12 else {"loss": step / 2})
        reporter.metrics(8, {"loss": 2.0}, group="trial-0")
    assert rows(tmp_path) == [
        *before,
        {"step": 12, "group": "train", "values": {"seconds": 3.0}},
        {"step": 16, "group": "train", "values": {"loss": 8.0}},
    ]


def test_a_step_taken_anew_on_other_data_is_another(tmp_path: Path) -> None:
    with Reporter(tmp_path, rank=0) as reporter:
        reporter.metrics(8, {"loss": 90.0})
        reporter.retake = 1
        reporter.metrics(8, {"loss": 2.0})
    with Reporter(tmp_path, rank=0) as reporter:
        reporter.retake = 1
        reporter.metrics(8, {"loss": 2.0})
    assert [row["values"] for row in rows(tmp_path)] == [{"loss": 90.0}, {"loss": 2.0}]


@pytest.mark.parametrize("kept", [0, 1, 25])
def test_half_a_line_of_a_killed_job_is_cut_off(tmp_path: Path, kept: int) -> None:
    with Reporter(tmp_path, rank=0) as reporter:
        reporter.metrics(4, {"loss": 2.0})
    path = tmp_path / METRICS_FILE
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:kept])
    with Reporter(tmp_path, rank=0) as reporter:
        reporter.metrics(4, {"loss": 2.0})
        reporter.metrics(8, {"loss": 1.0})
    assert [row["step"] for row in rows(tmp_path)] == [4, 8]


def test_other_ranks_are_silent(tmp_path: Path) -> None:
    with Reporter(tmp_path, rank=1) as reporter:
        reporter.metrics(4, {"loss": 2.0})
    assert not (tmp_path / METRICS_FILE).exists()
