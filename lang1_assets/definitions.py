"""The one entry: assets, checks, jobs, sensors, schedules and resources of the profile that `$LANG1_PROFILE` names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource

from lang1_assets import checks
from lang1_assets.console import progress_logger
from lang1_assets.corpus import clean, extract, label, tokens
from lang1_assets.evaluation import (
    baselines,
    compare,
    elsewhere,
    evaluate,
    harness,
    leaderboard,
    perplexity,
    scale,
    validate_elsewhere,
)
from lang1_assets.models import finetune, pretrain
from lang1_assets.months import arrive, drift, drift_due, label_landed, land, operate
from lang1_assets.operation import alarm, forget, reap, retain, serve
from lang1_assets.ops.tasks import TASKS, use_own_tasks
from lang1_assets.resources.alerts import Alerts
from lang1_assets.resources.audit import audit_folder
from lang1_assets.resources.launcher import TrainingLauncher
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.services.executor import chosen_executor, steps_are_pods
from lang1_assets.settings import Settings, lang1_home, load_settings
from lang1_assets.studies import analyze, cards, memorize, report, study, trajectory

DEMO_JOB = "demo"
CORPUS_JOB = "corpus"
COHORTS_JOB = "cohorts"

STEPS_BESIDE_THE_RUN = {
    "execution": {
        "config": {
            "multiprocess": {
                "max_concurrent": 2,
                # Steps are forked from a process that has Dagster loaded: a second less for each. Not from one that has
                # these definitions: they bring polars, whose thread pool does not survive a fork (the first step hung).
                "start_method": {"forkserver": {"preload_modules": ["dagster", "dagster_dbt"]}},
            }
        }
    }
}
FROM_THE_UI = {"loggers": {"console": {}}, **({} if steps_are_pods() else STEPS_BESIDE_THE_RUN)}
FROM_THE_TERMINAL = {"execution": {"config": {"in_process": {}}}, "loggers": {"console": {}}}
"""One process for all steps: nothing is imported twice, and every line that a person sees comes from here."""


def build_definitions(settings: Settings, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Fresh definitions of one profile, whose own tasks this process then knows.

    Args:
        resources: replaces the default resource of the same name, for tests.
    """
    use_own_tasks(settings.own_tasks.values())
    stages = (
        extract,
        clean,
        tokens,
        label,
        pretrain,
        finetune,
        evaluate,
        elsewhere,
        validate_elsewhere,
        perplexity,
        scale,
        analyze,
        compare,
        baselines,
        leaderboard,
        serve,
        harness,
        trajectory,
        study,
        memorize,
        cards,
        report,
        land,
        label_landed,
        operate,
        drift,
    )
    assets = [asset for stage in stages for asset in stage.build_assets(settings)]
    return dg.Definitions(
        assets=assets,
        asset_checks=checks.build_checks(settings),
        jobs=[
            *build_jobs(settings),
            *arrive.build_jobs(),
            *drift_due.build_jobs(),
            *forget.build_jobs(settings),
            *retain.build_jobs(settings),
        ],
        sensors=[sensor for stage in (arrive, drift_due, alarm, reap) for sensor in stage.build_sensors(settings)],
        schedules=[schedule for stage in (arrive, retain) for schedule in stage.build_schedules(settings)],
        resources={**default_resources(settings), **(resources or {})},
        loggers={"console": progress_logger},
        executor=chosen_executor(assets),
    )


def build_jobs(settings: Settings) -> list[Any]:
    recipes = settings.finetune.recipes
    models = [
        "pretrained_model",
        "trajectory_evaluation",
        "memorization",
        "zero_shot_evaluation",
        *(f"finetuned_{recipe}" for recipe in recipes),
        *(f"{recipe}_evaluation" for recipe in recipes),
        "strata",
        "patient_overlap",
        "temporal_drift",
        "label_dependence",
    ]
    wanted = dg.AssetSelection.assets(*models).upstream() | dg.AssetSelection.assets(
        "corpus_statistics", "leaderboard", "report"
    )
    tables = dg.AssetSelection.groups("extract", "label")
    labelled = dg.AssetSelection.assets(*(f"{task}_examples" for task in TASKS), "cohort_tables").upstream()
    # The tables of the warehouse are built together.
    corpus = dg.AssetSelection.assets(
        "pretrained_model", "trajectory_evaluation"
    ).upstream() | dg.AssetSelection.assets(*extract.warehouse(settings).keys)
    return [
        dg.define_asset_job(
            DEMO_JOB,
            selection=wanted | tables,
            config=FROM_THE_UI,
            description="The whole path: the hospital's tables to the evaluation report, for one model variant.",
        ),
        dg.define_asset_job(
            CORPUS_JOB,
            selection=corpus,
            config=FROM_THE_UI,
            description="The corpus half: notes and web text to a pretrained model and what emerged in it.",
        ),
        dg.define_asset_job(
            COHORTS_JOB,
            selection=labelled | dg.AssetSelection.assets(*extract.warehouse(settings).keys),
            config=FROM_THE_UI,
            description="The hospital's tables to the labelled notes of every task, and no further.",
        ),
    ]


def default_resources(settings: Settings) -> dict[str, Any]:
    home = lang1_home()
    # Before anything is written: run workers of a code server are not started by `lang1`.
    os.umask(0o077)
    mlflow_home = home / "mlflow"
    mlflow_home.mkdir(parents=True, exist_ok=True)
    warehouse = home / "warehouse"
    warehouse.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("LANG1_DUCKDB_PATH", str(warehouse / f"{settings.name}.duckdb"))
    os.environ.setdefault("LANG1_POSTGRES_WORK_SCHEMA", f"lang1_{settings.name.replace('-', '_')}")
    dagster_url = os.environ.get("LANG1_DAGSTER_URL", "http://127.0.0.1:3000")
    return {
        "store": ArtifactStore(root=str(home / "artifacts" / settings.name), audit_folder=str(audit_folder(home))),
        "launcher": TrainingLauncher(),
        "alerts": Alerts(profile=settings.name, is_synthetic=settings.is_synthetic, dagster_url=dagster_url),
        "tracking": Tracking(
            tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{mlflow_home / 'mlflow.db'}"),
            ui_url=os.environ.get("LANG1_MLFLOW_URL", "http://127.0.0.1:5000"),
            artifact_root=os.environ.get("LANG1_MLFLOW_ARTIFACTS", str(mlflow_home / "artifacts")),
            dagster_url=dagster_url,
            profile=settings.name,
            is_synthetic=settings.is_synthetic,
            test_splits=list(settings.cohorts.test_splits),
            tasks=list(TASKS),
        ),
        "dbt": DbtCliResource(project_dir=extract.dbt_project(settings), dbt_executable=extract.DBT_EXECUTABLE),
    }


defs = build_definitions(load_settings())


def demo_job() -> dg.JobDefinition:
    """The demo job by itself, for processes that rebuild it."""
    return defs.resolve_job_def(DEMO_JOB)


def corpus_job() -> dg.JobDefinition:
    """The corpus job by itself, for processes that rebuild it."""
    return defs.resolve_job_def(CORPUS_JOB)


def cohorts_job() -> dg.JobDefinition:
    """The cohorts job by itself, for processes that rebuild it."""
    return defs.resolve_job_def(COHORTS_JOB)
