"""How good probabilities are: AUROC, calibration error, Brier score, log loss (paper 5.5 and appendix E).

Every function takes `y_true`, the labels, int (n,), counted from 0; and `y_prob`, the probabilities, float (n, k), one
column a class in the order of the labels. For two classes `y_prob` may also be (n,): the score of class 1. All raise
`MetricError` when the two do not fit together. numpy only: finetuning uses AUROC on machines that have nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

NUM_BINS = 15
"""Bins of every calibration curve and calibration error (appendix E)."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class MetricError(ValueError):
    """Labels and probabilities that do not fit together."""


@dataclass(frozen=True, kw_only=True)
class Auroc:
    """Area under the receiver operating characteristic of one set of predictions; nan where it does not exist."""

    value: float
    """Two classes: of class 1. More: the mean over `by_class`, one-versus-rest."""
    micro: float
    """Two classes: the same as `value`. More: of all n * k (is it this class, its probability) pairs pooled."""
    by_class: dict[int, float]
    """One-versus-rest, of the classes that have both a positive and a negative."""
    classes_absent: tuple[int, ...]
    """Classes without a single note: left out of the mean, never counted as 0."""


@dataclass(frozen=True, kw_only=True)
class CalibrationCurve:
    """Mean prediction against observed frequency, of the bins that hold anything; three arrays of one length."""

    mean_predicted: Floats
    fraction_positive: Floats
    counts: Integers


def auroc(y_true: ArrayLike, y_prob: ArrayLike) -> Auroc:
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
    labels, columns = checked(y_true, y_prob)
    num_classes = columns.shape[1]
    classes_absent = absent_classes(labels, num_classes)
    if num_classes == 2:
        value = pairwise_auroc(labels == 1, columns[:, 1])
        by_class = {} if math.isnan(value) else {0: pairwise_auroc(labels == 0, columns[:, 0]), 1: value}
        return Auroc(value=value, micro=value, by_class=by_class, classes_absent=classes_absent)
    known = {k: pairwise_auroc(labels == k, columns[:, k]) for k in range(num_classes)}
    by_class = {k: value for k, value in known.items() if not math.isnan(value)}
    return Auroc(
        value=float(np.mean(list(by_class.values()))) if by_class else math.nan,
        micro=pairwise_auroc(one_hot(labels, num_classes).ravel(), columns.ravel()) if by_class else math.nan,
        by_class=by_class,
        classes_absent=classes_absent,
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


def top_class_ece(y_true: ArrayLike, y_prob: ArrayLike, *, num_bins: int = NUM_BINS) -> float:
    """Expected calibration error of the top class: is the model right as often as it is sure?

    sum over bins of (notes in the bin / n) * |accuracy - mean confidence|, where the confidence is the largest
    probability of a note (Guo et al. 2017). Equals torchmetrics' `MulticlassCalibrationError(num_classes, n_bins=15,
    norm="l1")`. For a rare outcome this looks mostly at the common class; see `positive_ece`.

    >>> round(top_class_ece([0, 1], [[0.9, 0.1], [0.9, 0.1]]), 6)
    0.4
    """
    labels, columns = checked_probabilities(y_true, y_prob)
    confidences = columns.max(axis=1)
    return binned_error(confidences, columns.argmax(axis=1) == labels, num_bins)


def positive_ece(y_true: ArrayLike, y_prob: ArrayLike, *, num_bins: int = NUM_BINS) -> float:
    """Expected calibration error of the probability of class 1; two classes only.

    sum over bins of (notes in the bin / n) * |share of positives - mean probability|. Equals torchmetrics'
    `BinaryCalibrationError(n_bins=15, norm="l1")`, and is another number than `top_class_ece`.

    >>> round(positive_ece([0, 1], [0.1, 0.1]), 6)
    0.4
    """
    labels, columns = checked_probabilities(y_true, y_prob)
    if columns.shape[1] != 2:
        raise MetricError(f"positive_ece is for two classes, got {columns.shape[1]}; use top_class_ece")
    return binned_error(columns[:, 1], labels == 1, num_bins)


def binned_error(confidences: Floats, outcomes: NDArray[np.bool_], num_bins: int) -> float:
    """Mean over notes of |observed frequency - mean confidence| of the note's bin.

    Bins are [low, high), as in torchmetrics, which therefore gives a confidence of exactly 1 a bin of its own.
    """
    bins = np.searchsorted(np.linspace(0, 1, num_bins + 1), confidences, side="right") - 1
    gaps = np.bincount(bins, weights=outcomes - confidences, minlength=num_bins + 1)
    return float(np.abs(gaps).sum() / len(confidences))


def calibration_curve(y_true: ArrayLike, y_prob: ArrayLike, *, num_bins: int = NUM_BINS) -> CalibrationCurve:
    """Reliability curve over uniform bins (low, high], as `sklearn.calibration.calibration_curve(n_bins=15)`.

    Two classes: of the probability of class 1. More: of all n * k one-versus-rest pairs pooled, one curve for
    the task. Empty bins are left out.

    >>> curve = calibration_curve([0, 1, 1], [0.1, 0.9, 0.92])
    >>> curve.fraction_positive.tolist(), curve.counts.tolist()
    ([0.0, 1.0], [1, 2])
    """
    labels, columns = checked_probabilities(y_true, y_prob)
    num_classes = columns.shape[1]
    outcomes = labels == 1 if num_classes == 2 else one_hot(labels, num_classes).ravel()
    predicted = columns[:, 1] if num_classes == 2 else columns.ravel()
    bins = np.searchsorted(np.linspace(0, 1, num_bins + 1)[1:-1], predicted)
    counts = np.bincount(bins, minlength=num_bins)
    filled = counts > 0
    return CalibrationCurve(
        mean_predicted=np.bincount(bins, weights=predicted, minlength=num_bins)[filled] / counts[filled],
        fraction_positive=np.bincount(bins, weights=outcomes, minlength=num_bins)[filled] / counts[filled],
        counts=counts[filled],
    )


def brier_score(y_true: ArrayLike, y_prob: ArrayLike) -> float:
    """Mean squared error of the probabilities (Brier 1950); 0 is perfect.

    Two classes: mean of (p - y)^2 of class 1, between 0 and 1. More: the sum of that over the classes, between 0 and 2.
    As `sklearn.metrics.brier_score_loss`.

    >>> round(brier_score([0, 1], [0.1, 0.8]), 6)
    0.025
    """
    labels, columns = checked_probabilities(y_true, y_prob)
    squares = np.square(columns - one_hot(labels, columns.shape[1])).sum(axis=1)
    return float(squares.mean() / (2 if columns.shape[1] == 2 else 1))


def log_loss(y_true: ArrayLike, y_prob: ArrayLike) -> float:
    """Mean of -log(probability of the true class), in nats, as `sklearn.metrics.log_loss`.

    A probability of 0 counts as the smallest float step (2.2e-16): one certain mistake does not make all infinite.

    >>> round(log_loss([0, 1], [0.5, 0.5]), 6)
    0.693147
    """
    labels, columns = checked_probabilities(y_true, y_prob)
    of_truth = columns[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(of_truth, np.finfo(np.float64).eps, 1)).mean())


