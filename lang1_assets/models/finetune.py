"""Finetuning: a DeepSpeed job for each recipe and variant, searched, early-stopped, registered in MLflow (paper 5.4)."""

import json
from typing import Any

import dagster as dg

from lang1_assets.corpus.supplied import examples_to_use, require_decoder
from lang1_assets.materialization import MODEL_OWNER, SYNTHETIC, markdown_table, materialized
from lang1_assets.models.finetuned import (
    ELSEWHERE,
    MATCHED,
    Finetuning,
    better_than_chance,
    build_finetuned,
    examples_artifact,
    tasks_of,
)
from lang1_assets.models.trained import Services
from lang1_assets.partitions import variant_partitions
from lang1_assets.resources.alerts import Alerts
from lang1_assets.resources.launcher import TrainingLauncher
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import FINETUNED_TAG, Tracking, registered_name
from lang1_assets.settings import Settings
from lang1_assets.settings.study import ELSEWHERE_RECIPES

GROUP = "finetune"
CONTROL = "none: a control of a study, never to serve"


def build_assets(settings: Settings) -> list[Any]:
    return [finetuned(settings, recipe) for recipe in settings.recipes]


def finetuned(settings: Settings, recipe: str) -> dg.AssetsDefinition:
    tasks = tasks_of(recipe)
    name = f"finetuned_{recipe}"
    examples = [examples_artifact(recipe, task) for task in tasks]
    counted = [f"{ELSEWHERE}{task}_examples" for task in tasks] if recipe.startswith(MATCHED) else []

    @dg.asset(
        name=name,
        deps=["pretrained_model", *examples, *counted],
        partitions_def=variant_partitions(settings),
        group_name=GROUP,
        owners=MODEL_OWNER,
        kinds={"deepspeed", "mlflow"},
        pool="accelerator",
        retry_policy=dg.RetryPolicy(max_retries=2, delay=2),
        description=f"Finetuned on {words(recipe)}. Best checkpoint by micro-AUROC on validation. "
        + (SYNTHETIC if settings.is_synthetic else ""),
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
        if len(tasks) > 1:
            require_decoder(settings, key, "joint finetuning")
        held = examples_to_use(
            store,
            {task: examples_artifact(recipe, task) for task in tasks},
            "finetune on",
            "Leave the recipe out of finetune.recipes, or supply what is missing.",
            say=context.log.warning,
        )
        there = [store.get(counted_name) for counted_name in counted]
        max_notes = num_notes_there(there[0]) if there else None
        artifact = build_finetuned(
            context,
            settings,
            store,
            Services(launcher=launcher, tracking=tracking, alerts=alerts),
            Finetuning(
                artifact=f"{name}/{key}",
                title=f"{key} on {recipe}",
                variant=key,
                recipe=recipe,
                base=store.get(f"pretrained_model/{key}"),
                examples=held,
                max_notes=max_notes,
                others=there,
            ),
        )
        version = register(settings, tracking, artifact, recipe, key)
        return materialized(
            artifact,
            [better_than_chance(artifact.summary["best_val_auroc"])],
            mlflow_run=dg.MetadataValue.url(artifact.summary["mlflow_url"]),
            registered_version=version or CONTROL,
            search=search_table(artifact),
        )

    return _finetuned


def words(recipe: str) -> str:
    """A recipe in a sentence."""
    if recipe == "joint":
        return "all five tasks, mixed evenly in each batch"
    task = tasks_of(recipe)[0].replace("_", " ")
    if recipe.startswith(ELSEWHERE):
        return f"{task} of the other hospital (figures 5b, M10)"
    if recipe.startswith(MATCHED):
        return f"{task}, on as many notes as the other hospital has labelled (Fig. M11)"
    return f"{task} alone"


def num_notes_there(examples: Artifact) -> int:
    """Labelled training notes of the other hospital.

    Raises:
        dg.Failure: it has none.
    """
    from lang1_assets.ops.elsewhere import matched_train_size

    number = matched_train_size(examples.path / "examples.parquet")
    if number == 0 or examples.summary["switched_off"]:
        reason = examples.summary["switched_off"] or "none of split 'train' is among its labelled notes"
        raise dg.Failure(
            f"No notes to match: {examples.name} holds no training note of the other hospital ({reason}). Leave the recipe out of "
            "finetune.recipes, or have the other hospital supply what is missing.",
            allow_retries=False,
        )
    return number


def register(settings: Settings, tracking: Tracking, artifact: Artifact, recipe: str, key: str) -> str | None:
    """A version of the recipe's registered model, a candidate for service; None of a control, which has its run alone."""
    if recipe in ELSEWHERE_RECIPES:
        return None
    summary = artifact.summary
    return tracking.register(
        registered_name(settings.name, recipe),
        artifact.path / "model",
        summary["mlflow_run_id"],
        {
            "fingerprint": artifact.fingerprint,
            FINETUNED_TAG: artifact.created,
            "recipe": recipe,
            "variant": key,
            "checkpoint": summary["checkpoint"],
            "auroc_micro/all/val": f"{summary['best_val_micro_auroc']:.4f}",
            "synthetic": str(settings.is_synthetic).lower(),
            **{f"dataset/{name}": fingerprint for name, fingerprint in artifact.inputs.items()},
        },
    )


def search_table(artifact: Artifact) -> dg.MarkdownMetadataValue:
    path = artifact.path / "search.json"
    trials = json.loads(path.read_text()) if path.exists() else []
    rows = [[f"{trial['learning_rate']:.2e}", trial["val_micro_auroc"], trial["val_loss"]] for trial in trials]
    return markdown_table(["learning rate", "validation micro-AUROC", "validation loss"], rows)
