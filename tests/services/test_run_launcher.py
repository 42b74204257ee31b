"""A worker that ends before its run has begun: run monitoring asks only after runs that have."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from lang1_assets.operation.dead_runs import PROCESS_TAG, close_dead_runs, find_dead_runs
from lang1_assets.ops.process_identity import ProcessIdentity, identify
from lang1_assets.services import run_workers
from tests.services.test_supervisor import until

SLEEP = [sys.executable, "-c", "import time; time.sleep(120)"]
ORIGIN = RemoteJobOrigin(
    repository_origin=RemoteRepositoryOrigin(
        code_location_origin=RegisteredCodeLocationOrigin("lang1"), repository_name="__repository__"
    ),
    job_name="path",
)


@dg.job
def path() -> None:
    """Never run: in its place something waits."""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setattr(run_workers, "command_of", lambda folder, run_id, command: SLEEP)
    (tmp_path / "dagster").mkdir()
    overrides = {
        "run_launcher": {
            "module": "lang1_assets.services.run_launcher",
            "class": "ProcessRunLauncher",
            "config": {"folder": str(tmp_path / "workers")},
        },
        "run_monitoring": {"enabled": True},
    }
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster"), overrides=overrides) as made:
        yield made


def launched(instance: dg.DagsterInstance) -> tuple[str, int]:
    """A run that is starting, and the number of its worker."""
    run = instance.add_run(dg.DagsterRun(job_name="path", status=DagsterRunStatus.STARTING, remote_job_origin=ORIGIN))
    context: Any = SimpleNamespace(dagster_run=run, job_code_origin=dg.reconstructable(path).get_python_origin())
    instance.run_launcher.launch_run(context)
    worker = ProcessIdentity.parse(run_of(instance, run.run_id).tags[PROCESS_TAG])
    assert worker is not None
    return run.run_id, worker.pid


def run_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run


def test_a_run_whose_worker_dies_before_it_begins_fails_at_once(instance: dg.DagsterInstance) -> None:
    run_id, pid = launched(instance)
    os.kill(pid, signal.SIGKILL)
    until(lambda: run_of(instance, run_id).status == DagsterRunStatus.FAILURE, "the run to fail")
    (event,) = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records
    said = event.event_log_entry.dagster_event
    assert said is not None
    assert f"pid {pid}, ended before the run began" in (said.message or "")


def test_a_run_that_has_begun_is_left_to_run_monitoring(instance: dg.DagsterInstance) -> None:
    run_id, pid = launched(instance)
    instance.report_dagster_event(dg.DagsterEvent(event_type_value="PIPELINE_START", job_name="path"), run_id)
    assert run_of(instance, run_id).status == DagsterRunStatus.STARTED
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists(), "it to be collected")
    assert find_dead_runs(instance, print) == set()
    assert run_of(instance, run_id).status == DagsterRunStatus.STARTED


def test_the_reaper_sees_it_when_the_daemon_died_too(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(instance.run_launcher), "_wait_for", lambda self, process, run_id: process.wait())
    run_id, pid = launched(instance)
    assert find_dead_runs(instance, print) == set()
    os.kill(pid, signal.SIGKILL)
    until(lambda: find_dead_runs(instance, print) == {run_id}, "the reaper to see it")
    assert close_dead_runs(instance, {run_id}, print) == [run_id]
    assert run_of(instance, run_id).status == DagsterRunStatus.FAILURE


def test_a_worker_that_ends_before_it_is_asked_to_leaves_its_run_canceled(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(instance.run_launcher), "_wait_for", lambda self, process, run_id: process.wait())
    run_id, pid = launched(instance)
    worker = run_workers.Worker(run_id=run_id, process=identify(pid) or pytest.fail("it lives"))
    monkeypatch.setattr(run_workers, "find", lambda folder, run_id: worker)
    monkeypatch.setattr(run_workers.Worker, "is_running", True)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists(), "it to be collected")
    assert not instance.run_launcher.terminate(run_id)
    assert run_of(instance, run_id).status == DagsterRunStatus.CANCELED
