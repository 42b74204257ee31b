"""Evaluation: every model on the five tasks and their test splits (paper 5.5)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lang1_assets.materialization import RESEARCH_OWNER, column_schema, markdown_table, materialized
from lang1_assets.ops import schemas
from lang1_assets.ops.tasks import TASKS
from lang1_assets.partitions import variant_partitions
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import RECIPES, Settings
from lang1_assets.supplied import example_files, examples_to_score

GROUP = "evaluate"
ZERO_SHOT = "zero_shot"
PREDICTIONS_FILE = "predictions.parquet"
ROWS_FILE = "rows.json"
CODE = [
    "lang1_assets.ops.evaluation",
    "lang1_assets.ops.scoring",
    "lang1_assets.ops.prompts",
    "lang1_assets.ops.tasks",
    "lang1_assets.ops.results",
    "lang1_assets.ops.metrics",
    "lang1_assets.ops.bootstrap",
    "lang1_assets.ops.resampled_metrics",
]


def build_assets(settings: Settings) -> list[Any]:
    modes = (ZERO_SHOT, *RECIPES)
    return [evaluation(settings, mode) for mode in modes]


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
        + f", on the test splits of {'all five tasks' if len(tasks) > 1 else 'its task'}.",
        metadata={"dagster/column_schema": column_schema(schemas.PREDICTIONS)},
        check_specs=[
            dg.AssetCheckSpec("probabilities_are_valid", asset=name, blocking=True),
            dg.AssetCheckSpec("not_too_good_to_be_true", asset=name),
        ],
    )
    def _evaluation(
        context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking
    ) -> dg.MaterializeResult:
        key = context.partition_key
        model = store.get(f"{model_asset}/{key}")
        examples = examples_to_score(store, tasks)
        hospital = store.get("hospital_exports")
        inputs = [model, *examples.values(), hospital]

        def make(work: Path) -> dict[str, Any]:
            with tracking.run(
                context,
                experiment="evaluate",
                name=f"{key}, {mode}",
                work=work,
                params={"profile": settings.name, "variant": key, "mode": mode},
                inputs=inputs,
            ) as run:
                predictions = predict(context, settings, mode, model, examples)
                predictions.write_parquet(work / PREDICTIONS_FILE)
                rows = result_rows(settings, key, mode, predictions, examples, hospital)
                (work / ROWS_FILE).write_text(json.dumps(rows, indent=1))
                run.log_values(metric_values(rows))
                run.log_file(work / ROWS_FILE)
            return {"num_predictions": len(predictions), "mlflow_run_id": run.run_id, "mlflow_url": run.url}

        artifact = store.build(
            f"{name}/{key}",
            make,
            inputs=inputs,
            parameters={
                "evaluate": settings.evaluate.model_dump(exclude={"batch_size", "question_files"}),
                "note_tokens": settings.finetune.note_tokens,
                "context_length": settings.model.context_length,
                "seed": settings.seed,
            },
            code=CODE,
            on_wait=context.log.warning,
        )
        rows = json.loads((artifact.path / ROWS_FILE).read_text())
        return materialized(
            artifact,
            [valid_probabilities(artifact), too_good(rows)],
            auroc=auroc_table(rows),
            mlflow_run=dg.MetadataValue.url(artifact.summary["mlflow_url"]),
            **{"dagster/row_count": artifact.summary["num_predictions"]},
        )

    return _evaluation


def tasks_scored(settings: Settings, mode: str) -> tuple[str, ...]:
    """A single-task model is scored on its own task, and with `evaluate.transfer` on the others."""
    return (mode,) if mode in TASKS and not settings.evaluate.transfer else tuple(TASKS)


def model_folder(mode: str, model: Artifact) -> Path:
    if mode == ZERO_SHOT:
        return model.path / "trajectory" / model.summary["trajectory"][-1]
    return model.path / "model"


def predict(
    context: dg.AssetExecutionContext, settings: Settings, mode: str, model: Artifact, examples: dict[str, Artifact]
) -> pl.DataFrame:
    # torch takes seconds to import; the definitions do without it.
    from lang1_assets.ops import evaluation as scoring

    config = scoring.ScoringConfig(
        note_tokens=settings.finetune.note_tokens,
        context_length=settings.model.context_length,
        max_examples=settings.evaluate.max_examples,
        batch_size=settings.evaluate.batch_size,
        seed=settings.seed,
    )
    files = example_files(examples)
    return scoring.predict(model_folder(mode, model), files, settings.cohorts.test_splits, config, context.log.info)


def result_rows(
    settings: Settings,
    key: str,
    mode: str,
    predictions: pl.DataFrame,
    examples: dict[str, Artifact],
    hospital: Artifact,
) -> list[dict[str, Any]]:
    from lang1_assets.ops import results

    rows: list[Any] = results.result_rows(
        predictions,
        model=key,
        mode=results.ZERO_SHOT if mode == ZERO_SHOT else results.FINETUNED,
        trained_on=None if mode == ZERO_SHOT else mode,
        oracle=oracle_by_note(examples, hospital),
        num_resamples=settings.evaluate.num_resamples,
        seed=settings.seed,
    )
    return rows


def oracle_by_note(examples: dict[str, Artifact], hospital: Artifact) -> pl.DataFrame | None:
    """(note_id, task, probabilities) where the source knows the probability behind each label: the embedded hospital."""
    path = hospital.path / "oracle.parquet"
    if not path.exists():
        return None
    oracle = pl.read_parquet(path)
    notes = [
        pl.read_parquet(artifact.path / "examples.parquet", columns=["note_id", "encounter_id"]).with_columns(
            task=pl.lit(task)
        )
        for task, artifact in examples.items()
    ]
    return pl.concat(notes).join(oracle, on=["encounter_id", "task"]).select("note_id", "task", "probabilities")


def metric_values(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The names under which every evaluation run logs: `auroc/TASK/SPLIT` and so on."""
    return {f"{row['metric']}/{row['task']}/{row['split']}": row["value"] for row in rows if row["value"] is not None}


