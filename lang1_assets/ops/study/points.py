"""From cells to the points of a figure, with the intervals that the paper draws: 95 %, of resampled notes (5.5)."""

from __future__ import annotations

from lang1_assets.ops.results import AUROC
from lang1_assets.ops.study.cells import Cell, Sought
from lang1_assets.ops.study.figure import Point
from lang1_assets.ops.tasks import TASKS

CHANCE = 0.5
ZERO_SHOT = "zero-shot"


def title_of(task: str) -> str:
    return TASKS[task].title if task in TASKS else task


def titled(recipe: str | None) -> str:
    """What a model was finetuned on, in print."""
    return ZERO_SHOT if recipe is None else title_of(recipe)


def auroc_point(cell: Cell, task: str, split: str, *, series: str, x: float | str, panel: str = "") -> Point:
    """The cell's AUROC; a point without a value where the cell has none."""
    row = cell.row(task, split, AUROC)
    if row is None or row["value"] is None:
        why = "not evaluated on this task" if row is None else f"one class only in {row['n']} notes"
        return Point(series=series, x=x, value=None, panel=panel, source=cell.source, note=why)
    return Point(
        series=series,
        x=x,
        value=row["value"],
        low=row["low"],
        high=row["high"],
        n=row["n"],
        panel=panel,
        source=cell.source,
    )


def sought_point(sought: Sought, task: str, split: str, *, series: str, x: float | str, panel: str = "") -> Point:
    if sought.cell is None:
        return Point(series=series, x=x, value=None, panel=panel, source=sought.name, note="not evaluated")
    return auroc_point(sought.cell, task, split, series=series, x=x, panel=panel)
