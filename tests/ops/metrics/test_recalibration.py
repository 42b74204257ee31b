"""Calibration slope and intercepts against a general optimizer, scikit-learn, and a model whose line is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from lang1_assets.ops.metrics import calibration_line
from lang1_assets.ops.metrics.recalibration import covariate, fit_lines, fit_shifts, log_odds
from tests.ops.metrics.samples import binary_sample, multiclass_sample


def most_likely(y_true: np.ndarray, y_prob: np.ndarray, fixed_slope: float | None = None) -> np.ndarray:
    """(intercept, slope) where the likelihood of the labels is largest, found without its derivatives."""
    x = np.log(y_prob / (1 - y_prob))

    def loss(line: np.ndarray) -> float:
        eta = line[0] + (line[1] if fixed_slope is None else fixed_slope) * x
        return float(np.sum(np.logaddexp(0, eta) - y_true * eta))

    start = [0.0, 1.0] if fixed_slope is None else [0.0]
    return minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-10, "maxiter": 4_000}).x


@pytest.mark.parametrize("seed", [0, 1])
def test_line_is_where_the_likelihood_is_largest(seed):
    y_true, y_prob = binary_sample(seed=seed)
    line = calibration_line(y_true, y_prob)
    assert (line.intercept, line.slope) == pytest.approx(most_likely(y_true, y_prob), abs=1e-5)
    assert line.in_the_large == pytest.approx(most_likely(y_true, y_prob, fixed_slope=1.0)[0], abs=1e-5)


def test_line_equals_scikit_learn_without_a_penalty():
    y_true, y_prob = binary_sample(n=2_000)
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1_000).fit(log_odds(y_prob)[:, None], y_true)
    line = calibration_line(y_true, y_prob)
    assert line.slope == pytest.approx(fitted.coef_[0, 0], abs=1e-6)
    assert line.intercept == pytest.approx(fitted.intercept_[0], abs=1e-6)


def test_a_model_that_is_too_sure_is_found_out():
    """Outcomes follow logistic(x - 1); the model says logistic(2.5 x)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=200_000)
    y_true = rng.random(len(x)) < 1 / (1 + np.exp(1 - x))
    line = calibration_line(y_true, 1 / (1 + np.exp(-2.5 * x)))
    assert line.slope == pytest.approx(0.4, abs=0.01)
    assert line.intercept == pytest.approx(-1, abs=0.02)
    assert line.in_the_large < -1


def test_after_recalibration_the_mean_is_right():
    y_true, y_prob = binary_sample()
    line = calibration_line(y_true, y_prob)
    shifted = 1 / (1 + np.exp(-(line.in_the_large + log_odds(y_prob))))
    assert shifted.mean() == pytest.approx(y_true.mean(), abs=1e-8)


def test_several_classes_have_the_mean_of_their_slopes():
    y_true, y_prob = multiclass_sample(k=4)
    y_true[y_true == 3] = 0
    line = calibration_line(y_true, y_prob)
    by_hand = {k: calibration_line((y_true == k).astype(int), y_prob[:, k]).slope for k in range(3)}
    assert line.slope_by_class == pytest.approx(by_hand, abs=1e-8)
    assert line.slope == pytest.approx(np.mean(list(by_hand.values())))
    assert math.isnan(line.intercept)
    assert math.isnan(line.in_the_large)


@pytest.mark.parametrize(
    ("y_true", "y_prob"),
    [
        ([1, 1, 1], [0.2, 0.5, 0.9]),
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]),
        ([1, 1, 0, 0, 0, 1], [0.1, 0.2, 0.8, 0.9, 0.3, 0.3]),
        ([0, 1, 0], [0.3, 0.3, 0.3]),
    ],
    ids=["one class", "classes fully apart", "apart but for a tie", "one probability"],
)
def test_a_line_that_does_not_exist_is_nan(y_true, y_prob):
    line = calibration_line(y_true, y_prob)
    assert math.isnan(line.slope)
    assert math.isnan(line.intercept)
    assert line.slope_by_class == {}


def test_a_steep_line_that_exists_is_found():
    """One note in the wrong place: the slope is large and finite."""
    y_true = np.array([0] * 60 + [1] + [0] + [1] * 60)
    x = log_odds(np.linspace(0.499, 0.501, 122))
    line = calibration_line(y_true, 1 / (1 + np.exp(-x)))
    assert 1_000 < line.slope < math.inf
    # Where the likelihood is largest, its derivatives are 0.
    errors = y_true - 1 / (1 + np.exp(-line.intercept - line.slope * x))
    assert errors.sum() == pytest.approx(0, abs=1e-6)
    assert errors @ (x / x.std()) == pytest.approx(0, abs=1e-6)


def test_the_mean_can_be_corrected_where_no_slope_exists():
    line = calibration_line([0, 1, 0], [0.3, 0.3, 0.3])
    assert line.in_the_large == pytest.approx(math.log(1 / 2) - math.log(0.3 / 0.7))
    assert math.isnan(calibration_line([1, 1], [0.2, 0.5]).in_the_large)


def test_certain_probabilities_are_no_infinities():
    line = calibration_line([0, 1, 0, 1, 1], [0.0, 1.0, 0.4, 0.3, 0.0])
    assert math.isfinite(line.slope)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_weight_is_a_number_of_copies(seed):
    rng = np.random.default_rng(seed)
    y_true, y_prob = binary_sample(n=80, seed=seed)
    weights = rng.integers(0, 4, (3, 80)).astype(float)
    x = log_odds(y_prob)
    intercepts, slopes = fit_lines(covariate(x), y_true == 1, weights, start=(0.1, 0.9))
    shifts = fit_shifts(x, y_true == 1, weights)
    for row, intercept, slope, shift in zip(weights, intercepts, slopes, shifts, strict=True):
        copies = np.repeat(np.arange(80), row.astype(int))
        line = calibration_line(y_true[copies], y_prob[copies])
        assert (intercept, slope, shift) == pytest.approx((line.intercept, line.slope, line.in_the_large), abs=1e-6)
