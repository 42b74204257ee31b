"""What the launcher tests share: an asset around a small job, in this process or in one that can be killed."""

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import psutil

from lang1_assets.resources.launcher import TrainingLauncher
from lang1_assets.settings.launch import Launch
from tests.ended import has_ended

# As ssh: options, `--`, a host, and a command that a shell runs; a host it cannot reach gives 255.
SSH_STAND_IN = """#!/bin/sh
while [ "$1" != "--" ]; do shift; done
host=$2
shift 2
case "$host" in
  localhost|127.0.0.1) exec sh -c "$*" ;;
  *) echo "ssh: Could not resolve hostname $host: Name or service not known" >&2; exit 255 ;;
esac
"""
JOB = "tests.resources.launcher.job_for_tests"


def run_job(
    work: Path,
    received: list[Any] | None = None,
    *,
    launch: Launch | None = None,
    steps: int = 3,
    pause: float = 0.2,
    fail: int = 0,
    grace: float = 3,
    instance: dg.DagsterInstance | None = None,
    **more: Any,
) -> None:
    config = {"steps": steps, "pause_seconds": pause, "fail": fail, **more}
    rows: list[Any] = [] if received is None else received

    @dg.asset
    def training(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        (work / "run_id").write_text(context.run_id)
        TrainingLauncher(grace_seconds=grace).run(
            context, module=JOB, config=config, work=work, num_cpu_ranks=2, on_metrics=rows.extend, launch=launch
        )
        return dg.MaterializeResult()

    dg.materialize([training], instance=instance)


def in_process(target: Callable[..., None], *arguments: Any, **named: Any) -> Any:
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments, kwargs=named)
    process.start()
    return process


def wait_for(condition: Callable[[], Any], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def rank_pids(work: Path) -> list[int]:
    return [int(path.read_text()) for path in sorted(work.glob("rank-*.pid")) if path.read_text()]


def both_ranks_run(work: Path) -> bool:
    return len(rank_pids(work)) == 2 and not all_gone(rank_pids(work))


def all_gone(pids: list[int]) -> bool:
    return all(map(has_ended, pids))


def left_over(work: Path) -> list[str]:
    """Processes anywhere that were started for this folder."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        words = process.info["cmdline"] or []
        if process.pid != os.getpid() and str(work) in " ".join(words) and process.info["status"] != "zombie":
            found.append(" ".join(words)[:200])
    return found


def install_ssh(folder: Path) -> None:
    """A stand-in for `ssh`, which would need a server, in a folder for PATH."""
    (folder / "ssh").write_text(SSH_STAND_IN)
    (folder / "ssh").chmod(0o700)
