"""The 95 % interval of an AUROC: 1,000 resamples of the test set, quantile method (paper 5.5).

What decides the AUROC of a resample is how many notes it holds of each run of positives and of negatives in the order of the
scores. So runs are found once, and a resample is drawn, looked up and counted: no sorting, and whole numbers up to one
division. The draws are those of `scipy.stats.bootstrap((y_true, y_prob), ...,
paired=True, method="percentile", rng=seed)`, and so are the bounds. The same `seed` gives two models the same resamples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lang1_assets.ops.metrics import Floats, Integers, MetricError, checked, one_hot
from lang1_assets.ops.metrics.discrimination import last_of_ties

NUM_RESAMPLES = 1_000
CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959963984540054
"""Of a standard normal at 97.5 %."""
BLOCK = 131_072
"""Notes drawn at a time, in one or several resamples: 1 MB of indices stays in the cache of a core."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95 % percentile interval; nan when no resample could be scored."""

    low: float
    high: float
    standard_deviation: float
    """Of the resamples' values (n - 1 in the denominator)."""
    num_resamples: int
    num_left_out: int
    """Resamples for which the measure does not exist, as those of one class only for AUROC."""

    def normal(self, value: float) -> tuple[float, float]:
        """The other reading of the paper's formula, `value` +- 1.96 standard deviations of the resamples."""
        reach = NORMAL_QUANTILE * self.standard_deviation
        return value - reach, value + reach


class RankedCells:
    """AUROC of a yes-or-no label as a function of how many notes of each cell are counted.

    In the order of the scores, a cell is a run of negatives and the run of positives above it, or one score that both have:
    9,000 cells where 11 % of 97,586 notes are positive. Which note of a run was drawn makes no difference.
    """

    def __init__(self, is_positive: NDArray[np.bool_], scores: Floats) -> None:
        order = np.argsort(scores, kind="stable")
        ends = last_of_ties(scores[order])
        sizes = np.diff(ends, prepend=-1)
        num_positive = np.diff(np.cumsum(is_positive[order])[ends], prepend=0)
        is_tied = (num_positive > 0) & (num_positive < sizes)
        is_falling = (num_positive[1:] == 0) & (num_positive[:-1] > 0)
        cells = np.cumsum(np.append(False, is_tied[1:] | is_tied[:-1] | is_falling))
        self.num_cells = int(cells[-1]) + 1
        self.num_slots = 2 * self.num_cells
        self._tied = cells[is_tied]
        self.slots = np.empty(len(scores), dtype=np.int64)
        """Of each note: its cell when it is a negative, `num_cells` further when it is a positive."""
        self.slots[order] = np.repeat(cells, sizes)
        self.slots += self.num_cells * is_positive

    def auroc(self, counts: NDArray[Any]) -> Floats:
        """(b,) from how many notes of each slot b resamples hold (b, num_slots); nan where they are of one kind."""
        negatives, positives = counts[:, : self.num_cells], counts[:, self.num_cells :]
        up_to = np.cumsum(negatives, axis=1)
        num_pairs = positives.sum(axis=1) * up_to[:, -1]
        tied = np.einsum("bc,bc->b", positives[:, self._tied], negatives[:, self._tied])
        twice_won = 2 * np.einsum("bc,bc->b", positives, up_to) - tied
        with np.errstate(invalid="ignore"):
            return twice_won / (2 * num_pairs)


class MacroAuroc:
    """`metrics.auroc(...).value` of resamples."""

    def __init__(self, y_true: ArrayLike, y_prob: ArrayLike) -> None:
        labels, columns = checked(y_true, y_prob)
        self.num_notes = len(labels)
        # With two classes the AUROC of class 0 is that of class 1; one of them is enough.
        classes = [1] if columns.shape[1] == 2 else np.unique(labels).tolist()
        self._by_class = {k: RankedCells(labels == k, columns[:, k]) for k in classes}

    def of_draws(self, draws: Integers) -> Floats:
        """(b,): of the notes that each of b resamples drew, (b, n) indices."""
        return mean_of_present(
            [ranked.auroc(counted(ranked.slots[draws], ranked.num_slots)) for ranked in self._by_class.values()]
        )

    def of_weights(self, weights: Floats) -> Floats:
        """(b,): with each note counted `weights` (b, n) times."""
        return mean_of_present(list(self.of_classes(weights).values()))

    def of_classes(self, weights: Floats) -> dict[int, Floats]:
        """(b,) of each class that any note has, of class 1 alone where there are two."""
        return {
            k: ranked.auroc(summed(ranked.slots, weights, ranked.num_slots)) for k, ranked in self._by_class.items()
        }


