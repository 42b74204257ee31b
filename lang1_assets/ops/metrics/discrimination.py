"""Do positives score higher than negatives: AUROC and average precision, one-versus-rest (paper 5.5)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lang1_assets.ops.metrics.inputs import Floats, Integers, absent_classes, checked, one_hot


@dataclass(frozen=True, kw_only=True)
class OneVersusRest:
    """A measure of how well one set of predictions ranks; nan where it does not exist."""

    value: float
    """Two classes: of class 1. More: the mean over `by_class`, one-versus-rest."""
    micro: float
    """Two classes: the same as `value`. More: of all n * k (is it this class, its probability) pairs pooled."""
    by_class: dict[int, float]
    """One-versus-rest, of the classes that have both a positive and a negative."""
    classes_absent: tuple[int, ...]
    """Classes without a single note: left out of the mean, never counted as 0."""


def auroc(y_true: ArrayLike, y_prob: ArrayLike) -> OneVersusRest:
    """AUROC: the share of (positive, negative) pairs in which the positive scores higher, a tie counting half.

    sum over pairs of [s+ > s-] + [s+ = s-] / 2, divided by the number of pairs: the Mann-Whitney statistic (Hanley and
    McNeil 1982), the same as the trapezoidal area of `sklearn.metrics.roc_auc_score`. One-versus-rest as in its
    `multi_class="ovr"`, except that a class nobody has is left out and named instead of being an error.

    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).value
    0.75
    >>> outcome = auroc([0, 0, 1], [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1]])
    >>> outcome.by_class, outcome.classes_absent
    ({0: 1.0, 1: 1.0}, (2,))
    """
    return one_versus_rest(y_true, y_prob, pairwise_auroc)


def average_precision(y_true: ArrayLike, y_prob: ArrayLike) -> OneVersusRest:
    """Average precision: the area under the precision-recall curve as a sum of steps, never interpolated.

    sum over thresholds of (recall - recall at the threshold above) * precision, as
    `sklearn.metrics.average_precision_score`. A model without skill has the share of positives, so it only compares models
    on the same notes. Classes as in `auroc`.

    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).value, 6)
    0.833333
    """
    return one_versus_rest(y_true, y_prob, stepwise_precision)


def one_versus_rest(
    y_true: ArrayLike, y_prob: ArrayLike, measure: Callable[[NDArray[np.bool_], Floats], float]
) -> OneVersusRest:
    """`measure` of each class against the others, their mean, and all pairs pooled."""
    labels, columns = checked(y_true, y_prob)
    num_classes = columns.shape[1]
    known = {k: measure(labels == k, columns[:, k]) for k in range(num_classes)}
    by_class = {k: value for k, value in known.items() if not math.isnan(value)}
    if num_classes == 2:
        value = micro = by_class.get(1, math.nan)
    else:
        value = float(np.mean(list(by_class.values()))) if by_class else math.nan
        micro = measure(one_hot(labels, num_classes).ravel(), columns.ravel()) if by_class else math.nan
    return OneVersusRest(
        value=value, micro=micro, by_class=by_class, classes_absent=absent_classes(labels, num_classes)
    )


def pairwise_auroc(is_positive: NDArray[np.bool_], scores: Floats) -> float:
    """AUROC of scores (n,) for a yes-or-no label (n,), in O(n log n) and exact integers; nan without both labels."""
    negatives = np.sort(scores[~is_positive])
    positives = scores[is_positive]
    num_pairs = len(positives) * len(negatives)
    if num_pairs == 0:
        return math.nan
    below = np.searchsorted(negatives, positives, side="left").sum(dtype=np.int64)
    not_above = np.searchsorted(negatives, positives, side="right").sum(dtype=np.int64)
    return float(below + not_above) / (2 * num_pairs)


def stepwise_precision(is_positive: NDArray[np.bool_], scores: Floats) -> float:
    """Average precision of scores (n,) for a yes-or-no label (n,); nan without both labels, as AUROC."""
    if is_positive.all() or not is_positive.any():
        return math.nan
    order = np.argsort(-scores, kind="stable")
    found, ends = np.cumsum(is_positive[order]), last_of_ties(scores[order])
    recalls, precisions = found[ends] / found[-1], found[ends] / (ends + 1)
    return float(np.diff(recalls, prepend=0.0) @ precisions)


def last_of_ties(ordered: Floats) -> Integers:
    """Where each run of equal scores ends: each threshold takes all notes of one score."""
    return np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
