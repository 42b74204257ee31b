"""A retry that the daemon missed is asked for once more; one that it made, or will make, is not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.remote_origin import RemoteJobOrigin
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import filter_runs_to_should_retry

from lang1_assets.operation.lost_retries import (
    AGAIN,
    ASKED_TAG,
    GIVEN_UP,
    RETRIED_TAG,
    WILL_RETRY_TAG,
    ask_again,
    find_lost_retries,
)
from tests.services.test_run_launcher import ORIGIN

RETRYING = {"run_retries": {"enabled": True, "max_retries": 3, "retry_on_asset_or_op_failure": False}}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=RETRYING) as made:
        yield made


def failed(instance: dg.DagsterInstance, origin: RemoteJobOrigin | None = ORIGIN, **tags: str) -> str:
    run = dg.DagsterRun(job_name="path", status=DagsterRunStatus.STARTED, tags=tags, remote_job_origin=origin)
    instance.add_run(run)
    instance.report_run_failed(run, "its worker is gone")
    return run.run_id


def found(instance: dg.DagsterInstance, after: timedelta) -> set[str]:
    return {run.run_id for run in find_lost_retries(instance, datetime.now(UTC) + after)}


def test_a_run_that_was_not_started_again_is_asked_for_once_more(instance: dg.DagsterInstance) -> None:
    lost, made = failed(instance), failed(instance)
    instance.add_run_tags(made, {RETRIED_TAG: "another"})
    failed(instance, origin=None)
    never = failed(instance, **{"dagster/max_retries": "0"})
    run = instance.get_run_by_id(lost)
    assert run is not None
    assert run.tags[WILL_RETRY_TAG] == "true"
    assert found(instance, timedelta()) == set(), "the daemon has its minute"
    assert found(instance, timedelta(minutes=2)) == {lost}
    assert found(instance, timedelta(days=2)) == set(), "nobody waits for it any more"

    before = instance.event_log_storage.get_maximum_record_id()
    said: list[str] = []
    ask_again(instance, [run], said.append)
    assert [line.split()[1] for line in said] == [f"{lost}:"]
    events = instance.event_log_storage.get_logs_for_all_runs_by_log_id(
        after_cursor=before or 0, dagster_event_type={dg.DagsterEventType.RUN_FAILURE}
    )
    assert [event.run_id for event in events.values()] == [lost]
    runs = [again for run_id in (lost, never) if (again := instance.get_run_by_id(run_id)) is not None]
    assert [again.run_id for again in filter_runs_to_should_retry(runs, instance)] == [lost]
    assert found(instance, timedelta()) == set(), "the daemon has its minute again"


def test_a_run_that_was_asked_for_in_vain_is_given_up(instance: dg.DagsterInstance) -> None:
    """A job that was renamed is never retried, and Dagster marks it again with each failure."""
    lost = failed(instance)
    said: list[str] = []
    for _ in range(2):
        ask_again(instance, find_lost_retries(instance, datetime.now(UTC) + timedelta(minutes=2)), said.append)
    assert said[-1] == f"run {lost}: {GIVEN_UP}"
    run = instance.get_run_by_id(lost)
    assert run is not None
    assert run.tags[WILL_RETRY_TAG] == "false"
    assert found(instance, timedelta(minutes=2)) == set()


def test_a_run_that_takes_up_one_that_was_asked_for_is_asked_for_itself(instance: dg.DagsterInstance) -> None:
    """Dagster copies the tags of the run before."""
    again = failed(instance, **{ASKED_TAG: "11111111-2222-3333-4444-555555555555"})
    said: list[str] = []
    ask_again(instance, find_lost_retries(instance, datetime.now(UTC) + timedelta(minutes=2)), said.append)
    assert said == [f"run {again}: {AGAIN}"]


def test_without_retries_there_is_nothing_to_find() -> None:
    with dg.DagsterInstance.ephemeral() as plain:
        failed(plain)
        assert find_lost_retries(plain, datetime.now(UTC) + timedelta(minutes=2)) == []
