"""The launcher against real processes: progress while it runs, stop, crash, death of the parent."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from lang1_assets.resources.launcher import TrainingLauncher

JOB = "tests.resources.launcher.job_for_tests"


def run_job(work: Path, received: list[Any], steps: int = 3, pause: float = 0.2, fail: bool = False) -> None:
    config = {"steps": steps, "pause_seconds": pause, "fail": fail}

    @dg.asset
    def training(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        TrainingLauncher(grace_seconds=3).run(
            context, module=JOB, config=config, work=work, num_cpu_ranks=2, on_metrics=received.extend
        )
        return dg.MaterializeResult()

    dg.materialize([training])


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def rank_pids(work: Path) -> list[int]:
    return [int(path.read_text()) for path in sorted(work.glob("rank-*.pid")) if path.read_text()]


def all_gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)


def test_metrics_arrive_while_the_job_runs(tmp_path: Path) -> None:
    received: list[Any] = []
    seen_early = []
    thread = threading.Thread(target=lambda: (wait_for(lambda: received), seen_early.append(len(received))))
    thread.start()
    run_job(tmp_path, received, steps=10)
    thread.join()
    assert [row["step"] for row in received] == list(range(10))
    assert seen_early[0] < 10
    assert len(rank_pids(tmp_path)) == 2


def test_a_failing_rank_gives_the_reason(tmp_path: Path) -> None:
    with pytest.raises(dg.Failure, match=r"(?s)ended with code.*job_for_tests: the reason"):
        run_job(tmp_path, [], steps=1, fail=True)


def in_process(work: str) -> None:
    run_job(Path(work), [], steps=1000)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_rank_outlives_the_process_that_launched_it(tmp_path: Path, number: int) -> None:
    parent = multiprocessing.get_context("spawn").Process(target=in_process, args=(str(tmp_path),))
    parent.start()
    wait_for(lambda: len(rank_pids(tmp_path)) == 2)
    pids = rank_pids(tmp_path)
    assert parent.pid is not None
    os.kill(parent.pid, number)
    wait_for(lambda: all_gone(pids), seconds=30)
    parent.join(30)


def test_a_killed_rank_ends_the_job(tmp_path: Path) -> None:
    def kill_when_up() -> None:
        wait_for(lambda: len(rank_pids(tmp_path)) == 2)
        os.kill(rank_pids(tmp_path)[1], signal.SIGKILL)

    thread = threading.Thread(target=kill_when_up)
    thread.start()
    with pytest.raises(dg.Failure, match="ended with code"):
        run_job(tmp_path, [], steps=1000, pause=0.2)
    thread.join()
    assert all_gone(rank_pids(tmp_path))


def stopped_in_process(work: str) -> None:
    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=2))
    def training(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        config = {"steps": 1000, "pause_seconds": 0.2, "fail": False}
        with open(Path(work) / "starts", "a") as handle:
            handle.write("start\n")
        TrainingLauncher(grace_seconds=3).run(
            context, module=JOB, config=config, work=Path(work), num_cpu_ranks=2, on_metrics=lambda rows: None
        )
        return dg.MaterializeResult()

    dg.materialize([training], raise_on_error=False)


def test_a_stop_is_not_taken_for_a_crash(tmp_path: Path) -> None:
    """Dagster retries a step that was interrupted; stopping a training run must end it."""
    parent = multiprocessing.get_context("spawn").Process(target=stopped_in_process, args=(str(tmp_path),))
    parent.start()
    wait_for(lambda: len(rank_pids(tmp_path)) == 2)
    pids = rank_pids(tmp_path)
    assert parent.pid is not None
    os.kill(parent.pid, signal.SIGINT)
    parent.join(60)
    assert parent.exitcode is not None
    assert all_gone(pids)
    assert (tmp_path / "starts").read_text() == "start\n"
