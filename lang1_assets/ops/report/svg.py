"""Drawing in SVG: scales, axes, marks. Colors are CSS classes of the page, so a chart follows light, dark and print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from lang1_assets.ops.axes import Scale

Point = tuple[float, float]


@dataclass
class Canvas:
    """SVG elements in the order of drawing; sizes in pixels of the view box."""

    width: float
    height: float
    elements: list[str] = field(default_factory=list)

    def line(self, start: Point, end: Point, css: str) -> None:
        self.elements.append(
            f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" class="{css}"/>'
        )

    def rect(self, corner: Point, width: float, height: float, css: str) -> None:
        self.elements.append(
            f'<rect x="{corner[0]:.1f}" y="{corner[1]:.1f}" width="{width:.1f}" height="{height:.1f}" class="{css}"/>'
        )

    def polyline(self, points: Sequence[Point], css: str) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.elements.append(f'<polyline points="{path}" class="{css}"/>')

    def text(self, at: Point, content: str, css: str = "", anchor: str = "start", rotate: bool = False) -> None:
        turn = f' transform="rotate(-90 {at[0]:.1f} {at[1]:.1f})"' if rotate else ""
        self.elements.append(
            f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" class="{css}" text-anchor="{anchor}"{turn}>{escape(content)}</text>'
        )

    def mark(self, at: Point, shape: str, css: str, tooltip: str, size: float = 5) -> None:
        """A data point: `circle`, `ring`, `square`, `diamond` or `bar`; shape and color both tell the series apart."""
        x, y = at
        inside = f"<title>{escape(tooltip)}</title>"
        if shape in ("circle", "ring"):
            self.elements.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" class="{css} {shape}">{inside}</circle>'
            )
            return
        if shape == "bar":
            self.elements.append(
                f'<line x1="{x - 8:.1f}" y1="{y:.1f}" x2="{x + 8:.1f}" y2="{y:.1f}" class="{css} bar"/>'
            )
            return
        reach = size * (0.92 if shape == "square" else 1.3)
        corners = (
            [(-reach, -reach), (reach, -reach), (reach, reach), (-reach, reach)]
            if shape == "square"
            else [(0, -reach), (reach, 0), (0, reach), (-reach, 0)]
        )
        path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
        self.elements.append(f'<polygon points="{path}" class="{css} {shape}">{inside}</polygon>')

    def render(self, title: str, description: str) -> str:
        """The finished element: labelled for screen readers, as wide as its place allows."""
        label = escape(f"{title}. {description}", quote=True)
        size = f"0 0 {self.width:.0f} {self.height:.0f}"
        return f'<svg viewBox="{size}" role="img" aria-label="{label}">{"".join(self.elements)}</svg>'


def bottom_axis(canvas: Canvas, scale: Scale, ticks: Sequence[tuple[float, str]], top: float, bottom: float) -> None:
    """Vertical grid lines with their labels below."""
    for value, label in ticks:
        canvas.line((scale(value), top), (scale(value), bottom), "grid")
        canvas.text((scale(value), bottom + 16), label, "tick", "middle")


def left_axis(canvas: Canvas, scale: Scale, ticks: Sequence[tuple[float, str]], left: float, right: float) -> None:
    """Horizontal grid lines with their labels on the left."""
    for value, label in ticks:
        canvas.line((left, scale(value)), (right, scale(value)), "grid")
        canvas.text((left - 7, scale(value) + 4), label, "tick", "end")
