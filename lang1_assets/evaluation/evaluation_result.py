"""What a person sees of an evaluation in Dagster: AUROCs with intervals, where its record lies, and two checks."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from lang1_assets.materialization import inline_table, materialized
from lang1_assets.ops.schemas import PREDICTIONS_FILE, RECORD_FILE, ROWS_FILE
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.store import Artifact

CHECKS = ("probabilities_are_valid", "not_too_good_to_be_true")


def check_specs(asset: str) -> list[dg.AssetCheckSpec]:
    valid, not_too_good = CHECKS
    return [dg.AssetCheckSpec(valid, asset=asset, blocking=True), dg.AssetCheckSpec(not_too_good, asset=asset)]


def evaluation_result(artifact: Artifact, **metadata: Any) -> dg.MaterializeResult:
    """What a person sees of it in Dagster."""
    rows = rows_of(artifact)
    return materialized(
        artifact,
        [valid_probabilities(artifact), too_good(rows)],
        auroc=auroc_table(rows),
        mlflow_run=dg.MetadataValue.url(artifact.summary["mlflow_url"]),
        record=dg.MetadataValue.path(str(artifact.path / RECORD_FILE)),
        **{"dagster/row_count": artifact.summary["num_predictions"]},
        **metadata,
    )


def rows_of(artifact: Artifact) -> list[dict[str, Any]]:
    """Its metrics (`results.ResultRow`)."""
    rows: list[dict[str, Any]] = json.loads((artifact.path / ROWS_FILE).read_text())
    return rows


def auroc_table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    shown = [row for row in rows if row["metric"] == "auroc" and row["value"] is not None]
    return inline_table(
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


def too_good(rows: Sequence[Mapping[str, Any]]) -> dg.AssetCheckResult:
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
