"""The charts of pretraining: loss along the tokens, what emerges along the checkpoints (Fig. 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lang1_assets.ops.axes import Scale, round_ticks, short_number
from lang1_assets.ops.report.data import LossCurve, ReportData, TrajectoryPoint
from lang1_assets.ops.report.figures import Series
from lang1_assets.ops.report.svg import Canvas, bottom_axis, left_axis
from lang1_assets.ops.tasks import REMEDE, TASKS

CORPUS_CSS = ("joint", "zero", "single", "corpus4")


def loss_chart(curves: Sequence[LossCurve]) -> str:
    """Loss against tokens: training as a thin line, held-out text of each corpus as points."""
    canvas = Canvas(520, 300)
    left, right, top, bottom = 46.0, 390.0, 14.0, 250.0
    losses = [loss for curve in curves for loss in curve.losses if math.isfinite(loss)]
    most_tokens = max(max(curve.tokens) for curve in curves)
    x = Scale(0, most_tokens or 1, left, right)
    y = Scale(min(losses) - 0.1, max(losses) + 0.1, bottom, top)
    left_axis(canvas, y, [(v, f"{v:.3g}") for v in round_ticks(y.low, y.high, 7)], left, right)
    bottom_axis(canvas, x, [(v, short_number(v)) for v in round_ticks(0, x.high, 6)], top, bottom)
    ends = _curve_ends(canvas, curves, x, y)
    for css, label, at in spread_labels(ends, 17, top + 4, bottom):
        canvas.text((right + 12, at + 4), label, f"lane {css}-text")
    canvas.text(((left + right) / 2, bottom + 38), "tokens seen", "axis", "middle")
    canvas.text((12, (top + bottom) / 2), "loss, nats a token", "axis", "middle", rotate=True)
    finals = ", ".join(f"{curve.name} {curve.losses[-1]:.3f}" for curve in curves)
    return canvas.render("Pretraining loss", f"Last values: {finals}.")


def _curve_ends(canvas: Canvas, curves: Sequence[LossCurve], x: Scale, y: Scale) -> list[tuple[str, str, float]]:
    """Draw the curves; give back class, label and height of each one's end."""
    ends, number = [], 0
    for curve in curves:
        css = CORPUS_CSS[number % len(CORPUS_CSS)] if curve.is_held_out else "muted"
        number += curve.is_held_out
        points = [
            (x(tokens), y(loss)) for tokens, loss in zip(curve.tokens, curve.losses, strict=True) if math.isfinite(loss)
        ]
        canvas.polyline(points, f"{css} {'trend' if curve.is_held_out else 'thin'}")
        if curve.is_held_out:
            for at, loss in zip(points, curve.losses, strict=False):
                canvas.mark(at, "circle", css, f"{curve.name}: {loss:.3f}", 3.6)
        ends.append((css, f"{curve.name.replace('_', ' ')} {curve.losses[-1]:.2f}", points[-1][1]))
    return ends


def spread_labels(
    ends: Sequence[tuple[str, str, float]], apart: float, top: float, bottom: float
) -> list[tuple[str, str, float]]:
    """The same labels, moved so that no two overlap and all stay between `top` and `bottom`."""
    placed: list[tuple[str, str, float]] = []
    at = top - apart
    for css, label, wanted in sorted(ends, key=lambda end: end[2]):
        at = max(wanted, at + apart)
        placed.append((css, label, at))
    overflow = max(0.0, placed[-1][2] - bottom) if placed else 0.0
    limit = bottom
    for index in range(len(placed) - 1, -1, -1):
        css, label, at = placed[index]
        if overflow and at > limit:
            placed[index] = (css, label, limit)
        limit = placed[index][2] - apart
    return placed


TASK_SERIES = {
    task.name: Series(label=task.title, css=css, shape=shape)
    for task, (css, shape) in zip(
        [TASKS[name] for name in REMEDE],
        (("joint", "circle"), ("zero", "square"), ("single", "diamond"), ("corpus4", "ring"), ("muted", "square")),
        strict=True,
    )
}
"""Color and shape of each task in Fig. 3b."""


def comprehension_chart(title: str, points: Sequence[TrajectoryPoint]) -> str:
    """Fig. 3a: accuracy on one set of multiple-choice questions along the trajectory of checkpoints."""
    series = Series(label="Accuracy", css="joint", shape="circle")
    highest = max(max(point.high for point in points), points[0].chance + 0.1)
    top = min(1.0, math.ceil(highest * 10) / 10)
    drawn = trajectory_chart([(series, points)], (0.0, top), "accuracy", is_share=True)
    last = points[-1]
    return drawn.render(title, f"Accuracy {last.value:.1%} after {short_number(last.tokens)} tokens.")


def zero_shot_chart(data: ReportData) -> str:
    """Fig. 3b: AUROC of every task along the trajectory of checkpoints."""
    by_task = data.zero_shot_trajectory
    ends = [end for points in by_task.values() for point in points for end in (point.low, point.high)]
    bounds = math.floor(min(ends) * 10) / 10, math.ceil(max(ends) * 10) / 10
    lines = [(TASK_SERIES[name], points) for name, points in by_task.items()]
    drawn = trajectory_chart(lines, (max(0.0, bounds[0]), min(1.0, bounds[1])), "AUROC", is_share=False)
    finals = ", ".join(f"{TASKS[name].title} {points[-1].value:.3f}" for name, points in by_task.items())
    return drawn.render("Zero-shot AUROC along pretraining", f"Last checkpoint: {finals}.")


def trajectory_chart(
    lines: Sequence[tuple[Series, Sequence[TrajectoryPoint]]], bounds: tuple[float, float], axis: str, is_share: bool
) -> Canvas:
    """Values with intervals over tokens, and a line at chance."""
    canvas = Canvas(520, 300)
    left, right, top, bottom = 60.0, 468.0, 14.0, 250.0
    most = max(point.tokens for _, points in lines for point in points)
    x, y = Scale(0, most or 1, left + 16, right - 16), Scale(*bounds, bottom, top)
    left_axis(canvas, y, [(v, f"{v:.0%}" if is_share else f"{v:.1f}") for v in round_ticks(*bounds, 7)], left, right)
    bottom_axis(canvas, x, [(v, short_number(v)) for v in round_ticks(0, x.high, 6)], top, bottom)
    chance = lines[0][1][0].chance
    canvas.line((left, y(chance)), (right, y(chance)), "chance")
    canvas.text((right + 8, y(chance) + 4), "chance", "tick")
    for number, (series, points) in enumerate(lines):
        # Side by side: the intervals of one checkpoint would cover each other.
        shift = 6.0 * (number - (len(lines) - 1) / 2)
        places = [(x(point.tokens) + shift, y.clamped(point.value)) for point in points]
        canvas.polyline(places, f"{series.css} trend")
        for at, point in zip(places, points, strict=True):
            canvas.line((at[0], y.clamped(point.low)), (at[0], y.clamped(point.high)), f"{series.css} interval")
            shown = f"{point.value:.1%}" if is_share else f"{point.value:.3f} ({point.low:.3f} – {point.high:.3f})"
            canvas.mark(
                at, series.shape, series.css, f"{series.label}, {short_number(point.tokens)} tokens: {shown}", 4.2
            )
    canvas.text(((left + right) / 2, bottom + 38), "tokens seen", "axis", "middle")
    canvas.text((12, (top + bottom) / 2), axis, "axis", "middle", rotate=True)
    return canvas
