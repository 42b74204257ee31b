"""What the page is made of: sections of words, drawings, tables and cards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lang1_assets.ops.report.figures import Series
from lang1_assets.ops.report.tables import Cell, Table


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A chart, or several small ones side by side; `narrow` replaces `wide` on a phone."""

    caption: str
    wide: tuple[str, ...] = ()
    is_small: bool = False
    """One panel a task, which stays small where there is one task."""
    narrow: str = ""
    legend: tuple[Series, ...] = ()
    numbers: Table | None = None
    """The same numbers, folded below the chart."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a section under a heading of its own."""

    anchor: str
    title: str
    links: tuple[Cell, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    folded: tuple[Table, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Card:
    """A document about one model, closed until asked for."""

    title: str
    html: str
    """Made from `text`, with everything of it escaped."""
    text: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """A list under a heading that counts it; `title` and `tone` are a verdict's."""

    title: str
    tone: str
    items: tuple[tuple[str, Cell], ...]
    """Words, and the figure that they lead to."""
    folds: bool = False
    """Closed on a phone until asked for."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of the page."""

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    figures: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: tuple[Table, ...] = ()
    """Long tables, closed until asked for."""
    parts: tuple[Part, ...] = ()
    cards: tuple[Card, ...] = ()
    missing: tuple[str, ...] = ()


def all_tables(sections: Sequence[Section]) -> list[tuple[Section, list[Table]]]:
    """Each section with every table it holds, in order."""
    return [(section, list(_tables(section))) for section in sections]


def _tables(section: Section) -> list[Table]:
    drawn = [*section.figures, *(drawing for part in section.parts for drawing in part.drawings)]
    folded = [table for part in section.parts for table in part.folded]
    return [*(each.numbers for each in drawn if each.numbers), *section.tables, *section.folded, *folded]
