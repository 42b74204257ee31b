"""The line that would correct a model: logistic recalibration (Cox 1958), its slope and its intercepts.

log(p / (1 - p)) of a model is the one covariate x of a logistic regression on the outcome. A slope below 1 says that the
probabilities are too extreme, as of a model that was trained for too long; above 1, not extreme enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lang1_assets.ops.metrics.inputs import Floats, checked_probabilities

MAX_ITERATIONS = 50
TOLERANCE = 1e-5
"""Newton's method doubles the digits at each step: after one of this length 1e-10 is missing."""
LONGEST_STEP = 2.0
"""In standard deviations of x: Newton's steps from afar would overshoot."""
SUSPICIOUS_SLOPE = 8.0
"""For a standard deviation of x. Classes that are fully apart have none: the steps end where floats do, far above this."""


@dataclass(frozen=True, kw_only=True)
class CalibrationLine:
    """outcome ~ logistic(intercept + slope * x); nan where it does not exist: one class only, or classes fully apart."""

    slope: float
    """1 is right. More than two classes: the mean over the classes that have one, each against the rest."""
    intercept: float
    """Beside that slope (Cox 1958). Two classes only, else nan: of several classes they balance each other."""
    in_the_large: float
    """With the slope fixed at 1: above 0 the outcome is more frequent than predicted. Two classes only, else nan."""
    slope_by_class: dict[int, float]


def calibration_line(y_true: ArrayLike, y_prob: ArrayLike) -> CalibrationLine:
    """Calibration slope and intercept (Cox 1958; Van Calster et al. 2019 for what they say of a clinical model).

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=20_000)
    >>> line = calibration_line(rng.random(20_000) < 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(-2 * x)))
    >>> abs(line.slope - 0.5) < 0.02, abs(line.intercept) < 0.05
    (True, True)
    """
    labels, columns = checked_probabilities(y_true, y_prob)
    num_classes = columns.shape[1]
    lines = {k: fit_line(covariate(log_odds(columns[:, k])), labels == k) for k in range(num_classes)}
    slopes = {k: slope for k, (_, slope) in lines.items() if not math.isnan(slope)}
    if num_classes > 2:
        mean = float(np.mean(list(slopes.values()))) if slopes else math.nan
        return CalibrationLine(slope=mean, intercept=math.nan, in_the_large=math.nan, slope_by_class=slopes)
    intercept, slope = lines[1]
    weights = np.ones((1, len(labels)))
    shift = float(fit_shifts(log_odds(columns[:, 1]), labels == 1, weights)[0])
    return CalibrationLine(slope=slope, intercept=intercept, in_the_large=shift, slope_by_class=slopes)


def log_odds(probabilities: Floats) -> Floats:
    """log(p / (1 - p)); a probability of 0 or 1 counts as one float step (2.2e-16) off, as in `log_loss`."""
    eps = np.finfo(np.float64).eps
    inside = np.clip(probabilities, eps, 1 - eps)
    return np.log(inside) - np.log1p(-inside)


@dataclass(frozen=True, kw_only=True)
class Covariate:
    """x (n,) around its mean and in units of its deviation, where the two parameters of a line hardly depend on each other."""

    x: Floats
    powers: Floats
    """(3, n): ones, x in these units, and its square."""
    mean: float
    deviation: float
    """0 where all values are equal."""


def covariate(x: Floats) -> Covariate:
    # Equal values are one value although rounding leaves their deviation a little above 0.
    mean, deviation = float(x.mean()), 0.0 if x.min() == x.max() else float(x.std())
    z = (x - mean) / (deviation or 1.0)
    return Covariate(x=x, powers=np.stack([np.ones_like(z), z, z * z]), mean=mean, deviation=deviation)


def fit_line(x: Covariate, outcomes: NDArray[np.bool_]) -> tuple[float, float]:
    """(intercept, slope) of one sample."""
    intercepts, slopes = fit_lines(x, outcomes, np.ones((1, len(outcomes))))
    return float(intercepts[0]), float(slopes[0])


