"""From facts to labels: logits, their intercepts per era, and draws with little variance."""

from __future__ import annotations

import numpy as np


def expit(logit: np.ndarray) -> np.ndarray:
    """The logistic function. Own, because importing scipy takes longer than importing all of this package."""
    return 1.0 / (1.0 + np.exp(-logit))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Chances of the classes of each row."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def solve_intercept(score: np.ndarray, target: float) -> float:
    """The intercept with which `expit(score + intercept)` has the mean `target`, by bisection."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        if expit(score + middle).mean() < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def solve_class_intercepts(score: np.ndarray, weight: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The intercepts (first one 0) with which `softmax(score + intercepts)` has the weighted column means `target`."""
    intercepts = np.zeros(score.shape[1])
    for _ in range(200):
        means = np.average(softmax(score + intercepts), axis=0, weights=weight)
        step = np.log(target) - np.log(means)
        intercepts += step
        if np.abs(step).max() < 1e-9:
            break
    return intercepts - intercepts[0]


def solve_group_shares(classes_by_group: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Shares of the burden groups with which the mean class chances are nearest to `target`.

    Args:
        classes_by_group: Mean class chances within each group, shape (groups, classes).
        target: Wanted class ratios.
    """
    from scipy.optimize import nnls  # slow to import, and only needed here

    # Each class in units of its own ratio, so that the rarest weighs as much as the commonest.
    shares, _ = nnls((classes_by_group / target).T, np.ones(len(target)))
    return shares / shares.sum()


def draw_binary(probability: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Systematic sampling: each label is 1 with its own probability, and their sum is within one of the expected.

    Rows are visited in random order; label i is 1 when the running sum of probabilities passes a point of a grid with
    one random offset (Madow 1949).
    """
    order = rng.permutation(len(probability))
    running = np.concatenate([[0.0], np.cumsum(probability[order])]) + rng.random()
    label = np.zeros(len(probability), dtype=np.int8)
    label[order] = np.floor(running[1:]) > np.floor(running[:-1])
    return label


def draw_classes(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Systematic draws of a categorical label, the last class first: shape (n, classes) to (n,)."""
    label = np.zeros(len(probabilities), dtype=np.int8)
    open_rows = np.arange(len(probabilities))
    left = np.ones(len(probabilities))
    for index in reversed(range(1, probabilities.shape[1])):
        here = probabilities[open_rows, index]
        hit = draw_binary(np.clip(here / np.maximum(left, 1e-12), 0.0, 1.0), rng).astype(bool)
        label[open_rows[hit]] = index
        left = (left - here)[~hit]
        open_rows = open_rows[~hit]
    return label


def draw_by_era(probabilities: np.ndarray, era: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Systematic draws within each era, binary for a vector, categorical for a matrix."""
    draw = draw_binary if probabilities.ndim == 1 else draw_classes
    label = np.zeros(len(probabilities), dtype=np.int8)
    for value in np.unique(era):
        rows = np.flatnonzero(era == value)
        label[rows] = draw(probabilities[rows], rng)
    return label
