"""Values over a number: lines with intervals (Figs 3, 4a, 4b, A2, E5), and points with arrows between them (Fig. 4c)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lang1_assets.ops.axes import Scale, log_ticks, padded, round_ticks, short_number
from lang1_assets.ops.figures import RULE, SOFT, Sheet, text_width
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.look import Style, ends_of, series_of

HEIGHT, TALL = 230, 300
LEFT, BOTTOM = 48, 40
SIZE = 11
MOST_BARS = 8
"""A line of more points has a band in place of interval bars."""
DIAGONAL = "calibration"
"""The study whose chance is a diagonal: what is predicted happens as often (Fig. E5)."""
Looks = Mapping[str, Style]


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Where a panel lies on the sheet, with its scales."""

    x: Scale
    y: Scale
    places: tuple[str, ...] = ()
    """The categories, where x has words for values."""
    zero: float | None = None
    """Stands for 0 on a logarithmic axis, which has none."""

    def at(self, value: float | str) -> float:
        if self.places:
            return self.x(self.places.index(str(value)))
        number = float(value)
        return self.x(self.zero) if self.zero is not None and number <= 0 else self.x(number)


def draw_lines(
    sheet: Sheet, corner: tuple[float, float], width: float, figure: Figure, points: Sequence[Point], looks: Looks
) -> float:
    """One panel below `corner`, with axes; numbers on x are one scale for the figure, and so is y. Returns where it ends."""
    plot = plot_of(sheet, corner, width, figure, points)
    draw_axes(sheet, plot, figure)
    by_series = series_of([point for point in points if point.value is not None])
    for number, (name, own) in enumerate(by_series.items()):
        # Side by side: intervals of one place would cover each other.
        shift = 0.0 if figure.kind == "scatter" or is_diagonal(figure) else 3.0 * (number - (len(by_series) - 1) / 2)
        places = [(plot.at(point.x) + shift, point) for point in own]
        draw_intervals(sheet, places, plot.y, looks[name])
        if figure.kind == "scatter":
            draw_arrows(sheet, places, plot.y, looks[name])
        else:
            sheet.axes.plot(*xy(places, plot.y), color=looks[name].color, linewidth=1.4)
        draw_marks(sheet, places, plot.y, looks[name])
    return plot.y.start + BOTTOM


def plot_of(sheet: Sheet, corner: tuple[float, float], width: float, figure: Figure, points: Sequence[Point]) -> Plot:
    height = TALL if figure.kind == "scatter" or is_diagonal(figure) else HEIGHT
    beside = text_width("chance", SIZE) + 6 if figure.chance is not None and not is_diagonal(figure) else 0
    left, right = corner[0] + LEFT, corner[0] + width - 6 - beside
    ends = ends_of(figure.points) + ([figure.chance] if figure.chance is not None else [])
    low, high = (0.0, 1.0) if is_diagonal(figure) else padded(min(ends, default=0.0), max(ends, default=1.0))
    y = Scale(low, high, corner[1] + height, corner[1])
    places = categories(figure, points)
    if places:
        return Plot(x=Scale(-0.5, len(places) - 0.5, left, right), y=y, places=places)
    numbers = [float(point.x) for point in figure.points]
    if figure.x_is_log and max(numbers) > 0:
        return logarithmic(numbers, left, right, y)
    first, last = (0.0, 1.0) if is_diagonal(figure) else (min(numbers), max(numbers))
    if 0 < first < 0.3 * last:
        first = 0.0
    return Plot(x=Scale(first, last if last > first else first + 1, left + 10, right - 10), y=y)


def logarithmic(numbers: Sequence[float], left: float, right: float, y: Scale) -> Plot:
    """With a place for zero a little left of the smallest number above it."""
    above = [number for number in numbers if number > 0]
    low, high = min(above), max(above)
    high = high if high > low else low * 10
    has_zero = min(numbers) <= 0
    zero = low / (high / low) ** 0.25 if has_zero else None
    return Plot(x=Scale(zero or low, high, left + 12, right - 12, is_log=True), y=y, zero=zero)