def fit_lines(
    x: Covariate, outcomes: NDArray[np.bool_], weights: Floats, start: tuple[float, float] = (0.0, 0.0)
) -> tuple[Floats, Floats]:
    """Most likely (intercepts, slopes), each (b,), with note i counted `weights[b, i]` times; nan where there is none.

    Newton's method on all b at once. `start`, an intercept and slope near the answer, saves iterations.
    """
    num_fits, z, powers = len(weights), x.powers[1], x.powers
    if x.deviation == 0 or not all(map(math.isfinite, start)):
        return np.full(num_fits, math.nan), np.full(num_fits, math.nan)
    found = np.tile([start[0] + start[1] * x.mean, start[1] * x.deviation], (num_fits, 1))
    observed = moments(weights, outcomes[None, :], powers[:2])
    for iteration in range(MAX_ITERATIONS):
        # All fits begin at one place, where the costly exponential is of one row.
        rows = found if iteration else found[:1]
        chances = logistic(rows[:, :1] + rows[:, 1:] * z)
        gradients = observed - moments(weights, chances, powers[:2])
        steps = solved(moments(weights, chances * (1 - chances), powers), gradients)
        found += steps
        if np.nanmax(np.abs(steps), initial=0.0) < TOLERANCE:
            break
    settled = np.abs(steps).max(axis=1) < TOLERANCE
    for row in np.flatnonzero(settled & (np.abs(found[:, 1]) > SUSPICIOUS_SLOPE)):
        counts = weights[row] > 0
        settled[row] = not are_apart(z[counts & outcomes], z[counts & ~outcomes])
    slopes = np.where(settled, found[:, 1] / x.deviation, math.nan)
    return found[:, 0] - slopes * x.mean, slopes


def are_apart(positives: Floats, negatives: Floats) -> bool:
    """Whether a threshold tells the classes apart: a steeper line is then always likelier. One class alone is apart from none."""
    if not len(positives) or not len(negatives):
        return True
    return bool(positives.min() >= negatives.max() or positives.max() <= negatives.min())


def fit_shifts(x: Floats, outcomes: NDArray[np.bool_], weights: Floats, start: float = 0.0) -> Floats:
    """Most likely intercept (b,) of outcome ~ logistic(intercept + x), with weights (b, n); nan with one class only."""
    shifts = np.full((len(weights), 1), start if math.isfinite(start) else 0.0)
    ones = np.ones((1, len(x)))
    observed, total = moments(weights, outcomes[None, :], ones), weights.sum(axis=1, keepdims=True)
    shifts[(observed == 0) | (observed == total)] = math.nan
    for iteration in range(MAX_ITERATIONS):
        chances = logistic((shifts if iteration else shifts[:1]) + x)
        slack = moments(weights, chances * (1 - chances), ones)
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = (observed - moments(weights, chances, ones)) / slack
        steps = np.clip(steps, -LONGEST_STEP, LONGEST_STEP)
        shifts += steps
        if np.nanmax(np.abs(steps), initial=0.0) < TOLERANCE:
            break
    return np.where(np.abs(steps) < TOLERANCE, shifts, math.nan)[:, 0]


def moments(weights: Floats, values: NDArray[Any], powers: Floats) -> Floats:
    """(b, p): sums over notes of weights (b, n) times values, (b, n) or one row for all, times each of powers (p, n)."""
    # Not a matrix product: its threads cost more than so thin a product is worth, and far more on a busy machine.
    if len(values) == 1:
        return np.einsum("bi,pi->bp", weights, values * powers)
    return np.einsum("bi,pi->bp", weights * values, powers)


def logistic(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), in one array."""
    chances = np.negative(x)
    with np.errstate(over="ignore"):
        np.exp(chances, out=chances)
    chances += 1
    return np.reciprocal(chances, out=chances)


def solved(curvature: Floats, gradients: Floats) -> Floats:
    """Newton's steps (b, 2): the inverse of [[flat, cross], [cross, steep]], columns of `curvature`, times the gradients.

    No longer than allowed; nan where the matrix has no inverse: there is one value of x.
    """
    flat, cross, steep = curvature.T
    determinant = flat * steep - cross**2
    with np.errstate(divide="ignore", invalid="ignore"):
        first = (steep * gradients[:, 0] - cross * gradients[:, 1]) / determinant
        second = (flat * gradients[:, 1] - cross * gradients[:, 0]) / determinant
        steps = np.stack([first, second], axis=1)
        steps[~(determinant > 0)] = math.nan
        length = np.sqrt((steps**2).sum(axis=1, keepdims=True))
        return steps * np.where(length > LONGEST_STEP, LONGEST_STEP / length, 1.0)
