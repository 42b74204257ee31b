"""Alarms: a run that failed, a check that fails in operation; each is told once.

What is told is names, the class of an exception and where to look. An exception's text stays in Dagster: it may quote data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import dagster as dg
from dagster import DagsterEventType, DagsterRunStatus

from lang1_assets.operation.dead_runs import KILLED, is_from_terminal
from lang1_assets.operation.lost_retries import GIVEN_UP, WILL_RETRY_TAG
from lang1_assets.resources.alerts import Alerts
from lang1_assets.settings import Settings

WATCHED_GROUP = "operate"
MAX_LISTED = 20
LOOK_BACK = 200
"""Evaluations of a check that are looked at each time; far more than there can be in the interval."""
BACKFILL_TAG, PARTITION_TAG = "dagster/backfill", "dagster/partition"
TOO_LONG = "maximum runtime"
"""In Dagster's own words when it ends a run, and not a person."""
GONE = ("Detected run worker status", "from outside the execution context")
"""In the words of its run monitoring, and of a code server whose child was killed."""
RETRAIN = "look at the check's table; finetune again on newer notes, and model_in_service compares and decides"
NEXT_STEPS = {
    "no_significant_drop": RETRAIN,
    "inputs_as_before": "look at the figures of drift: other notes, another note system, or an export that is not whole",
    "export_has_a_manifest": "have whoever sends the exports write manifest.json last (docs/new-months.md)",
}
TOLD_IN_FULL = frozenset({"no_significant_drop", "inputs_as_before"})
"""Checks whose descriptions are task names and numbers."""
RUN_AGAIN = "open the run, mend the reason, materialize again: what is finished is reused"
WAS_KILLED = "most often memory, or a machine that was restarted; materialize again, it goes on from what was finished"

Say = Callable[[str], None]


def build_sensors(settings: Settings) -> list[Any]:
    return [failed_run_alarm(), failed_check_alarm()]


def failed_run_alarm() -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="failed_run_alarm",
        monitor_all_code_locations=True,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells Slack and e-mail of each run that failed: which asset and partition, and the exception's class.",
    )
    def _failed_run_alarm(context: dg.RunFailureSensorContext, alerts: Alerts) -> None:
        run, failure = context.dagster_run, context.failure_event
        quiet = why_quiet(context.instance, run, failure)
        if quiet is not None:
            context.log.info(f"run {run.run_id}: {quiet}")
            return
        lines = [f"Run {run.run_id}", *what_failed(failure, context.get_step_failure_events())]
        lines += [link_of(alerts, run), f"Next: {WAS_KILLED if is_killed(failure) else RUN_AGAIN}"]
        alerts.tell(f"run failed: {name_of(run)}", lines, context.log.warning)

    return _failed_run_alarm


def why_quiet(instance: dg.DagsterInstance, run: dg.DagsterRun, failure: dg.DagsterEvent) -> str | None:
    """Why nobody is told; None where somebody is to be."""
    if is_from_terminal(run) and not is_killed(failure):
        return "from a terminal, which tells it itself"
    if was_canceled_by_person(instance, run.run_id):
        return "a person canceled it"
    # The mark of a run that is given up may still be there: it is taken off after this event.
    if is_tried_again(run) and not is_given_up(failure):
        return "it is tried again; the last try is told"
    backfill = run.tags.get(BACKFILL_TAG)
    if backfill is not None and first_failed(instance, backfill, run.run_id) != run.run_id:
        return f"another run of backfill {backfill} failed before and was told"
    return None


def is_tried_again(run: dg.DagsterRun) -> bool:
    return run.tags.get(WILL_RETRY_TAG, "").lower() == "true"


def is_given_up(failure: dg.DagsterEvent) -> bool:
    return GIVEN_UP in (failure.message or "")


def is_killed(failure: dg.DagsterEvent) -> bool:
    return any(words in (failure.message or "") for words in (KILLED, *GONE))


