"""The charts of pretraining: loss along the tokens, comprehension along the checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lang1_assets.ops.report.data import LossCurve, ReportData
from lang1_assets.ops.report.svg import Canvas, Scale, bottom_axis, left_axis, round_ticks, short_number

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


def comprehension_chart(data: ReportData) -> str:
    """Accuracy on multiple-choice questions along the trajectory of checkpoints."""
    canvas = Canvas(520, 300)
    left, right, top, bottom = 60.0, 500.0, 14.0, 250.0
    points = sorted(data.comprehension, key=lambda point: point.tokens)
    highest = max(point.accuracy + 1.96 * point.standard_error for point in points)
    x = Scale(0, max(point.tokens for point in points) * 1.03 or 1, left, right)
    y = Scale(0, min(1.0, math.ceil(max(highest, (data.comprehension_chance or 0) + 0.1) * 10) / 10), bottom, top)
    left_axis(canvas, y, [(v, f"{v:.0%}") for v in round_ticks(0, y.high, 6)], left, right)
    bottom_axis(canvas, x, [(v, short_number(v)) for v in round_ticks(0, x.high, 6)], top, bottom)
    if data.comprehension_chance is not None:
        canvas.line((left, y(data.comprehension_chance)), (right, y(data.comprehension_chance)), "chance")
        canvas.text((right - 2, y(data.comprehension_chance) - 6), "chance", "tick", "end")
    canvas.polyline([(x(p.tokens), y(p.accuracy)) for p in points], "joint trend")
    for point in points:
        reach = 1.96 * point.standard_error
        at = x(point.tokens)
        canvas.line((at, y.clamped(point.accuracy - reach)), (at, y.clamped(point.accuracy + reach)), "joint interval")
        canvas.mark((at, y(point.accuracy)), "circle", "joint", f"{point.accuracy:.1%}", 4.4)
    canvas.text(((left + right) / 2, bottom + 38), "tokens seen", "axis", "middle")
    canvas.text((12, (top + bottom) / 2), "accuracy", "axis", "middle", rotate=True)
    last = points[-1]
    return canvas.render("Comprehension", f"Accuracy {last.accuracy:.1%} after {short_number(last.tokens)} tokens.")
