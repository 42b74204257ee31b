"""AUROC and average precision against a slow second implementation, scikit-learn and published values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from lang1_assets.ops.metrics import auroc, average_precision
from tests.ops.metrics.samples import binary_sample, multiclass_sample

# Hanley and McNeil, Radiology 143 (1982), Table I: CT images of 58 normal and 51 abnormal patients rated 1 to 5.
CT_NORMAL = (33, 6, 6, 11, 2)
CT_ABNORMAL = (3, 2, 2, 11, 33)


def by_comparing_pairs(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    """O(n^2): the definition, pair by pair."""
    won = 0.0
    positives, negatives = y_prob[y_true == 1], y_prob[y_true == 0]
    for p in positives:
        for q in negatives:
            won += 1.0 if p > q else 0.5 if p == q else 0.0
    return won / (len(positives) * len(negatives))


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


def precision_by_threshold(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    """O(n^2): lower the threshold score by score, and add each rise of recall times the precision there."""
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(y_prob.tolist()), reverse=True):
        taken = y_prob >= threshold
        recall = y_true[taken].sum() / y_true.sum()
        total += (recall - recall_before) * y_true[taken].mean()
        recall_before = recall
    return total


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40))
def test_average_precision_threshold_by_threshold(pairs):
    y_true = np.array([int(positive) for positive, _ in pairs])
    y_prob = np.array([score / 6 for _, score in pairs])
    if 0 < y_true.sum() < len(y_true):
        expected = precision_by_threshold(y_true, y_prob)
        assert average_precision(y_true, y_prob).value == pytest.approx(expected, abs=1e-12)
    else:
        assert math.isnan(average_precision(y_true, y_prob).value)


@pytest.mark.parametrize("digits", [None, 1])
def test_binary_average_precision_equals_scikit_learn(digits):
    y_true, y_prob = binary_sample(digits=digits)
    outcome = average_precision(y_true, y_prob)
    assert outcome.value == pytest.approx(average_precision_score(y_true, y_prob), abs=1e-12)
    assert outcome.by_class[0] == pytest.approx(average_precision_score(1 - y_true, -y_prob), abs=1e-12)


def test_multiclass_average_precision_equals_scikit_learn():
    y_true, y_prob = multiclass_sample()
    outcome = average_precision(y_true, y_prob)
    one_hot = np.eye(5)[y_true]
    assert outcome.value == pytest.approx(average_precision_score(one_hot, y_prob, average="macro"), abs=1e-12)
    assert outcome.micro == pytest.approx(average_precision_score(one_hot, y_prob, average="micro"), abs=1e-12)


def test_average_precision_leaves_absent_classes_out():
    y_true, y_prob = multiclass_sample()
    y_true[y_true == 2] = 0
    outcome = average_precision(y_true, y_prob)
    assert outcome.classes_absent == (2,)
    assert outcome.value == pytest.approx(
        np.mean([average_precision_score(y_true == k, y_prob[:, k]) for k in (0, 1, 3, 4)])
    )


def test_the_documented_example_of_scikit_learn():
    """`average_precision_score` documents 0.83 for it, `roc_auc_score` 0.75."""
    y_true, y_prob = [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]
    assert average_precision(y_true, y_prob).value == pytest.approx(0.83, abs=5e-3)
    assert auroc(y_true, y_prob).value == 0.75
