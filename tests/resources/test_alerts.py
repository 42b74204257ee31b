"""Alerts against a real server, a server that is down, and MLflow; and from a job to all of them."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from mlflow import MlflowClient

from lang1_assets.resources import channels
from lang1_assets.resources.alerts import NEXT_STEPS, Alerts
from lang1_assets.resources.channels import WEBHOOK_VARIABLE
from lang1_assets.resources.tracked_names import ALERTS_TAG, LAST_ALERT_TAG
from lang1_assets.resources.tracked_run import TrackedRun
from tests.slack_webhook import Slack, forget_channels, running_webhook

SPIKE = {"time": 1.0, "kind": "loss_spike", "step": 48, "text": "loss spike (29.1) at step 48: back to step 40"}


@pytest.fixture(autouse=True)
def no_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_channels(monkeypatch)


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slack]:
    with running_webhook(monkeypatch) as slack:
        yield slack


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    return MlflowClient(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")


@pytest.fixture
def run(client: MlflowClient, tmp_path: Path) -> TrackedRun:
    experiment = client.create_experiment(tmp_path.name, artifact_location=str(tmp_path))
    run_id = client.create_run(experiment).info.run_id
    return TrackedRun(client=client, run_id=run_id, url="http://mlflow/run", experiment_id=experiment)


def line_of(row: dict[str, Any]) -> str:
    return f"ALERT {row['kind']}: {row['text']}"


def materialize(run: TrackedRun, body: Any, capsys: pytest.CaptureFixture[str]) -> tuple[bool, str]:
    """An asset that watches over `body`; whether it succeeded, and what was logged."""

    @dg.asset
    def training(context: dg.AssetExecutionContext) -> None:
        with Alerts(profile="tiny", is_synthetic=True, dagster_url="http://dagster").watch(context, run) as on_alerts:
            body(on_alerts)

    capsys.readouterr()
    done = dg.materialize([training], raise_on_error=False)
    captured = capsys.readouterr()
    return done.success, captured.out + captured.err


def test_an_alert_reaches_slack_the_log_and_the_run_s_page(
    run: TrackedRun, slack: Slack, capsys: pytest.CaptureFixture[str]
) -> None:
    success, logged = materialize(run, lambda on_alerts: on_alerts([SPIKE, {**SPIKE, "step": 70}]), capsys)
    assert success
    assert len(slack.received) == 2
    title, profile, what, dagster, mlflow, next_step = slack.received[0]["text"].split("\n")
    assert title == ":warning: *training: loss_spike*"
    assert profile == "Profile tiny (synthetic data: the embedded hospital)"
    assert what == f"loss_spike: {SPIKE['text']}"
    assert dagster.startswith("Dagster: http://dagster/runs/")
    assert mlflow == "MLflow: http://mlflow/run"
    assert next_step == f"Next: {NEXT_STEPS['loss_spike']}"
    assert logged.count("WARNING") == logged.count(line_of(SPIKE)) == 2
    data = run.client.get_run(run.run_id).data
    assert data.tags[ALERTS_TAG] == "2"
    assert data.tags[LAST_ALERT_TAG] == f"loss_spike: {SPIKE['text']}"
    assert [metric.step for metric in run.client.get_metric_history(run.run_id, "alerts/loss_spike")] == [48, 70]


def test_without_a_webhook_it_is_in_the_log_and_on_the_page(
    run: TrackedRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(WEBHOOK_VARIABLE, raising=False)
    success, logged = materialize(run, lambda on_alerts: on_alerts([SPIKE]), capsys)
    assert success
    assert line_of(SPIKE) in logged
    assert "Slack" not in logged
    assert run.client.get_run(run.run_id).data.tags[ALERTS_TAG] == "1"


def test_a_webhook_that_refuses_ends_nothing_and_is_not_shown(
    run: TrackedRun, slack: Slack, capsys: pytest.CaptureFixture[str]
) -> None:
    slack.status = 403
    success, logged = materialize(run, lambda on_alerts: on_alerts([SPIKE]), capsys)
    assert success
    assert "the alert did not reach Slack (HTTP 403)" in logged
    assert "secret" not in logged


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/services/secret", "http://no-such-host.invalid/secret", "no address at all: secret"]
)
def test_a_webhook_that_is_down_ends_nothing(
    run: TrackedRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    monkeypatch.setenv(WEBHOOK_VARIABLE, address)
    success, logged = materialize(run, lambda on_alerts: on_alerts([SPIKE]), capsys)
    assert success
    assert "did not reach Slack" in logged
    assert "secret" not in logged
    assert run.client.get_run(run.run_id).data.tags[ALERTS_TAG] == "1"


def test_a_webhook_that_does_not_answer_is_not_waited_for(
    run: TrackedRun, slack: Slack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slack.seconds = 3.0
    monkeypatch.setattr(channels, "TIMEOUT_SECONDS", 0.2)
    started = time.monotonic()
    success, logged = materialize(run, lambda on_alerts: on_alerts([SPIKE]), capsys)
    assert success
    assert time.monotonic() - started < 3
    assert "did not reach Slack (TimeoutError)" in logged


def test_an_mlflow_that_is_down_ends_nothing(
    run: TrackedRun, slack: Slack, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gone = TrackedRun(client=run.client, run_id="no such run", url="", experiment_id="0")
    success, logged = materialize(gone, lambda on_alerts: on_alerts([SPIKE]), capsys)
    assert success
    assert "the alert did not reach MLflow (" in logged
    assert len(slack.received) == 1


def test_a_job_that_fails_is_marked_without_its_words_and_told_with_its_run(
    run: TrackedRun, slack: Slack, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(on_alerts: Any) -> None:
        raise dg.Failure("ended with code 1. The end of job.log: could not convert 'pt c/o chest pain'")

    success, _ = materialize(run, fail, capsys)
    assert not success
    tags = run.client.get_run(run.run_id).data.tags
    assert tags[LAST_ALERT_TAG].startswith("job_failed: the job ended with an error")
    assert "chest pain" not in json.dumps(tags)
    # A later try may succeed; whether the run fails is for those to tell who follow it.
    assert slack.received == []


def test_a_job_that_a_person_stopped_is_no_alert(run: TrackedRun, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(on_alerts: Any) -> None:
        raise dg.Failure("stopped", allow_retries=False) from dg.DagsterExecutionInterruptedError()

    success, _ = materialize(run, stop, capsys)
    assert not success
    assert ALERTS_TAG not in run.client.get_run(run.run_id).data.tags
