"""Retention as operations see it: a job that lists, a schedule only where a number of days is set, a command."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lang1_assets.operation import retain
from lang1_assets.settings import Settings, load_settings
from tests.cli.test_cli import PROFILE, cli
from tests.ops.audit.chains import rows
from tests.ops.test_retention import MADE, Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LANG1_HOME", str(tmp_path))
    made = Home(tmp_path)
    made.make("finetuned_joint/a", "job.log")
    return made


def keeping(**days: int) -> Settings:
    settings = load_settings(str(PROFILE))
    values = settings.model_dump() | {"name": "ours", "retention": days}
    return Settings.model_validate(values)


def run_job(settings: Settings, **config: Any) -> bool:
    (job,) = retain.build_jobs(settings)
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance, run_config={"ops": {"retain": {"config": config}}}).success


def test_by_default_there_is_nothing_that_removes() -> None:
    assert retain.build_schedules(load_settings("tiny")) == []
    assert retain.build_schedules(keeping()) == []


def test_the_schedule_removes_and_the_job_by_itself_lists(home: Home) -> None:
    settings = keeping(job_logs_days=0)
    (schedule,) = retain.build_schedules(settings)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=datetime(2026, 2, 1, 4, 30))
        (request,) = schedule.evaluate_tick(context).run_requests or ()
    assert request.run_config["ops"]["retain"]["config"] == {"dry_run": False}
    log = home.store.path("finetuned_joint/a") / "job.log"
    assert run_job(settings)
    assert log.exists()
    assert run_job(settings, dry_run=False)
    assert not log.exists()
    assert home.store.find("finetuned_joint/a") is not None
    (row,) = rows(home.folder / "audit")
    assert (row["event"], row["profile"], row["launched_by"]) == ("expired", "ours", {"job": retain.JOB})
    assert row["run_id"]
    told = {"rule": "job_logs", "path": "artifacts/ours/finetuned_joint/a/job.log", "num_bytes": 14}
    assert row["details"].items() >= told.items()


def test_the_clock_decides(home: Home) -> None:
    said: list[str] = []
    settings = keeping(job_logs_days=30)
    assert retain.apply_retention(settings, MADE + timedelta(days=29), dry_run=False, say=said.append) == 0
    assert retain.apply_retention(settings, MADE + timedelta(days=30), dry_run=True, say=said.append) == 1
    assert said[-1] == "1 would be removed; nothing was changed"
    assert retain.apply_retention(settings, MADE + timedelta(days=30), dry_run=False, say=said.append) == 1
    assert said[-1] == "1 removed"


def test_from_the_terminal(tmp_path: Path) -> None:
    assert "keeps everything" in cli(tmp_path, "retention").stdout
    profile = tmp_path / "ours.yaml"
    profile.write_text(f"extends: {PROFILE}\nname: ours\nretention: {{job_logs_days: -1}}\n")
    refused = cli(tmp_path, "retention", profile=profile)
    assert refused.returncode == 1
    assert "retention.job_logs_days" in refused.stderr
    profile.write_text(f"extends: {PROFILE}\nname: ours\nretention: {{job_logs_days: 30}}\n")
    home = Home(tmp_path)
    home.make("finetuned_joint/a", "job.log", made=datetime.now(UTC) - timedelta(days=31))
    listed = cli(tmp_path, "retention", profile=profile)
    assert "job_logs: artifacts/ours/finetuned_joint/a/job.log, 31 days, 14 bytes" in listed.stdout
    assert cli(tmp_path, "retention", "--apply", profile=profile).stdout.endswith("1 removed\n")
    assert not (home.store.path("finetuned_joint/a") / "job.log").exists()
