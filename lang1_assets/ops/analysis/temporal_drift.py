"""Does a model still work: AUROC, calibration and prevalence month by month, against the test of the training years (M45)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict, cast

import numpy as np
import polars as pl

from lang1_assets.ops.analysis.groups import (
    Head,
    Measured,
    Measuring,
    described,
    head_of,
    lower_than,
    measured,
    share_interval,
)
from lang1_assets.ops.bootstrap import NORMAL_QUANTILE
from lang1_assets.ops.metrics import Floats, Integers
from lang1_assets.ops.results import labels_and_probabilities
from lang1_assets.ops.schemas import SPLITS

REFERENCE_SPLIT = "test"
"""Of the training years: what a month is compared with."""
WHOLE = "all"
LEVEL = 0.05
"""Of a warning about one model and task, shared among its months."""


class Calibration(TypedDict):
    """What was predicted and what happened; all None where there are too few notes."""

    observed: float | None
    observed_low: float | None
    observed_high: float | None
    """Two classes: the share of positives, Wilson's interval. More: the share of notes whose likeliest class is right."""
    predicted: float | None
    """Two classes: the mean probability of class 1. More: the mean probability of the likeliest class."""
    gap: float | None
    gap_low: float | None
    gap_high: float | None
    """Observed less predicted, +- 1.96 standard errors: above 0 the model promises too little."""


class DriftRow(Head, Measured, Calibration):
    """One month of one split, or a whole split (month `all`)."""

    month: str
    p_drop: float | None
    """One-sided p-value that the AUROC is no lower than on `REFERENCE_SPLIT`; None where either has none."""
    is_drop: bool
    """Below `LEVEL` after Bonferroni's correction: for the splits, or for the months, of the model and task."""


def drift_rows(predictions: pl.DataFrame, examples: pl.DataFrame, mode: str, how: Measuring) -> list[DriftRow]:
    """Every test split as a whole, then each month of the splits after `REFERENCE_SPLIT`; one task.

    The reference itself spreads over years and is not cut into months. A month of too few notes has its number of notes
    alone; one of too few events has no AUROC.
    """
    frame = described(predictions, examples).with_columns(month=pl.col("prediction_time").dt.strftime("%Y-%m"))
    reference = measured(frame.filter(split=REFERENCE_SPLIT), how)
    wholes, months = [], []
    for split in sorted(frame["split"].unique(), key=SPLITS.index):
        part = frame.filter(split=split)
        if split == REFERENCE_SPLIT:
            wholes.append(_row(head_of(part, mode), part, WHOLE, reference, math.nan, how))
            continue
        own = measured(part, how)
        wholes.append(_row(head_of(part, mode), part, WHOLE, own, lower_than(own, reference), how))
        # Rows keep their order within a group: the same notes have the same resamples in every table.
        for month in sorted(part["month"].unique()):
            held = part.filter(month=month)
            found = measured(held, how)
            months.append(_row(head_of(held, mode), held, month, found, lower_than(found, reference), how))
    return [*corrected(wholes), *corrected(months)]


def corrected(rows: Sequence[DriftRow]) -> list[DriftRow]:
    num_tests = sum(row["p_drop"] is not None for row in rows)
    return [{**row, "is_drop": row["p_drop"] is not None and row["p_drop"] * num_tests < LEVEL} for row in rows]


def _row(head: Head, held: pl.DataFrame, month: str, found: Measured, p_drop: float, how: Measuring) -> DriftRow:
    return {
        **head,
        "month": month,
        **found,
        **calibration(held, how),
        "p_drop": None if math.isnan(p_drop) else p_drop,
        "is_drop": False,
    }


def calibration(held: pl.DataFrame, how: Measuring) -> Calibration:
    if len(held) < max(how.min_notes, 2):
        empty = dict.fromkeys(Calibration.__annotations__)
        return cast(Calibration, empty)
    outcomes, confidences = outcomes_and_confidences(*labels_and_probabilities(held))
    low, high = share_interval(int(outcomes.sum()), len(outcomes))
    differences = outcomes - confidences
    gap = float(differences.mean())
    reach = NORMAL_QUANTILE * float(differences.std(ddof=1)) / math.sqrt(len(held))
    return {
        "observed": float(outcomes.mean()),
        "observed_low": low,
        "observed_high": high,
        "predicted": float(confidences.mean()),
        "gap": gap,
        "gap_low": gap - reach,
        "gap_high": gap + reach,
    }


def outcomes_and_confidences(labels: Integers, probabilities: Floats) -> tuple[Floats, Floats]:
    """What calibration compares (n,): class 1 and its probability, or with more classes the likeliest and its own."""
    if probabilities.shape[1] == 2:
        return (labels == 1).astype(np.float64), probabilities[:, 1]
    return (probabilities.argmax(axis=1) == labels).astype(np.float64), probabilities.max(axis=1)
