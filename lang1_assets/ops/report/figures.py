"""The charts of the report, as SVG text; each takes the report's data and says what it shows in words as well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lang1_assets.ops.axes import Scale, round_ticks
from lang1_assets.ops.report.data import ReportData, TaskCalibration
from lang1_assets.ops.report.svg import Canvas, bottom_axis, left_axis
from lang1_assets.ops.results import JOINT, ResultRow, find_row, format_interval
from lang1_assets.ops.split_titles import SplitTitles
from lang1_assets.ops.tasks import Task

CHANCE = 0.5
PANEL_WIDTH = 320


@dataclass(frozen=True, kw_only=True)
class Series:
    """One way of getting to a prediction, with the color and shape that it has in every chart."""

    label: str
    css: str
    shape: str


ZERO_SHOT_SERIES = Series(label="Zero-shot", css="zero", shape="ring")
SINGLE_SERIES = Series(label="Single task", css="single", shape="square")
JOINT_SERIES = Series(label="Joint", css="joint", shape="circle")
ORACLE_SERIES = Series(label="Oracle", css="oracle", shape="diamond")
ORACLE_BAR = Series(label="Oracle", css="oracle", shape="bar")
"""The oracle in the drift charts: a short line above each test set."""
TRAINED_SERIES = (ZERO_SHOT_SERIES, SINGLE_SERIES, JOINT_SERIES)


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One result of one task and split."""

    series: Series
    row: ResultRow


def lanes(data: ReportData, task: Task, split: str) -> list[Lane]:
    """Zero-shot, finetuned on this task alone, finetuned on all: those that exist."""
    found = []
    for series, trained_on in zip(TRAINED_SERIES, (None, task.name, JOINT), strict=True):
        row = find_row(data.rows, model=data.model, trained_on=trained_on, task=task.name, split=split)
        if row is not None and row["value"] is not None:
            found.append(Lane(series=series, row=row))
    return found


def oracle_of(found: Sequence[Lane]) -> float | None:
    return next((lane.row["oracle"] for lane in found if lane.row["oracle"] is not None), None)


def auroc_chart(data: ReportData, *, is_narrow: bool) -> str:
    """AUROC on the headline test: for each task its lanes with intervals, below them the oracle."""
    width, lane_height = (360, 20) if is_narrow else (920, 21)
    left, right = (8, 210) if is_narrow else (232, 758)
    head, gap = (24, 14) if is_narrow else (0, 20)
    groups = [(task, lanes(data, task, data.headline_split)) for task in data.tasks.values()]
    groups = [(task, found) for task, found in groups if found]
    heights = [
        head + lane_height * max(len(found) + (oracle_of(found) is not None), 1 if is_narrow else 2)
        for _, found in groups
    ]
    bottom = 26 + sum(heights) + gap * (len(groups) - 1) + 8
    canvas = Canvas(width, bottom + 42)
    lows = [lane.row["low"] for _, found in groups for lane in found if lane.row["low"] is not None]
    scale = Scale(min(0.4, math.floor(min(lows, default=0.4) * 10) / 10), 1.0, left, right)
    bottom_axis(canvas, scale, [(v, f"{v:.1f}") for v in round_ticks(scale.low, 1.0, 8)], 18, bottom)
    canvas.line((scale(CHANCE), 18), (scale(CHANCE), bottom), "chance")
    canvas.text((scale(CHANCE), 12), "chance", "tick", "middle")
    top = 26.0
    for (task, found), height in zip(groups, heights, strict=True):
        _task_group(canvas, scale, task, found, top, head, lane_height)
        top += height + gap
    title = f"AUROC on the {data.headline_title}"
    axis = "AUROC, 95% interval" if is_narrow else f"{title}, 95% interval"
    canvas.text(((left + right) / 2, bottom + 36), axis, "axis", "middle")
    return canvas.render(title, auroc_description(groups))


