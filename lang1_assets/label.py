"""Labels: each task's cohort joined with clean text, one file a task (paper 5.2.2)."""

from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lang1_assets.materialization import DATA_OWNER, column_schema, markdown_table, materialized
from lang1_assets.ops import schemas
from lang1_assets.ops.labeling import check_classes, join_text, write_examples
from lang1_assets.ops.tasks import TASKS, Task
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings

GROUP = "label"
EXAMPLES_FILE = "examples.parquet"


def build_assets(settings: Settings) -> list[Any]:
    return [examples(task) for task in TASKS.values()]


def examples(task: Task) -> dg.AssetsDefinition:
    name = f"{task.name}_examples"

    @dg.asset(
        name=name,
        deps=[f"cohort_{task.name}", "clean_notes"],
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"polars", "parquet"},
        description=f"{task.title}: labelled notes with their clean text, by split.",
        metadata={"dagster/column_schema": column_schema(schemas.EXAMPLES), "question": task.question},
        check_specs=[
            dg.AssetCheckSpec("no_note_in_two_splits", asset=name, blocking=True),
            dg.AssetCheckSpec("every_class_in_every_split", asset=name),
        ],
    )
    def _examples(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        cohorts, notes = store.get("warehouse"), store.get("clean_notes")

        def make(work: Path) -> dict[str, Any]:
            joined = join_text(cohorts.path / f"cohort_{task.name}.parquet", notes.path / "notes" / "*.parquet")
            absent = check_classes(joined.examples, task)
            write_examples(joined.examples, work / EXAMPLES_FILE)
            return {
                "num_examples": len(joined.examples),
                "without_clean_text": joined.num_without_text,
                "absent_classes": absent,
            }

        artifact = store.build(
            name,
            make,
            inputs=[cohorts, notes],
            parameters={"task": task.name, "version": task.version},
            code=["lang1_assets.ops.labeling", "lang1_assets.ops.schemas", "lang1_assets.ops.tasks"],
            on_wait=context.log.warning,
        )
        frame = pl.read_parquet(artifact.path / EXAMPLES_FILE, columns=["note_id", "subject_id", "split", "label"])
        return materialized(
            artifact,
            [one_split_each(frame), every_class(artifact)],
            splits=split_table(frame, task),
            **{"dagster/row_count": len(frame)},
        )

    return _examples


def one_split_each(frame: pl.DataFrame) -> dg.AssetCheckResult:
    repeated = len(frame) - frame["note_id"].n_unique()
    return dg.AssetCheckResult(
        check_name="no_note_in_two_splits", passed=repeated == 0, metadata={"notes_that_appear_twice": repeated}
    )


def every_class(artifact: Artifact) -> dg.AssetCheckResult:
    absent = artifact.summary["absent_classes"]
    return dg.AssetCheckResult(
        check_name="every_class_in_every_split",
        passed=not absent,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(absent) or None,
    )


def split_table(frame: pl.DataFrame, task: Task) -> dg.MarkdownMetadataValue:
    rows = []
    for split in frame["split"].unique(maintain_order=True):
        part = frame.filter(pl.col("split") == split)
        shares = [part.filter(pl.col("label") == label).height / max(1, len(part)) for label in range(task.num_classes)]
        rows.append([split, len(part), part["subject_id"].n_unique(), *shares])
    return markdown_table(["split", "notes", "patients", *task.options], rows)
