"""Every metric against a slow second implementation, scikit-learn or torchmetrics, and a published value."""

import doctest
import math
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve as sklearn_curve
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from lang1_assets.ops import metrics
from lang1_assets.ops.metrics import MetricError, auroc

# Hanley and McNeil, Radiology 143 (1982), Table I: CT images of 58 normal and 51 abnormal patients rated 1 to 5.
CT_NORMAL = (33, 6, 6, 11, 2)
CT_ABNORMAL = (3, 2, 2, 11, 33)

FLOAT32 = 1e-7
"""torchmetrics computes in single precision."""


def binary_sample(n: int = 500, seed: int = 0, digits: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y_prob = rng.random(n)
    y_true = (rng.random(n) < y_prob**2).astype(int)
    return y_true, y_prob if digits is None else y_prob.round(digits)


def multiclass_sample(n: int = 500, k: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y_prob = rng.dirichlet(np.ones(k), n)
    y_true = np.array([rng.choice(k, p=row) for row in y_prob])
    return y_true, y_prob


def by_comparing_pairs(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    """O(n^2): the definition, pair by pair."""
    won = 0.0
    positives, negatives = y_prob[y_true == 1], y_prob[y_true == 0]
    for p in positives:
        for q in negatives:
            won += 1.0 if p > q else 0.5 if p == q else 0.0
    return won / (len(positives) * len(negatives))


def ece_bin_by_bin(confidences: np.ndarray, outcomes: np.ndarray, num_bins: int = 15) -> float:
    """Bin after bin, [low, high), and a last bin for exactly 1."""
    total, edges = 0.0, [*np.linspace(0, 1, num_bins + 1).tolist(), math.inf]
    for low, high in pairwise(edges):
        inside = (confidences >= low) & (confidences < high)
        if inside.any():
            total += inside.mean() * abs(outcomes[inside].mean() - confidences[inside].mean())
    return total


def test_examples_in_the_docstrings():
    assert doctest.testmod(metrics).attempted >= 10
    assert doctest.testmod(metrics).failed == 0


def test_published_auroc():
    ratings = np.repeat(np.tile(np.arange(1, 6), 2), CT_NORMAL + CT_ABNORMAL)
    abnormal = np.repeat([0, 1], [sum(CT_NORMAL), sum(CT_ABNORMAL)])
    assert auroc(abnormal, ratings).value == pytest.approx(0.893, abs=5e-4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40))
def test_auroc_is_the_share_of_pairs_won(pairs):
    y_true = np.array([int(positive) for positive, _ in pairs])
    y_prob = np.array([score / 6 for _, score in pairs])
    if 0 < y_true.sum() < len(y_true):
        assert auroc(y_true, y_prob).value == pytest.approx(by_comparing_pairs(y_true, y_prob), abs=1e-12)
    else:
        assert math.isnan(auroc(y_true, y_prob).value)


@pytest.mark.parametrize("digits", [None, 1])
def test_binary_auroc_equals_scikit_learn(digits):
    y_true, y_prob = binary_sample(digits=digits)
    outcome = auroc(y_true, np.column_stack([1 - y_prob, y_prob]))
    assert outcome.value == pytest.approx(roc_auc_score(y_true, y_prob), abs=1e-12)
    assert outcome.micro == outcome.value == outcome.by_class[1]
    assert outcome.by_class[0] == pytest.approx(outcome.value)


def test_multiclass_auroc_equals_scikit_learn():
    y_true, y_prob = multiclass_sample()
    outcome = auroc(y_true, y_prob)
    assert outcome.value == pytest.approx(roc_auc_score(y_true, y_prob, multi_class="ovr"), abs=1e-12)
    micro = roc_auc_score(y_true, y_prob, multi_class="ovr", average="micro")
    assert outcome.micro == pytest.approx(micro, abs=1e-12)
    for k in range(5):
        assert outcome.by_class[k] == pytest.approx(roc_auc_score(y_true == k, y_prob[:, k]), abs=1e-12)


def test_absent_class_is_left_out_and_named():
    y_true, y_prob = multiclass_sample()
    y_true[y_true == 4] = 0
    outcome = auroc(y_true, y_prob)
    assert outcome.classes_absent == (4,)
    assert sorted(outcome.by_class) == [0, 1, 2, 3]
    by_hand = np.mean([roc_auc_score(y_true == k, y_prob[:, k]) for k in range(4)])
    assert outcome.value == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize("y_prob", [[[0.2, 0.8], [0.9, 0.1]], [[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]])
def test_one_class_has_no_auroc(y_prob):
    outcome = auroc([1, 1], y_prob)
    assert math.isnan(outcome.value)
    assert math.isnan(outcome.micro)
    assert outcome.by_class == {}
    assert 0 in outcome.classes_absent


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


def test_brier_score_and_log_loss_equal_scikit_learn():
    y_true, y_prob = binary_sample()
    assert metrics.brier_score(y_true, y_prob) == pytest.approx(brier_score_loss(y_true, y_prob))
    assert metrics.log_loss(y_true, y_prob) == pytest.approx(sklearn_log_loss(y_true, y_prob))
    y_true, y_prob = multiclass_sample()
    assert metrics.brier_score(y_true, y_prob) == pytest.approx(brier_score_loss(y_true, y_prob, labels=range(5)))
    assert metrics.log_loss(y_true, y_prob) == pytest.approx(sklearn_log_loss(y_true, y_prob))


def test_log_loss_of_a_certain_mistake_is_finite():
    assert metrics.log_loss([1], [0.0]) == pytest.approx(-math.log(np.finfo(float).eps))


def test_prevalence_counts_absent_classes():
    assert metrics.prevalence([0, 2, 2, 0], 4) == (0.5, 0.0, 0.5, 0.0)
    with pytest.raises(MetricError, match="no labels"):
        metrics.prevalence([], 2)


@pytest.mark.parametrize(
    ("y_true", "y_prob", "says"),
    [
        ([0, 1, 1], [0.1, 0.2], r"shape (3,)"),
        ([], [], "no predictions"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "row 1: label 2, expected a whole number from 0 to 1"),
        ([0, 0.5], [0.5, 0.5], "row 1: label 0.5"),
        ([0, 1], [0.5, math.nan], "row 1: probabilities"),
    ],
)
def test_what_does_not_fit_is_named(y_true, y_prob, says):
    with pytest.raises(MetricError, match=re.escape(says)):
        auroc(y_true, y_prob)


def test_logits_are_no_probabilities():
    with pytest.raises(MetricError, match="not between 0 and 1"):
        metrics.brier_score([0, 1], [[-1.0, 2.0], [0.5, 0.5]])
    with pytest.raises(MetricError, match="use top_class_ece"):
        metrics.positive_ece([0], [[0.2, 0.3, 0.5]])