def _task_group(
    canvas: Canvas,
    scale: Scale,
    task: Task,
    found: Sequence[Lane],
    top: float,
    head: float,
    step: float,
) -> None:
    title_y = top + 15 if head else top + step * 0.5 + 5
    canvas.text((0, title_y), task.title, "name")
    if not head:
        canvas.text((0, title_y + 18), f"{found[0].row['n']:,} notes", "tick")
    first = top + head
    oracle = oracle_of(found)
    if oracle is not None:
        num_lanes = len(found) + 1
        canvas.rect((scale(CHANCE), first), scale.clamped(oracle) - scale(CHANCE), step * num_lanes, "room")
        canvas.line(
            (scale.clamped(oracle), first), (scale.clamped(oracle), first + step * (num_lanes - 0.5)), "ceiling"
        )
        _value(canvas, ORACLE_SERIES, oracle, (scale.clamped(oracle), first + step * (num_lanes - 0.5)), scale.end)
    for number, lane in enumerate(found):
        y = first + step * (number + 0.5)
        value = lane.row["value"] or 0.0
        _interval(canvas, lane, scale, y)
        _value(canvas, lane.series, value, (scale.clamped(value), y), scale.end)


def _interval(canvas: Canvas, lane: Lane, scale: Scale, y: float) -> None:
    low, high = lane.row["low"], lane.row["high"]
    if low is not None and high is not None:
        canvas.line((scale.clamped(low), y), (scale.clamped(high), y), f"{lane.series.css} interval")


def _value(canvas: Canvas, series: Series, value: float, at: tuple[float, float], right: float) -> None:
    canvas.mark(at, series.shape, series.css, f"{series.label}: {value:.3f}", 5.2)
    canvas.text((right + 14, at[1] + 4), series.label, "lane")
    canvas.text((right + 146, at[1] + 4), f"{value:.3f}", "lane number", "end")


def auroc_description(groups: Sequence[tuple[Task, Sequence[Lane]]]) -> str:
    parts = []
    for task, found in groups:
        values = ", ".join(f"{lane.series.label.lower()} {format_interval(lane.row)}" for lane in found)
        oracle = oracle_of(found)
        parts.append(f"{task.title}: {values}" + (f", oracle {oracle:.3f}" if oracle is not None else ""))
    return ". ".join(parts) + "."


def drift_panels(data: ReportData) -> list[str]:
    """One panel a task: AUROC on each test split, from the earliest to the latest."""
    panels = []
    for task in data.tasks.values():
        by_split = {split: lanes(data, task, split) for split in data.test_splits}
        by_split = {split: found for split, found in by_split.items() if found}
        if by_split:
            panels.append(_drift_panel(task, by_split, data.split_titles))
    return panels


def _drift_panel(task: Task, by_split: dict[str, list[Lane]], titles: SplitTitles) -> str:
    canvas = Canvas(PANEL_WIDTH, 236)
    left, right, top, bottom = 42.0, 308.0, 34.0, 196.0
    lows = [lane.row["low"] or 0.5 for found in by_split.values() for lane in found]
    y = Scale(min(0.4, math.floor(min(lows) * 10) / 10), 1.0, bottom, top)
    x = {split: left + (right - left) * (k + 0.5) / len(by_split) for k, split in enumerate(by_split)}
    canvas.text((0, 16), task.title, "name")
    left_axis(canvas, y, [(v, f"{v:.1f}") for v in round_ticks(y.low, 1.0, 7)], left, right)
    canvas.line((left, y(CHANCE)), (right, y(CHANCE)), "chance")
    for split, place in x.items():
        canvas.text((place, bottom + 18), titles.of(split, task.name), "tick", "middle")
        oracle = oracle_of(by_split[split])
        if oracle is not None:
            canvas.line((place - 34, y.clamped(oracle)), (place + 34, y.clamped(oracle)), "oracle bar")
    present = [
        series for series in TRAINED_SERIES if any(lane.series == series for f in by_split.values() for lane in f)
    ]
    for number, series in enumerate(present):
        _drift_series(canvas, series, by_split, x, y, 14.0 * (number - (len(present) - 1) / 2))
    canvas.text(((left + right) / 2, bottom + 36), "test set", "axis", "middle")
    description = "; ".join(
        f"{titles.of(split, task.name)}: {auroc_description([(task, found)])}" for split, found in by_split.items()
    )
    return canvas.render(f"AUROC by test set: {task.title}", description)


