"""Alerts against a real server, a server that is down, and MLflow; and from a job to all of them."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from mlflow import MlflowClient

from lang1_assets.resources import alerts
from lang1_assets.resources.alerts import WEBHOOK_VARIABLE, Alerts
from lang1_assets.resources.tracking import ALERTS_TAG, LAST_ALERT_TAG, TrackedRun

SPIKE = {"time": 1.0, "kind": "loss_spike", "step": 48, "text": "loss spike (29.1) at step 48: back to step 40"}


@dataclass
class Slack:
    url: str
    status: int = 200
    seconds: float = 0.0
    received: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slack]:
    """An incoming webhook on this machine, in Slack's place."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            slack.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            time.sleep(slack.seconds)
            assert self.headers["Content-Type"] == "application/json"
            self.send_response(slack.status)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    slack = Slack(f"http://127.0.0.1:{server.server_port}/services/T0/B0/secret")
    monkeypatch.setenv(WEBHOOK_VARIABLE, slack.url)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield slack
    server.shutdown()
    server.server_close()


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
        with Alerts().watch(context, run) as on_alerts:
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
    assert [message["text"] for message in slack.received] == [
        f":warning: *training* loss_spike: {SPIKE['text']}\nhttp://mlflow/run"
    ] * 2
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
    monkeypatch.setattr(alerts, "TIMEOUT_SECONDS", 0.2)
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


def test_a_job_that_fails_is_an_alert_without_its_words(
    run: TrackedRun, slack: Slack, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(on_alerts: Any) -> None:
        raise dg.Failure("ended with code 1. The end of job.log: could not convert 'pt c/o chest pain'")

    success, _ = materialize(run, fail, capsys)
    assert not success
    (message,) = slack.received
    assert "job_failed: the job ended with an error" in message["text"]
    assert "chest pain" not in json.dumps(run.client.get_run(run.run_id).data.tags)
    assert "chest pain" not in message["text"]


def test_a_job_that_a_person_stopped_is_no_alert(
    run: TrackedRun, slack: Slack, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(on_alerts: Any) -> None:
        raise dg.Failure("stopped", allow_retries=False) from dg.DagsterExecutionInterruptedError()

    success, _ = materialize(run, stop, capsys)
    assert not success
    assert slack.received == []
