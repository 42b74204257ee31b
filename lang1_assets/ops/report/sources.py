"""From the files that the stages wrote to the parts of a `ReportData`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from lang1_assets.ops import metrics
from lang1_assets.ops.report.data import (
    CalibrationPoint,
    CohortCount,
    LossCurve,
    RejectCount,
    ReportError,
    TaskCalibration,
)
from lang1_assets.ops.results import HEADLINE_SPLIT, labels_and_probabilities
from lang1_assets.ops.schemas import SPLITS
from lang1_assets.ops.tasks import TASKS

MAXIMUM_CURVE_POINTS = 200


def task_calibrations(
    predictions: pl.DataFrame, *, model: str, trained_on: str | None, split: str = HEADLINE_SPLIT
) -> list[TaskCalibration]:
    """One reliability curve a task from `schemas.PREDICTIONS`; a task without notes in the split has none."""
    found = []
    for (task,), group in predictions.filter(pl.col("split") == split).group_by("task", maintain_order=True):
        labels, probabilities = labels_and_probabilities(group)
        curve = metrics.calibration_curve(labels, probabilities)
        found.append(
            TaskCalibration(
                model=model,
                trained_on=trained_on,
                task=str(task),
                split=split,
                points=tuple(
                    CalibrationPoint(mean_predicted=predicted, fraction_positive=observed, count=count)
                    for predicted, observed, count in zip(
                        curve.mean_predicted.tolist(),
                        curve.fraction_positive.tolist(),
                        curve.counts.tolist(),
                        strict=True,
                    )
                ),
                ece_top_class=metrics.top_class_ece(labels, probabilities),
                ece_positive=metrics.positive_ece(labels, probabilities) if probabilities.shape[1] == 2 else None,
            )
        )
    return found


def cohort_counts(task: str, cohort: pl.DataFrame, splits: Sequence[str] = SPLITS) -> list[CohortCount]:
    """One count a split, in this order, from a cohort or examples frame (columns `split`, `label`, `subject_id`).

    Raises:
        ReportError: notes are in other splits.
    """
    others = sorted(set(cohort["split"].unique()) - set(splits), key=str)
    if others:
        raise ReportError(
            f"cohort of {task}: notes in split {', '.join(map(repr, others))}; expected {', '.join(splits)}. "
            "Materialize the examples again, under the profile of this report"
        )
    num_classes = TASKS[task].num_classes
    found = []
    for split in splits:
        own = cohort.filter(pl.col("split") == split)
        by_label = dict(own.group_by("label").len().iter_rows())
        found.append(
            CohortCount(
                task=task,
                split=split,
                notes_by_label=tuple(by_label.get(label, 0) for label in range(num_classes)),
                num_patients=own["subject_id"].n_unique(),
            )
        )
    return found


def reject_counts(rejects: pl.DataFrame) -> list[RejectCount]:
    """Rows of `schemas.REJECTS` counted by source and reason, most first."""
    counted = (
        rejects.group_by("source", "reason")
        .len("num_rows")
        .sort("num_rows", "source", "reason", descending=[True, False, False])
    )
    return [RejectCount(**row) for row in counted.iter_rows(named=True)]


def read_loss_curves(path: Path) -> list[LossCurve]:
    """Training and held-out losses from the `metrics.jsonl` of a pretraining run; thinned to 200 points a curve."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    train = {row["step"]: row["values"] for row in lines if "train/loss" in row["values"]}
    if not train:
        return []
    last = max(train)
    tokens_per_step = train[last]["train/tokens"] / last
    points: dict[tuple[str, bool], dict[int, float]] = {
        ("training", False): {step: values["train/loss"] for step, values in train.items()}
    }
    for row in lines:
        for name, value in row["values"].items():
            if name.startswith("val/loss/"):
                points.setdefault((name.removeprefix("val/loss/"), True), {})[row["step"]] = value
    return [_curve(name, held_out, by_step, tokens_per_step) for (name, held_out), by_step in points.items()]


def _curve(name: str, is_held_out: bool, by_step: dict[int, float], tokens_per_step: float) -> LossCurve:
    # A resumed run writes a step twice; the dictionary has kept the later value.
    steps = sorted(by_step)
    stride = max(1, -(-len(steps) // MAXIMUM_CURVE_POINTS))
    kept = steps[::-1][::stride][::-1]
    return LossCurve(
        name=name,
        tokens=tuple(round(step * tokens_per_step) for step in kept),
        losses=tuple(by_step[step] for step in kept),
        is_held_out=is_held_out,
    )
