"""Proper scores: what rewards a model for saying the probability that it believes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lang1_assets.ops.metrics.inputs import Floats, Integers, checked_probabilities, one_hot


def brier_score(y_true: ArrayLike, y_prob: ArrayLike) -> float:
    """Mean squared error of the probabilities (Brier 1950); 0 is perfect.

    Two classes: mean of (p - y)^2 of class 1, between 0 and 1. More: the sum of that over the classes, between 0 and 2.
    As `sklearn.metrics.brier_score_loss`.

    >>> round(brier_score([0, 1], [0.1, 0.8]), 6)
    0.025
    """
    labels, columns = checked_probabilities(y_true, y_prob)
    return float(squared_errors(labels, columns).mean())


def log_loss(y_true: ArrayLike, y_prob: ArrayLike) -> float:
    """Mean of -log(probability of the true class), in nats, as `sklearn.metrics.log_loss`.

    A probability of 0 counts as the smallest float step (2.2e-16): one certain mistake does not make all infinite.

    >>> round(log_loss([0, 1], [0.5, 0.5]), 6)
    0.693147
    """
    labels, columns = checked_probabilities(y_true, y_prob)
    return float(-np.log(of_truth(labels, columns)).mean())


def squared_errors(labels: Integers, columns: Floats) -> Floats:
    """What each note adds to the Brier score (n,)."""
    squares = np.square(columns - one_hot(labels, columns.shape[1])).sum(axis=1)
    return squares / (2 if columns.shape[1] == 2 else 1)


def of_truth(labels: Integers, columns: Floats) -> Floats:
    """The probability of each note's own class (n,), never 0."""
    return np.clip(columns[np.arange(len(labels)), labels], np.finfo(np.float64).eps, 1)