def _drift_series(
    canvas: Canvas, series: Series, by_split: dict[str, list[Lane]], x: dict[str, float], y: Scale, shift: float
) -> None:
    points = []
    for split, found in by_split.items():
        row = next((lane.row for lane in found if lane.series == series), None)
        if row is None or row["value"] is None:
            continue
        at = (x[split] + shift, y.clamped(row["value"]))
        points.append((at, row))
    canvas.polyline([at for at, _ in points], f"{series.css} trend")
    for at, row in points:
        if row["low"] is not None and row["high"] is not None:
            canvas.line((at[0], y.clamped(row["low"])), (at[0], y.clamped(row["high"])), f"{series.css} interval")
        canvas.mark(at, series.shape, series.css, f"{series.label}: {format_interval(row)}", 4.6)


def calibration_panels(data: ReportData) -> list[str]:
    """One panel a task: observed frequency against mean prediction, each way of training that has a curve."""
    panels = []
    for task in data.tasks.values():
        curves = calibration_curves(data, task)
        if curves:
            panels.append(_calibration_panel(task, curves))
    return panels


def calibration_curves(data: ReportData, task: Task) -> list[tuple[Series, TaskCalibration]]:
    """The curves of this task: zero-shot, finetuned on it alone, finetuned on all; those that exist."""
    wanted = zip(TRAINED_SERIES, (None, task.name, JOINT), strict=True)
    return [
        (series, curve)
        for series, trained_on in wanted
        for curve in data.curves
        if (curve.trained_on, curve.task) == (trained_on, task.name)
    ]


def _calibration_panel(task: Task, curves: Sequence[tuple[Series, TaskCalibration]]) -> str:
    canvas = Canvas(PANEL_WIDTH, 334)
    left, right, top, bottom = 46.0, 306.0, 30.0, 290.0
    x, y = Scale(0, 1, left, right), Scale(0, 1, bottom, top)
    ticks = [(v, f"{v:.1f}") for v in round_ticks(0, 1, 6)]
    canvas.text((0, 16), task.title, "name")
    left_axis(canvas, y, ticks, left, right)
    bottom_axis(canvas, x, ticks, top, bottom)
    canvas.line((x(0), y(0)), (x(1), y(1)), "chance")
    most = max(point.count for _, curve in curves for point in curve.points)
    for series, curve in curves:
        places = [(x(p.mean_predicted), y(p.fraction_positive)) for p in curve.points]
        canvas.polyline(places, f"{series.css} trend")
        for at, point in zip(places, curve.points, strict=True):
            # Area says how many notes are behind a point.
            size = 2.2 + 4.3 * math.sqrt(point.count / most)
            tooltip = (
                f"{series.label}: predicted {point.mean_predicted:.3f}, observed {point.fraction_positive:.3f}, "
                f"{point.count:,} predictions"
            )
            canvas.mark(at, series.shape, series.css, tooltip, size)
    canvas.text(((left + right) / 2, bottom + 36), "mean predicted probability", "axis", "middle")
    canvas.text((12, (top + bottom) / 2), "observed frequency", "axis", "middle", rotate=True)
    errors = ", ".join(f"{series.label.lower()} {curve.ece_top_class:.3f}" for series, curve in curves)
    return canvas.render(f"Calibration: {task.title}", f"Calibration error of the top class: {errors}.")
