"""Calibration errors and curves against a slow second implementation, torchmetrics and scikit-learn."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve as sklearn_curve
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from lang1_assets.ops import metrics
from tests.ops.metrics.samples import binary_sample, multiclass_sample

FLOAT32 = 1e-7
"""torchmetrics computes in single precision."""


def ece_bin_by_bin(confidences: np.ndarray, outcomes: np.ndarray, num_bins: int = 15) -> float:
    """Bin after bin, [low, high), and a last bin for exactly 1."""
    total, edges = 0.0, [*np.linspace(0, 1, num_bins + 1).tolist(), math.inf]
    for low, high in pairwise(edges):
        inside = (confidences >= low) & (confidences < high)
        if inside.any():
            total += inside.mean() * abs(outcomes[inside].mean() - confidences[inside].mean())
    return total


def test_positive_ece_equals_torchmetrics_and_bin_by_bin():
    y_true, y_prob = binary_sample()
    ours = metrics.positive_ece(y_true, y_prob)
    theirs = binary_calibration_error(torch.tensor(y_prob), torch.tensor(y_true), n_bins=15, norm="l1")
    assert ours == pytest.approx(theirs.item(), abs=FLOAT32)
    assert ours == pytest.approx(ece_bin_by_bin(y_prob, y_true), abs=1e-12)


@pytest.mark.parametrize("k", [2, 5])
def test_top_class_ece_equals_torchmetrics_and_bin_by_bin(k):
    y_true, y_prob = multiclass_sample(k=k)
    y_prob[0] = np.eye(k)[0]  # a confidence of exactly 1 lies on the last edge
    ours = metrics.top_class_ece(y_true, y_prob)
    theirs = multiclass_calibration_error(
        torch.tensor(y_prob), torch.tensor(y_true), num_classes=k, n_bins=15, norm="l1"
    )
    assert ours == pytest.approx(theirs.item(), abs=FLOAT32)
    right = (y_prob.argmax(axis=1) == y_true).astype(float)
    assert ours == pytest.approx(ece_bin_by_bin(y_prob.max(axis=1), right), abs=1e-12)


def test_the_two_calibration_errors_differ():
    y_true, y_prob = binary_sample()
    assert abs(metrics.positive_ece(y_true, y_prob) - metrics.top_class_ece(y_true, y_prob)) > 0.02


def test_calibration_curve_equals_scikit_learn():
    y_true, y_prob = binary_sample()
    y_prob[:2] = 0.0, 1.0
    curve = metrics.calibration_curve(y_true, y_prob)
    observed, predicted = sklearn_curve(y_true, y_prob, n_bins=15)
    np.testing.assert_allclose(curve.fraction_positive, observed)
    np.testing.assert_allclose(curve.mean_predicted, predicted)
    assert curve.counts.sum() == len(y_true)


def test_multiclass_calibration_curve_pools_one_versus_rest():
    y_true, y_prob = multiclass_sample(k=4)
    curve = metrics.calibration_curve(y_true, y_prob)
    outcomes = np.concatenate([y_true == k for k in range(4)])
    observed, predicted = sklearn_curve(outcomes, np.concatenate([y_prob[:, k] for k in range(4)]), n_bins=15)
    np.testing.assert_allclose(curve.fraction_positive, observed)
    np.testing.assert_allclose(curve.mean_predicted, predicted)
