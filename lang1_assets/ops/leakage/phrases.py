"""Do notes hold phrases that state the outcome, and do those tell the class?"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lang1_assets.ops.leakage.findings import LeakCheck, LeakLimits, cannot_tell
from lang1_assets.ops.leakage.groups import (
    SIGNIFICANCE,
    enough,
    fisher_p,
    hanley_interval,
    judged_classes,
    two_by_two,
)
from lang1_assets.ops.leakage.outcome_phrases import phrases_of
from lang1_assets.ops.leakage.phrase_search import phrase_hits, phrase_numbers
from lang1_assets.ops.metrics import Floats, Integers, pairwise_auroc
from lang1_assets.ops.tasks import Task


def no_outcome_phrase(task: Task, notes: pl.DataFrame, limits: LeakLimits) -> LeakCheck:
    """No note holds a phrase of `outcome_phrases`.

    An error when a phrase is at least twice as likely (odds) in one class, or in the rest, by Fisher's exact test, or when
    the number that it states orders the classes ("length of stay: 5 days"); a question when notes of all classes hold one
    alike, because such a note may be a copy or an addendum.
    """
    if not phrases_of(task.name):
        return cannot_tell("no_outcome_phrase", "warn", "the task's file names no outcome_phrases")
    rows = phrase_rows(task, notes, limits)
    telling = [row for row in rows if row["p"] < SIGNIFICANCE / len(rows) and not 0.5 < row["odds_ratio"] < 2]
    telling += [row for row in rows if row["number_low"] > 0.55 or row["number_high"] < 0.45]
    has_any = phrase_hits(notes["text"], task.name).select(pl.any_horizontal(pl.all())).to_series().to_numpy()
    message = f"{int(has_any.sum()):,} of {len(notes):,} notes hold a phrase that states the outcome"
    if telling:
        message += "; it tells the class: " + ", ".join(sorted({row["phrase_id"] for row in telling}))
    return LeakCheck(
        name="no_outcome_phrase",
        passed=not has_any.any(),
        severity="error" if telling else "warn",
        message=message,
        numbers={
            "num_notes": len(notes),
            "num_with_phrase": int(has_any.sum()),
            **has_phrase_auroc(has_any, notes["label"].to_numpy(), task),
        },
        table=tuple(row for row in rows if row["num_in_class"] + row["num_in_rest"]),
    )


def phrase_rows(task: Task, notes: pl.DataFrame, limits: LeakLimits) -> list[dict[str, Any]]:
    """A row for each phrase and judged class: how many notes of the class and of the rest hold it, and what that tells."""
    hits, numbers = phrase_hits(notes["text"], task.name), phrase_numbers(notes["text"], task.name)
    labels, classes = notes["label"].to_numpy(), judged_classes(task)
    confidence = 1 - SIGNIFICANCE / (len(classes) * hits.width)
    return [
        {"phrase_id": phrase, "label": k}
        | prevalence_row(hits[phrase].to_numpy(), labels == k)
        | number_row(numbers[phrase].to_numpy(), labels == k, limits, confidence)
        for phrase in hits.columns
        for k in classes
    ]


def prevalence_row(hit: NDArray[np.bool_], is_class: NDArray[np.bool_]) -> dict[str, Any]:
    (a, b), (c, d) = two_by_two(hit, is_class)
    # Half a note added to each cell (Haldane), so that an empty cell has odds.
    odds_ratio = (a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5))
    return {"num_in_class": a, "num_in_rest": c, "odds_ratio": odds_ratio, "p": fisher_p(hit, is_class)}


def number_row(numbers: Floats, is_class: NDArray[np.bool_], limits: LeakLimits, confidence: float) -> dict[str, float]:
    """Interval of the AUROC of the number a phrase states, among the notes that state one; 0 to 1 where they are too few."""
    stated = np.isfinite(numbers)
    if not enough(is_class[stated], limits):
        return {"number_low": 0.0, "number_high": 1.0}
    value = pairwise_auroc(is_class[stated], numbers[stated])
    num_positive = int(is_class[stated].sum())
    low, high = hanley_interval(value, num_positive, int(stated.sum()) - num_positive, confidence)
    return {"number_low": low, "number_high": high}


def has_phrase_auroc(has_any: NDArray[np.bool_], labels: Integers, task: Task) -> dict[str, float]:
    """AUROC of "holds a phrase" for the class it tells best, with its Hanley-McNeil interval; nothing if one class only."""
    both = [k for k in judged_classes(task) if 0 < (labels == k).sum() < len(labels)]
    values = {k: pairwise_auroc(labels == k, has_any.astype(np.float64)) for k in both}
    if not values:
        return {}
    best = max(values, key=lambda k: abs(values[k] - 0.5))
    num_positive = int((labels == best).sum())
    low, high = hanley_interval(values[best], num_positive, len(labels) - num_positive)
    return {"auroc": values[best], "low": low, "high": high}
