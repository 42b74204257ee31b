"""Jobs under Slurm: a real one of this machine where it can be started, and stand-ins for its commands everywhere."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lang1_assets.resources.launcher import slurm
from lang1_assets.resources.launcher.jobs import LaunchError
from lang1_assets.settings.launch import Launch
from tests.resources.launcher import imitated_slurm
from tests.resources.launcher.running import all_gone, in_process, left_over, rank_pids, run_job, wait_for
from tests.slurm_cluster import slurm_cluster, why_not


@pytest.fixture(scope="module")
def real_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


@pytest.fixture
def launch(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launch]:
    """Two ranks on CPU: under the real Slurm where there is one, unless the test asks for `imitated`."""
    kind = getattr(request, "param", "imitated" if why_not() else "real")
    if kind == "real":
        for name, value in request.getfixturevalue("real_cluster").items():
            monkeypatch.setenv(name, value)
    else:
        folder = tmp_path / "imitated"
        folder.mkdir()
        imitated_slurm.install(folder)
        monkeypatch.setenv("IMITATED_SLURM", str(folder))
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    yield Launch.model_validate(
        {"kind": "slurm", "slurm": {"gpus_per_node": 0, "cpus_per_rank": 1, "time_limit": "10:00", "poll_seconds": 0.3}}
    )
    kept = tmp_path / slurm.JOB_ID_FILE
    if kept.exists():
        subprocess.run(["scancel", kept.read_text()], check=False)
        wait_for(lambda: slurm.state_in_queue(kept.read_text()) is None)


@pytest.mark.parametrize("launch", ["imitated", "real"], indirect=True)
def test_metrics_arrive_and_the_job_leaves_the_queue(tmp_path: Path, launch: Launch) -> None:
    received: list[Any] = []
    run_job(tmp_path, received, launch=launch, steps=8)
    assert [row["step"] for row in received] == list(range(8))
    assert len(rank_pids(tmp_path)) == 2
    assert (tmp_path / slurm.EXIT_CODE_FILE).read_text() == "0\n"
    assert not (tmp_path / slurm.JOB_ID_FILE).exists()


def test_a_failing_rank_gives_the_reason_and_its_code(tmp_path: Path, launch: Launch) -> None:
    """And not the code of the ranks that were ended because of it."""
    with pytest.raises(dg.Failure, match=r"(?s)Slurm job \d+.* ended with code 3\b.*job_for_tests: the reason"):
        run_job(tmp_path, launch=launch, steps=30, fail=3, steps_of_rank_1=1)
    # Nothing of it stands in the way of the next run.
    assert not (tmp_path / slurm.JOB_ID_FILE).exists()


def test_wrong_input_is_not_tried_again(tmp_path: Path, launch: Launch) -> None:
    with pytest.raises(dg.Failure, match=r"job_for_tests: the reason$") as error:
        run_job(tmp_path, launch=launch, steps=30, fail=65, steps_of_rank_1=1)
    assert error.value.allow_retries is False


def test_what_slurm_refuses_is_said(tmp_path: Path, launch: Launch) -> None:
    asked = launch.model_copy(update={"slurm": launch.slurm.model_copy(update={"partition": "nowhere"})})
    with pytest.raises(dg.Failure, match=r"sbatch: .*invalid partition specified"):
        run_job(tmp_path, launch=asked)


def test_a_killed_dagster_finds_its_job_again(tmp_path: Path, launch: Launch) -> None:
    """Its machine went down: the job goes on, and the next run follows it instead of submitting another."""
    parent = in_process(run_job, tmp_path, launch=launch, steps=40)
    wait_for(lambda: (tmp_path / "metrics.jsonl.read").exists())
    os.kill(parent.pid, signal.SIGKILL)
    parent.join(30)
    job_id = (tmp_path / slurm.JOB_ID_FILE).read_text()
    already = (tmp_path / "metrics.jsonl").read_text()[: int((tmp_path / "metrics.jsonl.read").read_text())]
    received: list[Any] = []
    pids = rank_pids(tmp_path)
    run_job(tmp_path, received, launch=launch, steps=40)
    assert rank_pids(tmp_path) == pids
    assert already.count("\n") + len(received) == 40
    assert received[-1]["step"] == 39
    assert job_id.isdigit()


def test_a_job_that_ended_meanwhile_is_collected(tmp_path: Path, launch: Launch) -> None:
    parent = in_process(run_job, tmp_path, launch=launch, steps=10)
    wait_for(lambda: len(rank_pids(tmp_path)) == 2)
    os.kill(parent.pid, signal.SIGKILL)
    wait_for((tmp_path / slurm.EXIT_CODE_FILE).exists)
    received: list[Any] = []
    run_job(tmp_path, received, launch=launch, steps=10)
    assert received[-1]["step"] == 9


def interrupt(parent: Any, status: dg.DagsterRunStatus | None, instance: dg.DagsterInstance, work: Path) -> None:
    """As Dagster does it: the run is marked first when a person stops it, and its process gets a signal."""
    run_id = (work / "run_id").read_text()
    if status is not None:
        instance.report_run_canceling(instance.get_run_by_id(run_id))  # type: ignore[arg-type]
    os.kill(parent.pid, signal.SIGINT)
    parent.join(60)


def run_in_instance(work: Path, root: str, launch: Launch) -> None:
    with dg.DagsterInstance.local_temp(root) as instance:
        run_job(work, launch=launch, steps=1000, instance=instance, grace=30, seconds_to_save=1)


@pytest.mark.parametrize("by_a_person", [True, False])
def test_a_person_s_stop_cancels_and_a_restart_of_dagster_does_not(
    tmp_path: Path, launch: Launch, by_a_person: bool
) -> None:
    root = tmp_path / "dagster"
    root.mkdir()
    parent = in_process(run_in_instance, tmp_path, str(root), launch)
    wait_for(lambda: len(rank_pids(tmp_path)) == 2)
    pids = rank_pids(tmp_path)
    with dg.DagsterInstance.local_temp(str(root)) as instance:
        interrupt(parent, dg.DagsterRunStatus.CANCELING if by_a_person else None, instance, tmp_path)
    saved = {path.name for path in tmp_path.glob("*.step")}
    if by_a_person:
        assert all_gone(pids)
        assert saved == {"rank-0.step", "rank-1.step"}
        assert not (tmp_path / slurm.JOB_ID_FILE).exists()
    else:
        assert not all_gone(pids)
        assert not saved
        slurm.SlurmJob((tmp_path / slurm.JOB_ID_FILE).read_text(), tmp_path, 0.3).stop(20)
        assert all_gone(pids)
    wait_for(lambda: not left_over(tmp_path / "job.json"), seconds=20)


def test_before_its_time_is_up_a_job_saves_and_goes_on_in_a_second_stretch(tmp_path: Path, launch: Launch) -> None:
    """The signal that `--signal=B:USR1` has Slurm send, sent by hand: a limit is a minute at least.

    The second stretch begins while there is no session with Dagster, as after a restart of it.
    """

    def time_is_up() -> None:
        wait_for(lambda: len(rank_pids(tmp_path)) == 2)
        job_id = (tmp_path / slurm.JOB_ID_FILE).read_text()
        (tmp_path / "pipes_context.json").unlink()
        subprocess.run(["scancel", "--batch", "--signal=USR1", job_id], check=True)

    thread = threading.Thread(target=time_is_up)
    thread.start()
    received: list[Any] = []
    run_job(tmp_path, received, launch=launch, steps=20)
    thread.join()
    log = (tmp_path / "job.log").read_text()
    assert "time is up: saved, and back into the queue" in log
    assert [row["step"] for row in received] == list(range(20))
    assert 0 < int((tmp_path / "rank-1.step").read_text()) < 20


def test_a_job_of_other_settings_for_the_same_folder_is_canceled(tmp_path: Path, launch: Launch) -> None:
    parent = in_process(run_job, tmp_path, launch=launch, steps=1000)
    wait_for(lambda: len(rank_pids(tmp_path)) == 2)
    os.kill(parent.pid, signal.SIGKILL)
    pids = rank_pids(tmp_path)
    # The store empties the folder when settings have changed.
    for path in tmp_path.glob("*"):
        if path.is_file():
            path.unlink()
    run_job(tmp_path, launch=launch, steps=2)
    assert all_gone(pids)
    # What a job that is asked to end saves.
    assert not list(tmp_path.glob("*.step"))


def test_a_controller_that_does_not_answer_says_nothing_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "squeue"
    command.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1\n")
    command.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm.state_in_queue("7") == "UNKNOWN"
    assert slurm.SlurmJob("7", tmp_path, 0.1).exit_code() is None


@pytest.mark.parametrize("launch", ["imitated"], indirect=True)
def test_no_job_of_another_kind_starts_beside_one_in_the_queue(tmp_path: Path, launch: Launch) -> None:
    (tmp_path / slurm.JOB_ID_FILE).write_text("7")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slurm, "state_in_queue", lambda job_id: "RUNNING")
        with pytest.raises(dg.Failure, match=r"Slurm job 7 may still write into .*remove .*slurm_job_id"):
            run_job(tmp_path, launch=Launch())
    assert not (tmp_path / "job.log").exists()
    (tmp_path / slurm.JOB_ID_FILE).unlink()


@pytest.mark.parametrize("kind", ["slurm", "local"])
def test_a_number_that_cannot_be_read_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Without a number, Slurm's commands speak of every job, or of none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / slurm.JOB_ID_FILE).write_text("")
    launch = Launch(kind="slurm") if kind == "slurm" else Launch()
    with pytest.raises(
        dg.Failure, match=r"slurm_job_id: expected the number of a Slurm job, found ''; .*--name=lang1-"
    ):
        run_job(tmp_path, launch=launch)
    assert not (tmp_path / "job.log").exists()


def test_a_machine_without_slurm_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match="there is no 'sbatch' on this machine"):
        slurm.slurm("sbatch")