def categories(figure: Figure, points: Sequence[Point]) -> tuple[str, ...]:
    """The words on a panel's x axis, none where the figure has numbers. Of the panel: a task's tests may be of other years."""
    if all(isinstance(point.x, (int, float)) for point in figure.points):
        return ()
    return tuple(dict.fromkeys(str(point.x) for point in points))


def is_diagonal(figure: Figure) -> bool:
    return figure.name == DIAGONAL and figure.kind == "lines"


def draw_axes(sheet: Sheet, plot: Plot, figure: Figure) -> None:
    left, right, bottom = plot.x.start - 10, plot.x.end + 10, plot.y.start
    for value in round_ticks(plot.y.low, plot.y.high, 6):
        sheet.line((left, plot.y(value)), (right, plot.y(value)))
        sheet.text((left - 5, plot.y(value) + 4), f"{value:.3g}", size=SIZE, color=SOFT, align="right")
    taken = -math.inf
    for at, words in x_ticks(plot):
        # What does not fit is left out, and its place still marked.
        sheet.line((at, bottom), (at, bottom + 4), RULE)
        half = text_width(words, SIZE) / 2
        if at - half > taken:
            sheet.text((at, bottom + 17), words, size=SIZE, color=SOFT, align="center")
            taken = at + half + 5
    sheet.text(((left + right) / 2, bottom + 35), figure.x_title, size=SIZE, color=SOFT, align="center")
    draw_reference(sheet, plot, figure, (left, right))


def x_ticks(plot: Plot) -> list[tuple[float, str]]:
    if plot.places:
        return [(plot.at(name), name) for name in plot.places]
    if plot.x.is_log:
        first = plot.x.low if plot.zero is None else plot.x.low * 1.5
        zero = [(plot.at(0), "0")] if plot.zero is not None else []
        return zero + [(plot.x(tick), short_number(tick)) for tick in log_ticks(first, plot.x.high, 6)]
    return [(plot.x(tick), short_number(tick)) for tick in round_ticks(plot.x.low, plot.x.high, 6)]


def draw_reference(sheet: Sheet, plot: Plot, figure: Figure, sides: tuple[float, float]) -> None:
    dashed = {"color": SOFT, "linewidth": 1.1, "linestyle": (0, (3, 2))}
    if is_diagonal(figure):
        sheet.axes.plot([plot.x(0), plot.x(1)], [plot.y(0), plot.y(1)], **dashed)
    elif figure.chance is not None:
        at = plot.y(figure.chance)
        sheet.axes.plot(sides, [at, at], **dashed)
        sheet.text((sides[1] + 6, at + 4), "chance", size=SIZE, color=SOFT)


Places = Sequence[tuple[float, Point]]


def xy(places: Places, y: Scale) -> tuple[list[float], list[float]]:
    return [at for at, _ in places], [y.clamped(point.value or 0.0) for _, point in places]


def draw_intervals(sheet: Sheet, places: Places, y: Scale, look: Style) -> None:
    known = [(at, p.low, p.high) for at, p in places if p.low is not None and p.high is not None]
    if len(known) > MOST_BARS:
        across, lows, highs = zip(*known, strict=True)
        bands = [y.clamped(low) for low in lows], [y.clamped(high) for high in highs]
        sheet.axes.fill_between(across, *bands, color=look.color, alpha=0.15, linewidth=0, clip_on=False)
        return
    for at, low, high in known:
        sheet.axes.plot([at, at], [y.clamped(low), y.clamped(high)], color=look.color, linewidth=1.4, alpha=0.75)


def draw_arrows(sheet: Sheet, places: Places, y: Scale, look: Style) -> None:
    """From each point of a series to the next."""
    across, heights = xy(places, y)
    for start, end in itertools.pairwise(zip(across, heights, strict=True)):
        style = {"arrowstyle": "-|>", "color": look.color, "lw": 1.2, "shrinkA": 3, "shrinkB": 4, "mutation_scale": 9}
        sheet.axes.annotate("", end, start, arrowprops={**style, "clip_on": False}, annotation_clip=False)


def draw_marks(sheet: Sheet, places: Places, y: Scale, look: Style) -> None:
    across, heights = xy(places, y)
    style = {"color": look.color, "marker": look.marker, "markersize": 4.8, "markeredgewidth": 0}
    sheet.axes.plot(across, heights, linestyle="none", **style)