def was_canceled_by_person(instance: dg.DagsterInstance, run_id: str) -> bool:
    records = instance.get_records_for_run(run_id, of_type=DagsterEventType.RUN_CANCELING).records
    events = [record.event_log_entry.dagster_event for record in records]
    return any(event is not None and TOO_LONG not in (event.message or "") for event in events)


def first_failed(instance: dg.DagsterInstance, backfill: str, own: str) -> str | None:
    """The run of a backfill that failed first and is told: one message is enough for a hundred partitions with the same fault.

    Args:
        own: a run that is to be told, whatever its mark says by now.
    """
    failed = instance.get_run_records(dg.RunsFilter(tags={BACKFILL_TAG: backfill}, statuses=[DagsterRunStatus.FAILURE]))
    for record in sorted(failed, key=lambda record: (record.end_time or 0.0, record.storage_id)):
        run = record.dagster_run
        if run.run_id == own or not (is_tried_again(run) or was_canceled_by_person(instance, run.run_id)):
            return run.run_id
    return None


def what_failed(failure: dg.DagsterEvent, steps: Sequence[dg.DagsterEvent]) -> list[str]:
    """A line for each step that failed, or one for the run: names and classes, never words of an exception."""
    if steps:
        # A step that was tried again has failed more than once.
        by_step = {event.step_key: exception_of(event) for event in steps}
        lines = [f"{step}: {error}" for step, error in by_step.items()]
        return lines[:MAX_LISTED] + ([f"and {len(lines) - MAX_LISTED} more"] if len(lines) > MAX_LISTED else [])
    if is_given_up(failure):
        return [GIVEN_UP]
    if is_killed(failure):
        return ["Its process was killed"]
    why = getattr(failure.event_specific_data, "failure_reason", None)
    return [f"{exception_of(failure)}" + (f", {why.value.lower().replace('_', ' ')}" if why is not None else "")]


def exception_of(event: dg.DagsterEvent) -> str:
    """The class of what was raised in our code: Dagster's wrapper around it is not the news."""
    error = getattr(event.event_specific_data, "error", None)
    if error is None:
        return "no exception"
    return str((error.cause or error).cls_name or "an exception")


def name_of(run: dg.DagsterRun) -> str:
    """The assets of a run, or its job, and the partition."""
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    what = (
        ", ".join(assets[:3]) + (f" and {len(assets) - 3} more" if len(assets) > 3 else "") if assets else run.job_name
    )
    return " ".join(filter(None, (what, run.tags.get(PARTITION_TAG))))


def link_of(alerts: Alerts, run: dg.DagsterRun) -> str:
    backfill = run.tags.get(BACKFILL_TAG)
    if backfill is None:
        return alerts.run_link(run.run_id)
    return f"{alerts.run_link(run.run_id)} of backfill {alerts.dagster_url}/runs/b/{backfill}"


@dataclass(frozen=True, kw_only=True)
class CheckFailure:
    """A check of an asset or of one of its partitions that fails now."""

    asset: str
    check: str
    partition: str | None
    run_id: str
    description: str

    @property
    def key(self) -> str:
        return json.dumps([self.asset, self.check, self.partition])

    @property
    def digest(self) -> str:
        """Of what it says: with other numbers it is news again."""
        return sha256(self.description.encode()).hexdigest()[:16]

    @property
    def line(self) -> str:
        where = f"{self.asset} {self.partition}" if self.partition else self.asset
        said = f": {self.description}" if self.check in TOLD_IN_FULL and self.description else ""
        return f"{where}, check {self.check}{said}"