def prevalence(y_true: ArrayLike, num_classes: int) -> tuple[float, ...]:
    """Share of each class.

    >>> prevalence([0, 0, 1, 0], 3)
    (0.75, 0.25, 0.0)
    """
    labels = np.asarray(y_true, dtype=np.int64)
    if len(labels) == 0:
        raise MetricError("no labels: a prevalence needs at least one")
    return tuple((np.bincount(labels, minlength=num_classes) / len(labels)).tolist())


def absent_classes(labels: Integers, num_classes: int) -> tuple[int, ...]:
    counts = np.bincount(labels, minlength=num_classes)
    return tuple(np.flatnonzero(counts == 0).tolist())


def one_hot(labels: Integers, num_classes: int) -> NDArray[np.bool_]:
    """(n, k): True where the note is of the class."""
    return labels[:, None] == np.arange(num_classes)


def checked(y_true: ArrayLike, y_prob: ArrayLike) -> tuple[Integers, Floats]:
    """Labels (n,) and one column a class (n, k), or a `MetricError` that says what does not fit."""
    labels, columns = np.asarray(y_true), np.asarray(y_prob, dtype=np.float64)
    if columns.ndim == 1:
        columns = np.column_stack([-columns, columns])
    if labels.ndim != 1 or columns.ndim != 2 or len(labels) != len(columns):
        raise MetricError(
            f"labels have shape {labels.shape}, probabilities {np.shape(y_prob)}: expected (n,) and (n, k), the same n"
        )
    if len(labels) == 0:
        raise MetricError("no predictions: a metric needs at least one; is the split empty?")
    integers = labels.astype(np.int64)
    wrong = (integers != labels) | (integers < 0) | (integers >= columns.shape[1])
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise MetricError(f"row {row}: label {labels[row]}, expected a whole number from 0 to {columns.shape[1] - 1}")
    if not np.isfinite(columns).all():
        row = int(np.flatnonzero(~np.isfinite(columns).all(axis=1))[0])
        raise MetricError(f"row {row}: probabilities {columns[row].tolist()} are not finite; did the model diverge?")
    return integers, columns


def checked_probabilities(y_true: ArrayLike, y_prob: ArrayLike) -> tuple[Integers, Floats]:
    """As `checked`, and every value lies in [0, 1]; a single column becomes (1 - p, p)."""
    labels, columns = checked(y_true, y_prob)
    if np.ndim(y_prob) == 1:
        columns[:, 0] += 1
    outside = (columns < 0) | (columns > 1)
    if outside.any():
        row = int(np.flatnonzero(outside.any(axis=1))[0])
        raise MetricError(f"row {row}: probabilities {columns[row].tolist()} are not between 0 and 1; pass no logits")
    return labels, columns
