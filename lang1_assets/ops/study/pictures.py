"""Any figure of a study as a picture: PNG for Dagster and MLflow, SVG for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lang1_assets.ops.figures import MARGIN, SOFT, SYNTHETIC, WIDE, Form, Sheet, text_width
from lang1_assets.ops.study.bar_panel import draw_bars, names_its_series
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.heatmap_panel import draw_heatmap
from lang1_assets.ops.study.inline_svg import inline_svg
from lang1_assets.ops.study.line_panel import draw_lines
from lang1_assets.ops.study.look import Style, describe, panels_of, printed_x, styles_of

GAP = 36
NARROW = 390
"""CSS pixels of a common phone."""
LONE_WIDTH = 680
"""Of a single panel: lines as wide as a desk say less."""
LEGEND_LINE = 19
MOST_MARKS = 3
LEAST_WIDTH = 300
"""Of a panel that has another beside it."""
MOST_ABREAST = {"bars": 3, "lines": 3, "scatter": 2, "heatmap": 2}


def draw(figure: Figure, *, wide: bool, is_synthetic: bool) -> bytes:
    """PNG with title and caption, 1,100 (`wide`, a desktop) or 390 (a phone) CSS pixels across."""
    return draw_together((figure,), wide=wide, is_synthetic=is_synthetic)


def draw_together(figures: Sequence[Figure], *, wide: bool, is_synthetic: bool, form: Form = "png") -> bytes:
    """The figures of one study on one sheet: side by side where each is one small chart, else one below the other."""
    sheet = Sheet(width=WIDE if wide else NARROW)
    fits = len(figures) <= MOST_ABREAST["lines"] and all(is_one_chart(figure) for figure in figures)
    abreast = len(figures) if wide and fits else 1
    width = (sheet.width - 2 * MARGIN - (abreast - 1) * GAP) / abreast
    for number, figure in enumerate(figures):
        top = 4 if abreast > 1 else sheet.bottom + (20 if number else 4)
        draw_titled(sheet, (MARGIN + (number % abreast) * (width + GAP), top), width, figure, is_synthetic)
    if is_synthetic:
        sheet.caption("", is_synthetic)
    return sheet.render(form, ". ".join(f"{figure.title}: {describe(figure)}" for figure in figures))


def is_one_chart(figure: Figure) -> bool:
    return figure.kind in ("lines", "scatter") and len(panels_of(figure)) <= 1


def draw_titled(sheet: Sheet, corner: tuple[float, float], width: float, figure: Figure, is_synthetic: bool) -> None:
    """Title, chart and caption."""
    shown = f"{figure.title} (synthetic data)" if is_synthetic else figure.title
    y = sheet.lines(corner, shown, width, size=15)
    y = draw_body(sheet, (corner[0], y), width, figure)
    sheet.lines((corner[0], y + 8), " ".join((figure.caption, not_measured(figure))), width, size=11, color=SOFT)


def draw_svg(figure: Figure, *, wide: bool, is_synthetic: bool) -> str:
    """The chart alone as an element of a page, which has title and caption as text of its own."""
    widest = LONE_WIDTH + 2 * MARGIN if is_one_chart(figure) else WIDE
    sheet = Sheet(width=widest if wide else NARROW)
    draw_body(sheet, (MARGIN, 0), sheet.width - 2 * MARGIN, figure)
    if is_synthetic:
        sheet.caption("", is_synthetic)
    return inline_svg(
        sheet.render("svg", ""),
        key=f"{figure.to_json()} {wide}",
        width=sheet.width,
        title=f"{figure.title} ({SYNTHETIC.split(':')[0].lower()})" if is_synthetic else figure.title,
        description=describe(figure),
    )


def not_measured(figure: Figure) -> str:
    """`3 of 20 values could not be measured.`"""
    absent = sum(point.value is None for point in figure.points)
    return f"{absent} of {len(figure.points)} values could not be measured." if absent else ""


def draw_body(sheet: Sheet, corner: tuple[float, float], room: float, figure: Figure) -> float:
    """Legend and panels, in as many columns as there is room for; returns where they end."""
    looks = styles_of(figure)
    figure = by_category(figure)
    panels = panels_of(figure)
    x, bottom = corner
    if needs_legend(figure, panels):
        bottom = draw_legend(sheet, corner, room, looks)
    if not panels:
        sheet.text((x, bottom + 24), "Nothing was measured yet.", size=12)
        return bottom + 30
    columns = max(1, min(MOST_ABREAST[figure.kind], len(panels), int(room // LEAST_WIDTH)))
    width = (room - (columns - 1) * GAP) / columns if columns > 1 else min(room, LONE_WIDTH)
    titles = list(panels)
    for first in range(0, len(titles), columns):
        top = bottom + 14
        for place, title in enumerate(titles[first : first + columns]):
            end = draw_panel(sheet, (x + place * (width + GAP), top), width, figure, title, panels[title], looks)
            bottom = max(bottom, end)
    return bottom


def by_category(figure: Figure) -> Figure:
    """Bars of many series with a panel a category, where each lane has its name beside it: nobody keeps a dozen marks in mind."""
    if figure.kind != "bars" or any(point.panel for point in figure.points):
        return figure
    if len({point.series for point in figure.points}) <= MOST_MARKS or len({point.x for point in figure.points}) < 2:
        return figure
    return replace(figure, points=tuple(replace(p, panel=printed_x(p.x), x=p.series) for p in figure.points))


def needs_legend(figure: Figure, panels: Mapping[str, Sequence[Point]]) -> bool:
    if figure.kind == "heatmap" or len({point.series for point in figure.points}) < 2:
        return False
    return figure.kind != "bars" or not names_its_series(figure, panels)


def draw_panel(
    sheet: Sheet,
    corner: tuple[float, float],
    width: float,
    figure: Figure,
    title: str,
    points: Sequence[Point],
    looks: Mapping[str, Style],
) -> float:
    """Title, what is measured, the chart; returns where it ends."""
    x, y = corner
    if title:
        y = sheet.lines((x, y), title, width, size=13.5)
    if figure.kind == "heatmap":
        return draw_heatmap(sheet, (x, y + 6), width, figure, points)
    if figure.kind == "bars":
        return draw_bars(sheet, (x, y + (20 if figure.chance is not None else 8)), width, figure, points, looks)
    sheet.text((x, y + 15), figure.y_title, size=11, color=SOFT)
    return draw_lines(sheet, (x, y + 28), width, figure, points, looks)


def draw_legend(sheet: Sheet, corner: tuple[float, float], width: float, looks: Mapping[str, Style]) -> float:
    """Marks and names, in as many rows as they need; returns where they end."""
    x, y = corner[0], corner[1] + 20
    for name, look in looks.items():
        needed = 16 + text_width(name, 12) + 20
        if x > corner[0] and x + needed > corner[0] + width:
            x, y = corner[0], y + LEGEND_LINE
        sheet.axes.plot([x, x + 12], [y - 4] * 2, color=look.color, linewidth=1.4)
        sheet.axes.plot([x + 6], [y - 4], color=look.color, marker=look.marker, markersize=5.4, markeredgewidth=0)
        sheet.text((x + 18, y), name, size=12)
        x += needed + 4
    return y + 4
