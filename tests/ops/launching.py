"""Training jobs as the launcher starts them: two CPU ranks under DeepSpeed, in a process group of their own."""

import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from lang1_assets.resources.launcher.processes import launcher_command

JOB_WITH_ACCIDENT = "tests.ops.pretraining.jobs_for_tests"
REPOSITORY = Path(__file__).parents[2]


def launch(work: Path, config: dict[str, Any], module: str, accident: str | None = None) -> int:
    """Run a job to its end in `work`; its exit code. What it printed is added to `work/job.log`."""
    work.mkdir(exist_ok=True)
    config_file = work / "job.json"
    config_file.write_text(json.dumps(config, default=str))
    environment = {**os.environ, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "ACCIDENT": accident or ""}
    command = launcher_command(JOB_WITH_ACCIDENT if accident else module, config_file, {"localhost": 2})
    with open(work / "job.log", "a") as log:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            return process.wait(timeout=240)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def log_of(work: Path) -> str:
    return (work / "job.log").read_text()


def last_values(work: Path, group: str = "train") -> dict[tuple[int, str], float]:
    """Of each step and metric the value written last, without those that measure time."""
    rows = [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]
    return {
        (row["step"], name): value
        for row in rows
        if row["group"] == group
        for name, value in row["values"].items()
        if not name.endswith("_per_second") and not name.startswith("speed/")
    }


def summary_of(work: Path) -> dict[str, Any]:
    summary = json.loads((work / "summary.json").read_text())
    return {name: value for name, value in summary.items() if not name.endswith("_per_second")}


def same_weights(first: Path, second: Path) -> bool:
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (first, second))
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
