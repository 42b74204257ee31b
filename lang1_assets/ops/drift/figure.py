"""Drift as pictures: how the model does by month, and what its notes and scores are like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lang1_assets.ops.analysis import temporal_drift
from lang1_assets.ops.analysis.month_figure import drift_picture
from lang1_assets.ops.drift.rows import (
    AUROC,
    EXPECTED,
    GAP,
    NUM_NOTES,
    OBSERVED,
    SCORE_STABILITY,
    TOKENS_PER_WORD,
    UNSEEN_WORDS,
    WORD_DISTANCE,
    WORDS_MEDIAN,
    DriftRow,
    by_statistic,
    titles,
)
from lang1_assets.ops.drift.verdict import worse_by_month
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.pictures import draw_together
from lang1_assets.ops.tasks import TASKS

SHEETS = {
    "notes": (NUM_NOTES, WORDS_MEDIAN, TOKENS_PER_WORD),
    "words_and_scores": (UNSEEN_WORDS, WORD_DISTANCE, SCORE_STABILITY),
}
"""Pictures of the inputs, three charts each."""
REFERENCE = "reference"


def performance_picture(
    rows: Sequence[DriftRow], recipe: str, title: str, level: float, *, is_synthetic: bool, wide: bool
) -> bytes:
    """AUROC and calibration by month of one model, as `temporal_drift` draws those of the later tests."""
    worse = worse_by_month(rows, level)
    shown: list[Any] = []
    references: dict[str, Any] = {}
    for (task, month), found in by_statistic(rows).items():
        head = {"mode": recipe, "task": task, "left_out": None, "p_drop": None, "standard_deviation": None}
        is_drop = any((row["model"], month, task, AUROC) in worse for row in found.values())
        shown.append({**head, **of_month(found), "month": month, "is_drop": is_drop})
        reference = found[AUROC]["reference"] if AUROC in found else None
        if reference is not None:
            whole = {"split": temporal_drift.REFERENCE_SPLIT, "month": temporal_drift.WHOLE, "is_drop": False}
            references[task] = {**head, **of_month({}), **whole, "value": reference}
    return drift_picture(
        [*references.values(), *shown],
        title,
        is_synthetic=is_synthetic,
        wide=wide,
        reference="the test that it was put in service with",
    )


def of_month(found: dict[str, DriftRow]) -> dict[str, Any]:
    """The fields of `temporal_drift.DriftRow` that a picture is drawn from."""
    auroc, observed, expected, gap = (found.get(name) for name in (AUROC, OBSERVED, EXPECTED, GAP))
    return {
        "split": "landed",
        "n": auroc["n"] if auroc else 0,
        "num_events": 0,
        **{end: auroc[end] if auroc else None for end in ("value", "low", "high")},  # type: ignore[literal-required]
        "observed": observed["value"] if observed else None,
        "observed_low": observed["low"] if observed else None,
        "observed_high": observed["high"] if observed else None,
        "predicted": expected["value"] if expected else None,
        "gap": gap["value"] if gap else None,
        "gap_low": gap["low"] if gap else None,
        "gap_high": gap["high"] if gap else None,
    }


def inputs_picture(rows: Sequence[DriftRow], sheet: str, *, is_synthetic: bool, wide: bool) -> bytes:
    """Three numbers of the notes by month, a line a task; the first place is that of the reference."""
    figures = tuple(inputs_figure(rows, statistic) for statistic in SHEETS[sheet])
    return draw_together(figures, wide=wide, is_synthetic=is_synthetic)


def inputs_figure(rows: Sequence[DriftRow], statistic: str) -> Figure:
    own = sorted((row for row in rows if row["statistic"] == statistic), key=lambda row: row["month"])
    tasks = [task for task in TASKS if any(row["task"] == task for row in own)]
    last = {task: [row for row in own if row["task"] == task][-1] for task in tasks}
    references = [reference_point(row) for row in last.values() if row["reference"] is not None]
    return Figure(
        name=statistic,
        paper="",
        title=titles(statistic),
        caption="First what random patients of the reference give, as many notes as the last month has; bars: 95 %."
        if references
        else "",
        kind="lines",
        x_title="month",
        y_title=titles(statistic),
        points=(*references, *(point_of(row) for row in own)),
    )


def reference_point(row: DriftRow) -> Point:
    return Point(
        series=TASKS[row["task"]].title,
        x=REFERENCE,
        value=row["reference"],
        low=row["reference_low"],
        high=row["reference_high"],
    )


def point_of(row: DriftRow) -> Point:
    return Point(
        series=TASKS[row["task"]].title,
        x=row["month"],
        value=row["value"],
        low=row["low"],
        high=row["high"],
        n=row["n"],
        note=row["left_out"] or "",
    )
