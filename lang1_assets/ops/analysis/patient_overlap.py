"""Does a model do well because it has met the patients: the test with and without those seen before (appendix L, Fig. L9)."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypedDict

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lang1_assets.ops.analysis.groups import Head, Measured, Measuring, described, head_of, measured
from lang1_assets.ops.analysis.spellings import is_not_white
from lang1_assets.ops.bootstrap import MacroAuroc, percentile_interval, resample_weights
from lang1_assets.ops.metrics import Floats
from lang1_assets.ops.results import finite, labels_and_probabilities

EVERYBODY, SEEN, NEW = "all patients", "seen patients", "new patients"
"""All notes of the test, those of patients whose notes the model was trained on, and the others."""


class Population(TypedDict):
    """Whether seen patients are another population (appendix L): they were 13 years older there."""

    num_patients: int
    mean_age: float | None
    """Over notes."""
    share_not_white: float | None
    """Of the notes whose race is known (`spellings.is_not_white`)."""


class OverlapRow(Head, Measured, Population):
    group: str


class Difference(TypedDict):
    """95 %, in resamples of the patients; all None where either side has none."""

    value: float | None
    low: float | None
    high: float | None


NO_DIFFERENCE = Difference(value=None, low=None, high=None)


class Flattery(Head, Difference):
    """AUROC of everybody less that of new patients."""

    share_seen: float
    """Of the notes."""
    age: Difference
    """Mean over the notes of seen patients less that of new ones."""
    not_white: Difference
    """Share of the notes whose race is known, of seen patients less that of new ones."""


def overlap_rows(
    predictions: pl.DataFrame, examples: pl.DataFrame, mode: str, seen: Collection[str], how: Measuring
) -> tuple[list[OverlapRow], Flattery]:
    """One task and split of a model that was trained on notes of the patients `seen`; the model stays, the test changes."""
    frame = described(predictions, examples).with_columns(is_seen=pl.col("subject_id").is_in(list(seen)))
    parts = {EVERYBODY: frame, SEEN: frame.filter("is_seen"), NEW: frame.filter(~pl.col("is_seen"))}
    head = head_of(frame, mode)
    rows: list[OverlapRow] = [
        {**head, "group": name, **measured(part, how), **population(part)} for name, part in parts.items()
    ]
    has_both = rows[0]["value"] is not None and rows[2]["value"] is not None
    found = flattery(frame, how) if has_both else NO_DIFFERENCE
    return rows, {
        **head,
        **found,
        "share_seen": float(frame["is_seen"].to_numpy().mean()),
        "age": mean_difference(frame, pl.col("age"), how),
        "not_white": mean_difference(frame, is_not_white(pl.col("race")), how),
    }


def population(part: pl.DataFrame) -> Population:
    ages = part["age"].drop_nulls().to_numpy()
    others = part.select(is_not_white(pl.col("race"))).to_series().drop_nulls().to_numpy()
    return {
        "num_patients": part["subject_id"].n_unique(),
        "mean_age": float(ages.mean()) if len(ages) else None,
        "share_not_white": float(others.mean()) if len(others) else None,
    }


def mean_difference(frame: pl.DataFrame, of: pl.Expr, how: Measuring) -> Difference:
    """Mean of seen patients' notes less that of new patients', where it is known."""
    known = frame.select("subject_id", "is_seen", value=of.cast(pl.Float64)).drop_nulls("value")
    values, is_seen = known["value"].to_numpy(), known["is_seen"].to_numpy()
    if is_seen.all() or not is_seen.any():
        return NO_DIFFERENCE
    patients = known["subject_id"].rank("dense").to_numpy()
    blocks = resample_weights(len(values), num_resamples=how.num_resamples, seed=how.seed, clusters=patients)
    drawn = np.concatenate([weighted_difference(block, values, is_seen) for block in blocks])
    interval = percentile_interval(drawn)
    value = float(weighted_difference(np.ones((1, len(values))), values, is_seen)[0])
    return Difference(value=finite(value), low=finite(interval.low), high=finite(interval.high))


def weighted_difference(weights: Floats, values: Floats, is_first: NDArray[np.bool_]) -> Floats:
    """(b,): the first ones' mean less the others', each note counted `weights` (b, n) times; nan where a side is not drawn."""
    with np.errstate(invalid="ignore"):
        first, second = (
            (weights[:, side] @ values[side]) / weights[:, side].sum(axis=1) for side in (is_first, ~is_first)
        )
    difference: Floats = first - second
    return difference


def flattery(frame: pl.DataFrame, how: Measuring) -> Difference:
    """Both AUROCs in the same resamples of patients, because they share their new patients."""
    labels, probabilities = labels_and_probabilities(frame)
    is_new = ~frame["is_seen"].to_numpy()
    everybody, new = MacroAuroc(labels, probabilities), MacroAuroc(labels[is_new], probabilities[is_new])
    patients = frame["subject_id"].rank("dense").to_numpy()
    blocks = resample_weights(len(labels), num_resamples=how.num_resamples, seed=how.seed, clusters=patients)
    drawn = np.concatenate([everybody.of_weights(block) - new.of_weights(block[:, is_new]) for block in blocks])
    interval = percentile_interval(drawn)
    once = np.ones((1, len(labels)))
    value = float((everybody.of_weights(once) - new.of_weights(once[:, is_new]))[0])
    return Difference(value=finite(value), low=finite(interval.low), high=finite(interval.high))