class MicroAuroc:
    """`metrics.auroc(...).micro` of resamples: a note brings all its (class, probability) pairs."""

    def __init__(self, y_true: ArrayLike, y_prob: ArrayLike) -> None:
        labels, columns = checked(y_true, y_prob)
        self._ranked = RankedCells(one_hot(labels, columns.shape[1]).ravel(), columns.ravel())
        self._slots = self._ranked.slots.reshape(columns.shape)

    def of_weights(self, weights: Floats) -> Floats:
        """(b,): with each note counted `weights` (b, n) times."""
        of_class = [summed(column, weights, self._ranked.num_slots) for column in self._slots.T]
        return self._ranked.auroc(np.sum(of_class, axis=0))


def mean_of_present(by_class: Sequence[Floats]) -> Floats:
    """(b,): of each resample the mean over the classes that it holds, nan where it holds none."""
    if len(by_class) == 1:
        return by_class[0]
    values = np.array(by_class)
    present = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(present, values, 0.0).sum(axis=0) / present.sum(axis=0)


def counted(slots: Integers, num_slots: int) -> Integers:
    """How often each slot occurs in each row of (b, n), as (b, num_slots)."""
    num_rows = len(slots)
    if num_rows > 1:
        slots = slots + num_slots * np.arange(num_rows)[:, None]
    return np.bincount(slots.ravel(), minlength=num_rows * num_slots).reshape(num_rows, num_slots)


def summed(slots: Integers, weights: Floats, num_slots: int) -> Floats:
    """Sum of the weights (b, n) of the notes of each slot (n,), as (b, num_slots); exact for whole numbers."""
    return np.stack([np.bincount(slots, weights=row, minlength=num_slots) for row in weights])


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
    if clusters is None:
        blocks = drawn(statistic.num_notes, num_resamples, seed)
        return np.concatenate([statistic.of_draws(draws) for draws in blocks])
    weights = resample_weights(statistic.num_notes, num_resamples=num_resamples, seed=seed, clusters=clusters)
    return np.concatenate([statistic.of_weights(block) for block in weights])


def resample_weights(
    num_notes: int, *, num_resamples: int, seed: int, clusters: ArrayLike | None = None
) -> Iterator[Floats]:
    """How often each resample drew each note, in blocks of (b, num_notes); O(num_notes) memory."""
    codes = cluster_codes(num_notes, clusters) if clusters is not None else np.arange(num_notes)
    num_units = int(codes.max(initial=-1)) + 1
    for draws in drawn(num_units, num_resamples, seed):
        # A gather of floats: what follows multiplies them with floats.
        times = counted(draws, num_units).astype(np.float64)
        yield times if clusters is None else times[:, codes]


def cluster_codes(num_notes: int, clusters: ArrayLike) -> Integers:
    """The patient of each note (n,), counted from 0."""
    names = np.asarray(clusters)
    if names.shape != (num_notes,):
        raise MetricError(f"clusters have shape {names.shape}, expected one for each of the {num_notes} notes")
    return np.unique(names, return_inverse=True)[1]


def drawn(num_units: int, num_resamples: int, seed: int) -> Iterator[Integers]:
    """What each resample draws, in blocks of (b, num_units) indices."""
    # Row by row, the generator gives the very numbers that scipy draws as one (num_resamples, n) array.
    generator: Any = np.random.default_rng(seed)
    size = max(1, BLOCK // num_units)
    for first in range(0, num_resamples, size):
        yield generator.integers(0, num_units, (min(size, num_resamples - first), num_units))


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
