"""One finetuned model, whichever asset asks for it: a base, a checkpoint of it, labelled notes (paper 5.4)."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import dagster as dg

from lang1_assets.models.trained import (
    Services,
    TrainingRun,
    checkpoint_folder,
    context_length_of,
    tokens_of,
    train,
)
from lang1_assets.ops.tasks import OPTION_LETTERS, REMEDE, TASKS
from lang1_assets.resources.launcher.files import METRICS_FILE
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings

JOB = "lang1_assets.ops.finetuning"
CODE = [
    JOB,
    "lang1_assets.ops.training",
    "lang1_assets.ops.encoder",
    "lang1_assets.ops.metrics",
    "lang1_assets.ops.model",
    "lang1_assets.ops.prompts",
    "lang1_assets.ops.scoring",
    "lang1_assets.ops.tasks",
    "lang1_assets.ops.tokenizer",
]
NOT_LEARNED = {"recipes", "keep_last", "lora", "num_cpu_ranks"}
"""Settings that change nothing of the model, or that a variant has its own of."""
ELSEWHERE, MATCHED = "elsewhere_", "matched_"
TRAIN_GROUP, VAL_AUROC = "train", "val/auroc/"
"""Of a job's rows: the full run's, not a trial's; and what each task's is called."""
CHANCE = 0.5


@dataclass(frozen=True, kw_only=True)
class Finetuning:
    """What to finetune, and on what."""

    artifact: str
    """Its name in the store."""
    title: str
    """Of its MLflow run."""
    variant: str
    recipe: str
    base: Artifact
    examples: Mapping[str, Artifact]
    """Of each task."""
    checkpoint: str | None = None
    """Of the base's trajectory; None is the last one."""
    max_notes: int | None = None
    """Labelled notes of each task; None is all."""
    others: Sequence[Artifact] = ()
    """What `max_notes` was taken from."""


def tasks_of(recipe: str) -> tuple[str, ...]:
    """The tasks that a recipe trains on: `joint` is all five."""
    return REMEDE if recipe == "joint" else (recipe.removeprefix(ELSEWHERE).removeprefix(MATCHED),)


def examples_artifact(recipe: str, task: str) -> str:
    """The labelled notes of a recipe: this hospital's, or the other one's."""
    return f"{ELSEWHERE if recipe.startswith(ELSEWHERE) else ''}{task}_examples"


def finetuned_so_far(store: ArtifactStore, variant: str, recipes: Iterable[str]) -> dict[str, Artifact]:
    """Recipe -> model of a variant, of those that were finetuned from the base as it is now."""
    base = store.find(f"pretrained_model/{variant}")
    found = {recipe: store.find(f"finetuned_{recipe}/{variant}") for recipe in recipes}
    return {
        recipe: model
        for recipe, model in found.items()
        if base is not None and model is not None and model.inputs.get(base.name) == base.fingerprint
    }


def build_finetuned(
    context: dg.AssetExecutionContext,
    settings: Settings,
    store: ArtifactStore,
    services: Services,
    finetuning: Finetuning,
) -> Artifact:
    """The finished artifact; an interrupted job goes on."""
    base, variant = finetuning.base, finetuning.variant
    inputs = [base, *finetuning.examples.values(), *finetuning.others]
    config = job_config(settings, finetuning)
    checkpoint = finetuning.checkpoint or base.summary["trajectory"][-1]

    def make(work: Path) -> dict[str, Any]:
        summary = train(
            context,
            settings,
            services,
            TrainingRun(
                experiment="finetune",
                name=finetuning.title,
                module=JOB,
                config=config,
                params={"variant": variant, "base": variant, "recipe": finetuning.recipe, "checkpoint": checkpoint},
                inputs=inputs,
                num_cpu_ranks=settings.finetune.num_cpu_ranks,
            ),
            work,
        )
        # The job removes them itself, unless it was killed between its summary and that.
        for leftover in ("resume", "best"):
            shutil.rmtree(work / leftover, ignore_errors=True)
        services.tracking.describe_model(work / "model", outputs_of(list(finetuning.examples)))
        return {
            **summary,
            "best_val_auroc": validation_aurocs(work, summary["best_step"]),
            "variant": variant,
            "recipe": finetuning.recipe,
            "checkpoint": checkpoint,
            "pretrain_tokens": None if base.summary["tokens"] is None else tokens_of(checkpoint),
            "num_notes": finetuning.max_notes,
        }

    return store.build(
        finetuning.artifact,
        make,
        inputs=inputs,
        parameters={
            "finetune": settings.finetune.model_dump(exclude=NOT_LEARNED),
            "lora": config["lora"],
            "architecture": config["architecture"],
            "context_length": config["context_length"],
            "checkpoint": checkpoint,
            "max_notes": finetuning.max_notes,
            "seed": settings.seed,
        },
        code=CODE,
        on_wait=context.log.warning,
    )


