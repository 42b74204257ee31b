"""Failed runs that Dagster was to start again and did not.

Its daemon reads that a run has failed in the log of events, and in the table of runs whether to start it again. The event is
written first: a daemon that looks in between sees a run that has not failed, goes on to the next event, and never comes back. The
run keeps its mark that it will be retried, and nobody is told.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import dagster as dg
from dagster import DagsterRunStatus

WILL_RETRY_TAG, RETRIED_TAG = "dagster/will_retry", "dagster/auto_retry_run_id"
ASKED_TAG = "lang1/asked_again"
"""Holds the run's own id: Dagster copies tags to the run that takes up another one.

Once is enough: a job that is gone is not retried, however often it is asked for.
"""
PATIENCE = timedelta(minutes=1)
"""The daemon looks every few seconds."""
OLDEST = timedelta(days=1)
AGAIN = "Dagster was to start this run again and did not; it is asked once more"
GIVEN_UP = "Dagster was to start this run again and did not, though it was asked twice"


def find_lost_retries(instance: dg.DagsterInstance, now: datetime) -> list[dg.DagsterRun]:
    """Runs that failed, or were asked for, more than `PATIENCE` ago, are marked to be retried, and were not.

    Those from a terminal never are.
    """
    if not instance.run_retries_enabled:
        return []
    wanted = dg.RunsFilter(
        statuses=[DagsterRunStatus.FAILURE],
        tags={WILL_RETRY_TAG: "true"},
        updated_after=now - OLDEST,
        updated_before=now - PATIENCE,
    )
    return [
        run for run in instance.get_runs(wanted) if run.remote_job_origin is not None and RETRIED_TAG not in run.tags
    ]


def ask_again(instance: dg.DagsterInstance, runs: list[dg.DagsterRun], say: Callable[[str], None]) -> None:
    """Say once more that they failed, which the daemon then reads of runs that have; give up those that were asked for before."""
    for run in runs:
        text = AGAIN if run.tags.get(ASKED_TAG) != run.run_id else GIVEN_UP
        instance.add_run_tags(run.run_id, {ASKED_TAG: run.run_id})
        instance.report_run_failed(run, text)
        if text == GIVEN_UP:
            # Afterwards: with each failure Dagster sets the mark anew. A backfill waits for what bears it.
            instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "false"})
        say(f"run {run.run_id}: {text}")
