"""Who asks for a drift report: a sensor, whenever a month was evaluated or another model took over, and once for each of these."""

from typing import Any

import dagster as dg

from lang1_assets.models import finetuned
from lang1_assets.months import drifted
from lang1_assets.months.drifted import NAME
from lang1_assets.months.landed import IN_SERVICE
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.settings import Settings

JOB = "drift_report"
DUE_TAG = "lang1/drift_of"
"""What a run was asked to report on."""
MAX_ATTEMPTS = 3
ENDED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def build_jobs() -> list[Any]:
    return [
        dg.define_asset_job(
            JOB,
            selection=dg.AssetSelection.assets(NAME),
            description="Every landed month of a model in service against the test that it was put in service with.",
        )
    ]


def build_sensors(settings: Settings) -> list[Any]:
    return [drift_sensor(settings)]


def due(store: ArtifactStore, recipe: str) -> str | None:
    """Key of the report that is to be made; None where nothing is new, or nothing is there yet."""
    service, months = store.find(f"{IN_SERVICE}/{recipe}"), drifted.scored_months(store, recipe)
    if service is None or not months:
        return None
    digest, made = drifted.digest_of(service, months), store.find(f"{NAME}/{recipe}")
    if made is not None and made.summary["of"] == digest:
        return None
    # Taken away with somebody who was forgotten, until the next run makes them again.
    if any(store.find(f"{task}_examples") is None for task in finetuned.tasks_of(recipe)):
        return None
    # An export that is corrected and corrected back is news twice.
    return f"{recipe}:{digest}:{made.created if made else ''}"


def request(instance: dg.DagsterInstance, recipe: str, key: str) -> dg.RunRequest | None:
    """The next attempt; None while one is under way, has succeeded, or has failed often enough."""
    runs = instance.get_runs(dg.RunsFilter(tags={DUE_TAG: key}))
    if len(runs) >= MAX_ATTEMPTS or any(run.status not in ENDED for run in runs):
        return None
    return dg.RunRequest(run_key=f"{key}#{len(runs)}", partition_key=recipe, job_name=JOB, tags={DUE_TAG: key})


def drift_sensor(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        name="drift_due",
        job_name=JOB,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a drift report when a landed month was evaluated, or another model was put in service.",
    )
    def _drift_due(context: dg.SensorEvaluationContext, store: ArtifactStore) -> dg.SensorResult | dg.SkipReason:
        keys = {recipe: due(store, recipe) for recipe in settings.operate.recipes}
        asked = [request(context.instance, recipe, key) for recipe, key in keys.items() if key is not None]
        runs = [one for one in asked if one is not None]
        return (
            dg.SensorResult(run_requests=runs) if runs else dg.SkipReason("every month is in its report, or asked for")
        )

    return _drift_due
