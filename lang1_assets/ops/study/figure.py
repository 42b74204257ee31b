"""A figure of a study as plain values: what is drawn, tabled and judged, and from which artifact each point came."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["bars", "lines", "scatter", "heatmap"]
FIGURE_FILE = "figure.json"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One number of a figure."""

    series: str
    """What shares a color and a line in the legend; the row of a heatmap."""
    x: float | str
    """A number on an axis, or a category; the column of a heatmap."""
    value: float | None
    """None where it could not be measured; `note` says why."""
    low: float | None = None
    high: float | None = None
    """95 %."""
    n: int | None = None
    """Notes behind it."""
    panel: str = ""
    """Which of several small charts it is in: a task, mostly."""
    source: str = ""
    """Name of the artifact that it was measured from, such as `finetuned_joint/lang1-tiny`."""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of the paper, of this hospital."""

    name: str
    """The asset's."""
    paper: str
    """The paper's figure: `Fig. 4b`."""
    title: str
    caption: str
    kind: Kind
    x_title: str
    y_title: str
    points: tuple[Point, ...]
    x_is_log: bool = False
    chance: float | None = None
    """Where a line is drawn for a model that knows nothing."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Figure:
        return Figure(**{**values, "points": tuple(Point(**point) for point in values["points"])})


def write_figures(figures: tuple[Figure, ...], folder: Path) -> None:
    """A study has one figure or a few."""
    (folder / FIGURE_FILE).write_text(json.dumps([figure.to_json() for figure in figures], indent=1, allow_nan=False))


def read_figures(folder: Path) -> tuple[Figure, ...]:
    return tuple(Figure.from_json(values) for values in json.loads((folder / FIGURE_FILE).read_text()))
