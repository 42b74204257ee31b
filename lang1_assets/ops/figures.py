"""Pictures of the data as PNG and SVG bytes, and Fig. G7 in this style: one sheet, one set of colors, one caption.

A sheet is as wide as a phone unless told otherwise, so that its text is readable there; on a desktop it is drawn at twice
its pixels. Matplotlib is used by its objects alone: pyplot would keep every figure of a long-running process.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, Polygon, Rectangle
from matplotlib.textpath import text_to_path
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lang1_assets.ops import paper_tables
from lang1_assets.ops.corpus_statistics import ATTRIBUTES

Form = Literal["png", "svg"]

INK, SOFT, RULE, PANEL, PAGE = "#1b1d20", "#5a6068", "#c9ccc5", "#f3f4ef", "#ffffff"
BLUE, ORANGE = "#0072b2", "#b34700"
"""Two of the colors of Okabe and Ito (2008), told apart in every form of color blindness; the orange darkened for text."""

PIXELS_PER_INCH = 96
"""CSS pixels; lengths below are such pixels, y downward."""
PNG_SCALES = (2, 1.5, 1)
"""Image pixels for one CSS pixel: two are sharp on today's screens; a very long picture gets fewer."""
MAX_PNG_BYTES = 150_000
"""Pictures stand inside the metadata of an asset, and a page shows several."""
FONT = "DejaVu Sans"
"""Comes with matplotlib, so that text is as wide here as where it was measured; wider than what browsers put instead."""
SYNTHETIC = "Synthetic data: the embedded hospital. No number here is about real patients."

PHONE_WIDTH = 400
MARGIN = 10


@dataclass
class Sheet:
    """A page of fixed width that grows downward as things are drawn on it."""

    width: float = PHONE_WIDTH
    bottom: float = 0
    """The lowest pixel in use."""
    figure: Figure = field(default_factory=Figure)

    def __post_init__(self) -> None:
        self.figure.set_facecolor(PAGE)
        self.axes: Any = self.figure.add_axes((0, 0, 1, 1), xlim=(0, self.width))
        self.axes.set_axis_off()

    def text(
        self,
        at: tuple[float, float],
        content: str,
        *,
        size: float = 12,
        color: str = INK,
        bold: bool = False,
        align: Literal["left", "center", "right"] = "left",
        rotation: Literal[0, 90] = 0,
    ) -> None:
        """One line; `at` is where its baseline starts, is centered or ends. Turned by 90 degrees, it runs upward."""
        self.axes.text(
            *at,
            content,
            fontproperties=_font(size, bold),
            color=color,
            ha=align,
            va="baseline",
            rotation=rotation,
            rotation_mode="anchor",
            parse_math=False,  # a $ in a step or a department is a dollar
        )
        self._use(at[1] + size * 0.3)

    def lines(
        self, corner: tuple[float, float], content: str, width: float, *, size: float = 12, color: str = INK
    ) -> float:
        """Wrapped text below its upper left `corner`; returns where it ends."""
        y = corner[1]
        for line in wrapped(content, width, size):
            y += line_height(size)
            self.text((corner[0], y - size * 0.35), line, size=size, color=color)
        return y

    def box(self, corner: tuple[float, float], width: float, height: float, *, fill: str, edge: str) -> None:
        """A rounded box, behind all text."""
        style = "round,pad=0,rounding_size=4"
        self.axes.add_patch(
            FancyBboxPatch(corner, width, height, boxstyle=style, facecolor=fill, edgecolor=edge, linewidth=0.9)
        )
        self._use(corner[1] + height)

    def bar(self, corner: tuple[float, float], width: float, height: float, color: str) -> None:
        self.axes.add_patch(Rectangle(corner, width, height, facecolor=color, linewidth=0))
        self._use(corner[1] + height)

    def line(self, start: tuple[float, float], end: tuple[float, float], color: str = RULE) -> None:
        self.axes.plot([start[0], end[0]], [start[1], end[1]], color=color, linewidth=0.9, solid_capstyle="butt")
        self._use(max(start[1], end[1]))

    def arrow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """A line, straight down or to the right, that ends in a head."""
        self.line(start, end, SOFT)
        (x, y), head = end, 4
        down = [(x, y), (x - head, y - 1.6 * head), (x + head, y - 1.6 * head)]
        right = [(x, y), (x - 1.6 * head, y - head), (x - 1.6 * head, y + head)]
        self.axes.add_patch(Polygon(down if start[0] == x else right, facecolor=SOFT, linewidth=0))

    def caption(self, content: str, is_synthetic: bool) -> None:
        """The last words of a picture, with a warning when no real patient is in it."""
        full = f"{content} {SYNTHETIC}" if is_synthetic else content
        self.lines((MARGIN, self.bottom + 8), full.strip(), self.width - 2 * MARGIN, size=11, color=SOFT)

    def render(self, form: Form, title: str) -> bytes:
        """The finished picture; the same drawing gives the same bytes. `title` is for those who cannot see it."""
        height = self.bottom + MARGIN
        self.figure.set_size_inches(self.width / PIXELS_PER_INCH, height / PIXELS_PER_INCH)
        self.axes.set_ylim(height, 0)
        return _as_svg(self.figure, title) if form == "svg" else _as_png(self.figure, title)

    def _use(self, y: float) -> None:
        self.bottom = max(self.bottom, y)


