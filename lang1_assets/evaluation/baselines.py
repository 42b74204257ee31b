"""Classical baselines on the benchmark: what a language model has to be better than (M80)."""

import json
from typing import Any

import dagster as dg

from lang1_assets.corpus.supplied import example_files, examples_to_score
from lang1_assets.evaluation import evaluation_result, scored
from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC, column_schema, markdown_table
from lang1_assets.ops import schemas
from lang1_assets.ops.baselines import BASELINES
from lang1_assets.ops.schemas import RECORD_FILE
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings

GROUP = "evaluate"
CODE = ["lang1_assets.ops.baselines"]


def build_assets(settings: Settings) -> list[Any]:
    return [baseline_evaluation(settings)]


def baseline_evaluation(settings: Settings) -> dg.AssetsDefinition:
    name = "baseline_evaluation"

    @dg.asset(
        name=name,
        deps=[*(f"{task}_examples" for task in TASKS), "encounters", "charlson_scores", "staged_notes"],
        partitions_def=dg.StaticPartitionsDefinition(list(BASELINES)),
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"scikitlearn"},
        description="Logistic regression and boosted trees on a bag of the note's words, or on the tables alone: a model a task, "
        "fitted to its training notes, set by its validation notes, on the tests that language models are scored on. "
        + (SYNTHETIC if settings.is_synthetic else ""),
        metadata={"dagster/column_schema": column_schema(schemas.PREDICTIONS)},
        check_specs=evaluation_result.check_specs(name),
    )
    def _baseline_evaluation(
        context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking
    ) -> dg.MaterializeResult:
        key = context.partition_key
        tables = store.get("warehouse")
        examples = examples_to_score(store, tuple(TASKS))
        splits, stay_classes = settings.cohorts.test_splits, settings.cohorts.stay_classes
        learned: dict[str, Any] = {}

        def score() -> Any:
            from lang1_assets.ops.baselines.fitting import predict_baseline
            from lang1_assets.ops.baselines.structured import Tables

            found = predict_baseline(
                key,
                example_files(examples),
                Tables(folder=tables.path, stay_classes=stay_classes),
                splits,
                settings.evaluate.max_examples,
                settings.seed,
                context.log.info,
            )
            learned.update(found.record)
            return found

        artifact = scored.build_evaluation(
            context,
            settings,
            store,
            tracking,
            artifact=f"{name}/{key}",
            evaluation=scored.Evaluation(
                subject=scored.Subject(name=key, mode=scored.SINGLE_TASK, kind=scored.BASELINE),
                splits=splits,
                score=score,
                hashes=lambda: learned,
                # Its notes are whole: no model's context cuts them.
                parameters={
                    "note_tokens": None,
                    "max_examples": settings.evaluate.max_examples,
                    "stay_classes": list(stay_classes),
                },
                code=CODE,
            ),
            examples=examples,
            inputs=[tables],
        )
        fitted = json.loads((artifact.path / RECORD_FILE).read_text())["fitted"]
        return evaluation_result.evaluation_result(artifact, fitted=fitted_table(fitted))

    return _baseline_evaluation


def fitted_table(fitted: list[dict[str, Any]]) -> dg.MarkdownMetadataValue:
    return markdown_table(
        ["task", "training notes", "features", "chosen", "validation AUROC"],
        [
            [
                TASKS[row["task"]].title,
                row["num_train"],
                row["num_features"],
                ", ".join(f"{name} {value:g}" for name, value in row["settings"].items()),
                "not measured" if row["val_auroc"] is None else row["val_auroc"],
            ]
            for row in fitted
        ],
    )
