"""Which notes a corpus holds (paper 5.2.1, M03)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path

import polars as pl


def chosen_notes(
    note_types: Sequence[str] | None, window: tuple[date, date] | None, held_out: Sequence[str] = ()
) -> pl.Expr | None:
    """A filter on rows of `schemas.CLEAN_NOTES`; None takes every note.

    Args:
        note_types: only these; None takes all.
        window: written in [first day, last day).
        held_out: encounters none of whose notes is taken.
    """
    filters = [pl.col("note_type").is_in(list(note_types))] if note_types is not None else []
    if window is not None:
        first, last = (datetime(day.year, day.month, day.day) for day in window)
        filters.append(pl.col("written_time").is_between(first, last, closed="left"))
    if held_out:
        filters.append(pl.col("encounter_id").is_null() | ~pl.col("encounter_id").is_in(list(held_out)))
    return pl.all_horizontal(filters) if filters else None


def held_out_stays(cohorts: Iterable[Path], split: str) -> list[str]:
    """The stays of one split of any task, sorted.

    A window of writing dates is not enough: the H&P of a stay over New Year is written in one year and tested in the next,
    and the discharge note of a stay tells how its H&P's story ends.
    """
    frames = [pl.scan_parquet(file).filter(pl.col("split") == split).select("encounter_id") for file in cohorts]
    return sorted(pl.concat(frames).unique().collect()["encounter_id"].to_list())
