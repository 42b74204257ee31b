"""Labels: each task's cohort joined with clean text, one file a task (paper 5.2.2)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lang1_assets.corpus.supplied import cohort_artifact
from lang1_assets.materialization import DATA_OWNER, SYNTHETIC, column_schema, markdown_table, materialized
from lang1_assets.ops import schemas
from lang1_assets.ops.labeling import (
    CohortError,
    check_classes,
    join_text,
    largest_loss,
    missing_inputs,
    write_examples,
)
from lang1_assets.ops.meds import write_meds_labels
from lang1_assets.ops.tasks import REMEDE, TASKS, Task
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings

GROUP = "label"
EXAMPLES_FILE = "examples.parquet"
MEDS_FILE = "meds_labels.parquet"
MEDS_SUBJECTS_FILE = "meds_subjects.parquet"
TABLES_FILE = "tables.json"


def build_assets(settings: Settings) -> list[Any]:
    own = [own_cohort(settings, task) for task in settings.own_tasks.values()]
    return [*own, *(examples(settings, task) for task in TASKS.values()), cohort_tables(settings)]


def own_cohort(settings: Settings, task: Task) -> dg.AssetsDefinition:
    """The cohort of a hospital's own task; the paper's are tables of the warehouse."""
    name = f"cohort_{task.name}"
    assert task.cohort is not None, "an own task has a cohort"

    @dg.asset(
        name=name,
        deps=["staged_notes", "encounters", "patients", "diagnoses"],
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"duckdb", "parquet"},
        description=f"{task.title}: the notes of this hospital's own task with their labels, by its query.",
        metadata={
            "dagster/column_schema": column_schema(schemas.COHORT),
            "query": dg.MetadataValue.md(f"```sql\n{task.cohort.sql}\n```"),
        },
    )
    def _own_cohort(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        tables = store.get("warehouse")
        config = split_config(settings)

        def make(work: Path) -> dict[str, Any]:
            from lang1_assets.ops.own_cohorts import SplitConfig, write_own_cohort

            return {"num_rows_by_outcome": write_own_cohort(task, tables.path, work, SplitConfig(**config))}

        artifact = store.build(
            name,
            make,
            inputs=[tables],
            parameters={"task": task.to_json(), **config},
            code=["lang1_assets.ops.own_cohorts"],
            on_wait=context.log.warning,
        )
        counted = artifact.summary["num_rows_by_outcome"]
        return materialized(artifact, rows=markdown_table(["rows", "number"], [list(row) for row in counted.items()]))

    return _own_cohort


def split_config(settings: Settings) -> dict[str, Any]:
    """As the SQL project splits the paper's tasks of inpatients."""
    cohorts = settings.cohorts
    windows = cohorts.split_windows["inpatient"] if cohorts.splits == "calendar" else None
    return {"windows": windows, "split_by": cohorts.split_by, "seed": settings.seed}


