"""Alerts: of training jobs while they run (M23), of runs that failed, of checks that fail; to Slack, e-mail, log and MLflow.

A job writes `alerts.jsonl`; the asset that follows it hands the rows on here. What is sent is numbers, names and where to
look: never what a job printed, since that may come from any library and quote anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from lang1_assets.resources.channels import Notice, deliver
from lang1_assets.resources.tracked_run import TrackedRun

JOB_FAILED = "job_failed"
NEXT_STEPS = {
    "loss_spike": "training goes back and leaves those batches out by itself; look at the losses if it happens again",
    "diverged": "lower finetune.search.high, or finetune.learning_rate where the search is off, and materialize again",
    "checkpoint_damaged": "training goes on from an earlier one by itself; have the disk looked at",
}
"""What to do about an alert, by its kind."""

AlertRows = Sequence[Mapping[str, Any]]
OnAlerts = Callable[[AlertRows], None]


class Alerts(dg.ConfigurableResource):
    """Tells a person what to know today, through whatever channels the environment names (`resources.channels`)."""

    profile: str = ""
    is_synthetic: bool = False
    dagster_url: str = ""

    @contextmanager
    def watch(self, context: dg.AssetExecutionContext, run: TrackedRun) -> Iterator[OnAlerts]:
        """What to hand a job's rows to while it runs.

        That it failed is marked here and told by whoever follows the Dagster run: a later try may well succeed.
        """
        try:
            yield lambda rows: self.send(context, run, rows)
        except BaseException as error:
            if not isinstance(error.__cause__ or error, dg.DagsterExecutionInterruptedError):
                text = "the job ended with an error; the Dagster run has its reason"
                self._mark(context, run, {"kind": JOB_FAILED, "step": None, "text": text})
            raise

    def send(self, context: dg.AssetExecutionContext, run: TrackedRun, rows: AlertRows) -> None:
        for row in rows:
            self._mark(context, run, row)
            links = [self.run_link(context.run_id), f"MLflow: {run.url}"]
            told = [f"{row['kind']}: {row['text']}", *links]
            if row["kind"] in NEXT_STEPS:
                told.append(f"Next: {NEXT_STEPS[row['kind']]}")
            self.tell(f"{title(context)}: {row['kind']}", told, context.log.warning)

    def tell(self, subject: str, lines: Sequence[str], say: Callable[[str], None]) -> list[str]:
        """One message to every channel; the channels that took it. A channel that is down is said, and fails nothing."""
        return deliver(Notice(subject=subject, lines=(*self._about(), *lines)), say)

    def run_link(self, run_id: str) -> str:
        return f"Dagster: {self.dagster_url}/runs/{run_id}"

    def _about(self) -> list[str]:
        if not self.profile:
            return []
        return [f"Profile {self.profile}" + (" (synthetic data: the embedded hospital)" if self.is_synthetic else "")]

    def _mark(self, context: dg.AssetExecutionContext, run: TrackedRun, row: Mapping[str, Any]) -> None:
        context.log.warning(f"ALERT {row['kind']}: {row['text']}")
        try:
            run.log_alert(row)
        except Exception as error:
            # Its server may be down, and that the job failed is to be said all the same.
            context.log.warning(f"the alert did not reach MLflow ({type(error).__name__})")


def title(context: dg.AssetExecutionContext) -> str:
    key = context.asset_key.to_user_string()
    return f"{key} {context.partition_key}" if context.has_partition_key else key
