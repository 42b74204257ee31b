"""Analyses as assets: for whom an AUROC holds, whether the model knew the patients, whether it still holds (F6, K8, L9)."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lang1_assets.corpus.supplied import example_files, supplied_examples
from lang1_assets.evaluation.families import told_apart
from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC, markdown_table, materialized, picture, said_to_be
from lang1_assets.ops.tasks import TASKS
from lang1_assets.partitions import variant_partitions
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings
from lang1_assets.studies.analyses import (
    DRIFT,
    OVERLAP,
    STRATA,
    ZERO_SHOT,
    Analysis,
    Evaluated,
    Rows,
    pretraining_patients,
    tasks_gone,
)

GROUP = "analyze"
ROWS_FILE = "rows.json"
CODE = [
    "lang1_assets.studies.analyses",
    "lang1_assets.ops.analysis",
    "lang1_assets.ops.metrics",
    "lang1_assets.ops.bootstrap",
    "lang1_assets.ops.results",
    "lang1_assets.ops.figures",
    "lang1_assets.ops.split_titles",
    "lang1_assets.ops.tasks",
]
DEMOGRAPHICS = ["note_id", "encounter_id", "subject_id", "prediction_time", "split", "label"]
DEMOGRAPHICS += ["age", "sex", "race", "ethnicity", "borough"]
"""Of an example, all but its text."""


def build_assets(settings: Settings) -> list[Any]:
    return [*(analysis_asset(settings, analysis) for analysis in (STRATA, OVERLAP, DRIFT)), label_dependence(settings)]


def modes_of(settings: Settings) -> tuple[str, ...]:
    return (ZERO_SHOT, *settings.finetune.recipes)


def analysis_asset(settings: Settings, analysis: Analysis) -> dg.AssetsDefinition:
    @dg.asset(
        name=analysis.name,
        deps=[
            *(f"{mode}_evaluation" for mode in modes_of(settings)),
            *(f"{task}_examples" for task in TASKS),
            "clean_notes",
        ],
        partitions_def=variant_partitions(settings),
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"polars", "matplotlib"},
        description=analysis.description + (f" {SYNTHETIC}" if settings.is_synthetic else ""),
        check_specs=[dg.AssetCheckSpec(analysis.check, asset=analysis.name)],
    )
    def _analysis(context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking) -> dg.MaterializeResult:
        key = context.partition_key
        found, old = evaluations(store, settings, key)
        if old:
            context.log.warning(f"Left out, for their models were made anew since: {', '.join(old)}. Evaluate again.")
        examples = supplied_examples(store, TASKS)
        notes, tables = store.get("clean_notes"), store.get("warehouse")
        inputs = [*found.values(), *examples.values(), notes, tables]

        def make(work: Path) -> dict[str, Any]:
            with tracking.run(
                context,
                experiment="evaluate",
                name=f"{key}, {analysis.name}",
                work=work,
                params={"profile": settings.name, "part": "analysis", "variant": key, "detail": analysis.name},
                inputs=inputs,
            ) as run:
                held = evaluated(settings, key, found, examples, notes, tables)
                rows = analysis.measure(settings, held)
                (work / ROWS_FILE).write_text(json.dumps(rows, indent=1, allow_nan=False))
                write_pictures(work, lambda wide: analysis.draw(settings, key, rows, wide))
                summary = {
                    "num_groups": len(rows),
                    "num_left_out": sum(row["left_out"] is not None for row in rows),
                    "num_warnings": len(analysis.warnings(rows)),
                }
                run.log_values({f"{analysis.name}/{name}": float(value) for name, value in summary.items()})
                run.log_file(work / ROWS_FILE)
            gone = ", ".join(tasks_gone(held))
            if gone:
                context.log.warning(
                    f"Evaluated before, and no longer supplied: {gone}. Evaluate again to leave it out."
                )
            return {**summary, "tasks_gone": gone, "mlflow_run_id": run.run_id, "mlflow_url": run.url}

        artifact = store.build(
            f"{analysis.name}/{key}",
            make,
            inputs=inputs,
            parameters={
                "analyze": settings.analyze.model_dump(),
                "num_resamples": settings.evaluate.num_resamples,
                "split": settings.cohorts.headline_split,
                "mixture": settings.variants[key].mixture,
                "seed": settings.seed,
            },
            code=CODE,
            on_wait=context.log.warning,
        )
        rows = json.loads((artifact.path / ROWS_FILE).read_text())
        return materialized(
            artifact,
            [warned(analysis.check, analysis.warnings(rows))],
            values=said_to_be(values_table(rows, analysis.columns), settings.is_synthetic),
            left_out=left_out_table(rows, analysis.columns),
            mlflow_run=dg.MetadataValue.url(artifact.summary["mlflow_url"]),
            **pictures_of(artifact),
        )

    return _analysis


def evaluations(store: ArtifactStore, settings: Settings, key: str) -> tuple[dict[str, Artifact], list[str]]:
    """The evaluation of each mode that was evaluated so far; and the names of those whose model was made anew since.

    Raises:
        dg.Failure: there is none.
    """
    modes = {f"{mode}_evaluation/{key}": mode for mode in modes_of(settings)}
    found, old = told_apart(store, modes)
    if not found:
        first = f"materialize again: {', '.join(old)}" if old else f"materialize '{ZERO_SHOT}_evaluation' for it first"
        raise dg.Failure(f"Nothing of {key} has been evaluated yet: {first}.", allow_retries=False)
    return {modes[name]: artifact for name, artifact in found.items()}, old


def evaluated(
    settings: Settings,
    key: str,
    found: Mapping[str, Artifact],
    examples: dict[str, Artifact],
    notes: Artifact,
    tables: Artifact,
) -> Evaluated:
    return Evaluated(
        key=key,
        predictions={mode: pl.read_parquet(item.path / "predictions.parquet") for mode, item in found.items()},
        examples={task: pl.read_parquet(path, columns=DEMOGRAPHICS) for task, path in example_files(examples).items()},
        pretrained=pretraining_patients(settings, key, notes, tables),
    )


def label_dependence(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="label_dependence",
        deps=["mortality_examples", "length_of_stay_examples"],
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"polars", "matplotlib"},
        description="Fig. F6: length of stay given death, and death given length of stay, from the labels alone. "
        + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[dg.AssetCheckSpec("stays_have_both_labels", asset="label_dependence")],
    )
    def _label_dependence(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        inputs = [store.get("mortality_examples"), store.get("length_of_stay_examples")]

        def make(work: Path) -> dict[str, Any]:
            from lang1_assets.ops.analysis.label_dependence import dependence_rows
            from lang1_assets.ops.analysis.pictures import dependence_picture

            reasons = [item.summary["switched_off"] for item in inputs if item.summary["switched_off"]]
            if reasons:
                (work / ROWS_FILE).write_text("[]")
                return {"switched_off": "; ".join(dict.fromkeys(reasons))}
            columns = ["encounter_id", "label"]
            rows, matching = dependence_rows(
                *(pl.read_parquet(item.path / "examples.parquet", columns=columns) for item in inputs)
            )
            (work / ROWS_FILE).write_text(json.dumps(rows, indent=1, allow_nan=False))
            write_pictures(
                work,
                lambda wide: {"figure": dependence_picture(rows, is_synthetic=settings.is_synthetic, wide=wide)},
            )
            return {**matching, "switched_off": ""}

        artifact = store.build("label_dependence", make, inputs=inputs, code=CODE, on_wait=context.log.warning)
        rows = json.loads((artifact.path / ROWS_FILE).read_text())
        return materialized(
            artifact,
            [both_labels(artifact.summary)],
            values=said_to_be(dependence_table(rows), settings.is_synthetic),
            **pictures_of(artifact),
        )

    return _label_dependence


def both_labels(summary: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Both tasks are about admissions with an H&P: a stay that only one of them labels is of another cohort."""
    alone = {name: summary.get(name, 0) for name in ("only_mortality", "only_length_of_stay")}
    words = [f"{count} stays {name.replace('_', ' ')}" for name, count in alone.items() if count]
    return warned("stays_have_both_labels", words)


