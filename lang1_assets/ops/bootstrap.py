"""The 95 % interval of an AUROC: 1,000 resamples of the test set, quantile method (paper 5.5).

A resample is how often each note was drawn, so its AUROC is a weighted count over an order that never changes: sort
once, then count integers. The draws are those of `scipy.stats.bootstrap((y_true, y_prob), ..., paired=True,
method="percentile", rng=seed)`, and so are the bounds. The same `seed` gives two models the same resamples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lang1_assets.ops.metrics import Floats, Integers, MetricError, checked

NUM_RESAMPLES = 1_000
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95 % percentile interval; nan when no resample could be scored.

    `value +- 1.96 * standard_deviation` is the other reading of the paper's formula.
    """

    low: float
    high: float
    standard_deviation: float
    """Of the resamples' values (n - 1 in the denominator)."""
    num_resamples: int
    num_left_out: int
    """Resamples that held one class only and so have no AUROC."""


class RankedAuroc:
    """The AUROC of one class against the rest as a function of how often each note counts."""

    def __init__(self, is_positive: NDArray[np.bool_], scores: Floats) -> None:
        order = np.argsort(scores, kind="stable")
        ordered = is_positive[order]
        self._positives, self._negatives = order[ordered], order[~ordered]
        negative_scores, positive_scores = scores[self._negatives], scores[self._positives]
        self._first_tied = np.searchsorted(negative_scores, positive_scores, side="left")
        self._after_tied = np.searchsorted(negative_scores, positive_scores, side="right")

    def __call__(self, weights: Integers) -> float:
        """AUROC with each note counted `weights` (n,) times; nan when the weighted notes are of one kind only."""
        positive_weights, negative_weights = weights[self._positives], weights[self._negatives]
        drawn_below = np.concatenate(([0], np.cumsum(negative_weights)))
        num_pairs = int(positive_weights.sum()) * int(drawn_below[-1])
        if num_pairs == 0:
            return math.nan
        twice_won = positive_weights @ (drawn_below[self._first_tied] + drawn_below[self._after_tied])
        return int(twice_won) / (2 * num_pairs)


class MacroAuroc:
    """`metrics.auroc(...).value` as a function of how often each note counts."""

    def __init__(self, y_true: ArrayLike, y_prob: ArrayLike) -> None:
        labels, columns = checked(y_true, y_prob)
        self.num_notes = len(labels)
        # With two classes the AUROC of class 0 is that of class 1; one of them is enough.
        classes = [1] if columns.shape[1] == 2 else np.unique(labels).tolist()
        self._by_class = [RankedAuroc(labels == k, columns[:, k]) for k in classes]

    def __call__(self, weights: Integers) -> float:
        values = [ranked(weights) for ranked in self._by_class]
        present = [value for value in values if not math.isnan(value)]
        return sum(present) / len(present) if present else math.nan


def bootstrap_auroc(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int,
    clusters: ArrayLike | None = None,
) -> Interval:
    """Percentile interval of `metrics.auroc(y_true, y_prob).value`: labels (n,), probabilities (n,) or (n, k).

    With more than two classes a resample averages the classes that it holds, as `auroc` does. `clusters` (n,) names the
    patient of each note: then whole patients are drawn, which is wider where patients return (Field and Welsh 2007).

    >>> interval = bootstrap_auroc([0, 0, 1, 0, 1, 1], [0.1, 0.4, 0.35, 0.2, 0.8, 0.7], num_resamples=200, seed=7)
    >>> 0 <= interval.low <= interval.high <= 1
    True
    """
    values = auroc_distribution(y_true, y_prob, num_resamples=num_resamples, seed=seed, clusters=clusters)
    return percentile_interval(values)


def auroc_distribution(
    y_true: ArrayLike, y_prob: ArrayLike, *, num_resamples: int, seed: int, clusters: ArrayLike | None = None
) -> Floats:
    """AUROC of each resample, (num_resamples,); nan where the resample holds one class only."""
    statistic = MacroAuroc(y_true, y_prob)
    weights = resample_weights(statistic.num_notes, num_resamples=num_resamples, seed=seed, clusters=clusters)
    return np.fromiter((statistic(each) for each in weights), dtype=np.float64, count=num_resamples)


def resample_weights(
    num_notes: int, *, num_resamples: int, seed: int, clusters: ArrayLike | None = None
) -> Iterator[Integers]:
    """How often each note (num_notes,) was drawn, one resample after another; O(num_notes) memory."""
    if clusters is None:
        yield from _draw_counts(num_notes, num_resamples, seed)
        return
    names = np.asarray(clusters)
    if names.shape != (num_notes,):
        raise MetricError(f"clusters have shape {names.shape}, expected one for each of the {num_notes} notes")
    unique, codes = np.unique(names, return_inverse=True)
    for counts in _draw_counts(len(unique), num_resamples, seed):
        yield counts[codes]


def _draw_counts(num_units: int, num_resamples: int, seed: int) -> Iterator[Integers]:
    # Row by row, the generator gives the very numbers that scipy draws as one (num_resamples, n) array.
    generator: Any = np.random.default_rng(seed)
    for _ in range(num_resamples):
        yield np.bincount(generator.integers(0, num_units, num_units), minlength=num_units)


def percentile_interval(values: Floats) -> Interval:
    """The middle 95 % of the resamples' values, nan left out and counted."""
    scored = values[np.isfinite(values)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(scored, [tail, 1 - tail]).tolist() if len(scored) else (math.nan, math.nan)
    return Interval(
        low=low,
        high=high,
        standard_deviation=float(np.std(scored, ddof=1)) if len(scored) > 1 else math.nan,
        num_resamples=len(values),
        num_left_out=len(values) - len(scored),
    )
