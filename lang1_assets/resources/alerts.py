"""Alerts of training jobs, to where people are: Slack, the Dagster log, the MLflow run (M23).

A job writes `alerts.jsonl`; the asset that follows it hands the rows on here. What is sent is numbers, names and where to
look: never what a job printed, since that may come from any library and quote anything.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg
import orjson

from lang1_assets.resources.tracking import TrackedRun

WEBHOOK_VARIABLE = "LANG1_SLACK_WEBHOOK"
JOB_FAILED = "job_failed"
TIMEOUT_SECONDS = 5.0
MAX_TEXT_CHARACTERS = 2_000

AlertRows = Sequence[Mapping[str, Any]]
OnAlerts = Callable[[AlertRows], None]


class Alerts(dg.ConfigurableResource):
    """Sends what a person should know today.

    The webhook's address is a secret: it is read from the environment when it is used, and neither kept nor logged. Without
    it, alerts are in the log and in MLflow alone.
    """

    @contextmanager
    def watch(self, context: dg.AssetExecutionContext, run: TrackedRun) -> Iterator[OnAlerts]:
        """What to hand a job's rows to while it runs; that it failed is an alert as well, that it was stopped is not."""
        try:
            yield lambda rows: self.send(context, run, rows)
        except BaseException as error:
            if not isinstance(error.__cause__ or error, dg.DagsterExecutionInterruptedError):
                text = "the job ended with an error; the Dagster run has its reason"
                self.send(context, run, [{"kind": JOB_FAILED, "step": None, "text": text}])
            raise

    def send(self, context: dg.AssetExecutionContext, run: TrackedRun, rows: AlertRows) -> None:
        for row in rows:
            context.log.warning(f"ALERT {row['kind']}: {row['text']}")
            self._mark_in_mlflow(context, run, row)
            self._post_to_slack(context, f":warning: *{title(context)}* {row['kind']}: {row['text']}\n{run.url}")

    def _mark_in_mlflow(self, context: dg.AssetExecutionContext, run: TrackedRun, row: Mapping[str, Any]) -> None:
        try:
            run.log_alert(row)
        except Exception as error:
            # Its server may be down, and that the job failed is to be said all the same.
            context.log.warning(f"the alert did not reach MLflow ({type(error).__name__})")

    def _post_to_slack(self, context: dg.AssetExecutionContext, text: str) -> None:
        webhook = os.environ.get(WEBHOOK_VARIABLE)
        if not webhook:
            return
        try:
            body = orjson.dumps({"text": text[:MAX_TEXT_CHARACTERS]})
            request = urllib.request.Request(webhook, data=body, headers={"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
                return
        except (OSError, ValueError) as error:
            # A month of training does not end because Slack is down. The error's own words may hold the address.
            reason = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__
            context.log.warning(f"the alert did not reach Slack ({reason}); check {WEBHOOK_VARIABLE}")


def title(context: dg.AssetExecutionContext) -> str:
    key = context.asset_key.to_user_string()
    return f"{key} {context.partition_key}" if context.has_partition_key else key