def failed_check_alarm() -> dg.SensorDefinition:
    @dg.sensor(
        name="failed_check_alarm",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells Slack and e-mail of each check of the group {WATCHED_GROUP} that begins to fail: drift above all.",
    )
    def _failed_check_alarm(context: dg.SensorEvaluationContext, alerts: Alerts) -> dg.SkipReason:
        told: dict[str, str] = json.loads(context.cursor or "{}")
        assert context.repository_def is not None
        latest = latest_evaluations(context.instance, watched_checks(context.repository_def))
        news = [
            failure for failure in latest.values() if failure is not None and told.get(failure.key) != failure.digest
        ]
        if news:
            tell_of_checks(alerts, news, context.log.warning)
        # Whatever passes again is news when it fails again.
        told = {key: digest for key, digest in told.items() if latest.get(key, key) is not None}
        context.update_cursor(json.dumps(told | {failure.key: failure.digest for failure in news}))
        return dg.SkipReason(f"{len(news)} checks began to fail" if news else "nothing new fails")

    return _failed_check_alarm


def watched_checks(repository: dg.RepositoryDefinition) -> list[dg.AssetCheckKey]:
    graph = repository.asset_graph
    return sorted(
        key
        for key in graph.asset_check_keys
        if graph.has(key.asset_key) and graph.get(key.asset_key).group_name == WATCHED_GROUP
    )


def latest_evaluations(
    instance: dg.DagsterInstance, checks: Iterable[dg.AssetCheckKey]
) -> dict[str, CheckFailure | None]:
    """The newest evaluation of each check and partition: its failure, or None where it passes or ends its run anyway."""
    records = [record for check in checks for record in evaluations_of(instance, check)]
    partitions = partitions_of(instance, records)
    latest: dict[str, CheckFailure | None] = {}
    for record in records:
        evaluation = record.event.dagster_event.asset_check_evaluation_data
        failure = CheckFailure(
            asset=record.key.asset_key.to_user_string(),
            check=record.key.name,
            partition=evaluation.partition or partitions.get(record.run_id),
            run_id=record.run_id,
            description=evaluation.description or "",
        )
        latest.setdefault(failure.key, failure if is_news(evaluation) else None)
    return latest


def evaluations_of(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> list[Any]:
    """Records of a check's evaluations, newest first; without those that are only planned."""
    records = instance.event_log_storage.get_asset_check_execution_history(check, limit=LOOK_BACK)
    return [record for record in records if event_type_of(record) == DagsterEventType.ASSET_CHECK_EVALUATION]


def event_type_of(record: Any) -> DagsterEventType | None:
    event = record.event.dagster_event if record.event is not None else None
    return None if event is None else event.event_type


def partitions_of(instance: dg.DagsterInstance, records: Sequence[Any]) -> dict[str, str | None]:
    """Run -> its partition: a check that an asset evaluates itself does not say which one it looked at."""
    runs = {record.run_id for record in records}
    found = instance.get_runs(dg.RunsFilter(run_ids=list(runs))) if runs else []
    return {run.run_id: run.tags.get(PARTITION_TAG) for run in found}


def is_news(evaluation: dg.AssetCheckEvaluation) -> bool:
    """A blocking check that fails ends its run, and that is told."""
    ends_run = bool(evaluation.blocking) and evaluation.severity == dg.AssetCheckSeverity.ERROR
    return not evaluation.passed and not ends_run


def tell_of_checks(alerts: Alerts, failures: Sequence[CheckFailure], say: Say) -> None:
    """All of one look in one message."""
    first = failures[0]
    subject = f"check failed: {first.check} of {first.asset}"
    if len(failures) > 1:
        subject = f"{len(failures)} checks failed: {first.check} of {first.asset} and others"
    lines = [failure.line for failure in failures[:MAX_LISTED]]
    if len(failures) > MAX_LISTED:
        lines.append(f"and {len(failures) - MAX_LISTED} more")
    runs = dict.fromkeys(failure.run_id for failure in failures[:MAX_LISTED])
    steps = dict.fromkeys(NEXT_STEPS.get(failure.check, "open the check in Dagster") for failure in failures)
    alerts.tell(subject, [*lines, *map(alerts.run_link, runs), *(f"Next: {step}" for step in steps)], say)