def warned(name: str, words: Sequence[str]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        passed=not words,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(words) or None,
    )


def write_pictures(work: Path, draw: Callable[[bool], dict[str, bytes]]) -> None:
    for wide, suffix in ((True, ""), (False, "-phone")):
        for name, drawn in draw(wide).items():
            (work / f"{name}{suffix}.png").write_bytes(drawn)


def pictures_of(artifact: Artifact) -> dict[str, dg.MarkdownMetadataValue]:
    """The pictures for a phone: they are read everywhere."""
    paths = sorted(artifact.path.glob("*-phone.png"))
    return {path.stem.removesuffix("-phone"): picture(path, artifact.name) for path in paths}


def values_table(rows: Rows, columns: Sequence[str]) -> dg.MarkdownMetadataValue:
    shown = [row for row in rows if row["value"] is not None]
    return markdown_table(
        ["task", "model", *(name.replace("_", " ") for name in columns), "notes", "AUROC", "95 % interval"],
        [
            [
                TASKS[row["task"]].title,
                row["mode"],
                *("-" if row[name] is None else row[name] for name in columns),
                row["n"],
                row["value"],
                f"{row['low']:.3f} - {row['high']:.3f}",
            ]
            for row in shown
        ],
    )


def left_out_table(rows: Rows, columns: Sequence[str]) -> dg.MarkdownMetadataValue:
    names = [name for name in columns if rows and isinstance(rows[0][name], str)]
    return markdown_table(
        ["task", "model", *names, "left out because"],
        [
            [TASKS[row["task"]].title, row["mode"], *(row[name] for name in names), row["left_out"]]
            for row in rows
            if row["left_out"]
        ],
    )


def dependence_table(rows: Rows) -> dg.MarkdownMetadataValue:
    return markdown_table(
        ["given", "probability of", "stays", "value", "95 % interval"],
        [
            [row["condition"], row["outcome"], row["n"], row["value"], f"{row['low']:.3f} - {row['high']:.3f}"]
            for row in rows
            if row["value"] is not None
        ],
    )
