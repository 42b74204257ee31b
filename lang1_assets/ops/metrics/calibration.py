"""Do probabilities mean what they say: calibration errors and the reliability curve (paper appendix E)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lang1_assets.ops.metrics.inputs import Floats, Integers, MetricError, checked_probabilities, one_hot

NUM_BINS = 15
"""Bins of every calibration curve and calibration error (appendix E)."""


@dataclass(frozen=True, kw_only=True)
class CalibrationCurve:
    """Mean prediction against observed frequency, of the bins that hold anything; three arrays of one length."""

    mean_predicted: Floats
    fraction_positive: Floats
    counts: Integers


def top_class_ece(y_true: ArrayLike, y_prob: ArrayLike, *, num_bins: int = NUM_BINS) -> float:
    """Expected calibration error of the top class: is the model right as often as it is sure?

    sum over bins of (notes in the bin / n) * |accuracy - mean confidence|, where the confidence is the largest
    probability of a note (Guo et al. 2017). Equals torchmetrics' `MulticlassCalibrationError(num_classes, n_bins=15,
    norm="l1")`. For a rare outcome this looks mostly at the common class; see `positive_ece`.

    >>> round(top_class_ece([0, 1], [[0.9, 0.1], [0.9, 0.1]]), 6)
    0.4
    """
    labels, columns = checked_probabilities(y_true, y_prob)
    return binned_error(columns.max(axis=1), columns.argmax(axis=1) == labels, num_bins)


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
    gaps = np.bincount(error_bins(confidences, num_bins), weights=outcomes - confidences, minlength=num_bins + 1)
    return float(np.abs(gaps).sum() / len(confidences))


def error_bins(confidences: Floats, num_bins: int) -> Integers:
    """The bin of each confidence (n,), from 0 to `num_bins`."""
    return np.searchsorted(np.linspace(0, 1, num_bins + 1), confidences, side="right") - 1


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
