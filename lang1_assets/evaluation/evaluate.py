"""Evaluation: every model on the tasks and their test splits (paper 5.5)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.corpus.supplied import example_files, examples_to_score, require_decoder
from lang1_assets.evaluation import evaluation_result, scored
from lang1_assets.evaluation.families import wanted
from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC, column_schema
from lang1_assets.models.trained import checkpoint_folder, context_length_of, encoder_code
from lang1_assets.ops import schemas
from lang1_assets.ops.tasks import TASKS
from lang1_assets.partitions import variant_partitions
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import RECIPES, Settings

GROUP = "evaluate"
ZERO_SHOT = "zero_shot"


def build_assets(settings: Settings) -> list[Any]:
    return [evaluation(settings, mode) for mode in (ZERO_SHOT, *RECIPES, *settings.own_tasks)]


def evaluation(settings: Settings, mode: str) -> dg.AssetsDefinition:
    """The asset that scores one recipe's model, or the pretrained one as it is."""
    name = f"{mode}_evaluation"
    tasks = tasks_scored(settings, mode)
    model_asset = "pretrained_model" if mode == ZERO_SHOT else f"finetuned_{mode}"

    @dg.asset(
        name=name,
        deps=[model_asset, *(f"{task}_examples" for task in tasks)],
        partitions_def=variant_partitions(settings),
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"torch", "scikitlearn"},
        pool="accelerator",
        description=(
            "The pretrained model as it is, zero-shot" if mode == ZERO_SHOT else f"The model finetuned on {mode}"
        )
        + f", on the test splits of {f'all {len(tasks)} tasks' if len(tasks) > 1 else 'its task'}. "
        + (SYNTHETIC if settings.is_synthetic else ""),
        metadata={"dagster/column_schema": column_schema(schemas.PREDICTIONS)},
        check_specs=evaluation_result.check_specs(name),
    )
    def _evaluation(
        context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking
    ) -> dg.MaterializeResult:
        key = context.partition_key
        own = tasks_of_variant(settings, key, mode, tasks)
        model = store.get(f"{model_asset}/{key}")
        folder = model_folder(mode, model)
        examples = examples_to_score(store, own)

        def score() -> Any:
            from lang1_assets.ops.evaluation import predict, together

            config = scored.scoring_config(settings, context_length_of(settings, key))
            parts = splits_scored(settings, mode, example_files(examples))
            return together([predict(folder, files, splits, config, context.log.info) for files, splits in parts])

        artifact = scored.build_evaluation(
            context,
            settings,
            store,
            tracking,
            artifact=f"{name}/{key}",
            evaluation=scored.Evaluation(
                subject=scored.Subject(name=key, mode=mode, kind="variant"),
                splits=settings.cohorts.test_splits,
                score=score,
                hashes=lambda: scored.folder_hashes(folder),
                parameters={
                    **scored.prompt_parameters(settings, context_length_of(settings, key)),
                    "headline_split": settings.cohorts.headline_split,
                },
                code=encoder_code(settings, key),
            ),
            examples=examples,
            inputs=[model],
        )
        return evaluation_result.evaluation_result(artifact)

    return _evaluation


def tasks_scored(settings: Settings, mode: str) -> tuple[str, ...]:
    """A single-task model is scored on its own task, and with `evaluate.transfer` on the others."""
    return (mode,) if mode in TASKS and not settings.evaluate.transfer else tuple(TASKS)


def splits_scored(
    settings: Settings, mode: str, files: Mapping[str, Path]
) -> list[tuple[dict[str, Path], Sequence[str]]]:
    """What a model answers for on every test; what it was not trained on, on the test that results are compared on (Fig. 5a)."""
    own = {task: file for task, file in files.items() if mode in (ZERO_SHOT, "joint", task)}
    others = {task: file for task, file in files.items() if task not in own}
    parts: list[tuple[dict[str, Path], Sequence[str]]] = [
        (own, settings.cohorts.test_splits),
        (others, [settings.cohorts.headline_split]),
    ]
    return [(tasks, splits) for tasks, splits in parts if tasks]


def tasks_of_variant(settings: Settings, key: str, mode: str, tasks: tuple[str, ...]) -> tuple[str, ...]:
    """All of `tasks`; of a variant without a joint model its own (Fig. 5a compares the two), and of an encoder, whose head has
    the classes of no other.

    Raises:
        dg.Failure: an encoder has no answer in this mode.
    """
    if mode == ZERO_SHOT:
        require_decoder(settings, key, "zero-shot evaluation")
    if mode == "joint":
        require_decoder(settings, key, "joint finetuning")
    if mode not in TASKS:
        return tasks
    compared = "joint" in wanted(settings).get(key, settings.finetune.recipes)
    return tasks if compared and settings.variants[key].architecture == "decoder" else (mode,)


def model_folder(mode: str, model: Artifact) -> Path:
    return checkpoint_folder(model) if mode == ZERO_SHOT else model.path / "model"
