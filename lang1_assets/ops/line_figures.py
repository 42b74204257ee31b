"""Lines along the tokens of a pretraining run as pictures, in the style of `figures`: Fig. 3, and what was memorized."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lang1_assets.ops.axes import round_ticks, short_number
from lang1_assets.ops.figures import BLUE, INK, MARGIN, ORANGE, PHONE_WIDTH, SOFT, WIDE, Form, Sheet, text_width

GREEN, PURPLE, SKY, GRAY = "#009e73", "#a8568a", "#3a8fc4", "#6b7178"
COLORS = (BLUE, ORANGE, GREEN, PURPLE, INK, SKY, GRAY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Shape and color both tell the lines apart."""

PANEL_HEIGHT, PANEL_GAP = 250, 40
LEFT, TOP, BOTTOM = 44, 34, 44
LEGEND_LINE = 19


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value along the run, with its 95 % interval where there is one."""

    tokens: int
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    label: str
    points: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One chart: lines over tokens, and what chance alone gives."""

    title: str
    axis: str
    """What is measured, in the heading."""
    lines: tuple[Line, ...]
    reference: float | None = None
    reference_label: str = "chance"
    is_share: bool = False
    """Values are shares and printed as percent."""


def line_picture(
    title: str, panels: Sequence[Panel], caption: str, *, is_synthetic: bool, wide: bool, form: Form = "png"
) -> bytes:
    """Panels side by side for a desktop (`wide`), one below the other for a phone; the title says when data are synthetic."""
    sheet = Sheet(width=WIDE if wide else PHONE_WIDTH)
    shown = f"{title} (synthetic data)" if is_synthetic else title
    bottom = sheet.lines((MARGIN, 4), shown, sheet.width - 2 * MARGIN, size=15)
    num_columns = len(panels) if wide else 1
    width = (sheet.width - 2 * MARGIN - (num_columns - 1) * PANEL_GAP) / num_columns
    for number, panel in enumerate(panels):
        top = bottom + 8 if wide else sheet.bottom + 12
        draw_panel(sheet, (MARGIN + (number % num_columns) * (width + PANEL_GAP), top), width, panel)
    sheet.caption(caption, is_synthetic)
    return sheet.render(form, f"{shown}: {describe(panels)}")


def draw_panel(sheet: Sheet, corner: tuple[float, float], width: float, panel: Panel) -> None:
    """Heading, axes, reference line, the lines with their intervals, legend below."""
    beside = text_width(panel.reference_label, 11) + 6 if panel.reference is not None else 0
    left, right = corner[0] + LEFT, corner[0] + width - 6 - beside
    top, bottom = corner[1] + TOP, corner[1] + TOP + PANEL_HEIGHT
    sheet.text((corner[0], corner[1] + 16), f"{panel.title}: {panel.axis}", size=13, bold=True)
    low, high = value_range(panel)
    most = max(point.tokens for line in panel.lines for point in line.points) or 1

    def x(tokens: float) -> float:
        return left + 10 + (right - left - 20) * tokens / most

    def y(value: float) -> float:
        return bottom - (bottom - top) * (min(max(value, low), high) - low) / (high - low)

    for value in round_ticks(low, high, 6):
        sheet.line((left, y(value)), (right, y(value)))
        shown = f"{value:.0%}" if panel.is_share else f"{value:.3g}"
        sheet.text((left - 5, y(value) + 4), shown, size=11, color=SOFT, align="right")
    for tokens in round_ticks(0, most, 4 if width < 420 else 6):
        sheet.text((x(tokens), bottom + 17), short_number(tokens), size=11, color=SOFT, align="center")
    sheet.text(((left + right) / 2, bottom + 35), "tokens seen", size=11, color=SOFT, align="center")
    if panel.reference is not None:
        at = y(panel.reference)
        sheet.axes.plot([left, right], [at, at], color=SOFT, linewidth=1.1, linestyle=(0, (3, 2)))
        sheet.text((right + 6, at + 4), panel.reference_label, size=11, color=SOFT)
    for number, line in enumerate(panel.lines):
        # Side by side: intervals of one checkpoint would cover each other.
        shift = 4.0 * (number - (len(panel.lines) - 1) / 2)
        draw_line(sheet, number, [(x(point.tokens) + shift, point) for point in line.points], y)
    draw_legend(sheet, (corner[0], bottom + BOTTOM), width, panel.lines)


def draw_line(sheet: Sheet, number: int, points: Sequence[tuple[float, Point]], y: Callable[[float], float]) -> None:
    color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
    for at, point in points:
        if point.low is not None and point.high is not None:
            sheet.axes.plot([at, at], [y(point.low), y(point.high)], color=color, linewidth=1.4, alpha=0.75)
    places = [at for at, _ in points], [y(point.value) for _, point in points]
    sheet.axes.plot(*places, color=color, linewidth=1.3, marker=marker, markersize=4.2, markeredgewidth=0)


def draw_legend(sheet: Sheet, corner: tuple[float, float], width: float, lines: Sequence[Line]) -> None:
    """Marks and names, in as many rows as they need; a single line needs none."""
    if len(lines) < 2:
        return
    x, y = corner[0], corner[1] + 12
    for number, line in enumerate(lines):
        needed = 16 + text_width(line.label, 12) + 18
        if x > corner[0] and x + needed > corner[0] + width:
            x, y = corner[0], y + LEGEND_LINE
        color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
        sheet.axes.plot([x + 5], [y - 4], color=color, marker=marker, markersize=5, markeredgewidth=0)
        sheet.text((x + 14, y), line.label, size=12)
        x += needed


def value_range(panel: Panel) -> tuple[float, float]:
    """A little more than what is drawn."""
    values = [point.value for line in panel.lines for point in line.points]
    values += [end for line in panel.lines for p in line.points for end in (p.low, p.high) if end is not None]
    values += [panel.reference] if panel.reference is not None else []
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.05
    return (max(0.0, low - room) if low >= 0 else low - room), high + room


def describe(panels: Sequence[Panel]) -> str:
    """The last values in words, for those who cannot see the picture."""
    ends = (
        f"{panel.title}: " + ", ".join(f"{line.label} {line.points[-1].value:.3f}" for line in panel.lines)
        for panel in panels
    )
    return "; ".join(ends)
