"""Who notices that an export has landed, and asks for what is to be done about it: a sensor, and once a month a schedule (M63)."""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from lang1_assets.months import landed
from lang1_assets.ops.forgetting.subjects import ForgettingError, require_nothing_unfinished
from lang1_assets.ops.landing import arrivals
from lang1_assets.ops.landing.arrivals import Arrival, Settling
from lang1_assets.ops.landing.plan import COHORTS, EVALUATION, EXPORT, Work, choices, needed_again
from lang1_assets.partitions import dated_exports
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.settings import Settings, lang1_home

LANDED_JOB = "evaluate_landed_export"
WORK_TAG = "lang1/landed_work"
"""Key of the work that a run was asked for."""
CLOSED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
OPEN = [status for status in dg.DagsterRunStatus if status not in CLOSED]


def build_jobs() -> list[Any]:
    return [
        dg.define_asset_job(
            LANDED_JOB,
            selection=dg.AssetSelection.assets(EXPORT, COHORTS, EVALUATION),
            description="A newly landed month: fetched, labelled, and every model in service evaluated on it.",
        )
    ]


def build_sensors(settings: Settings) -> list[Any]:
    return [landing_sensor(settings)]


def build_schedules(settings: Settings) -> list[Any]:
    return [monthly_check(settings)]


@dataclass(frozen=True, kw_only=True)
class Tick:
    """What one look at the landing area asks for."""

    runs: list[dg.RunRequest]
    new_months: list[str]
    """That are no partition yet."""
    seen: Mapping[str, Arrival]
    """For the next look."""
    num_waiting: int
    """Pieces of work beyond those that may be asked for at a time."""
    left_alone: list[str]
    """Months with something to do that is being done, or has failed too often."""
    held_up: str | None
    """Why nothing may be asked for at all, or nothing can land."""

    @property
    def words(self) -> str:
        if self.held_up:
            return self.held_up
        waiting = [f"{one.month}: {one.waiting_for}" for one in self.seen.values() if one.waiting_for]
        if self.left_alone:
            waiting.append(f"at work on, or has failed too often: {', '.join(self.left_alone)}")
        return "; ".join(waiting) or "nothing new has landed, and no label has ripened"


def tick(
    instance: dg.DagsterInstance,
    store: ArtifactStore,
    settings: Settings,
    seen: Mapping[str, Arrival],
    settling: Settling,
    max_attempts: float,
) -> Tick:
    state, days, area = landed.state_of(store, settings), landed.follow_up_days(settings), landed.landing_area(settings)
    needed = needed_again(state, days)
    taken = {month: one.listing for month, one in state.taken.items() if month not in needed}
    found = arrivals.arrivals(area, taken, seen, settling, settings.operate.earliest)
    held_up = half_forgotten()
    options = [] if held_up else choices(state, found, days)
    attempts = next_attempts(instance, [work for works in options for work in works], max_attempts)
    # Of each month one thing at a time: the first that has not failed too often.
    possible = [next((work for work in works if work.key in attempts), None) for works in options]
    work = [one for one in possible if one is not None]
    asked = [(one, attempts[one.key]) for one in work[: settings.operate.max_runs_a_tick]]
    known = set(instance.get_dynamic_partitions(dated_exports.name or ""))
    return Tick(
        runs=[request(one, attempt) for one, attempt in asked],
        new_months=[one.month for one, _ in asked if one.month not in known],
        seen=found,
        num_waiting=len(work) - len(asked),
        left_alone=[works[0].month for works in options if works[0].key not in attempts],
        held_up=held_up or (area.missing if settings.operate.landing else None),
    )


def half_forgotten() -> str | None:
    """That people are just being forgotten, and what to do: runs that would fail for it must not use up their attempts."""
    try:
        require_nothing_unfinished(lang1_home())
    except ForgettingError as error:
        return str(error)
    return None


def request(work: Work, attempt: int) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{work.key}#{attempt}",
        partition_key=work.month,
        job_name=LANDED_JOB,
        asset_selection=[dg.AssetKey(step) for step in work.steps],
        tags={WORK_TAG: work.key} | ({landed.LISTING_TAG: work.listing} if work.listing else {}),
    )


def next_attempts(instance: dg.DagsterInstance, work: Sequence[Work], max_attempts: float) -> dict[str, int]:
    """Key of each piece of work that is to be asked for -> which attempt this is.

    Not what has been tried often enough, whatever came of it: what succeeded is not due any more, unless somebody has put the
    artifacts back to an earlier state. Nor anything of a month that a run is at work on: what is due then is decided when it has
    ended.
    """
    keys = [one.key for one in work]
    if not keys:
        return {}
    open_runs = instance.get_runs(dg.RunsFilter(job_name=LANDED_JOB, statuses=OPEN))
    busy = {run.tags.get("dagster/partition") for run in open_runs}
    closed = instance.get_runs(dg.RunsFilter(tags={WORK_TAG: keys}, statuses=list(CLOSED)))
    tried = Counter(run.tags[WORK_TAG] for run in closed)
    return {one.key: tried[one.key] + 1 for one in work if one.month not in busy and tried[one.key] < max_attempts}


def landing_sensor(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        name="landing",
        job_name=LANDED_JOB,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Takes each dated export once it is whole, and evaluates every model in service on it as its labels ripen.",
    )
    def _landing(context: dg.SensorEvaluationContext, store: ArtifactStore) -> dg.SensorResult | dg.SkipReason:
        settling = Settling(now=now(), seconds=settings.operate.settle_seconds)
        found = tick(
            context.instance, store, settings, arrivals.read(context.cursor), settling, settings.operate.max_attempts
        )
        if found.num_waiting:
            context.log.info(f"{found.num_waiting} pieces of work wait for a later look")
        return dg.SensorResult(
            run_requests=found.runs,
            skip_reason=None if found.runs else found.words,
            dynamic_partitions_requests=[dated_exports.build_add_request(found.new_months)] if found.new_months else [],
            cursor=arrivals.written(found.seen),
        )

    return _landing


def monthly_check(settings: Settings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="monthly_landing_check",
        cron_schedule="0 3 2 * *",
        job_name=LANDED_JOB,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="The same once a month, where the sensor was off.",
    )
    def _monthly(context: dg.ScheduleEvaluationContext, store: ArtifactStore) -> list[dg.RunRequest]:
        return look_once(context.instance, store, settings)

    return _monthly


def look_once(instance: dg.DagsterInstance, store: ArtifactStore, settings: Settings) -> list[dg.RunRequest]:
    """What the sensor would ask for, by one who has not looked before."""
    settling = Settling(now=now(), seconds=settings.operate.settle_seconds, trust_times=True)
    # What failed too often for the sensor is tried again: what was wrong with the machine may have been mended.
    found = tick(instance, store, settings, {}, settling, math.inf)
    instance.add_dynamic_partitions(dated_exports.name or "", found.new_months)
    return found.runs


def now() -> float:
    """Seconds since 1970; replaced in tests."""
    return time.time()
