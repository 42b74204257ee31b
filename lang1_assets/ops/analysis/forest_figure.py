"""Values of groups with their intervals, a line a group, as a picture in the style of `figures`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lang1_assets.ops.axes import round_ticks
from lang1_assets.ops.figures import (
    BLUE,
    INK,
    MARGIN,
    ORANGE,
    PHONE_WIDTH,
    RULE,
    SOFT,
    WIDE,
    Form,
    Sheet,
    line_height,
    text_width,
    wrapped,
)

SIZE = 11
LABELS, COUNTS, VALUES = 112, 40, 36
"""Pixels of the columns beside the plot: names, numbers of notes, values."""
LANE, PANEL_GAP = 19, 30


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One group."""

    label: str
    n: int
    value: float
    low: float | None
    high: float | None
    is_marked: bool = False
    """Drawn in the color of a warning."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """Groups under one heading."""

    heading: str
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, kw_only=True)
class Forest:
    """One plot with one scale."""

    title: str
    sections: tuple[Section, ...]
    reference: float | None = None
    """A vertical line, such as the value of all notes."""
    footnote: str = ""
    is_share: bool = False
    """Values are shares and printed as percent."""


def forest_picture(
    title: str,
    forests: Sequence[Forest],
    caption: str,
    *,
    is_synthetic: bool,
    wide: bool,
    form: Form = "png",
    num_columns: int = 3,
) -> bytes:
    """Plots side by side for a desktop (`wide`), one below the other for a phone; the title says when data are synthetic."""
    sheet = Sheet(width=WIDE if wide else PHONE_WIDTH)
    shown = f"{title} (synthetic data)" if is_synthetic else title
    sheet.bottom = sheet.lines((MARGIN, 4), shown, sheet.width - 2 * MARGIN, size=15)
    columns = min(num_columns, max(len(forests), 1)) if wide else 1
    width = (sheet.width - 2 * MARGIN - (columns - 1) * PANEL_GAP) / columns
    for first in range(0, len(forests), columns):
        top = sheet.bottom + 14
        for place, forest in enumerate(forests[first : first + columns]):
            draw_forest(sheet, (MARGIN + place * (width + PANEL_GAP), top), width, forest)
    sheet.caption(caption, is_synthetic)
    return sheet.render(form, f"{shown}: {describe(forests)}")


def draw_forest(sheet: Sheet, corner: tuple[float, float], width: float, forest: Forest) -> None:
    """Title, one line a group, the scale below, what is left out."""
    x, y = corner
    left, right = x + LABELS + COUNTS + 10, x + width - VALUES
    at = scale(forest, left, right)
    sheet.text((x, y + 14), forest.title, size=13, bold=True)
    # Beside the title, or beside the first heading where the title is too long.
    is_long = x + text_width(forest.title, 13, bold=True) > left - 24
    sheet.text((left - 10, y + (36 if is_long else 14)), "n", size=SIZE, color=SOFT, align="right")
    top = y = y + 20
    for section in forest.sections:
        y = sheet.lines((x, y + 4), section.heading, width, size=SIZE, color=SOFT) + 2
        for lane in section.lanes:
            y = draw_lane(sheet, (x, y), width, lane, at, forest)
    if forest.reference is not None:
        dashed = {"color": SOFT, "linewidth": 1.0, "linestyle": (0, (3, 2))}
        sheet.axes.plot([at(forest.reference)] * 2, [top + 4, y + 2], **dashed, zorder=0)
    sheet.line((left, y + 4), (right, y + 4))
    for value in round_ticks(*value_range(forest), 5):
        sheet.line((at(value), y + 4), (at(value), y + 8))
        sheet.text((at(value), y + 20), tick(value, forest), size=SIZE, color=SOFT, align="center")
    y += 24
    if forest.footnote:
        sheet.lines((x, y), forest.footnote, width, size=SIZE, color=SOFT)


def draw_lane(
    sheet: Sheet, corner: tuple[float, float], width: float, lane: Lane, at: Callable[[float], float], forest: Forest
) -> float:
    """Name, number of notes, interval, value; returns where the next one begins."""
    x, y = corner
    lines = wrapped(lane.label, LABELS, SIZE)
    for number, line in enumerate(lines):
        sheet.text((x, y + 13 + number * line_height(SIZE)), line, size=SIZE)
    color = ORANGE if lane.is_marked else BLUE
    sheet.text((x + LABELS + COUNTS, y + 13), f"{lane.n:,}", size=SIZE, color=SOFT, align="right")
    sheet.text((x + width, y + 13), printed(lane.value, forest), size=SIZE, color=INK, align="right")
    if lane.low is not None and lane.high is not None:
        sheet.axes.plot(
            [at(lane.low), at(lane.high)], [y + 9, y + 9], color=color, linewidth=1.6, solid_capstyle="butt"
        )
    marker = "D" if lane.is_marked else "o"
    sheet.axes.plot([at(lane.value)], [y + 9], color=color, marker=marker, markersize=5, markeredgewidth=0)
    bottom = y + max(LANE, 6 + len(lines) * line_height(SIZE))
    sheet.line((x, bottom - 0.5), (x + width, bottom - 0.5), RULE)
    return bottom


def scale(forest: Forest, left: float, right: float) -> Callable[[float], float]:
    low, high = value_range(forest)
    return lambda value: left + (right - left) * (min(max(value, low), high) - low) / (high - low)


def value_range(forest: Forest) -> tuple[float, float]:
    """All intervals and the reference, and a little room."""
    lanes = [lane for section in forest.sections for lane in section.lanes]
    ends = [end for lane in lanes for end in (lane.value, lane.low, lane.high) if end is not None]
    ends += [forest.reference] if forest.reference is not None else []
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    room = 0.04 * (high - low) or 0.05
    return max(0.0, low - room) if low >= 0 else low - room, high + room


def printed(value: float, forest: Forest) -> str:
    if not forest.is_share:
        return f"{value:.2f}"
    return f"{value:.1%}" if abs(value) < 0.1 and value != 0 else f"{value:.0%}"


def tick(value: float, forest: Forest) -> str:
    return f"{value:.3g}" if not forest.is_share else f"{100 * value:.3g}%"


def describe(forests: Sequence[Forest]) -> str:
    """All values in words, for those who cannot see the picture."""
    return "; ".join(
        f"{forest.title}: "
        + ", ".join(f"{lane.label} {printed(lane.value, forest)}" for part in forest.sections for lane in part.lanes)
        for forest in forests
    )
