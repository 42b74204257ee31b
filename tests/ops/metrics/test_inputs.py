"""What does not fit is refused and named; every example in the docstrings holds."""

import doctest
import math
import re
from importlib import import_module

import pytest

from lang1_assets.ops import metrics
from lang1_assets.ops.metrics import MetricError, auroc

MODULES = ("calibration", "discrimination", "inputs", "proper_scores", "recalibration", "utility")


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_the_docstrings(module):
    done = doctest.testmod(import_module(f"lang1_assets.ops.metrics.{module}"))
    assert done.attempted >= 1
    assert done.failed == 0


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
