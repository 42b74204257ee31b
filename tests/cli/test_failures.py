"""Commands that fail, or are stopped, say so, and tell whoever has gone home; and a terminal that is closed."""

import argparse
import contextlib
import os
import pty
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from lang1_assets import definitions
from lang1_assets.cli import agenda, runs
from lang1_assets.cli.lanes import LaneLostError
from lang1_assets.settings import Settings, load_settings
from tests.ended import has_ended
from tests.services.test_supervisor import until
from tests.slack_webhook import Slack, running_webhook

PROFILE = Path(__file__).parents[1] / "profiles" / "mini.yaml"
MODEL = "untrained-100m"


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slack]:
    with running_webhook(monkeypatch) as slack:
        yield slack


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("LANG1_HOME", str(tmp_path))
    return load_settings(str(PROFILE))


def assets_that(error: Exception, monkeypatch: pytest.MonkeyPatch, **partitions: list[str]) -> list[str]:
    """Assets of these names raise it, whose partitions they then name."""
    begun: list[str] = []

    def asset_of(name: str) -> dg.AssetsDefinition:
        @dg.asset(name=name, partitions_def=dg.StaticPartitionsDefinition(partitions[name]))
        def _asset(context: dg.AssetExecutionContext) -> None:
            begun.append(context.partition_key)
            raise error

        return _asset

    made = dg.Definitions(assets=[asset_of(name) for name in partitions], executor=dg.in_process_executor)
    monkeypatch.setattr(definitions, "defs", made)
    return begun


def demo(settings: Settings) -> int:
    return runs.run_demo(settings, argparse.Namespace(variant=None))


def score(settings: Settings) -> int:
    return runs.score_models(settings, argparse.Namespace(models=[MODEL]))


def test_a_choice_that_fails_after_the_demo_is_said_and_told(
    settings: Settings, slack: Slack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipes = [recipe for recipe in settings.operate.recipes if recipe in settings.finetune.recipes]
    monkeypatch.setattr(runs, "run_job", lambda *words, **named: 0)
    assert assets_that(ValueError("of a note"), monkeypatch, model_in_service=recipes) == []
    assert demo(settings) == 1
    named = [f"model_in_service, {recipe}" for recipe in recipes]
    assert f"FAILED: {'; '.join(named)}." in capsys.readouterr().out
    (message,) = slack.received
    assert message["text"].startswith(":warning: *run failed: demo*")
    assert all(f"failed: {name}\n" in message["text"] for name in named)
    assert "of a note" not in message["text"]


def test_a_model_that_cannot_be_scored_is_said_and_told(
    settings: Settings, slack: Slack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assets_that(ValueError("of a note"), monkeypatch, outside_evaluation=[MODEL])
    assert score(settings) == 1
    assert f"FAILED: outside_evaluation, {MODEL}." in capsys.readouterr().out
    assert [message["text"].split("\n")[0] for message in slack.received] == [":warning: *run failed: score*"]


@pytest.mark.parametrize("command", [demo, score])
def test_nobody_is_told_of_what_a_person_stopped_and_nothing_else_begins(
    settings: Settings,
    slack: Slack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: Callable[[Settings], int],
) -> None:
    recipes = [recipe for recipe in settings.operate.recipes if recipe in settings.finetune.recipes]
    monkeypatch.setattr(runs, "run_job", lambda *words, **named: 0)
    begun = assets_that(
        DagsterExecutionInterruptedError(), monkeypatch, model_in_service=recipes, outside_evaluation=[MODEL]
    )
    assert command(settings) == 130
    assert "Stopped." in capsys.readouterr().out
    assert len(begun) == 1
    assert slack.received == []


def test_a_study_whose_process_was_killed_is_told(
    settings: Settings, slack: Slack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def is_killed(*words: object) -> None:
        raise LaneLostError("a process that was at work ended with code -9")

    monkeypatch.setattr(agenda, "run_agenda", is_killed)
    assert runs.run_study(settings, argparse.Namespace()) == 1
    assert "FAILED: a process that was at work ended with code -9." in capsys.readouterr().out
    (message,) = slack.received
    assert "failed: a process that was at work ended with code -9\n" in message["text"]


UI = """
import sys
from lang1_assets.cli import services
services.mlflow_server.server_command = lambda *words: ("sleep", "600")
sys.executable = sys.argv[1]
services.run_ui(None, None)
"""


def test_a_terminal_that_is_closed_ends_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG1_HOME", str(tmp_path))
    dagster = tmp_path / "dagster"
    dagster.write_text("#!/bin/sh\nexec sleep 600\n")
    dagster.chmod(0o700)
    pid, terminal = pty.fork()
    if pid == 0:
        # Tests that were started under `nohup` would hand on that SIGHUP is ignored.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.execv(sys.executable, [sys.executable, "-c", UI, str(tmp_path / "python")])
    said = b""
    while b"Ctrl-C ends both" not in said:
        said += os.read(terminal, 4096)
    services = psutil.Process(pid).children()
    assert len(services) == 2
    os.close(terminal)
    try:
        until(lambda: all(has_ended(service.pid) for service in services), "both to end", 30.0)
    finally:
        for process in (*services, psutil.Process(pid)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        os.waitpid(pid, 0)
