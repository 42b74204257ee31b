"""What is told of real failed runs and checks, over a webhook on this machine; and what is not."""

import json
from collections.abc import Iterator, Mapping

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from lang1_assets.operation.alarm import (
    BACKFILL_TAG,
    LOOK_BACK,
    RETRAIN,
    RUN_AGAIN,
    failed_check_alarm,
    failed_run_alarm,
)
from lang1_assets.operation.dead_runs import KILLED
from lang1_assets.operation.lost_retries import AGAIN, GIVEN_UP, WILL_RETRY_TAG
from lang1_assets.resources.alerts import Alerts
from tests.slack_webhook import Slack, running_webhook

NOTE = "pt c/o chest pain since 3 days"
MONTHS = dg.StaticPartitionsDefinition(["2025-01", "2025-02"])
ORIGIN = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("lang1"), "__repository__")


class NoteError(ValueError):
    """Bears what it choked on, as exceptions of libraries do."""


@dg.asset
def labels() -> None:
    try:
        int(NOTE)
    except ValueError as error:
        raise NoteError(NOTE) from error


@dg.asset(
    partitions_def=MONTHS, group_name="operate", check_specs=[dg.AssetCheckSpec("no_significant_drop", asset="landed")]
)
def landed(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    return dg.MaterializeResult(check_results=[result_of(context.run.tags, "no_significant_drop")])


@dg.asset(
    group_name="operate",
    check_specs=[
        dg.AssetCheckSpec("readable", asset="drift"),
        dg.AssetCheckSpec("valid", asset="drift", blocking=True),
    ],
)
def drift(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    return dg.MaterializeResult(check_results=[result_of(context.run.tags, name) for name in ("readable", "valid")])


@dg.asset(group_name="label", check_specs=[dg.AssetCheckSpec("better_than_chance", asset="other_stage")])
def other_stage(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    return dg.MaterializeResult(check_results=[result_of(context.run.tags, "better_than_chance")])


def result_of(tags: Mapping[str, str], name: str) -> dg.AssetCheckResult:
    """As the run's tags say: a check is named with its description where it is to fail."""
    return dg.AssetCheckResult(
        check_name=name,
        passed=name not in tags,
        description=tags.get(name),
        severity=dg.AssetCheckSeverity.ERROR if name == "valid" else dg.AssetCheckSeverity.WARN,
    )


ALERTS = Alerts(profile="tiny", is_synthetic=True, dagster_url="http://dagster")
DEFINITIONS = dg.Definitions(
    assets=[labels, landed, drift, other_stage],
    sensors=[failed_run_alarm(), failed_check_alarm()],
    resources={"alerts": ALERTS},
    executor=dg.in_process_executor,
)


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slack]:
    with running_webhook(monkeypatch) as slack:
        yield slack


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


class Sensor:
    """One of the sensors, with the cursor that the daemon keeps for it."""

    def __init__(self, instance: dg.DagsterInstance, name: str) -> None:
        self._instance, self._name = instance, name
        self._cursor: str | None = None

    def tick(self) -> str:
        """What it logs."""
        with dg.build_sensor_context(
            instance=self._instance,
            cursor=self._cursor,
            repository_def=DEFINITIONS.get_repository_def(),
            sensor_name=self._name,
            resources={"alerts": ALERTS},
        ) as context:
            data = DEFINITIONS.resolve_sensor_def(self._name).evaluate_tick(context)
            assert not data.run_requests
            assert all(reaction.error is None for reaction in data.dagster_run_reactions)
            self._cursor = data.cursor
        return data.skip_message or ""


@pytest.fixture
def runs_alarm(instance: dg.DagsterInstance) -> Sensor:
    sensor = Sensor(instance, "failed_run_alarm")
    # The first time it only learns where it begins.
    sensor.tick()
    return sensor


def run(
    instance: dg.DagsterInstance, asset: str, partition: str | None = None, *, from_terminal: bool = False, **tags: str
) -> str:
    """A run of one asset, as the daemon starts it."""
    job = DEFINITIONS.resolve_implicit_global_asset_job_def().get_subset(asset_selection={dg.AssetKey(asset)})
    partition_tags = {} if partition is None else {"dagster/partition": partition}
    made = instance.create_run_for_job(
        job,
        tags={**tags, **partition_tags},
        asset_selection=frozenset({dg.AssetKey(asset)}),
        remote_job_origin=None if from_terminal else RemoteJobOrigin(ORIGIN, job.name),
    )
    execute_run(InMemoryJob(job), made, instance, raise_on_error=False)
    return made.run_id


def report_failure(instance: dg.DagsterInstance, message: str, **tags: str) -> str:
    """A run that ends without a step."""
    made = instance.add_run(
        dg.DagsterRun(
            job_name="demo",
            status=dg.DagsterRunStatus.STARTED,
            tags=tags,
            remote_job_origin=RemoteJobOrigin(ORIGIN, "demo"),
        )
    )
    instance.report_run_failed(made, message)
    return made.run_id


def texts(slack: Slack) -> list[str]:
    return [message["text"] for message in slack.received]


def test_a_failed_run_is_told_once_by_names_alone(
    instance: dg.DagsterInstance, slack: Slack, runs_alarm: Sensor
) -> None:
    run_id = run(instance, "labels")
    runs_alarm.tick()
    runs_alarm.tick()
    assert texts(slack) == [
        ":warning: *run failed: labels*\n"
        "Profile tiny (synthetic data: the embedded hospital)\n"
        f"Run {run_id}\n"
        "labels: NoteError\n"
        f"Dagster: http://dagster/runs/{run_id}\n"
        f"Next: {RUN_AGAIN}"
    ]
    assert "chest" not in json.dumps(slack.received)


def test_a_run_that_succeeds_is_not_told(instance: dg.DagsterInstance, slack: Slack, runs_alarm: Sensor) -> None:
    run(instance, "drift")
    runs_alarm.tick()
    assert texts(slack) == []


def test_a_partition_is_named(instance: dg.DagsterInstance, slack: Slack, runs_alarm: Sensor) -> None:
    run(instance, "landed", "2025-01", no_significant_drop="x")
    report_failure(instance, "Run timed out", **{"dagster/partition": "2025-02"})
    runs_alarm.tick()
    assert [text.split("\n")[0] for text in texts(slack)] == [":warning: *run failed: demo 2025-02*"]


def test_what_a_person_canceled_is_not_told(instance: dg.DagsterInstance, slack: Slack, runs_alarm: Sensor) -> None:
    made = instance.add_run(
        dg.DagsterRun(
            job_name="demo", status=dg.DagsterRunStatus.STARTED, remote_job_origin=RemoteJobOrigin(ORIGIN, "demo")
        )
    )
    instance.report_run_canceling(made)
    # A step that answers the signal with an exception of its own.
    instance.report_run_failed(made, "Steps failed: ['pretrained_model'].")
    runs_alarm.tick()
    assert texts(slack) == []


def test_what_dagster_ended_for_taking_too_long_is_told(
    instance: dg.DagsterInstance, slack: Slack, runs_alarm: Sensor
) -> None:
    made = instance.add_run(
        dg.DagsterRun(
            job_name="demo", status=dg.DagsterRunStatus.STARTED, remote_job_origin=RemoteJobOrigin(ORIGIN, "demo")
        )
    )
    instance.report_run_canceling(made, message="Canceling due to exceeding maximum runtime of 60 seconds.")
    instance.report_run_failed(made, "Exceeded maximum runtime of 60 seconds.")
    runs_alarm.tick()
    assert len(texts(slack)) == 1


def test_a_terminal_tells_itself_unless_it_was_killed(
    instance: dg.DagsterInstance, slack: Slack, runs_alarm: Sensor
) -> None:
    run(instance, "labels", from_terminal=True)
    runs_alarm.tick()
    assert texts(slack) == []
    made = instance.add_run(dg.DagsterRun(job_name="demo", status=dg.DagsterRunStatus.STARTED))
    instance.report_run_failed(made, KILLED)
    runs_alarm.tick()
    (text,) = texts(slack)
    assert "Its process was killed\n" in text
    assert "Next: most often memory" in text


def test_a_run_that_is_tried_again_is_told_at_its_last_try(
    instance: dg.DagsterInstance, slack: Slack, runs_alarm: Sensor
) -> None:
    report_failure(instance, "Detected run worker status FAILED.", **{WILL_RETRY_TAG: "true"})
    runs_alarm.tick()
    assert texts(slack) == []
    report_failure(instance, "Detected run worker status FAILED.", **{WILL_RETRY_TAG: "false"})
    runs_alarm.tick()
    (text,) = texts(slack)
    assert "Its process was killed" in text


def test_a_worker_that_its_code_server_finds_dead(
    instance: dg.DagsterInstance, slack: Slack, runs_alarm: Sensor
) -> None:
    made = instance.add_run(
        dg.DagsterRun(
            job_name="demo", status=dg.DagsterRunStatus.STARTED, remote_job_origin=RemoteJobOrigin(ORIGIN, "demo")
        )
    )
    # As it does: without a message of its own.
    instance.report_run_failed(made)
    runs_alarm.tick()
    (text,) = texts(slack)
    assert "Its process was killed" in text


def test_a_backfill_that_fails_everywhere_is_told_once(
    instance: dg.DagsterInstance, slack: Slack, runs_alarm: Sensor
) -> None:
    first, *_ = [report_failure(instance, "x", **{BACKFILL_TAG: "abc"}) for _ in range(3)]
    report_failure(instance, "x", **{BACKFILL_TAG: "def"})
    for _ in range(3):
        runs_alarm.tick()
    assert len(texts(slack)) == 2
    assert f"Dagster: http://dagster/runs/{first} of backfill http://dagster/runs/b/abc" in texts(slack)[0]


def test_of_a_backfill_the_first_failure_that_is_not_tried_again_is_told(
    instance: dg.DagsterInstance, slack: Slack, runs_alarm: Sensor
) -> None:
    report_failure(instance, "x", **{BACKFILL_TAG: "abc", WILL_RETRY_TAG: "true"})
    runs_alarm.tick()
    assert texts(slack) == []
    last = report_failure(instance, "x", **{BACKFILL_TAG: "abc", WILL_RETRY_TAG: "false"})
    report_failure(instance, "x", **{BACKFILL_TAG: "abc", WILL_RETRY_TAG: "false"})
    runs_alarm.tick()
    (text,) = texts(slack)
    assert f"Run {last}\n" in text


def test_of_a_backfill_what_a_person_canceled_hides_no_failure(
    instance: dg.DagsterInstance, slack: Slack, runs_alarm: Sensor
) -> None:
    origin = RemoteJobOrigin(ORIGIN, "demo")
    status = dg.DagsterRunStatus.STARTED
    made = instance.add_run(
        dg.DagsterRun(job_name="demo", status=status, tags={BACKFILL_TAG: "abc"}, remote_job_origin=origin)
    )
    instance.report_run_canceling(made)
    instance.report_run_failed(made, "Steps failed: ['pretrained_model'].")
    failed = report_failure(instance, "x", **{BACKFILL_TAG: "abc"})
    runs_alarm.tick()
    (text,) = texts(slack)
    assert f"Run {failed}\n" in text


@pytest.mark.parametrize("backfill", [{}, {BACKFILL_TAG: "abc"}])
def test_a_run_whose_retry_is_given_up_is_told(
    instance: dg.DagsterInstance, slack: Slack, runs_alarm: Sensor, backfill: dict[str, str]
) -> None:
    """Also by an alarm that looks before the mark is taken off."""
    run_id = report_failure(instance, "Detected run worker status FAILED.", **backfill, **{WILL_RETRY_TAG: "true"})
    made = instance.get_run_by_id(run_id)
    assert made is not None
    instance.report_run_failed(made, AGAIN)
    runs_alarm.tick()
    assert texts(slack) == []
    instance.report_run_failed(made, GIVEN_UP)
    runs_alarm.tick()
    (text,) = texts(slack)
    assert f"\n{GIVEN_UP}\n" in text


def test_a_slack_that_is_down_fails_no_sensor(
    instance: dg.DagsterInstance, slack: Slack, runs_alarm: Sensor, capsys: pytest.CaptureFixture[str]
) -> None:
    slack.status = 503
    run(instance, "labels")
    capsys.readouterr()
    runs_alarm.tick()
    assert "the alert did not reach Slack (HTTP 503)" in "".join(capsys.readouterr())
    slack.status = 200
    runs_alarm.tick()
    # It was taken by the server before that answered; another try would come too late to be told from a second failure.
    assert len(texts(slack)) == 1


def test_a_check_that_begins_to_fail_is_told_once(instance: dg.DagsterInstance, slack: Slack) -> None:
    alarm = Sensor(instance, "failed_check_alarm")
    assert alarm.tick() == "nothing new fails"
    said = "Retraining proposed. readmission: 0.612 (up to 0.640) against 0.721"
    run_id = run(instance, "landed", "2025-01", no_significant_drop=said)
    assert alarm.tick() == "1 checks began to fail"
    alarm.tick()
    run(instance, "landed", "2025-01", no_significant_drop=said)
    alarm.tick()
    assert texts(slack) == [
        ":warning: *check failed: no_significant_drop of landed*\n"
        "Profile tiny (synthetic data: the embedded hospital)\n"
        f"landed 2025-01, check no_significant_drop: {said}\n"
        f"Dagster: http://dagster/runs/{run_id}\n"
        f"Next: {RETRAIN}"
    ]


def test_other_numbers_another_month_and_failing_again_are_news(instance: dg.DagsterInstance, slack: Slack) -> None:
    alarm = Sensor(instance, "failed_check_alarm")
    for month, said in [
        ("2025-01", "0.61"),
        ("2025-01", "0.58"),
        ("2025-02", "0.58"),
        ("2025-01", None),
        ("2025-01", "0.58"),
    ]:
        run(instance, "landed", month, **({} if said is None else {"no_significant_drop": said}))
        alarm.tick()
    told = [text.split("\n")[2] for text in texts(slack)]
    assert told == [
        f"landed {month}, check no_significant_drop: {said}"
        for month, said in [("2025-01", "0.61"), ("2025-01", "0.58"), ("2025-02", "0.58"), ("2025-01", "0.58")]
    ]


def test_many_at_once_are_one_message(instance: dg.DagsterInstance, slack: Slack) -> None:
    alarm = Sensor(instance, "failed_check_alarm")
    for month in ("2025-01", "2025-02"):
        run(instance, "landed", month, no_significant_drop="0.5")
    run(instance, "drift", readable=NOTE)
    alarm.tick()
    (text,) = texts(slack)
    assert text.startswith(":warning: *3 checks failed: ")
    assert "\ndrift, check readable\n" in text
    # Only checks whose words are numbers are quoted.
    assert NOTE not in text


def test_other_groups_and_what_ends_its_run_are_not_told_as_checks(
    instance: dg.DagsterInstance, slack: Slack, runs_alarm: Sensor
) -> None:
    alarm = Sensor(instance, "failed_check_alarm")
    run(instance, "other_stage", better_than_chance="0.48")
    run(instance, "drift", valid="7 rows")
    assert alarm.tick() == "nothing new fails"


def test_failures_of_before_are_found_behind_those_that_pass(instance: dg.DagsterInstance, slack: Slack) -> None:
    assert LOOK_BACK > 3
    alarm = Sensor(instance, "failed_check_alarm")
    run(instance, "landed", "2025-01", no_significant_drop="0.5")
    for _ in range(2):
        run(instance, "landed", "2025-02")
    alarm.tick()
    assert len(texts(slack)) == 1
