"""The reaper: runs whose process was killed, retries that did not begin, and the MLflow runs that were left running."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus

from lang1_assets.operation.dead_runs import close_dead_runs, find_dead_runs
from lang1_assets.operation.lost_retries import ask_again, find_lost_retries
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings

OUTCOMES: Mapping[DagsterRunStatus, str] = {
    DagsterRunStatus.FAILURE: "FAILED",
    DagsterRunStatus.CANCELED: "KILLED",
    DagsterRunStatus.SUCCESS: "FINISHED",
}
"""How MLflow calls it."""

Say = Callable[[str], None]


def build_sensors(settings: Settings) -> list[Any]:
    return [dead_run_reaper()]


def dead_run_reaper() -> dg.SensorDefinition:
    @dg.sensor(
        name="dead_run_reaper",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs whose process was killed as failed, frees their place in the accelerator pool, asks once more for "
        "retries that did not begin, and ends MLflow runs that were left running.",
    )
    def _dead_run_reaper(context: dg.SensorEvaluationContext, tracking: Tracking) -> dg.SkipReason:
        before: dict[str, Any] = json.loads(context.cursor or "{}")
        dead = find_dead_runs(context.instance, context.log.warning)
        # Dead twice: a run that is about to say how it ended has the time to.
        closed = close_dead_runs(context.instance, dead & set(before.get("dead", ())), context.log.warning)
        ask_again(context.instance, find_lost_retries(context.instance, datetime.now(UTC)), context.log.warning)
        ended: Any = last_ended(context.instance)
        if ended != before.get("ended") and not end_orphans(context.instance, tracking, context.log.warning):
            ended = before.get("ended")
        context.update_cursor(json.dumps({"dead": sorted(dead.difference(closed)), "ended": ended}))
        return dg.SkipReason(f"{len(closed)} runs were marked as failed" if closed else "no dead run")

    return _dead_run_reaper


def last_ended(instance: dg.DagsterInstance) -> list[Any]:
    """Changes whenever another run failed or was canceled: only then MLflow may have a run that nobody ended."""
    wanted = dg.RunsFilter(statuses=[DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED])
    newest = instance.get_run_records(wanted, limit=1, order_by="update_timestamp")
    return [[record.storage_id, str(record.update_timestamp)] for record in newest]


def end_orphans(instance: dg.DagsterInstance, tracking: Tracking, say: Say) -> bool:
    """End the MLflow runs of Dagster runs that have ended; False where MLflow cannot be asked, and is to be asked again."""
    try:
        num = tracking.end_orphans(lambda run_id: outcome_of(instance.get_run_by_id(run_id)))
    except Exception as error:
        say(f"MLflow could not be asked for runs that were left running ({type(error).__name__})")
        return False
    if num:
        say(f"{num} MLflow runs were left running and are ended now")
    return True


def outcome_of(run: dg.DagsterRun | None) -> str | None:
    """For MLflow; None where the run goes on, or is of another Dagster."""
    return None if run is None else OUTCOMES.get(run.status)
