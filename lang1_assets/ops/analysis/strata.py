"""For whom a model works: AUROC by age, sex, race, ethnicity, borough, child or adult (appendix K, Fig. K8)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

from lang1_assets.ops.analysis.groups import Head, Measured, Measuring, described, head_of, lower_than, measured
from lang1_assets.ops.analysis.spellings import recorded

ATTRIBUTES: dict[str, str] = {
    "age_band": "Age",
    "child_or_adult": "Child or adult",
    "sex": "Sex",
    "race": "Race",
    "ethnicity": "Ethnicity",
    "borough": "Borough",
}
"""Column -> its name in print; the first two are made of `age`."""
SPELLED = ("sex", "race", "ethnicity", "borough")
"""Those that are as the hospital writes them."""
ALL = "all"
NOT_RECORDED = "not recorded"
ADULT_AGE = 18
LEVEL = 0.05
"""Of a warning about one attribute of one task, shared among its groups."""


class StratumRow(Head, Measured):
    """One group of one attribute, or all notes (attribute and group `all`)."""

    attribute: str
    group: str
    p_worse: float | None
    """One-sided p-value that the group does as well as the notes of the other groups; None where one has no AUROC."""
    is_worse: bool
    """Below `LEVEL` after Bonferroni's correction for the groups of the attribute."""


def strata_rows(
    predictions: pl.DataFrame, examples: pl.DataFrame, mode: str, age_band_years: int, how: Measuring
) -> list[StratumRow]:
    """All notes, then every group of every attribute: each note is in one group of each.

    Args:
        predictions: `schemas.PREDICTIONS` of one task and split.
        examples: `schemas.COHORT` of the task, with or without text.
    """
    frame = with_strata(described(predictions, examples), age_band_years)
    head = head_of(frame, mode)
    rows = [_row(head, ALL, ALL, measured(frame, how), math.nan)]
    for attribute in ATTRIBUTES:
        rows += corrected(attribute_rows(frame, attribute, head, how))
    return rows


def with_strata(frame: pl.DataFrame, age_band_years: int) -> pl.DataFrame:
    """`age_band` (`5 - 9`), `child_or_adult`; what is not recorded, in whatever words, is one group of its own."""
    first = pl.col("age") // age_band_years * age_band_years
    bands = pl.format("{} - {}", first, first + age_band_years - 1)
    side = pl.when(pl.col("age") < ADULT_AGE).then(pl.lit("child")).otherwise(pl.lit("adult"))
    is_known = pl.col("age").is_not_null()
    named = frame.with_columns(age_band=pl.when(is_known).then(bands), child_or_adult=pl.when(is_known).then(side))
    known = named.with_columns(recorded(pl.col(name)) for name in SPELLED)
    return known.with_columns(pl.col(list(ATTRIBUTES)).fill_null(NOT_RECORDED))


def in_order(group: str) -> tuple[float, str]:
    """Sorts bands of age by number and names by letter."""
    first = group.split(" ")[0]
    return float(first) if first.isdigit() else math.inf, group


def attribute_rows(frame: pl.DataFrame, attribute: str, head: Head, how: Measuring) -> list[StratumRow]:
    """A group is compared with the notes of all others."""
    rows = []
    for group in sorted(frame[attribute].unique(), key=in_order):
        inside = pl.col(attribute) == group
        own = measured(frame.filter(inside), how)
        others = measured(frame.filter(~inside), how) if own["value"] is not None else own
        rows.append(_row(head, attribute, group, own, lower_than(own, others) if own is not others else math.nan))
    return rows


def corrected(rows: Sequence[StratumRow]) -> list[StratumRow]:
    num_tests = sum(row["p_worse"] is not None for row in rows)
    return [{**row, "is_worse": row["p_worse"] is not None and row["p_worse"] * num_tests < LEVEL} for row in rows]


def _row(head: Head, attribute: str, group: str, found: Measured, p_worse: float) -> StratumRow:
    return {
        **head,
        "attribute": attribute,
        "group": group,
        **found,
        "p_worse": None if math.isnan(p_worse) else p_worse,
        "is_worse": False,
    }
