"""Which notes a corpus holds (paper 5.2.1, M03)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import polars as pl


def chosen_notes(note_types: Sequence[str] | None, window: tuple[date, date] | None) -> pl.Expr | None:
    """A filter on rows of `schemas.CLEAN_NOTES`: these types, written in [first day, last day); None takes every note."""
    filters = [pl.col("note_type").is_in(list(note_types))] if note_types is not None else []
    if window is not None:
        first, last = (datetime(day.year, day.month, day.day) for day in window)
        filters.append(pl.col("written_time").is_between(first, last, closed="left"))
    return pl.all_horizontal(filters) if filters else None
