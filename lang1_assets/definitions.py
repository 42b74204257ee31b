"""The one entry: assets, checks, jobs, sensors, schedules and resources of the profile that `$LANG1_PROFILE` names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource

from lang1_assets import (
    analyze,
    baselines,
    cards,
    checks,
    clean,
    compare,
    elsewhere,
    evaluate,
    extract,
    finetune,
    harness,
    label,
    leaderboard,
    memorize,
    operate,
    perplexity,
    pretrain,
    report,
    scale,
    serve,
    study,
    tokens,
    trajectory,
    validate_elsewhere,
)
from lang1_assets.console import progress_logger
from lang1_assets.ops.tasks import TASKS, use_own_tasks
from lang1_assets.resources.alerts import Alerts
from lang1_assets.resources.launcher import TrainingLauncher
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, lang1_home, load_settings

DEMO_JOB = "demo"
CORPUS_JOB = "corpus"
COHORTS_JOB = "cohorts"

FROM_THE_UI = {
    "execution": {
        "config": {
            "multiprocess": {
                "max_concurrent": 2,
                # Steps are forked from a process that has Dagster loaded: a second less for each. Not from one that has
                # these definitions: they bring polars, whose thread pool does not survive a fork (the first step hung).
                "start_method": {"forkserver": {"preload_modules": ["dagster", "dagster_dbt"]}},
            }
        }
    },
    "loggers": {"console": {}},
}
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
    )
    return dg.Definitions(
        assets=[asset for stage in stages for asset in stage.build_assets(settings)] + operate.build_assets(settings),
        asset_checks=checks.build_checks(settings),
        jobs=[*build_jobs(settings), *operate.build_jobs()],
        sensors=operate.build_sensors(settings),
        schedules=operate.build_schedules(settings),
        resources={**default_resources(settings), **(resources or {})},
        loggers={"console": progress_logger},
        executor=dg.multi_or_in_process_executor,
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
        "corpus_statistics", "leaderboard", "report", "model_in_service"
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
    mlflow_home = home / "mlflow"
    mlflow_home.mkdir(parents=True, exist_ok=True)
    warehouse = home / "warehouse"
    warehouse.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("LANG1_DUCKDB_PATH", str(warehouse / f"{settings.name}.duckdb"))
    os.environ.setdefault("LANG1_POSTGRES_WORK_SCHEMA", f"lang1_{settings.name.replace('-', '_')}")
    return {
        "store": ArtifactStore(root=str(home / "artifacts" / settings.name)),
        "launcher": TrainingLauncher(),
        "alerts": Alerts(),
        "tracking": Tracking(
            tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{mlflow_home / 'mlflow.db'}"),
            ui_url=os.environ.get("LANG1_MLFLOW_URL", "http://127.0.0.1:5000"),
            artifact_root=os.environ.get("LANG1_MLFLOW_ARTIFACTS", str(mlflow_home / "artifacts")),
            dagster_url=os.environ.get("LANG1_DAGSTER_URL", "http://127.0.0.1:3000"),
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