def examples(settings: Settings, task: Task) -> dg.AssetsDefinition:
    name = f"{task.name}_examples"

    @dg.asset(
        name=name,
        deps=[f"cohort_{task.name}", *(["task_inputs"] if task.cohort is None else []), "clean_notes"],
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"polars", "parquet"},
        description=f"{task.title}: labelled notes with their clean text, by split; beside them the labels as MEDS has them.",
        metadata={"dagster/column_schema": column_schema(schemas.EXAMPLES), "question": task.question},
        check_specs=[
            dg.AssetCheckSpec("no_note_in_two_splits", asset=name, blocking=True),
            dg.AssetCheckSpec("every_class_in_every_split", asset=name),
            dg.AssetCheckSpec("source_has_its_inputs", asset=name),
        ],
    )
    def _examples(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        tables, notes = cohort_artifact(store, task), store.get("clean_notes")
        artifact = store.build(
            name,
            lambda work: write_task(work, task, tables.path, notes.path, settings.cohorts.split_names),
            inputs=[tables, notes],
            parameters={"task": task.name, "version": task.version},
            code=[
                "lang1_assets.ops.labeling",
                "lang1_assets.ops.meds",
                "lang1_assets.ops.schemas",
                "lang1_assets.ops.tasks",
            ],
            on_wait=context.log.warning,
        )
        frame = pl.read_parquet(artifact.path / EXAMPLES_FILE, columns=["note_id", "subject_id", "split", "label"])
        missing = artifact.summary["switched_off"]
        if missing:
            context.log.warning(f"{task.title} is switched off: {missing}")
        return materialized(
            artifact,
            [
                one_split_each(frame),
                every_class(artifact),
                has_inputs(None if artifact.summary["unusable"] else missing),
            ],
            splits=split_table(frame, task),
            attrition=attrition_picture(tables.path, task, settings.is_synthetic),
            **{"dagster/row_count": len(frame)},
        )

    return _examples


def attrition_picture(tables: Path, task: Task, is_synthetic: bool) -> dg.MarkdownMetadataValue:
    """The flow chart from notes to the cohort: how many left at each step, and why."""
    # Matplotlib takes its time to import; the definitions do without it.
    from lang1_assets.ops.attrition import flow_chart
    from lang1_assets.ops.figures import inline_png

    steps, counts = (pl.read_parquet(tables / f"{name}.parquet") for name in ("cohort_attrition", "cohort_counts"))
    picture = flow_chart(steps, counts, task.name, is_synthetic=is_synthetic)
    return dg.MetadataValue.md(inline_png(picture, f"{task.title}: from notes to the cohort"))


def cohort_tables(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="cohort_tables",
        deps=[*(f"cohort_{task}" for task in REMEDE), "task_inputs", "clean_notes"],
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"polars"},
        description="Tables B1 to B7: notes, patients and class ratios of each task by split, beside the paper's. "
        + (SYNTHETIC if settings.is_synthetic else ""),
    )
    def _cohort_tables(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        from lang1_assets.ops import dataset_statistics as statistics

        tables, notes = store.get("warehouse"), store.get("clean_notes")
        off = {task: missing_inputs(tables.path / "task_inputs.parquet", TASKS[task]) for task in REMEDE}
        files = {task: tables.path / f"cohort_{task}.parquet" for task in REMEDE if off[task] is None}

        def make(work: Path) -> dict[str, Any]:
            words = notes.path / "notes" / "*.parquet"
            names = settings.cohorts.split_names
            made = statistics.dataset_tables(files, clean_notes=words, splits=names) if files else []
            (work / TABLES_FILE).write_text(
                json.dumps([{"title": table.title, "markdown": statistics.markdown_of(table.frame)} for table in made])
            )
            for table in made:
                table.frame.write_parquet(work / f"{table.name or 'table'}.parquet")
            return {"num_tables": len(made), "switched_off": {task: why for task, why in off.items() if why}}

        artifact = store.build(
            "cohort_tables",
            make,
            inputs=[tables, notes],
            parameters={"splits": settings.cohorts.split_names},
            code=["lang1_assets.ops.dataset_statistics", "lang1_assets.ops.paper_tables"],
            on_wait=context.log.warning,
        )
        shown = json.loads((artifact.path / TABLES_FILE).read_text())
        text = "\n\n".join(
            [f"**{table['title']}**\n\n{table['markdown']}" for table in shown]
            + [f"{TASKS[task].title} is switched off: {why}." for task, why in off.items() if why]
        )
        said = f"{SYNTHETIC}\n\n" if settings.is_synthetic else ""
        return materialized(artifact, tables=dg.MetadataValue.md(said + text))

    return _cohort_tables


def write_task(work: Path, task: Task, tables: Path, notes: Path, splits: Sequence[str]) -> dict[str, Any]:
    """Examples and MEDS labels; where the source lacks what the task needs, none, and the reason in the summary."""
    cohort = tables / f"cohort_{task.name}.parquet"
    missing = missing_inputs(tables / "task_inputs.parquet", task)
    joined = join_text(cohort, notes / "notes" / "*.parquet")
    absent: list[str] = []
    unusable = None
    if missing is None:
        try:
            absent = check_classes(joined.examples, task, splits)
        except CohortError as error:
            unusable = f"{error}; {largest_loss(tables / 'cohort_attrition.parquet', task)}"
    write_examples(joined.examples, work / EXAMPLES_FILE)
    write_meds_labels(cohort, tables / "patients.parquet", task, work / MEDS_FILE, work / MEDS_SUBJECTS_FILE)
    return {
        "num_examples": len(joined.examples),
        "without_clean_text": joined.num_without_text,
        "absent_classes": absent,
        # Not learned from, because of the source or because of the cohort; every other task goes on.
        "switched_off": missing or unusable,
        "unusable": unusable,
    }


def has_inputs(missing: str | None) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name="source_has_its_inputs",
        passed=missing is None,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"switched off: {missing}" if missing else None,
    )


def one_split_each(frame: pl.DataFrame) -> dg.AssetCheckResult:
    repeated = len(frame) - frame["note_id"].n_unique()
    return dg.AssetCheckResult(
        check_name="no_note_in_two_splits", passed=repeated == 0, metadata={"notes_that_appear_twice": repeated}
    )


def every_class(artifact: Artifact) -> dg.AssetCheckResult:
    absent, unusable = artifact.summary["absent_classes"], artifact.summary["unusable"]
    return dg.AssetCheckResult(
        check_name="every_class_in_every_split",
        passed=not absent and not unusable,
        severity=dg.AssetCheckSeverity.ERROR if unusable else dg.AssetCheckSeverity.WARN,
        description=unusable or "; ".join(absent) or None,
    )


def split_table(frame: pl.DataFrame, task: Task) -> dg.MarkdownMetadataValue:
    rows = []
    for split in frame["split"].unique(maintain_order=True):
        part = frame.filter(pl.col("split") == split)
        shares = [part.filter(pl.col("label") == label).height / max(1, len(part)) for label in range(task.num_classes)]
        rows.append([split, len(part), part["subject_id"].n_unique(), *shares])
    return markdown_table(["split", "notes", "patients", *task.options], rows)