def _as_svg(figure: Figure, title: str) -> bytes:
    drawn = io.BytesIO()
    # Text stays text: it can be searched, read aloud and tested.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lang1"}):
        figure.savefig(drawn, format="svg", metadata={"Title": title, "Date": None}, facecolor=PAGE)
    return drawn.getvalue()


def _as_png(figure: Figure, title: str) -> bytes:
    """As sharp as `MAX_PNG_BYTES` allows."""
    for scale in PNG_SCALES:
        png = _rasterized(figure, title, scale)
        if len(png) <= MAX_PNG_BYTES:
            break
    return png


def _rasterized(figure: Figure, title: str, scale: float) -> bytes:
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(PIXELS_PER_INCH * scale)
    canvas.draw()
    # A palette is a third of the bytes of full color (80 kB, not 290, for eight steps); 64 colors hold every edge, and chosen
    # for coverage they hold a single orange mark, which the median cut of a large picture turns gray.
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(64, Image.Quantize.MAXCOVERAGE)
    words, drawn = PngInfo(), io.BytesIO()
    words.add_text("Title", title)
    image.save(drawn, format="png", optimize=True, pnginfo=words)
    return drawn.getvalue()


def inline_png(png: bytes, alt: str) -> str:
    """Markdown that holds the picture itself. `alt` says in words what it shows."""
    words = " ".join(alt.replace("\\", " ").replace("[", "(").replace("]", ")").split())
    return f"![{words}](data:image/png;base64,{base64.b64encode(png).decode()})"


@cache
def _font(size: float, bold: bool) -> FontProperties:
    return FontProperties(family=[FONT, "sans-serif"], size=size * 72 / PIXELS_PER_INCH, weight=700 if bold else 400)


def text_width(content: str, size: float, bold: bool = False) -> float:
    """Pixels from the first to the last letter."""
    points, _, _ = text_to_path.get_text_width_height_descent(content, _font(size, bold), ismath=False)
    return float(points) * PIXELS_PER_INCH / 72


def line_height(size: float) -> float:
    return size * 1.35


ON_WHOLE_PIXELS = 1.05
"""How much wider a line becomes where letters of a small size are set on whole pixels."""


def wrapped(content: str, width: float, size: float) -> list[str]:
    """Lines no wider than `width`; a word that is wider by itself is cut, after a hyphen of its own if it can be."""
    width /= ON_WHOLE_PIXELS
    lines = [""]
    for word in content.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, size) <= width:
            lines[-1] = longer
            continue
        *whole, last = _cut(word, width, size)
        lines += [*whole, last]
    return [line for line in lines if line]


def _cut(word: str, width: float, size: float) -> list[str]:
    """Names are of parts (`lang1-tiny-encoder-notes`, `joint_evaluation/ours`): only a part too wide is cut by letters."""
    pieces = [""]
    for part in re.split(r"(?<=[-/_])", word):
        fits = text_width(part, size) <= width
        for piece in [part] if fits else part:
            if pieces[-1] and text_width(pieces[-1] + piece, size) > width:
                pieces.append("")
            pieces[-1] += piece
    return pieces


