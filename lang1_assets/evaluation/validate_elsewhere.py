"""Every model that was finetuned here or there, tested at the other hospital (Figs. 5b, M10, M11)."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import dagster as dg

from lang1_assets.evaluation import evaluation_result, scored
from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC, column_schema, markdown_table
from lang1_assets.models import finetuned
from lang1_assets.models.trained import checkpoint_folder, context_length_of, encoder_code
from lang1_assets.ops import schemas
from lang1_assets.ops.tasks import TASKS
from lang1_assets.partitions import variant_partitions
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, load_settings
from lang1_assets.settings.study import ELSEWHERE_RECIPES, ELSEWHERE_TASKS

GROUP = "elsewhere"
EVALUATION = "elsewhere_evaluation"
ZERO_SHOT = "zero_shot"
RECIPES = ("joint", *ELSEWHERE_TASKS, *ELSEWHERE_RECIPES)
SPLIT = "test"


def build_assets(settings: Settings) -> list[Any]:
    """Nothing where the profile names no other hospital."""
    return [] if settings.elsewhere is None else [elsewhere_evaluation(settings, load_settings(settings.elsewhere))]


def elsewhere_evaluation(settings: Settings, there: Settings) -> dg.AssetsDefinition:
    """The asset that scores every model there is on the other hospital's test split."""

    @dg.asset(
        name=EVALUATION,
        deps=[
            "pretrained_model",
            *(f"finetuned_{recipe}" for recipe in RECIPES),
            *(f"elsewhere_{task}_examples" for task in ELSEWHERE_TASKS),
        ],
        partitions_def=variant_partitions(settings),
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"torch", "scikitlearn"},
        pool="accelerator",
        description="The model as it is and as far as it was finetuned, here or there, on the other hospital's test split. "
        + (SYNTHETIC if there.is_synthetic else ""),
        metadata={"dagster/column_schema": column_schema(schemas.PREDICTIONS)},
        check_specs=evaluation_result.check_specs(EVALUATION),
    )
    def _evaluation(
        context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking
    ) -> dg.MaterializeResult:
        key = context.partition_key
        asked = {task: store.get(f"elsewhere_{task}_examples") for task in ELSEWHERE_TASKS}
        notes = {task: artifact for task, artifact in asked.items() if not artifact.summary["switched_off"]}
        found = {
            mode: score_one(context, settings, there, store, tracking, mode, model, notes)
            for mode, model in models_of(settings, store, key).items()
            if notes.keys() & tasks_of(mode)
        }
        if not found:
            raise dg.Failure(
                f"Nothing to score of '{key}' at the other hospital: finetune it on {', '.join(notes) or 'a task'} first",
                allow_retries=False,
            )
        return result_of(found)

    return _evaluation


def tasks_of(mode: str) -> tuple[str, ...]:
    """The tasks on which a mode is scored: a single-task model on its own."""
    if mode == ZERO_SHOT:
        return ELSEWHERE_TASKS
    return tuple(task for task in finetuned.tasks_of(mode) if task in ELSEWHERE_TASKS)


def models_of(settings: Settings, store: ArtifactStore, key: str) -> dict[str, Artifact]:
    """Mode -> artifact of every model of a variant that there is; an encoder answers nothing before it is finetuned."""
    base = {} if settings.variants[key].architecture == "encoder" else {ZERO_SHOT: store.get(f"pretrained_model/{key}")}
    return {**base, **finetuned.finetuned_so_far(store, key, RECIPES)}


def score_one(
    context: dg.AssetExecutionContext,
    settings: Settings,
    there: Settings,
    store: ArtifactStore,
    tracking: Tracking,
    mode: str,
    model: Artifact,
    notes: Mapping[str, Artifact],
) -> Artifact:
    key = context.partition_key
    folder = checkpoint_folder(model) if mode == ZERO_SHOT else model.path / "model"
    asked = {task: notes[task] for task in tasks_of(mode) if task in notes}
    length = context_length_of(settings, key)

    def score() -> Any:
        from lang1_assets.ops.evaluation import predict

        files = {task: artifact.path / "examples.parquet" for task, artifact in asked.items()}
        return predict(folder, files, [SPLIT], scored.scoring_config(settings, length), context.log.info)

    return scored.build_evaluation(
        context,
        settings,
        store,
        tracking,
        artifact=f"{EVALUATION}/{key}/{mode}",
        evaluation=scored.Evaluation(
            subject=scored.Subject(name=key, mode=mode, kind="variant", detail=f"at {there.name}"),
            splits=[SPLIT],
            score=score,
            hashes=lambda: scored.folder_hashes(folder),
            parameters=scored.prompt_parameters(settings, length),
            code=encoder_code(settings, key),
            part="elsewhere",
            is_elsewhere=True,
        ),
        examples=asked,
        inputs=[model],
    )


def result_of(found: Mapping[str, Artifact]) -> dg.MaterializeResult:
    """What a person sees in Dagster of all modes together."""
    rows = {mode: evaluation_result.rows_of(artifact) for mode, artifact in found.items()}
    version = sha256("".join(artifact.fingerprint for artifact in found.values()).encode()).hexdigest()[:16]
    valid = [evaluation_result.valid_probabilities(artifact) for artifact in found.values()]
    return dg.MaterializeResult(
        metadata={
            "auroc": auroc_table(rows),
            "mlflow_runs": dg.MetadataValue.json({mode: held.summary["mlflow_url"] for mode, held in found.items()}),
            "path": dg.MetadataValue.path(str(next(iter(found.values())).path.parent)),
            "dagster/row_count": sum(held.summary["num_predictions"] for held in found.values()),
        },
        data_version=dg.DataVersion(version),
        check_results=[
            dg.AssetCheckResult(check_name=evaluation_result.CHECKS[0], passed=all(check.passed for check in valid)),
            evaluation_result.too_good([row for of_mode in rows.values() for row in of_mode]),
        ],
    )


def auroc_table(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dg.MarkdownMetadataValue:
    shown = [
        [
            mode,
            TASKS[row["task"]].title,
            row["n"],
            *("-" if row[name] is None else row[name] for name in ("value", "low", "high")),
        ]
        for mode, of_mode in rows.items()
        for row in of_mode
        if row["metric"] == "auroc"
    ]
    return markdown_table(["trained on", "task", "notes", "AUROC", "low", "high"], shown)
