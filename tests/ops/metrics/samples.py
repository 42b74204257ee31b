"""Predictions drawn so that the labels follow the probabilities."""

import numpy as np


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