WIDE = 1100
PANEL_GAP = 28
GROUP_ORDER = ("pathology", "radiology", "hospital")
"""Of Fig. G7; other groups follow."""
HEADINGS = {"department": "Department", "diagnosis": "Diagnosis (first-listed ICD code)", "borough": "Borough"}


def top_five_picture(
    totals: pl.DataFrame, top: pl.DataFrame, *, is_synthetic: bool, wide: bool = False, form: Form = "png"
) -> bytes:
    """Fig. G7: the five commonest departments, diagnoses and boroughs of each group of notes.

    Args:
        totals, top: the frames of `corpus_statistics.corpus_statistics`.
        is_synthetic: say in the caption that no patient is real.
        wide: three panels side by side, for a desktop; else one below the other, for a phone.
    """
    sheet = Sheet(width=WIDE if wide else PHONE_WIDTH)
    held = {row["note_group"]: row for row in totals.iter_rows(named=True) if row["note_group"] != "all"}
    for group in sorted(held, key=lambda name: (GROUP_ORDER.index(name) if name in GROUP_ORDER else 9, name)):
        _draw_group_heading(sheet, held[group])
        _draw_panels(sheet, group, top, 3 if wide else 1)
        sheet.bottom += 12
    sheet.caption(
        "Percent of the notes that name a value; bars of one kind have one scale. Gray: the paper's Fig. G7.",
        is_synthetic,
    )
    return sheet.render(form, "Top five departments, diagnoses and boroughs of each group of notes")


def _draw_group_heading(sheet: Sheet, row: dict[str, Any]) -> None:
    y = sheet.bottom + 24
    name = f"{row['note_group'].capitalize()} notes"
    sheet.text((MARGIN, y), name, size=14, bold=True)
    counts = f"{row['num_notes']:,} notes of {row['num_patients']:,} patients"
    if text_width(name, 14, bold=True) + text_width(counts, 11) + MARGIN > sheet.width - 2 * MARGIN:
        y += 18
    sheet.text((sheet.width - MARGIN, y), counts, size=11, color=SOFT, align="right")
    sheet.line((MARGIN, y + 7), (sheet.width - MARGIN, y + 7))


def _draw_panels(sheet: Sheet, group: str, top: pl.DataFrame, num_columns: int) -> None:
    width = (sheet.width - 2 * MARGIN - (num_columns - 1) * PANEL_GAP) / num_columns
    start = sheet.bottom + 6
    for place, attribute in enumerate(ATTRIBUTES):
        column = place % num_columns
        y = start if num_columns > 1 else sheet.bottom + 6
        kind = top.filter(pl.col("attribute") == attribute)
        rows = kind.filter(pl.col("note_group") == group).sort("rank").to_dicts()
        largest = max(kind["share"].to_list(), default=1)
        corner = (MARGIN + column * (width + PANEL_GAP), y)
        _draw_panel(sheet, corner, width, group, attribute, rows, largest)


def _draw_panel(
    sheet: Sheet,
    corner: tuple[float, float],
    width: float,
    group: str,
    attribute: str,
    rows: Sequence[dict[str, Any]],
    largest: float,
) -> None:
    """Heading, share of the notes without a value, one bar a value, and what the paper names."""
    x, y = corner
    missing = f"{rows[0]['share_missing']:.1%} missing" if rows else "no note names one"
    sheet.text((x, y + 16), HEADINGS[attribute], size=12, bold=True)
    sheet.text((x + width, y + 16), missing, size=11, color=SOFT, align="right")
    y += 24
    for row in rows:
        name = " ".join(part for part in (row["value"], row["title"]) if part)
        sheet.text((x + width, y + 12), f"{row['share']:.1%}", size=12, align="right")
        y = sheet.lines((x, y), name, width - 52, size=12)
        sheet.bar((x, y + 1), max(width * row["share"] / largest, 1), 6, BLUE)
        y += 12
    paper = ", ".join(f"{name} {share:.1%}" for name, share in paper_tables.TOP_SHARES.get((group, attribute), ()))
    if paper:
        sheet.lines((x, y), f"Paper: {paper}", width, size=11, color=SOFT)
