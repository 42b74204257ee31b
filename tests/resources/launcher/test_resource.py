"""The launcher against real processes of this machine: progress while it runs, stop, crash, death of the parent."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lang1_assets.resources.launcher import TrainingLauncher
from tests.resources.launcher.running import (
    JOB,
    all_gone,
    in_process,
    left_over,
    rank_pids,
    run_job,
    wait_for,
)


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


def test_a_tracking_server_that_is_down_for_a_while_ends_nothing(tmp_path: Path) -> None:
    class Received(list[Any]):
        num_refused = 0

        def extend(self, rows: Any) -> None:
            if self.num_refused < 2:
                self.num_refused += 1
                raise ConnectionError("the server is down")
            super().extend(rows)

    received = Received()
    run_job(tmp_path, received, steps=6, pause=0.5)
    assert received.num_refused == 2
    assert [row["step"] for row in received] == list(range(6))


def test_a_failing_rank_gives_the_reason(tmp_path: Path) -> None:
    with pytest.raises(dg.Failure, match=r"(?s)ended with code 3.*job_for_tests: the reason"):
        run_job(tmp_path, steps=1, fail=3)


def test_a_batch_that_does_not_divide_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        dg.Failure, match=r"global_batch_size 9 is not a multiple of micro_batch_size 3 x 2 ranks.*this machine"
    ):
        run_job(tmp_path, training={"global_batch_size": 9, "micro_batch_size": 3})
    assert not (tmp_path / "job.log").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_rank_outlives_the_process_that_launched_it(tmp_path: Path, number: int) -> None:
    parent = in_process(run_job, tmp_path, steps=1000)
    wait_for(lambda: len(rank_pids(tmp_path)) == 2)
    pids = rank_pids(tmp_path)
    os.kill(parent.pid, number)
    wait_for(lambda: all_gone(pids), seconds=30)
    parent.join(30)
    wait_for(lambda: not left_over(tmp_path), seconds=30)


def test_a_killed_rank_ends_the_job(tmp_path: Path) -> None:
    def kill_when_up() -> None:
        wait_for(lambda: len(rank_pids(tmp_path)) == 2)
        os.kill(rank_pids(tmp_path)[1], signal.SIGKILL)

    thread = threading.Thread(target=kill_when_up)
    thread.start()
    with pytest.raises(dg.Failure, match=r"ended with code -?\d+: a rank was killed by signal 9"):
        run_job(tmp_path, steps=1000)
    thread.join()
    assert all_gone(rank_pids(tmp_path))
    assert not left_over(tmp_path)


def test_a_retry_goes_on_where_the_rank_that_failed_had_saved(tmp_path: Path) -> None:
    received: list[Any] = []
    attempts = []

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=2))
    def training(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        attempts.append(context.retry_number)
        config = {"steps": 5, "pause_seconds": 0.0, "fail": 0, "fails_once_at": 2}
        try:
            TrainingLauncher(grace_seconds=3).run(
                context, module=JOB, config=config, work=tmp_path, num_cpu_ranks=2, on_metrics=received.extend
            )
        except dg.Failure as failure:
            reasons.append(str(failure.description))
            raise
        return dg.MaterializeResult()

    reasons: list[str] = []
    started = time.monotonic()
    assert dg.materialize([training]).success
    # The other rank would have slept for ten minutes.
    assert time.monotonic() - started < 300
    assert attempts == [0, 1]
    assert "RuntimeError: this rank cannot go on. Run it again to go on from its last checkpoint" in reasons[0]
    assert [row["step"] for row in received] == [0, 1, 2, 3, 4]


def stopped_in_process(work: Path) -> None:
    """Two trainings, neither of which needs the other; one process runs one after the other."""

    def training(name: str) -> dg.AssetsDefinition:
        @dg.asset(name=name, retry_policy=dg.RetryPolicy(max_retries=2))
        def _training(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            config = {"steps": 1000, "pause_seconds": 0.2, "fail": 0}
            with open(work / "assets", "a") as handle:
                handle.write("begun\n")
            TrainingLauncher(grace_seconds=10).run(
                context, module=JOB, config=config, work=work, num_cpu_ranks=2, on_metrics=lambda rows: None
            )
            return dg.MaterializeResult()

        return _training

    dg.materialize([training("one"), training("other")], raise_on_error=False)


def test_a_stop_saves_and_is_not_taken_for_a_crash(tmp_path: Path) -> None:
    """Dagster retries a step that was interrupted, and goes on with steps that do not need one that failed."""
    parent = in_process(stopped_in_process, tmp_path)
    wait_for(lambda: len(rank_pids(tmp_path)) == 2)
    pids = rank_pids(tmp_path)
    os.kill(parent.pid, signal.SIGINT)
    parent.join(60)
    assert parent.exitcode is not None
    assert all_gone(pids)
    assert not left_over(tmp_path)
    assert {path.name for path in tmp_path.glob("*.step")} == {"rank-0.step", "rank-1.step"}
    # The other one is reached, and ends before it starts a job.
    assert (tmp_path / "assets").read_text() == "begun\n" * 2
    assert rank_pids(tmp_path) == pids
