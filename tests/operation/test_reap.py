"""The reaper as a sensor: killed runs, and the MLflow runs that they left running."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from mlflow import MlflowClient

from lang1_assets.operation.dead_runs import PROCESS_TAG
from lang1_assets.operation.reap import dead_run_reaper
from lang1_assets.ops.process_identity import identify
from lang1_assets.resources.tracked_names import RUN_TAG
from lang1_assets.resources.tracking import Tracking
from tests.mlflow_database import database  # noqa: F401


@pytest.fixture
def tracking(tmp_path: Path, database: Path) -> Tracking:  # noqa: F811
    uri = f"sqlite:///{shutil.copyfile(database, tmp_path / 'mlflow.db')}"
    return Tracking(tracking_uri=uri, ui_url="", artifact_root=str(tmp_path), dagster_url="")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


class Reaper:
    """The sensor with the cursor that the daemon keeps for it."""

    def __init__(self, instance: dg.DagsterInstance, tracking: Tracking) -> None:
        self._instance, self.tracking = instance, tracking
        self.cursor: str | None = None

    def tick(self) -> str:
        resources = {"tracking": self.tracking}
        with dg.build_sensor_context(instance=self._instance, cursor=self.cursor, resources=resources) as context:
            data = dead_run_reaper().evaluate_tick(context)
            self.cursor = data.cursor
        return data.skip_message or ""


def started(instance: dg.DagsterInstance, tracking: Tracking, **tags: str) -> tuple[str, str]:
    """A Dagster run and its MLflow run, both running."""
    run = instance.add_run(dg.DagsterRun(job_name="demo", status=dg.DagsterRunStatus.STARTED, tags=tags))
    return run.run_id, mlflow_run(tracking, run.run_id)


def mlflow_run(tracking: Tracking, dagster_run: str) -> str:
    client = MlflowClient(tracking.tracking_uri)
    run_id: str = client.create_run("0", tags={RUN_TAG: dagster_run}).info.run_id
    return run_id


def statuses(instance: dg.DagsterInstance, tracking: Tracking, run_id: str, mlflow_id: str) -> tuple[str, str]:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status.value, MlflowClient(tracking.tracking_uri).get_run(mlflow_id).info.status


def test_a_killed_run_and_what_it_left_in_mlflow(instance: dg.DagsterInstance, tracking: Tracking) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    killed = started(instance, tracking, **{PROCESS_TAG: str(identify(process.pid))})
    reaper = Reaper(instance, tracking)
    assert reaper.tick() == "no dead run"
    process.kill()
    process.wait()
    # It may be about to say how it ended.
    assert reaper.tick() == "no dead run"
    assert reaper.tick() == "1 runs were marked as failed"
    assert statuses(instance, tracking, *killed) == ("FAILURE", "FAILED")
    assert reaper.tick() == "no dead run"
    assert json.loads(reaper.cursor or "")["dead"] == []


def test_what_goes_on_or_belongs_to_another_dagster_is_let_be(instance: dg.DagsterInstance, tracking: Tracking) -> None:
    alive = started(instance, tracking)
    foreign = mlflow_run(tracking, "a run of another Dagster")
    untold = mlflow_run(tracking, "")
    failed, left = started(instance, tracking)
    run = instance.get_run_by_id(failed)
    assert run is not None
    instance.report_run_failed(run)
    Reaper(instance, tracking).tick()
    assert statuses(instance, tracking, *alive) == ("STARTED", "RUNNING")
    client = MlflowClient(tracking.tracking_uri)
    assert [client.get_run(run_id).info.status for run_id in (foreign, untold, left)] == [
        "RUNNING",
        "RUNNING",
        "FAILED",
    ]


def test_canceled_is_killed_in_mlflow(instance: dg.DagsterInstance, tracking: Tracking) -> None:
    run_id, left = started(instance, tracking)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_canceled(run)
    Reaper(instance, tracking).tick()
    assert statuses(instance, tracking, run_id, left) == ("CANCELED", "KILLED")


def test_an_mlflow_that_is_down_fails_no_sensor_and_is_asked_again(
    instance: dg.DagsterInstance, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run_id, left = started(instance, tracking)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_failed(run)
    down = Tracking(tracking_uri="http://127.0.0.1:9", ui_url="", artifact_root="", dagster_url="")
    reaper = Reaper(instance, down)
    assert reaper.tick() == "no dead run"
    reaper.tracking = tracking
    reaper.tick()
    assert statuses(instance, tracking, run_id, left) == ("FAILURE", "FAILED")


def test_mlflow_is_not_asked_when_nothing_ended(instance: dg.DagsterInstance, tracking: Tracking) -> None:
    started(instance, tracking)
    reaper = Reaper(instance, tracking)
    reaper.tick()
    reaper.tracking = Tracking(tracking_uri="no such database", ui_url="", artifact_root="", dagster_url="")
    before = reaper.cursor
    assert reaper.tick() == "no dead run"
    assert reaper.cursor == before
