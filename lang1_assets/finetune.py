"""Finetuning: a DeepSpeed job for each recipe and variant, searched, early-stopped, registered in MLflow (paper 5.4)."""

import json
from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.materialization import MODEL_OWNER, markdown_table, materialized
from lang1_assets.ops.tasks import TASKS
from lang1_assets.partitions import variant_partitions
from lang1_assets.resources.alerts import Alerts
from lang1_assets.resources.launcher import TrainingLauncher
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import RECIPES, Settings

GROUP = "finetune"
JOB = "lang1_assets.ops.finetuning"
CODE = [
    JOB,
    "lang1_assets.ops.training",
    "lang1_assets.ops.model",
    "lang1_assets.ops.prompts",
    "lang1_assets.ops.scoring",
    "lang1_assets.ops.tasks",
]


def build_assets(settings: Settings) -> list[Any]:
    return [finetuned(settings, recipe) for recipe in (*RECIPES, *settings.own_tasks)]


def tasks_of(recipe: str) -> list[str]:
    """The tasks that a recipe trains on: `joint` is all five."""
    return [name for name in RECIPES if name != "joint"] if recipe == "joint" else [recipe]


def finetuned(settings: Settings, recipe: str) -> dg.AssetsDefinition:
    tasks = tasks_of(recipe)
    name = f"finetuned_{recipe}"

    @dg.asset(
        name=name,
        deps=["pretrained_model", *(f"{task}_examples" for task in tasks)],
        partitions_def=variant_partitions(settings),
        group_name=GROUP,
        owners=MODEL_OWNER,
        kinds={"deepspeed", "mlflow"},
        pool="accelerator",
        retry_policy=dg.RetryPolicy(max_retries=2, delay=2),
        description="Finetuned on "
        + ("all five tasks, mixed evenly in each batch." if recipe == "joint" else f"{recipe} alone.")
        + " Best checkpoint by micro-AUROC on validation.",
        check_specs=[dg.AssetCheckSpec("better_than_chance", asset=name)],
    )
    def _finetuned(
        context: dg.AssetExecutionContext,
        store: ArtifactStore,
        launcher: TrainingLauncher,
        tracking: Tracking,
        alerts: Alerts,
    ) -> dg.MaterializeResult:
        key = context.partition_key
        base = store.get(f"pretrained_model/{key}")
        examples = supplied_examples(context, store, tasks)
        inputs = [base, *examples.values()]

        def make(work: Path) -> dict[str, Any]:
            config = job_config(settings, base, examples)
            with (
                tracking.run(
                    context,
                    experiment="finetune",
                    name=f"{key} on {recipe}",
                    work=work,
                    params={"profile": settings.name, "variant": key, "recipe": recipe, **config},
                    inputs=inputs,
                ) as run,
                alerts.watch(context, run) as on_alerts,
            ):
                launcher.run(
                    context,
                    module=JOB,
                    config=config,
                    work=work,
                    num_cpu_ranks=settings.finetune.num_cpu_ranks,
                    launch=settings.launch,
                    on_metrics=run.log_rows,
                    on_alerts=on_alerts,
                )
            summary = json.loads((work / "summary.json").read_text())
            return {**summary, "mlflow_run_id": run.run_id, "mlflow_url": run.url}

        artifact = store.build(
            f"{name}/{key}",
            make,
            inputs=inputs,
            parameters={
                "finetune": settings.finetune.model_dump(exclude={"recipes", "keep_last"}),
                "seed": settings.seed,
            },
            code=CODE,
            on_wait=context.log.warning,
        )
        version = register(tracking, artifact, recipe, key)
        return materialized(
            artifact,
            [better_than_chance(artifact)],
            mlflow_run=dg.MetadataValue.url(artifact.summary["mlflow_url"]),
            registered_version=version,
            search=search_table(artifact),
        )

    return _finetuned


def supplied_examples(context: dg.AssetExecutionContext, store: ArtifactStore, tasks: list[str]) -> dict[str, Artifact]:
    """The labelled notes of each task that the source supplies."""
    found = {task: store.get(f"{task}_examples") for task in tasks}
    off = {
        task: artifact.summary["switched_off"] for task, artifact in found.items() if artifact.summary["switched_off"]
    }
    for task, reason in off.items():
        context.log.warning(f"{task} is left out: {reason}")
    if len(off) == len(found):
        reasons = "; ".join(f"{task}: {reason}" for task, reason in off.items())
        raise dg.Failure(
            f"Nothing to finetune on. {reasons}. Leave the recipe out of finetune.recipes, or supply what is missing.",
            allow_retries=False,
        )
    return {task: artifact for task, artifact in found.items() if task not in off}


def job_config(settings: Settings, base: Artifact, examples: dict[str, Artifact]) -> dict[str, Any]:
    finetune = settings.finetune.model_dump(mode="json")
    own = {name: finetune.pop(name) for name in ("search", "note_tokens", "patience_steps", "validation_examples")}
    finetune.pop("recipes")
    finetune.pop("num_cpu_ranks")
    # 5.4: the joint run's steps are scaled by the number of tasks.
    finetune["max_steps"] *= len(examples)
    return {
        "base": str(last_checkpoint(base)),
        "examples": {task: str(artifact.path / "examples.parquet") for task, artifact in examples.items()},
        # A job may run where the folder of own tasks is not.
        "own_tasks": [TASKS[task].to_json() for task in examples if TASKS[task].cohort],
        "tokenizer_folder": str(last_checkpoint(base)),
        "training": finetune,
        "context_length": settings.model.context_length,
        "seed": settings.seed,
        **own,
    }


def last_checkpoint(base: Artifact) -> Path:
    return base.path / "trajectory" / base.summary["trajectory"][-1]


def register(tracking: Tracking, artifact: Artifact, recipe: str, key: str) -> str:
    return tracking.register(
        f"{key}-{recipe}",
        artifact.path / "model",
        artifact.summary["mlflow_run_id"],
        {"fingerprint": artifact.fingerprint, "recipe": recipe, "variant": key},
    )


def better_than_chance(artifact: Artifact) -> dg.AssetCheckResult:
    best = artifact.summary["best_val_micro_auroc"]
    return dg.AssetCheckResult(
        check_name="better_than_chance",
        passed=bool(best > 0.5),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"best_validation_micro_auroc": best},
    )


def search_table(artifact: Artifact) -> dg.MarkdownMetadataValue:
    path = artifact.path / "search.json"
    trials = json.loads(path.read_text()) if path.exists() else []
    rows = [[f"{trial['learning_rate']:.2e}", trial["val_micro_auroc"], trial["val_loss"]] for trial in trials]
    return markdown_table(["learning rate", "validation micro-AUROC", "validation loss"], rows)
