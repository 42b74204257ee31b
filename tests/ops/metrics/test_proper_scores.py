"""Brier score and log loss against scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from lang1_assets.ops import metrics
from tests.ops.metrics.samples import binary_sample, multiclass_sample


def test_brier_score_and_log_loss_equal_scikit_learn():
    y_true, y_prob = binary_sample()
    assert metrics.brier_score(y_true, y_prob) == pytest.approx(brier_score_loss(y_true, y_prob))
    assert metrics.log_loss(y_true, y_prob) == pytest.approx(sklearn_log_loss(y_true, y_prob))
    y_true, y_prob = multiclass_sample()
    assert metrics.brier_score(y_true, y_prob) == pytest.approx(brier_score_loss(y_true, y_prob, labels=range(5)))
    assert metrics.log_loss(y_true, y_prob) == pytest.approx(sklearn_log_loss(y_true, y_prob))


def test_log_loss_of_a_certain_mistake_is_finite():
    assert metrics.log_loss([1], [0.0]) == pytest.approx(-math.log(np.finfo(float).eps))
