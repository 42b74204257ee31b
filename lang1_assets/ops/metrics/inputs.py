"""What every metric takes, checked: labels that are classes, one finite column of probabilities for each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class MetricError(ValueError):
    """Labels and probabilities that do not fit together."""


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


def absent_classes(labels: Integers, num_classes: int) -> tuple[int, ...]:
    counts = np.bincount(labels, minlength=num_classes)
    return tuple(np.flatnonzero(counts == 0).tolist())


def one_hot(labels: Integers, num_classes: int) -> NDArray[np.bool_]:
    """(n, k): True where the note is of the class."""
    return labels[:, None] == np.arange(num_classes)


def prevalence(y_true: ArrayLike, num_classes: int) -> tuple[float, ...]:
    """Share of each class.

    >>> prevalence([0, 0, 1, 0], 3)
    (0.75, 0.25, 0.0)
    """
    labels = np.asarray(y_true, dtype=np.int64)
    if len(labels) == 0:
        raise MetricError("no labels: a prevalence needs at least one")
    return tuple((np.bincount(labels, minlength=num_classes) / len(labels)).tolist())
