"""How a model does on the notes of one task: its numbers, and the same of resampled patients."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from lang1_assets.ops.analysis.groups import Measuring, num_events, reason
from lang1_assets.ops.analysis.temporal_drift import outcomes_and_confidences
from lang1_assets.ops.bootstrap import MacroAuroc, percentile_interval, resample_weights
from lang1_assets.ops.drift.rows import (
    AUROC,
    ECE,
    EXPECTED,
    GAP,
    NUM_EVENTS,
    NUM_SCORED,
    OBSERVED,
    SLOPE,
    DriftRow,
    Scored,
    prevalence_name,
    row,
)
from lang1_assets.ops.metrics import Floats, Integers
from lang1_assets.ops.resampled_metrics import resampled_ece, resampled_lines, resampled_means
from lang1_assets.ops.results import labels_and_probabilities

NEED_EVENTS = (AUROC, GAP, SLOPE, ECE)
"""With too few events these say nothing; how many there were is said all the same."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The scored notes of one task of a month, or of the reference."""

    n: int
    num_events: int
    left_out: str | None
    """Why nothing that needs events is measured."""
    values: dict[str, float]
    """Statistic -> its value; nan where it does not exist."""
    drawn: dict[str, Floats]
    """The same in each resample of the patients (num_resamples,)."""


def sample(scored: pl.DataFrame, how: Measuring, *, with_slope: bool = True) -> Sample:
    """Every number of rows of `schemas.PREDICTIONS` of one task.

    Two samples of other notes need other seeds: equal ones draw equal places of both.

    Args:
        with_slope: it is fitted in each resample, which takes most of the time, and no check is about it.
    """
    labels = scored["label"].to_numpy().astype(np.int64)
    values: dict[str, float] = {}
    drawn: dict[str, Floats] = {}
    why = reason(labels, how)
    if len(labels) >= how.min_notes:
        labels, probabilities = labels_and_probabilities(scored)
        measure = measures(labels, probabilities, has_events=why is None, with_slope=with_slope)
        values = {name: float(found[0]) for name, found in measure(np.ones((1, len(labels)))).items()}
        patients = scored["subject_id"].to_numpy()
        blocks = resample_weights(len(labels), num_resamples=how.num_resamples, seed=how.seed, clusters=patients)
        parts = [measure(weights) for weights in blocks]
        drawn = {name: np.concatenate([part[name] for part in parts]) for name in values}
    return Sample(n=len(labels), num_events=num_events(labels), left_out=why, values=values, drawn=drawn)


def measures(
    labels: Integers, probabilities: Floats, *, has_events: bool, with_slope: bool
) -> Callable[[Floats], dict[str, Floats]]:
    """All numbers as a function of how often each note counts: weights (b, n) to (b,) each."""
    outcomes, confidences = outcomes_and_confidences(labels, probabilities)
    num_classes = probabilities.shape[1]
    means = {OBSERVED: outcomes, EXPECTED: confidences, GAP: outcomes - confidences}
    means |= {prevalence_name(k): (labels == k).astype(np.float64) for k in range(num_classes)}
    of_means = resampled_means(means)
    if not has_events:
        return lambda weights: {name: found for name, found in of_means(weights).items() if name != GAP}
    of_ranks = MacroAuroc(labels, probabilities).of_weights
    of_bins = resampled_ece(confidences, outcomes == 1)
    of_lines = resampled_lines(labels, probabilities) if with_slope else None

    def measure(weights: Floats) -> dict[str, Floats]:
        slopes = {SLOPE: of_lines(weights)[SLOPE]} if of_lines else {}
        return {AUROC: of_ranks(weights), ECE: of_bins(weights), **slopes, **of_means(weights)}

    return measure


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A statistic of a month less that of the reference: other notes, so both are resampled, each by itself."""

    value: float
    standard_error: float
    p_lower: float
    """One-sided, that the month is not below the reference."""
    p_other: float
    """Two-sided, that both are equal."""


def compared(month: Sample, reference: Sample, statistic: str) -> Compared:
    """The bootstrap of the difference of two independent samples (Efron and Tibshirani 1993, chapters 8 and 13).

    Every resample of the one is set against every resample of the other: b resamples each give b * b differences, enough for
    p-values far below 1 / b. A p-value is the share of differences on the other side of 0, one added above and below.
    """
    first, second = (one.drawn[statistic] for one in (month, reference))
    first, second = first[np.isfinite(first)], np.sort(second[np.isfinite(second)])
    num_pairs = len(first) * len(second)
    if num_pairs == 0:
        return Compared(value=math.nan, standard_error=math.nan, p_lower=math.nan, p_other=math.nan)
    # A difference is 0 or above where the reference's is at most the month's.
    not_below = int(np.searchsorted(second, first, side="right").sum())
    not_above = num_pairs - int(np.searchsorted(second, first, side="left").sum())
    shares = [(count + 1) / (num_pairs + 1) for count in (not_below, not_above)]
    return Compared(
        value=month.values[statistic] - reference.values[statistic],
        standard_error=math.hypot(
            *(float(np.std(one, ddof=1)) if len(one) > 1 else math.nan for one in (first, second))
        ),
        p_lower=min(1.0, shares[0]),
        p_other=min(1.0, 2 * min(shares)),
    )


def p_worse(month: Sample, reference: Sample, statistic: str) -> float:
    """Of an AUROC that is no lower than the reference's; of a calibration that is no further from 0.

    Of calibration: two-sided that both gaps are equal, and 1 where the month's is the smaller one. The plain difference of two
    absolute gaps would accuse small months, whose gap is larger by chance alone.
    """
    found = compared(month, reference, statistic)
    if statistic == AUROC:
        return found.p_lower
    is_further = abs(month.values[statistic]) > abs(reference.values[statistic])
    return found.p_other if is_further or math.isnan(found.p_other) else 1.0


def performance_rows(head: Scored, month: Sample, reference: Sample | None) -> list[DriftRow]:
    """Each statistic of a month beside the reference; what was left out with its reason."""
    rows = [row(head, NUM_SCORED, month.n, month.n), row(head, NUM_EVENTS, month.n, month.num_events)]
    rows += [
        row(head, name, month.n, None, left_out=month.left_out) for name in NEED_EVENTS if name not in month.values
    ]
    return rows + [compared_row(head, name, month, reference) for name in month.values]


def compared_row(head: Scored, statistic: str, month: Sample, reference: Sample | None) -> DriftRow:
    own = percentile_interval(month.drawn[statistic])
    more = {"low": own.low, "high": own.high}
    if reference is not None and statistic in reference.values:
        known = percentile_interval(reference.drawn[statistic])
        more |= {
            "reference": reference.values[statistic],
            "reference_low": known.low,
            "reference_high": known.high,
            "standard_error": compared(month, reference, statistic).standard_error,
        }
        if statistic in (AUROC, GAP):
            more["p_value"] = p_worse(month, reference, statistic)
    return row(head, statistic, month.n, month.values[statistic], more)
