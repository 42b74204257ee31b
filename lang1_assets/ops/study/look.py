"""How the series of a figure look, and how its numbers are printed; the same in every panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lang1_assets.ops.axes import short_number
from lang1_assets.ops.figures import BLUE, INK, ORANGE
from lang1_assets.ops.study.figure import Figure, Point

GREEN, PURPLE, SKY, GRAY = "#009e73", "#a8568a", "#3a8fc4", "#6b7178"
COLORS = (BLUE, ORANGE, GREEN, PURPLE, INK, SKY, GRAY)
"""After Okabe and Ito (2008), darkened where they are too light on paper."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
"""Shape and color both tell series apart; as 7 and 9 have no common factor, 63 pairs differ."""


@dataclass(frozen=True)
class Style:
    color: str
    marker: str


def styles_of(figure: Figure) -> dict[str, Style]:
    """Series -> its look, in the order in which the figure names them."""
    names = dict.fromkeys(point.series for point in figure.points)
    return {name: style_at(number) for number, name in enumerate(names)}


def style_at(number: int) -> Style:
    return Style(COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)])


def panels_of(figure: Figure) -> dict[str, list[Point]]:
    """Panel -> its points, in order."""
    found: dict[str, list[Point]] = {}
    for point in figure.points:
        found.setdefault(point.panel, []).append(point)
    return found


def series_of(points: Sequence[Point]) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(point.series, []).append(point)
    return found


def ends_of(points: Sequence[Point]) -> list[float]:
    """Every value and every end of an interval."""
    return [end for point in points for end in (point.value, point.low, point.high) if end is not None]


def printed(value: float | None) -> str:
    """Three decimals as in the tables; fewer for what is large."""
    if value is None:
        return "\N{EN DASH}"
    if abs(value) < 10:
        return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")
    return (f"{value:,.1f}" if abs(value) < 1000 else short_number(value)).replace("-", "\N{MINUS SIGN}")


def printed_x(x: float | str) -> str:
    return x if isinstance(x, str) else short_number(x)


def describe(figure: Figure) -> str:
    """The numbers in words, for those who cannot see the picture."""
    parts = []
    for panel, points in panels_of(figure).items():
        lines = [f"{name}: {described_line(own)}" for name, own in series_of(points).items()]
        parts.append((f"{panel}. " if panel else "") + "; ".join(lines))
    return f"{figure.y_title} by {figure.x_title}. " + ". ".join(parts) + "."


MOST_IN_WORDS = 6


def described_line(points: Sequence[Point]) -> str:
    """Every value of a short line; of a long one its ends, as the table has the rest."""
    shown = points if len(points) <= MOST_IN_WORDS else (points[0], points[-1])
    words = [f"{printed_x(point.x)} {printed(point.value)}" for point in shown]
    return ", ".join(words) if len(points) <= MOST_IN_WORDS else f"from {words[0]} to {words[1]}"
