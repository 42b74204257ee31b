"""The report: one self-contained page of everything that was evaluated, with every number's origin."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lang1_assets.evaluation.families import is_of_these_inputs, modes_of, told_apart, wanted
from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC, materialized
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, lang1_home
from lang1_assets.studies.reported import ASSETS, Made, made_so_far, parts_of

GROUP = "report"
ZERO_SHOT = "zero_shot"
RESULTS_FILE = "results.json"
CODE = [
    "lang1_assets.ops.report",
    "lang1_assets.ops.results",
    "lang1_assets.ops.paper_tables",
    "lang1_assets.ops.figures",
    "lang1_assets.ops.split_titles",
    *(f"lang1_assets.ops.study.{name}" for name in ("pictures", "bar_panel", "line_panel", "heatmap_panel", "look")),
    "lang1_assets.ops.study.label_figures",
    "lang1_assets.ops.analysis.pictures",
]


def build_assets(settings: Settings) -> list[Any]:
    return [report(settings)]


def report(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="report",
        deps=[
            *(f"{mode}_evaluation" for mode in modes_of(settings)),
            "trajectory_evaluation",
            "leaderboard",
            "corpus_statistics",
            "cohort_counts",
            "rejects",
            *ASSETS,
        ],
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"html"},
        description="One page: what of the paper's findings holds here, every study's figure, AUROC beside the oracle, "
        "cohorts beside Tables B1-B7, model cards. " + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[dg.AssetCheckSpec("every_number_has_its_origin", asset="report")],
    )
    def _report(context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking) -> dg.MaterializeResult:
        found, old_evaluations = evaluations(store, settings)
        if not found:
            raise dg.Failure(nothing_evaluated(old_evaluations))
        shared = [store.get(name) for name in ("warehouse", "clean_notes", *(f"{task}_examples" for task in TASKS))]
        models = [store.get(f"pretrained_model/{variant}") for variant in dict.fromkeys(v for _, v in found)]
        trajectories, old_trajectories = told_apart(store, [trajectory_name(model) for model in models])
        boards, old_boards = told_apart(store, ["leaderboard"], is_of_these_inputs)
        made = made_so_far(store, settings)
        inputs = [*found.values(), *shared, *models, *trajectories.values(), *boards.values(), *made.artifacts]
        left_out = (*old_evaluations, *old_trajectories, *old_boards, *made.left_out)
        if left_out:
            context.log.warning(
                f"Made of earlier models or inputs, and left out: {', '.join(left_out)}. Make them again."
            )

        def make(work: Path) -> dict[str, Any]:
            # Jinja and scipy take their time to import; the definitions do without them.
            from lang1_assets.ops.report import write_report

            data = replace(
                gather(settings, store, tracking, found, models, inputs, made),
                leaderboard=leaderboard_entries(boards.get("leaderboard")),
                trajectory=trajectory_points(trajectories.get(trajectory_name(models[0]))),
                left_out=left_out,
            )
            write_report(data, work)
            return {"num_rows": len(data.rows), "num_models": len(models), "num_studies": len(made.studies)}

        artifact = store.build(
            "report",
            make,
            inputs=inputs,
            parameters={"left_out": left_out},
            code=CODE,
            on_wait=context.log.warning,
        )
        publish(artifact)
        return materialized(
            artifact,
            [every_origin(artifact)],
            report=dg.MetadataValue.md((artifact.path / "report.md").read_text()),
            page=dg.MetadataValue.path(str(lang1_home() / "reports" / "latest" / "index.html")),
        )

    return _report


def leaderboard_entries(artifact: Artifact | None) -> tuple[Any, ...]:
    return () if artifact is None else tuple(json.loads((artifact.path / "leaderboard.json").read_text()))


def evaluations(store: ArtifactStore, settings: Settings) -> tuple[dict[tuple[str, str], Artifact], list[str]]:
    """(mode, variant) -> evaluation of each mode that the profile asks for and that was evaluated so far; and the names of those
    that are of earlier models."""
    asked = wanted(settings)
    keys = {
        f"{mode}_evaluation/{variant}": (mode, variant)
        for variant in settings.variants
        for mode in modes_of(settings)
        if mode in (ZERO_SHOT, *asked.get(variant, settings.finetune.recipes))
    }
    found, old = told_apart(store, keys)
    return {keys[name]: item for name, item in found.items()}, old


def nothing_evaluated(old: Sequence[str]) -> str:
    if old:
        return f"Every evaluation there is, is of an earlier model. Materialize again: {', '.join(old)}."
    return "Nothing has been evaluated yet: materialize 'zero_shot_evaluation' for a variant first."


def gather(
    settings: Settings,
    store: ArtifactStore,
    tracking: Tracking,
    found: dict[tuple[str, str], Artifact],
    models: list[Artifact],
    inputs: list[Artifact],
    made: Made,
) -> Any:
    from lang1_assets.ops.report import ReportData, sources

    warehouse, clean = store.get("warehouse"), store.get("clean_notes")
    main = models[0]
    return ReportData(
        title="ReMedE on the embedded hospital" if settings.is_synthetic else f"ReMedE: {settings.description}",
        profile=settings.name,
        is_synthetic=settings.is_synthetic,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        model=main.name.split("/")[1],
        rows=tuple(row for key, artifact in found.items() for row in rows_of(key, artifact, tracking)),
        models=tuple(model_summary(model) for model in models),
        artifacts=tuple(artifact_link(item, tracking) for item in inputs),
        calibration=tuple(item for key, artifact in found.items() for item in calibrations(settings, key, artifact)),
        cohorts=tuple(count for task in TASKS for count in cohort_counts(settings, store, task)),
        stages=stage_counts(warehouse, clean),
        rejects=tuple(sources.reject_counts(all_rejects(warehouse, clean))),
        loss_curves=tuple(sources.read_loss_curves(main.path / "metrics.jsonl")),
        dagster_url=tracking.dagster_url,
        mlflow_url=tracking.ui_url,
        num_resamples=settings.evaluate.num_resamples,
        headline_split=settings.cohorts.headline_split,
        splits=settings.cohorts.split_names,
        split_titles=settings.cohorts.split_titles,
        switched_off=switched_off(store),
        **parts_of(made, tracking, settings),
    )


def switched_off(store: ArtifactStore) -> dict[str, str]:
    """Task -> what the source lacks for it."""
    found = {task: store.get(f"{task}_examples").summary["switched_off"] for task in TASKS}
    return {task: reason for task, reason in found.items() if reason}


def rows_of(key: tuple[str, str], artifact: Artifact, tracking: Tracking) -> list[Any]:
    mode, _ = key
    rows = json.loads((artifact.path / "rows.json").read_text())
    origin = {
        "asset_url": f"{tracking.dagster_url}/assets/{mode}_evaluation",
        "mlflow_url": artifact.summary["mlflow_url"],
    }
    return [{**row, **origin} for row in rows]


def calibrations(settings: Settings, key: tuple[str, str], artifact: Artifact) -> list[Any]:
    from lang1_assets.ops.report import sources

    mode, variant = key
    predictions = pl.read_parquet(artifact.path / "predictions.parquet")
    return sources.task_calibrations(
        predictions,
        model=variant,
        trained_on=None if mode == ZERO_SHOT else mode,
        split=settings.cohorts.headline_split,
    )


def cohort_counts(settings: Settings, store: ArtifactStore, task: str) -> list[Any]:
    from lang1_assets.ops.report import sources

    path = store.get(f"{task}_examples").path / "examples.parquet"
    frame = pl.read_parquet(path, columns=["split", "label", "subject_id"])
    return sources.cohort_counts(task, frame, settings.cohorts.split_names)


def model_summary(model: Artifact) -> Any:
    from lang1_assets.ops.report import ModelSummary

    return ModelSummary(
        name=model.name.split("/")[1],
        num_parameters=model.summary["num_parameters"],
        num_tokens=model.summary["tokens"],
        validation_loss=model.summary.get("val/loss/all"),
        validation_perplexity=model.summary.get("val/perplexity/all"),
        mlflow_url=model.summary["mlflow_url"],
    )


def artifact_link(artifact: Artifact, tracking: Tracking) -> Any:
    from lang1_assets.ops.report import ArtifactLink

    # The tables that dbt builds are one artifact and many assets; its staging table stands for them.
    parts = ["stg_notes"] if artifact.name == "warehouse" else artifact.name.split("/")
    key = parts[1] if parts[0] == "study" else parts[0]
    return ArtifactLink(
        name=artifact.name,
        asset_key=key,
        fingerprint=artifact.fingerprint,
        created=artifact.created,
        url=f"{tracking.dagster_url}/assets/{key}",
        mlflow_url=artifact.summary.get("mlflow_url"),
    )


def stage_counts(warehouse: Artifact, clean: Artifact) -> tuple[Any, ...]:
    from lang1_assets.ops.report import StageCount

    intake = pl.read_parquet(warehouse.path / "intake_counts.parquet").sort("table_name")
    staged = [
        StageCount(name=f"staging: {row['table_name']}", num_in=row["rows_in"], num_out=row["rows_out"])
        for row in intake.iter_rows(named=True)
    ]
    cleaned = StageCount(name="cleaning: notes", num_in=clean.summary["rows_in"], num_out=clean.summary["rows_kept"])
    return (*staged, cleaned)


def all_rejects(warehouse: Artifact, clean: Artifact) -> pl.DataFrame:
    columns = ["source", "row_id", "reason"]
    staged = pl.read_parquet(warehouse.path / "rejects.parquet").select(columns)
    cleaned = pl.scan_parquet(clean.path / "rejects" / "*.parquet").select(columns).collect()
    return pl.concat(
        [staged.with_columns(source="staging: " + pl.col("source")), cleaned.with_columns(source=pl.lit("cleaning"))]
    )


def trajectory_name(model: Artifact) -> str:
    return model.name.replace("pretrained_model", "trajectory_evaluation")


def trajectory_points(artifact: Artifact | None) -> tuple[Any, ...]:
    from lang1_assets.ops.report import TrajectoryPoint

    rows = json.loads((artifact.path / "rows.json").read_text()) if artifact is not None else []
    kept = ("name", "tokens", "value", "low", "high", "n", "chance")
    return tuple(TrajectoryPoint(**{name: row[name] for name in kept}) for row in rows)


def publish(artifact: Artifact) -> None:
    """`reports/latest` leads to the newest report; the name changes in one step."""
    reports = lang1_home() / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    beside = reports / f"latest.{os.getpid()}"
    beside.unlink(missing_ok=True)
    beside.symlink_to(artifact.path, target_is_directory=True)
    beside.rename(reports / "latest")


def every_origin(artifact: Artifact) -> dg.AssetCheckResult:
    rows = json.loads((artifact.path / RESULTS_FILE).read_text())["rows"]
    without = [row for row in rows if not (row.get("asset_url") and row.get("mlflow_url"))]
    return dg.AssetCheckResult(
        check_name="every_number_has_its_origin",
        passed=not without and bool(rows),
        metadata={"num_rows": len(rows), "rows_without_origin": len(without)},
    )