def auroc_table(rows: Sequence[dict[str, Any]]) -> dg.MarkdownMetadataValue:
    shown = [row for row in rows if row["metric"] == "auroc" and row["value"] is not None]
    return markdown_table(
        ["task", "split", "notes", "AUROC", "95 % interval", "oracle"],
        [
            [
                TASKS[row["task"]].title,
                row["split"],
                row["n"],
                row["value"],
                f"{row['low']:.3f} - {row['high']:.3f}" if row["low"] is not None else "-",
                row["oracle"] if row["oracle"] is not None else "-",
            ]
            for row in shown
        ],
    )


def valid_probabilities(artifact: Artifact) -> dg.AssetCheckResult:
    frame = pl.read_parquet(artifact.path / PREDICTIONS_FILE)
    wrong = frame.filter(
        ((pl.col("probabilities").list.sum() - 1).abs() > 1e-6)
        | (pl.col("probabilities").list.min() < 0)
        | pl.col("probabilities").list.sum().is_nan()
    )
    twice = len(frame) - frame.select("note_id", "task").n_unique()
    return dg.AssetCheckResult(
        check_name="probabilities_are_valid",
        passed=wrong.is_empty() and twice == 0,
        metadata={"rows_not_summing_to_one": len(wrong), "notes_scored_twice": twice},
    )


def too_good(rows: Sequence[dict[str, Any]]) -> dg.AssetCheckResult:
    """An AUROC above 0.98 on an operational task raises a question: most often it is a leak."""
    suspects = [
        f"{row['task']} {row['split']}: {row['value']:.3f}"
        for row in rows
        if row["metric"] == "auroc" and row["value"] is not None and row["value"] > 0.98
    ]
    return dg.AssetCheckResult(
        check_name="not_too_good_to_be_true",
        passed=not suspects,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(suspects) or None,
    )
