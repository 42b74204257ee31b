"""Which process works on a run, and what is left of it when it dies."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.launcher.base import WorkerStatus

from lang1_assets.operation.dead_runs import PROCESS_TAG
from lang1_assets.ops.process_identity import identify
from lang1_assets.services import run_workers
from tests.ended import has_ended
from tests.services.test_supervisor import until

RUN = "11111111-2222-3333-4444-555555555555"
WITH_A_STEP = (
    "import subprocess, sys; step = subprocess.Popen(['sleep', '60']); print(step.pid, flush=True); step.wait()"
)


def started(folder: Path, command: list[str]) -> subprocess.Popen[str]:
    words = run_workers.command_of(folder, RUN, command)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    until(lambda: run_workers.find(folder, RUN), "the worker to register")
    return process


def test_a_worker_registers_before_it_becomes_dagster_s(tmp_path: Path) -> None:
    process = started(tmp_path, ["sleep", "60"])
    worker = run_workers.find(tmp_path, RUN)
    assert worker is not None
    assert worker.pid == process.pid
    assert worker.is_running
    assert run_workers.all_running(tmp_path) == [worker]
    until(lambda: psutil.Process(process.pid).name() == "sleep", "the same process to go on as the command")
    process.kill()
    until(lambda: not worker.is_running, "it to count as dead, though nobody has collected it")
    process.wait()
    assert run_workers.all_running(tmp_path) == []


def test_steps_that_a_killed_worker_left_are_ended(tmp_path: Path) -> None:
    process = started(tmp_path, [sys.executable, "-c", WITH_A_STEP])
    assert process.stdout is not None
    step = psutil.Process(int(process.stdout.readline()))
    process.kill()
    process.wait()
    assert step.is_running()
    worker = run_workers.find(tmp_path, RUN)
    assert worker is not None
    run_workers.end_rest(worker)
    assert has_ended(step.pid)


def test_another_process_with_the_same_number_is_let_alone(tmp_path: Path) -> None:
    innocent = subprocess.Popen(["sleep", "60"], start_new_session=True)
    now = identify(innocent.pid)
    assert now is not None
    for earlier in (replace(now, start_ticks=now.start_ticks - 1), replace(now, boot="of-yesterday")):
        (tmp_path / f"{RUN}.worker").write_text(str(earlier))
        worker = run_workers.find(tmp_path, RUN)
        assert worker is not None
        assert not worker.is_running
        run_workers.end_rest(worker)
        assert run_workers.end_all(tmp_path, 1.0, lambda: False) == []
        assert innocent.poll() is None
    innocent.kill()


def test_ending_asks_first_and_kills_what_stays(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    )
    process = started(tmp_path, [sys.executable, "-c", stubborn])
    assert process.stdout is not None
    process.stdout.readline()
    before = time.monotonic()
    assert run_workers.end_all(tmp_path, 1.0, lambda: False) == [RUN]
    assert process.wait() == -signal.SIGKILL
    assert time.monotonic() - before >= 1.0


def test_one_that_ends_by_itself_keeps_nobody_from_ending_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = started(tmp_path, ["sleep", "60"])
    ended = subprocess.Popen(["sleep", "60"], start_new_session=True)
    known = identify(ended.pid)
    assert known is not None
    ended.kill()
    ended.wait()
    (other,) = run_workers.all_running(tmp_path)
    workers = [run_workers.Worker(run_id="0" * 8, process=known), other]
    monkeypatch.setattr(run_workers, "all_running", lambda folder: workers)
    assert run_workers.end_all(tmp_path, 10.0, lambda: False) == ["0" * 8, RUN]
    assert process.wait(10) == -signal.SIGTERM


def test_old_files_go_and_those_of_running_workers_stay(tmp_path: Path) -> None:
    process = started(tmp_path, ["sleep", "60"])
    path = tmp_path / f"{RUN}.worker"
    os.utime(path, (0, 0))
    run_workers.clear_away(tmp_path)
    assert path.exists()
    process.kill()
    process.wait()
    run_workers.clear_away(tmp_path)
    assert not path.exists()


@pytest.fixture
def instance(tmp_path: Path) -> dg.DagsterInstance:
    launcher = {
        "module": "lang1_assets.services.run_launcher",
        "class": "ProcessRunLauncher",
        "config": {"folder": str(tmp_path / "runs")},
    }
    home = tmp_path / "dagster"
    home.mkdir()
    return dg.DagsterInstance.local_temp(str(home), overrides={"run_launcher": launcher})


def test_dagster_learns_that_a_worker_is_gone(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run = instance.add_run(dg.DagsterRun(job_name="demo", run_id=RUN, status=dg.DagsterRunStatus.STARTED))
    launcher = instance.run_launcher
    assert launcher.supports_check_run_worker_health
    assert launcher.check_run_worker_health(run).status == WorkerStatus.NOT_FOUND
    process = started(tmp_path / "runs", ["sleep", "60"])
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    process.kill()
    process.wait()
    gone = launcher.check_run_worker_health(run)
    assert gone.status == WorkerStatus.FAILED
    assert str(process.pid) in str(gone.msg)


def test_stopping_a_run_asks_its_worker_whoever_started_it(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    instance.add_run(dg.DagsterRun(job_name="demo", run_id=RUN, status=dg.DagsterRunStatus.STARTED))
    process = started(tmp_path / "runs", ["sleep", "60"])
    assert instance.run_launcher.terminate(RUN)
    assert process.wait(10) == -signal.SIGTERM
    held = instance.get_run_by_id(RUN)
    assert held is not None
    assert held.status == dg.DagsterRunStatus.CANCELING
    assert not instance.run_launcher.terminate(RUN), "there is nobody left to ask"
    held = instance.get_run_by_id(RUN)
    assert held is not None
    assert held.status == dg.DagsterRunStatus.CANCELED


def test_a_run_from_a_terminal_lives_with_its_process_and_one_of_a_replaced_container_does_not(
    instance: dg.DagsterInstance,
) -> None:
    here = identify(os.getpid())
    assert here is not None
    expected = {
        here: WorkerStatus.RUNNING,
        replace(here, start_ticks=here.start_ticks - 1): WorkerStatus.NOT_FOUND,
        replace(here, namespace="pid:[1]"): WorkerStatus.NOT_FOUND,
        replace(here, host="another-machine", pid=1): WorkerStatus.RUNNING,
    }
    for number, (process, status) in enumerate(expected.items()):
        run = dg.DagsterRun(job_name=f"job_{number}", tags={PROCESS_TAG: str(process)})
        assert instance.run_launcher.check_run_worker_health(run).status == status, process
