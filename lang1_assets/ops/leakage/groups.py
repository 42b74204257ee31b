"""Classes and samples of notes, and how two groups are told apart: Fisher's exact test, AUROC with an interval."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from lang1_assets.ops.leakage.findings import LeakLimits
from lang1_assets.ops.tasks import Task

SIGNIFICANCE = 0.001
"""Of a test on one phrase and class or one window, before Bonferroni: a check of many tasks must not cry wolf."""


def judged_classes(task: Task) -> list[int]:
    """With two classes one against the rest says it all."""
    return [1] if task.num_classes == 2 else list(range(task.num_classes))


def enough(is_class: NDArray[np.bool_], limits: LeakLimits) -> bool:
    return min(int(is_class.sum()), int((~is_class).sum())) >= limits.min_notes


def sampled(frame: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    return frame.sample(most, seed=seed) if len(frame) > most else frame


def two_by_two(flag: NDArray[np.bool_], is_class: NDArray[np.bool_]) -> list[list[int]]:
    """[[flagged, not] of the class, [flagged, not] of the rest]."""
    return [[int((flag & group).sum()), int((~flag & group).sum())] for group in (is_class, ~is_class)]


def fisher_p(flag: NDArray[np.bool_], is_class: NDArray[np.bool_]) -> float:
    return float(stats.fisher_exact(two_by_two(flag, is_class)).pvalue) if flag.any() else 1.0


def hanley_interval(
    value: float, num_positive: int, num_negative: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Normal interval of an AUROC by the standard error of Hanley and McNeil (1982), cut to [0, 1].

    >>> low, high = hanley_interval(0.5, 100, 100)
    >>> round(low, 3), round(high, 3)
    (0.42, 0.58)
    """
    both_above, both_below = value / (2 - value), 2 * value**2 / (1 + value)
    spread = value * (1 - value) + (num_positive - 1) * (both_above - value**2)
    spread += (num_negative - 1) * (both_below - value**2)
    half = float(stats.norm.ppf((1 + confidence) / 2)) * math.sqrt(max(spread, 0) / (num_positive * num_negative))
    return max(0.0, value - half), min(1.0, value + half)
