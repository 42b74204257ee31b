"""What a table of the report is: rows of cells, printed once for both the HTML and the Markdown page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NOTHING = "–"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One value as printed."""

    text: str
    url: str | None = None
    differs: bool = False
    """Outside sampling error of what it stands beside."""
    shade: float | None = None
    """0 to 1: how strongly the cell is tinted, in a matrix."""
    tone: str = ""
    """`good`, `bad` or `open`: a verdict, whose words say the same."""


Content = Cell | str | int | float | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A caption, a header, and rows of cells; the first columns name the row."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    num_labels: int = 1
    """Leading columns that hold names; the others hold numbers and are set flush right."""
    reference: frozenset[int] = frozenset()
    """Columns that print what ours is compared with; set in a softer tone."""
    is_prose: bool = False
    """Cells hold sentences, which wrap."""


def table(
    caption: str,
    header: Sequence[str],
    rows: Iterable[Sequence[Content]],
    num_labels: int = 1,
    reference: Sequence[int] = (),
    is_prose: bool = False,
) -> Table:
    """A table of these values, without the columns that hold nothing at all."""
    cells = [[as_cell(value) for value in row] for row in rows]
    kept = [
        column
        for column in range(len(header))
        if column < num_labels or not cells or any(row[column].text != NOTHING for row in cells)
    ]
    return Table(
        caption=caption,
        header=tuple(header[column] for column in kept),
        rows=tuple(tuple(row[column] for column in kept) for row in cells),
        num_labels=num_labels,
        reference=frozenset(place for place, column in enumerate(kept) if column in reference),
        is_prose=is_prose,
    )


def as_cell(value: Content) -> Cell:
    """Numbers as people read them; what is not there is a dash."""
    if isinstance(value, Cell):
        return value
    if value is None or value == "":
        return Cell(text=NOTHING)
    if isinstance(value, float):
        return Cell(text=f"{value:.3f}")
    return Cell(text=f"{value:,}" if isinstance(value, int) else value)


def link(text: str, url: str | None) -> Cell | None:
    return Cell(text=text, url=url) if url else None
