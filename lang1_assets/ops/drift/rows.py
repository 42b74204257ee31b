"""One number of one month and task beside its reference; months are rows of these in `rows.parquet`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypedDict

import polars as pl

from lang1_assets.ops.results import finite
from lang1_assets.ops.tasks import TASKS

AUROC, GAP, SLOPE, ECE = "auroc", "gap", "calibration_slope", "ece"
OBSERVED, EXPECTED = "observed", "expected"
NUM_NOTES, NUM_PATIENTS = "num_notes", "num_patients"
NUM_SCORED, NUM_EVENTS = "num_scored", "num_events"
WORDS_Q25, WORDS_MEDIAN, WORDS_Q75 = "words_q25", "words_median", "words_q75"
TOKENS_PER_WORD, UNSEEN_WORDS = "tokens_per_word", "unseen_words"
WORD_DISTANCE, SCORE_STABILITY = "word_distance", "score_stability"

PERFORMANCE: dict[str, str] = {
    NUM_SCORED: "Scored notes",
    NUM_EVENTS: "Events",
    AUROC: "AUROC",
    GAP: "Observed less expected",
    OBSERVED: "Observed",
    EXPECTED: "Expected",
    SLOPE: "Calibration slope",
    ECE: "ECE",
}
INPUTS: dict[str, str] = {
    NUM_NOTES: "Notes",
    NUM_PATIENTS: "Patients",
    WORDS_MEDIAN: "Words of a note, median",
    WORDS_Q25: "Words of a note, lower quartile",
    WORDS_Q75: "Words of a note, upper quartile",
    TOKENS_PER_WORD: "Tokens per word",
    UNSEEN_WORDS: "Share of words never seen",
    WORD_DISTANCE: "Distance of the words",
    SCORE_STABILITY: "Stability index of the score",
}
"""Statistic -> its name in print. `prevalence_K` of each option is another."""


class DriftRow(TypedDict):
    """One statistic; either `value` or `left_out` is there."""

    month: str
    """YYYY-MM of the export."""
    task: str
    model: str
    """Fingerprint of the model that scored the month."""
    variant: str
    statistic: str
    n: int
    """Notes behind the value."""
    value: float | None
    low: float | None
    high: float | None
    """95 %, of resampled patients; None where the statistic has no such interval."""
    reference: float | None
    reference_low: float | None
    reference_high: float | None
    """Of performance: the value on the model's reference, with its 95 % interval. Of words and scores: the median and the middle
    95 % of what random patients of the reference give, as many notes as the month has. None where there is no reference."""
    standard_error: float | None
    """Of the value less its reference."""
    p_value: float | None
    """Of a value that is no worse than, or no other than, the reference; None where nothing is tested."""
    left_out: str | None


COLUMNS: dict[str, Any] = {
    **dict.fromkeys(("month", "task", "model", "variant", "statistic"), pl.String),
    "n": pl.Int64,
    **dict.fromkeys(("value", "low", "high", "reference", "reference_low", "reference_high"), pl.Float64),
    **dict.fromkeys(("standard_error", "p_value"), pl.Float64),
    "left_out": pl.String,
}


class Scored(TypedDict):
    """What every row of one month and task begins with."""

    month: str
    task: str
    model: str
    variant: str


NUMBERS = ("low", "high", "reference", "reference_low", "reference_high", "standard_error", "p_value")


def row(
    head: Scored,
    statistic: str,
    n: int,
    value: float | None,
    numbers: Mapping[str, float | None] = MappingProxyType({}),
    *,
    left_out: str | None = None,
) -> DriftRow:
    """With None for all of `NUMBERS` that are not given, and for those that do not exist."""
    given = {name: finite(numbers.get(name)) for name in NUMBERS}
    why = left_out or (None if value is not None and math.isfinite(value) else "does not exist for these notes")
    return {**head, "statistic": statistic, "n": n, "value": finite(value), **given, "left_out": why}  # type: ignore[typeddict-item]


def frame(rows: Sequence[DriftRow]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def by_statistic(rows: Iterable[DriftRow]) -> dict[tuple[str, str], dict[str, DriftRow]]:
    """(task, month) -> statistic -> its row; tasks in the order of the project, months in order."""
    found: dict[tuple[str, str], dict[str, DriftRow]] = {}
    for one in rows:
        found.setdefault((one["task"], one["month"]), {})[one["statistic"]] = one
    order = list(TASKS)
    return dict(sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1])))


def prevalence_name(label: int) -> str:
    return f"prevalence_{label}"


def titles(statistic: str) -> str:
    """In print."""
    known: Mapping[str, str] = PERFORMANCE | INPUTS
    return known.get(statistic, statistic.replace("_", " "))
