"""Runs whose process was killed, however they were started; and those that must be let be."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEvent, DagsterEventType, DagsterRunStatus
from dagster._core.events import EngineEventData
from dagster._core.execution.plan.objects import StepSuccessData

from lang1_assets.operation.dead_runs import KILLED, PROCESS_TAG, close_dead_runs, find_dead_runs, process_tag
from lang1_assets.ops.process_identity import ProcessIdentity, identify


@pytest.fixture(scope="module")
def kept_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """Its tables take a second to make."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture
def instance(kept_instance: dg.DagsterInstance) -> Iterator[dg.DagsterInstance]:
    yield kept_instance
    for run in kept_instance.get_runs():
        kept_instance.delete_run(run.run_id)


class Processes:
    """Real ones, in the place of run workers."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
        self.started.append(process)
        # Until then it is a copy of this process.
        deadline = time.monotonic() + 10
        while b"sleep" not in Path(f"/proc/{process.pid}/cmdline").read_bytes() and time.monotonic() < deadline:
            time.sleep(0.01)
        return process

    def killed(self) -> subprocess.Popen[bytes]:
        process = self.start()
        kill(process)
        return process


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.fixture
def processes() -> Iterator[Processes]:
    made = Processes()
    yield made
    for process in made.started:
        kill(process)


def run_of(
    instance: dg.DagsterInstance,
    pid: int | None,
    parent: str | None = None,
    status: DagsterRunStatus = DagsterRunStatus.STARTED,
    **tags: str,
) -> str:
    """A run as the daemon starts it."""
    run = instance.add_run(
        dg.DagsterRun(job_name="demo", status=status, tags=tags, parent_run_id=parent, root_run_id=parent)
    )
    if pid is not None:
        name_process(instance, run.run_id, pid)
    return run.run_id


def name_process(instance: dg.DagsterInstance, run_id: str, pid: int) -> None:
    """As the code server says it in the event log."""
    run = instance.get_run_by_id(run_id)
    instance.report_engine_event(f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid))


def step_event(
    instance: dg.DagsterInstance, run_id: str, kind: DagsterEventType, step: str, pid: int | None = None
) -> None:
    data: Any = StepSuccessData(duration_ms=1.0) if pid is None else EngineEventData.in_process(pid)
    event = DagsterEvent(event_type_value=kind.value, job_name="demo", step_key=step, event_specific_data=data)
    instance.report_dagster_event(event, run_id)


def reap(instance: dg.DagsterInstance) -> tuple[set[str], str]:
    said: list[str] = []
    dead = find_dead_runs(instance, said.append)
    close_dead_runs(instance, dead, said.append)
    return dead, "\n".join(said)


def status_of(instance: dg.DagsterInstance, run_id: str) -> str:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status.value


def test_a_run_of_the_daemon_whose_worker_is_killed(instance: dg.DagsterInstance, processes: Processes) -> None:
    alive, doomed = processes.start(), processes.start()
    kept, lost = run_of(instance, alive.pid), run_of(instance, doomed.pid)
    assert reap(instance)[0] == set()
    kill(doomed)
    dead, said = reap(instance)
    assert dead == {lost}
    assert f"run {lost}: {KILLED}" in said
    assert [status_of(instance, run_id) for run_id in (kept, lost)] == ["STARTED", "FAILURE"]


def test_a_worker_that_died_before_anybody_looked(instance: dg.DagsterInstance, processes: Processes) -> None:
    lost = run_of(instance, processes.killed().pid)
    assert reap(instance)[0] == {lost}


def test_a_number_that_now_belongs_to_another_program(instance: dg.DagsterInstance) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        while Path(f"/proc/{other.pid}/comm").read_text() != "sleep\n":
            time.sleep(0.01)
        lost = run_of(instance, other.pid)
        assert reap(instance)[0] == {lost}
        other.kill()


def test_a_number_that_was_given_to_another_python(instance: dg.DagsterInstance, processes: Processes) -> None:
    """Seen alive once, a process is known by more than its number."""
    worker = processes.start()
    lost = run_of(instance, worker.pid)
    assert reap(instance)[0] == set()
    run = instance.get_run_by_id(lost)
    assert run is not None
    known = ProcessIdentity.parse(run.tags[PROCESS_TAG])
    assert known == identify(worker.pid)
    # The tag of a process that began one tick earlier under the number that this one has.
    assert known is not None
    instance.add_run_tags(lost, {PROCESS_TAG: str(known).rpartition(" ")[0] + f" {known.start_ticks - 1}"})
    assert reap(instance)[0] == {lost}


def test_a_run_from_a_terminal(instance: dg.DagsterInstance, processes: Processes) -> None:
    gone = processes.start()
    lost = run_of(instance, None, **{PROCESS_TAG: str(identify(gone.pid))})
    here = run_of(instance, None, **process_tag())
    kill(gone)
    assert reap(instance)[0] == {lost}
    assert status_of(instance, here) == "STARTED"


def test_a_run_that_takes_up_another_one_has_a_process_of_its_own(
    instance: dg.DagsterInstance, processes: Processes
) -> None:
    """Dagster copies the tags of the run before."""
    first, second = processes.start(), processes.start()
    lost = run_of(instance, first.pid)
    assert reap(instance)[0] == set()
    kill(first)
    assert reap(instance)[0] == {lost}
    parent = instance.get_run_by_id(lost)
    assert parent is not None
    again = run_of(instance, None, lost, **parent.tags)
    assert reap(instance)[0] == set(), "not known yet"
    name_process(instance, again, second.pid)
    assert reap(instance)[0] == set()
    run = instance.get_run_by_id(again)
    assert run is not None
    assert run.tags[PROCESS_TAG] == str(identify(second.pid))
    kill(second)
    assert reap(instance)[0] == {again}


def test_a_run_whose_parent_was_deleted_may_have_its_tags(instance: dg.DagsterInstance, processes: Processes) -> None:
    gone = processes.start()
    tags = {PROCESS_TAG: str(identify(gone.pid))}
    kill(gone)
    alive = processes.start()
    name_process(instance, run_of(instance, None, "11111111-2222-3333-4444-555555555555", **tags), alive.pid)
    assert reap(instance)[0] == set()


def test_a_run_that_a_person_is_canceling_is_canceled(instance: dg.DagsterInstance, processes: Processes) -> None:
    lost = run_of(instance, processes.killed().pid, status=DagsterRunStatus.CANCELING)
    assert reap(instance)[0] == {lost}
    assert status_of(instance, lost) == "CANCELED"


@pytest.mark.parametrize("status", [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.SUCCESS])
def test_runs_that_have_no_process_are_let_be(
    instance: dg.DagsterInstance, processes: Processes, status: DagsterRunStatus
) -> None:
    run_of(instance, processes.killed().pid, status=status)
    assert reap(instance) == (set(), "")


def test_a_run_of_another_machine_is_let_be_and_said(instance: dg.DagsterInstance, processes: Processes) -> None:
    gone = processes.start()
    known = str(identify(gone.pid)).split(" ")
    far = run_of(instance, None, **{PROCESS_TAG: " ".join(["gpu-7", *known[1:]])})
    kill(gone)
    dead, said = reap(instance)
    assert dead == set()
    assert said == f"run {far} belongs to gpu-7, which this place cannot look at; end it there, or in Dagster"


def test_a_run_that_began_otherwise_is_let_be(instance: dg.DagsterInstance) -> None:
    run_of(instance, None)
    run_of(instance, None, **{PROCESS_TAG: "not an identity"})
    assert reap(instance) == (set(), "")


def test_a_step_that_goes_on_without_its_run_is_waited_for(instance: dg.DagsterInstance, processes: Processes) -> None:
    """It still has the accelerator."""
    worker, step, ended = processes.start(), processes.start(), processes.start()
    run_id = run_of(instance, worker.pid)
    step_event(instance, run_id, DagsterEventType.STEP_WORKER_STARTED, "tokens", ended.pid)
    step_event(instance, run_id, DagsterEventType.STEP_WORKER_STARTED, "pretrained_model", step.pid)
    step_event(instance, run_id, DagsterEventType.STEP_SUCCESS, "tokens")
    kill(worker)
    dead, said = reap(instance)
    assert dead == set()
    assert f"its step pretrained_model goes on (process {step.pid})" in said
    assert "tokens" not in said
    kill(step)
    assert reap(instance)[0] == {run_id}


def test_no_step_outlives_a_start_of_the_machine(instance: dg.DagsterInstance, processes: Processes) -> None:
    """Its number may be another Python's now."""
    other = processes.start()
    known = identify(other.pid)
    assert known is not None
    lost = run_of(instance, None, **{PROCESS_TAG: str(replace(known, boot="of-yesterday"))})
    step_event(instance, lost, DagsterEventType.STEP_WORKER_STARTED, "pretrained_model", other.pid)
    assert reap(instance)[0] == {lost}


def test_its_place_in_the_pool_is_free_again(instance: dg.DagsterInstance, processes: Processes) -> None:
    worker = processes.start()
    lost, waiting = run_of(instance, worker.pid), run_of(instance, processes.start().pid)
    log = instance.event_log_storage
    log.set_concurrency_slots("accelerator", 1)
    assert log.claim_concurrency_slot("accelerator", lost, "finetuned_joint").is_claimed
    assert not log.claim_concurrency_slot("accelerator", waiting, "finetuned_joint").is_claimed
    kill(worker)
    assert reap(instance)[0] == {lost}
    assert log.claim_concurrency_slot("accelerator", waiting, "finetuned_joint").is_claimed


def test_what_the_code_server_noticed_meanwhile_is_not_said_twice(
    instance: dg.DagsterInstance, processes: Processes
) -> None:
    lost = run_of(instance, processes.killed().pid)
    dead = find_dead_runs(instance, print)
    run = instance.get_run_by_id(lost)
    assert run is not None
    instance.report_run_failed(run)
    assert close_dead_runs(instance, dead, print) == []
    failures = instance.get_records_for_run(lost, of_type=DagsterEventType.RUN_FAILURE).records
    assert len(failures) == 1
