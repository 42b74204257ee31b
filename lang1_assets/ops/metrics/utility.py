"""What acting on a model is worth: net benefit at a threshold of risk (Vickers and Elkin 2006)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lang1_assets.ops.metrics.inputs import Floats, MetricError, checked_probabilities

THRESHOLDS = (0.05, 0.1, 0.2)
"""Risks at which a clinician would act: one needless intervention for 19, 9 or 4 that are missed is a fair trade."""


@dataclass(frozen=True, kw_only=True)
class DecisionCurve:
    """Net benefit, in true positives for each note, of three policies; arrays of one length. Treating nobody is worth 0."""

    thresholds: Floats
    model: Floats
    """Of acting on the notes whose probability reaches the threshold."""
    treat_all: Floats
    """Of acting on every note."""


def decision_curve(y_true: ArrayLike, y_prob: ArrayLike, thresholds: Sequence[float] = THRESHOLDS) -> DecisionCurve:
    """Net benefit at each threshold of risk; two classes only.

    (true positives - false positives * threshold / (1 - threshold)) / n (Vickers and Elkin 2006): whoever acts at a risk of
    20 % holds a false alarm for a quarter as bad as a miss.

    >>> curve = decision_curve([0, 0, 0, 1], [0.1, 0.3, 0.1, 0.6], [0.2])
    >>> curve.model.tolist(), curve.treat_all.tolist()
    ([0.1875], [0.0625])
    """
    labels, columns = checked_probabilities(y_true, y_prob)
    if columns.shape[1] != 2:
        raise MetricError(f"net benefit is for two classes, got {columns.shape[1]}")
    is_positive = labels == 1
    return DecisionCurve(
        thresholds=np.asarray(thresholds, dtype=np.float64),
        model=benefits(is_positive, columns[:, 1], thresholds).mean(axis=0),
        treat_all=benefits(is_positive, np.ones(len(labels)), thresholds).mean(axis=0),
    )


def benefits(is_positive: NDArray[np.bool_], probabilities: Floats, thresholds: Sequence[float]) -> Floats:
    """What each note adds (n, thresholds): 1 for a hit, minus the odds of the threshold for a false alarm, else 0.

    Raises:
        MetricError: a threshold is not between 0 and 1.
    """
    risks = np.asarray(thresholds, dtype=np.float64)
    if not ((risks > 0) & (risks < 1)).all():
        raise MetricError(f"thresholds {risks.tolist()}: expected risks between 0 and 1, both excluded")
    worth = np.where(is_positive[:, None], 1.0, -risks / (1 - risks))
    return np.where(probabilities[:, None] >= risks, worth, 0.0)
