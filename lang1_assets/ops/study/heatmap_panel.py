"""A matrix of numbers on tinted cells (Figs 5a, 5b, C3, M10)."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.colors import Colormap, Normalize, TwoSlopeNorm, to_hex
from matplotlib.patches import Rectangle

from lang1_assets.ops.figures import INK, PAGE, PANEL, SOFT, Sheet, line_height, text_width, wrapped
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.look import printed, series_of

SIZE = 11.5
CELL_HEIGHT = 36
MOST_CELL_WIDTH = 120
MOST_OF_WIDTH = 0.3
SEQUENTIAL, DIVERGING = "YlGnBu", "PuOr"
"""Brewer's: told apart in every form of color blindness, and in gray print (the sequential one)."""


def draw_heatmap(
    sheet: Sheet, corner: tuple[float, float], width: float, figure: Figure, points: Sequence[Point]
) -> float:
    """One matrix: series as rows, x as columns; returns where it ends."""
    x, y = corner
    rows = series_of(points)
    columns = list(dict.fromkeys(str(point.x) for point in points))
    names = min(max(text_width(name, SIZE) for name in rows) + 12, MOST_OF_WIDTH * width)
    cell = min((width - names) / len(columns), MOST_CELL_WIDTH)
    y = draw_heading(sheet, (x, y), names, cell, columns, figure)
    colors, scale = palette(figure)
    for row, own in rows.items():
        lines = wrapped(row, names - 10, SIZE)
        height = max(CELL_HEIGHT, line_height(SIZE) * len(lines) + 6)
        first = y + (height - line_height(SIZE) * len(lines)) / 2
        for number, line in enumerate(lines):
            sheet.text((x, first + line_height(SIZE) * (number + 0.76)), line, size=SIZE)
        by_column = {str(point.x): point for point in own}
        for number, column in enumerate(columns):
            box = (x + names + cell * number, y)
            draw_cell(sheet, box, (cell, height), by_column.get(column), colors, scale)
        y += height
    return y


def draw_heading(
    sheet: Sheet, corner: tuple[float, float], names: float, cell: float, columns: Sequence[str], figure: Figure
) -> float:
    """Column names, upright where a word does not fit its column; returns where the cells begin."""
    x, y = corner
    sheet.text((x + names, y + 12), f"{figure.x_title} \N{RIGHTWARDS ARROW}", size=11, color=SOFT)
    y += 18
    is_upright = any(text_width(word, SIZE) > cell - 4 for name in columns for word in name.split())
    if is_upright:
        height = min(max(text_width(name, SIZE) for name in columns), 150) + 8
    else:
        height = max(len(wrapped(name, cell - 4, SIZE)) for name in columns) * line_height(SIZE) + 6
    for number, name in enumerate(columns):
        middle = x + names + cell * (number + 0.5)
        if is_upright:
            sheet.text((middle + 4, y + height - 6), name, size=SIZE, rotation=90)
            continue
        lines = wrapped(name, cell - 4, SIZE)
        for place, line in enumerate(reversed(lines)):
            sheet.text((middle, y + height - 8 - place * line_height(SIZE)), line, size=SIZE, align="center")
    return y + height


def palette(figure: Figure) -> tuple[Colormap, Normalize]:
    """From the lowest to the highest number; around zero where numbers are differences."""
    values = [point.value for point in figure.points if point.value is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low < 0 < high:
        most = max(-low, high)
        return mpl.colormaps[DIVERGING], TwoSlopeNorm(0, -most, most)
    if figure.chance is not None:
        low = min(low, figure.chance)
    # The darkest tenth is left out: numbers are read on it.
    return mpl.colormaps[SEQUENTIAL], Normalize(low, high + 0.1 * (high - low) if high > low else low + 1)


def draw_cell(
    sheet: Sheet,
    corner: tuple[float, float],
    size: tuple[float, float],
    point: Point | None,
    colors: Colormap,
    scale: Normalize,
) -> None:
    (x, y), (width, height) = corner, size
    value = point.value if point is not None else None
    fill = PANEL if value is None else to_hex(colors(scale(value)))
    sheet.axes.add_patch(Rectangle(corner, width, height, facecolor=fill, edgecolor=PAGE, linewidth=1, clip_on=False))
    middle = x + width / 2
    color = SOFT if value is None else ink_on(fill)
    has_interval = point is not None and point.low is not None and point.high is not None
    interval = f"{point.low:.2f} \N{EN DASH} {point.high:.2f}" if has_interval else ""  # type: ignore[union-attr]
    interval = interval.replace("-", "\N{MINUS SIGN}")
    fits = interval and text_width(interval, 9.5) < width - 4
    sheet.text((middle, y + height / 2 + (-1 if fits else 4)), printed(value), size=12, color=color, align="center")
    if fits:
        sheet.text((middle, y + height / 2 + 12), interval, size=9.5, color=color, align="center")
    sheet.bottom = max(sheet.bottom, y + height)


def ink_on(fill: str) -> str:
    """Dark or light, whichever has the higher contrast on this color (WCAG 2, relative luminance)."""
    return INK if luminance(fill) > 0.22 else PAGE


def luminance(color: str) -> float:
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
