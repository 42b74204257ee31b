"""Values of categories, a lane each: a mark with its interval, lying down so that long names have room (Figs 2, A2, D4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lang1_assets.ops.axes import Scale, padded, round_ticks
from lang1_assets.ops.figures import RULE, SOFT, Sheet, line_height, text_width, wrapped
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.look import Style, ends_of, printed, series_of

SIZE = 11.5
LANE, ROW_GAP = 17, 9
VALUE = 46
MOST_OF_WIDTH = 0.42
"""Names take at most so much of a panel."""
NOT_MEASURED = "not measured"
Looks = Mapping[str, Style]
"""Series -> its color and shape."""


def draw_bars(
    sheet: Sheet, corner: tuple[float, float], width: float, figure: Figure, points: Sequence[Point], looks: Looks
) -> float:
    """One panel below `corner`: categories as rows, series as lanes, one scale for the whole figure; returns its end."""
    x, y = corner
    rows = rows_of(points)
    label_width = min(max(text_width(name, SIZE) for name in rows) + 14, MOST_OF_WIDTH * width)
    low, high = padded(*bounds(figure))
    at = Scale(low, high, x + label_width, x + width - VALUE)
    top = y
    for name, lanes in rows.items():
        y = draw_row(sheet, (x, y), width, label_width, name, lanes, at, figure, looks)
    for value in round_ticks(low, high, 6):
        sheet.axes.plot([at(value)] * 2, [top, y], color=RULE, linewidth=0.6, zorder=0, clip_on=False)
        sheet.text((at(value), y + 14), f"{value:.3g}", size=11, color=SOFT, align="center")
    if figure.chance is not None:
        sheet.axes.plot([at(figure.chance)] * 2, [top, y], color=SOFT, linewidth=1.2, linestyle=(0, (3, 2)), zorder=1)
        sheet.text((at(figure.chance), top - 4), "chance", size=10.5, color=SOFT, align="center")
    sheet.text(((at.start + at.end) / 2, y + 30), figure.y_title, size=11, color=SOFT, align="center")
    return y + 34


def rows_of(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Category -> its lanes. Where there is one category, or each series has its own, the series name the rows."""
    categories: dict[str, list[Point]] = {}
    for point in points:
        categories.setdefault(str(point.x), []).append(point)
    if len(categories) == 1:
        return series_of(points)
    return categories


def names_its_series(figure: Figure, panels: Mapping[str, Sequence[Point]]) -> bool:
    """Whether every row says which series it is, so that no legend is needed."""
    return all(
        name == point.series for points in panels.values() for name, own in rows_of(points).items() for point in own
    )


def bounds(figure: Figure) -> tuple[float, float]:
    ends = ends_of(figure.points) + ([figure.chance] if figure.chance is not None else [])
    return min(ends, default=0.0), max(ends, default=1.0)


def draw_row(
    sheet: Sheet,
    corner: tuple[float, float],
    width: float,
    label_width: float,
    name: str,
    lanes: Sequence[Point],
    at: Scale,
    figure: Figure,
    looks: Looks,
) -> float:
    """Name, lanes and values of one category; returns where the next begins."""
    x, y = corner
    lines = wrapped(name, label_width - 12, SIZE)
    height = max(LANE * len(lanes), line_height(SIZE) * len(lines)) + ROW_GAP
    first = y + (height - line_height(SIZE) * len(lines)) / 2
    for number, line in enumerate(lines):
        sheet.text((x, first + line_height(SIZE) * (number + 0.76)), line, size=SIZE)
    start = y + (height - LANE * len(lanes)) / 2
    for number, point in enumerate(lanes):
        draw_lane(sheet, start + LANE * (number + 0.5), x + width, point, at, figure.chance, looks[point.series])
    sheet.line((x, y + height), (x + width, y + height))
    return y + height


def draw_lane(sheet: Sheet, y: float, right: float, point: Point, at: Scale, chance: float | None, look: Style) -> None:
    sheet.text((right, y + 4), printed(point.value), size=SIZE, align="right")
    if point.value is None:
        sheet.text((at(chance if chance is not None else at.low) + 6, y + 4), NOT_MEASURED, size=10.5, color=SOFT)
        return
    if chance is not None:
        # How far it is from knowing nothing, as the bars of the paper say it.
        sheet.axes.plot([at(chance), at(point.value)], [y, y], color=look.color, linewidth=5, alpha=0.22, zorder=1.5)
    if point.low is not None and point.high is not None:
        sheet.axes.plot([at(point.low), at(point.high)], [y, y], color=look.color, linewidth=1.7)
    sheet.axes.plot([at(point.value)], [y], color=look.color, marker=look.marker, markersize=5.2, markeredgewidth=0)