def validation_aurocs(work: Path, step: int) -> dict[str, float]:
    """AUROC of each task at a step, macro-averaged over its classes; without those whose notes are of one class."""
    rows = [json.loads(line) for line in (work / METRICS_FILE).read_text().splitlines()]
    # A run that went on from a checkpoint may have been at the same step before.
    values: dict[str, float] = {}
    for row in rows:
        if row["group"] == TRAIN_GROUP and row["step"] == step:
            values |= row["values"]
    return {name.removeprefix(VAL_AUROC): value for name, value in values.items() if name.startswith(VAL_AUROC)}


def better_than_chance(aurocs: Mapping[str, float]) -> dg.AssetCheckResult:
    """The mean of the tasks' AUROCs, each macro-averaged over its classes: a model that knows the classes' shares alone has 0.5.

    Not the micro-average that early stopping goes by: of more than two options the shares alone lift it well above 0.5.
    """
    mean = fmean(aurocs.values()) if aurocs else None
    at_chance = [task for task, value in aurocs.items() if value <= CHANCE]
    said = f"no better than chance: {', '.join(at_chance)}" if at_chance else None
    return dg.AssetCheckResult(
        check_name="better_than_chance",
        passed=mean is not None and mean > CHANCE,
        severity=dg.AssetCheckSeverity.WARN,
        description="the validation notes of every task are of one class" if mean is None else said,
        metadata={f"validation_auroc_{task}": value for task, value in aurocs.items()}
        | ({} if mean is None else {"mean_validation_auroc": mean}),
    )


def outputs_of(tasks: Sequence[str]) -> tuple[str, ...]:
    """What a model gives probabilities of: the task's options; of several tasks their letters."""
    if len(tasks) == 1:
        return TASKS[tasks[0]].options
    return tuple(OPTION_LETTERS[: max(TASKS[task].num_classes for task in tasks)])


def job_config(settings: Settings, finetuning: Finetuning) -> dict[str, Any]:
    """The job's `FinetuneConfig` as JSON."""
    examples = finetuning.examples
    finetune = settings.finetune.model_dump(mode="json")
    own = {
        name: finetune.pop(name)
        for name in ("search", "note_tokens", "patience_steps", "validation_examples", "max_epochs")
    }
    for name in ("recipes", "num_cpu_ranks", "lora"):
        finetune.pop(name)
    # 5.4: the joint run's steps are scaled by the number of tasks; and what is measured in them.
    finetune["max_steps"] *= len(examples)
    finetune["validate_every_steps"] *= len(examples)
    own["patience_steps"] *= len(examples)
    lora = settings.lora_of(finetuning.variant)
    folder = checkpoint_folder(finetuning.base, finetuning.checkpoint)
    return {
        "base": str(folder),
        "examples": {task: str(artifact.path / "examples.parquet") for task, artifact in examples.items()},
        # A job may run where the folder of own tasks is not.
        "own_tasks": [TASKS[task].to_json() for task in examples if TASKS[task].cohort],
        "tokenizer_folder": str(folder),
        "training": finetune,
        "architecture": settings.variants[finetuning.variant].architecture,
        "lora": None if lora is None else lora.model_dump(mode="json"),
        "max_notes": finetuning.max_notes,
        "context_length": context_length_of(settings, finetuning.variant),
        "seed": settings.seed,
        **own,
    }
