"""The AUROC of a group of notes with its interval, or why the group is left out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import polars as pl
from scipy.stats import binomtest

from lang1_assets.ops.bootstrap import auroc_distribution, percentile_interval
from lang1_assets.ops.metrics import Integers, auroc
from lang1_assets.ops.results import finite, labels_and_probabilities


class AnalysisError(ValueError):
    """Predictions and examples that do not fit together."""


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """How groups are measured, and which ones are too small for a number (`settings.Analyze`)."""

    min_notes: int
    min_events: int
    """Notes that are not of the group's commonest class."""
    num_resamples: int
    seed: int


class Head(TypedDict):
    """Which model a row is about, and which test."""

    mode: str
    """`zero_shot`, or what the model was finetuned on."""
    task: str
    split: str


class Measured(TypedDict):
    """The AUROC of a group; either `value` and its 95 % interval or `left_out` is there."""

    n: int
    num_events: int
    value: float | None
    low: float | None
    high: float | None
    standard_deviation: float | None
    standard_deviation_by_patient: float | None
    """Of resampled patients: what tests use, because notes of one patient are not independent."""
    left_out: str | None


def measured(group: pl.DataFrame, how: Measuring) -> Measured:
    """AUROC of rows of `schemas.PREDICTIONS` of one task, with its percentile interval by note (paper 5.5).

    The interval is for drawing, as the paper draws it; `standard_deviation_by_patient` is for every test.
    """
    labels = group["label"].to_numpy().astype(np.int64)
    empty = Measured(
        n=len(labels),
        num_events=num_events(labels),
        value=None,
        low=None,
        high=None,
        standard_deviation=None,
        standard_deviation_by_patient=None,
        left_out=reason(labels, how),
    )
    if empty["left_out"]:
        return empty
    _, probabilities = labels_and_probabilities(group)
    values = auroc_distribution(labels, probabilities, num_resamples=how.num_resamples, seed=how.seed)
    interval = percentile_interval(values)
    patients = group["subject_id"].to_numpy()
    by_patient = auroc_distribution(
        labels, probabilities, num_resamples=how.num_resamples, seed=how.seed, clusters=patients
    )
    return {
        **empty,
        "value": finite(auroc(labels, probabilities).value),
        "low": finite(interval.low),
        "high": finite(interval.high),
        "standard_deviation": finite(interval.standard_deviation),
        "standard_deviation_by_patient": finite(percentile_interval(by_patient).standard_deviation),
    }


def num_events(labels: Integers) -> int:
    """Notes that are not of the commonest class: with two classes those of the rarer one."""
    return len(labels) - int(np.bincount(labels).max(initial=0)) if len(labels) else 0


def reason(labels: Integers, how: Measuring) -> str | None:
    """Why a group has no AUROC; None when it has one."""
    if len(labels) < how.min_notes:
        return f"{len(labels)} notes, fewer than {how.min_notes}"
    events = num_events(labels)
    if events == 0:
        return "one class only"
    return f"{events} events, fewer than {how.min_events}" if events < how.min_events else None


def share_interval(count: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), also where the share is 0 or 1.

    >>> tuple(round(bound, 4) for bound in share_interval(0, 10))
    (0.0, 0.2775)
    """
    interval = binomtest(count, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def head_of(frame: pl.DataFrame, mode: str) -> Head:
    return Head(mode=mode, task=str(frame["task"][0]), split=str(frame["split"][0]))


def described(predictions: pl.DataFrame, examples: pl.DataFrame) -> pl.DataFrame:
    """Predictions of one task beside what its examples say of the same notes, in the same order.

    Raises:
        AnalysisError: a scored note is no example, or one of several; a label changed since.
    """
    known = examples.drop("subject_id", "split", strict=False).rename({"label": "label_now"})
    if known["note_id"].is_duplicated().any():
        raise AnalysisError(
            f"examples: note {known.filter(pl.col('note_id').is_duplicated())['note_id'][0]} is there twice"
        )
    both = predictions.join(known, on="note_id", how="left", maintain_order="left")
    wrong = both.filter(pl.col("label_now").is_null() | (pl.col("label_now") != pl.col("label")))
    if not wrong.is_empty():
        now = wrong["label_now"][0]
        what = "is no example of it" if now is None else f"has label {now} now, {wrong['label'][0]} when it was scored"
        raise AnalysisError(f"{wrong['task'][0]}: note {wrong['note_id'][0]} {what}; evaluate the model again")
    return both.drop("label_now")


def lower_than(first: Measured, second: Measured) -> float:
    """One-sided p-value that the AUROC of one group is not below that of another group of other notes; nan where unknown.

    By patient: notes of one patient are not independent, and by note they would be more evidence than they are.
    """
    if first["value"] is None or second["value"] is None:
        return math.nan
    error = math.hypot(first["standard_deviation_by_patient"] or 0.0, second["standard_deviation_by_patient"] or 0.0)
    if error == 0:
        return math.nan
    return 0.5 * math.erfc((second["value"] - first["value"]) / error / math.sqrt(2))
